"""Translations: what must stay, what is stale, and how notebooks are joined."""

import re
from types import SimpleNamespace

import check_translation
import lab
import nbformat
import pytest
import translation
from lesson_files import find_lessons, is_dive, read_lesson
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from translation import Passage, check, differences, digest, placed, read_prose

CORE = [lesson for lesson in find_lessons() if not is_dive(lesson)]
ENDED = SimpleNamespace(returncode=0)  # a JupyterLab that was closed again
TEXTS = {
    "0.1": "# 01 · A lesson\n\nSee [the next](02_b.ipynb), [more](01b_a.ipynb).",
    "1.1": "## 1 · A section\n\nAbout 71.6 %<!-- results: a --> of $x^2$ `code`.",
    "figure 1": "Two curves over 10 epochs.",
    "1.2": """**1. Why?**

<details><summary>So</summary>

**No.** Not 4.

</details>
<details><summary>Else</summary>

**Right.** All 10,000.

</details>""",
}
CHINESE = {
    "0.1": "# 01 · 一课\n\n见[下一课](02_b.ipynb),[更多](01b_a.ipynb)。",
    "1.1": "## 1 · 一节\n\n`code`:$x^2$ 的约 71.6 %<!-- results: a -->。",
    "figure 1": "10 轮里的两条曲线。",
    "1.2": """**1. 为什么?**

<details><summary>如此</summary>

**不对。** 不是 4。

</details>
<details><summary>否则</summary>

**对。** 全部 10,000。

</details>""",
}


@pytest.fixture
def notebook():
    picture = new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    figure = new_code_cell("# Figure: Two curves\n# over 10 epochs.\nplot()")
    figure.outputs = [picture]
    prose = [new_markdown_cell(TEXTS[place]) for place in ("0.1", "1.1", "1.2")]
    return new_notebook(cells=[*prose[:2], new_code_cell("1 + 1"), figure, prose[2]])


@pytest.fixture
def prose():
    return {place: Passage(digest(TEXTS[place]), CHINESE[place]) for place in TEXTS}


def test_a_translation_that_agrees_has_no_problem(notebook, prose):
    assert {place: text for place, _, text in placed(notebook)} == TEXTS
    assert check(notebook, prose) == []


def test_an_edited_cell_is_stale_a_new_one_missing_an_old_one_too_much(notebook, prose):
    notebook.cells[1].source += " And more."
    notebook.cells.append(new_markdown_cell("New."))
    prose["9.9"] = prose["1.1"]
    assert check(notebook, prose) == [
        "9.9 is not in the lesson.",
        "1.1 is stale: its English text has changed.",
        "1.3 is missing.",
    ]


@pytest.mark.parametrize(
    ("place", "old", "new", "said"),
    [
        ("1.1", "71.6", "71.5", "numbers: lacks 71.6, has 71.5 instead"),
        ("1.2", "10,000", "1,000", "numbers: lacks 10000, has 1000 instead"),
        ("1.1", "$x^2$", "$x^3$", "formulas: lacks $x^2$, has $x^3$ instead"),
        ("1.1", "`code`", "代码", "code words: lacks `code`, has nothing instead"),
        ("0.1", "02_b", "03_b", "links: lacks 02_b.ipynb, has 03_b.ipynb instead"),
        (
            "1.1",
            "<!-- results: a -->",
            "",
            "hidden comments: lacks <!-- results: a -->",
        ),
        ("1.2", "**对。**", "**不对。**", "right answers: lacks (1, True)"),
    ],
)
def test_what_must_stay_is_compared(place, old, new, said):
    assert list(differences(TEXTS[place], CHINESE[place])) == []
    (found,) = differences(TEXTS[place], CHINESE[place].replace(old, new))
    assert found.startswith(said)


def test_a_file_of_passages_is_read_as_it_was_written(notebook, tmp_path):
    path = tmp_path / "a.md"
    path.write_text(translation.to_translate(notebook), "utf-8")
    found = read_prose(path)
    assert found == {place: (digest(text), text) for place, text in TEXTS.items()}


def test_the_joined_notebook_has_the_outputs_and_its_links_lead_on(notebook, prose):
    joined = translation.translated(notebook, prose)
    first, second, code, figure, _ = joined.cells
    assert "(02_b.ipynb)" in first.source
    assert "(../01b_a.ipynb)" in first.source
    assert second.source == CHINESE["1.1"]
    assert (code.source, figure.source) == ("1 + 1", notebook.cells[3].source)
    assert figure.outputs[0].metadata["image/png"]["alt"] == CHINESE["figure 1"]
    assert notebook.cells[0].source == TEXTS["0.1"]  # as it was
    nbformat.validate(joined)


@pytest.mark.parametrize("lesson", CORE, ids=lambda lesson: lesson.stem)
def test_every_lesson_has_its_translation_and_none_lags_behind(lesson):
    assert check(read_lesson(lesson), read_prose(translation.prose_of(lesson))) == []
    assert translation.join(lesson, write=False) == []


def test_the_tool_names_what_is_stale_and_fails(monkeypatch, tmp_path, capsys):
    lesson = CORE[0]
    text = translation.prose_of(lesson).read_text("utf-8")
    hashed = digest(next(iter(placed(read_lesson(lesson))))[2])
    (tmp_path / f"{lesson.stem}.md").write_text(text.replace(hashed, "0" * 12), "utf-8")
    monkeypatch.setattr(translation, "PROSE", tmp_path)
    assert check_translation.main(["--stale", "01"]) == 1
    assert "01_residual_blocks.md: 0.1 is stale" in capsys.readouterr().err


@pytest.mark.parametrize("lesson", CORE, ids=lambda lesson: lesson.stem)
def test_chinese_has_its_own_punctuation_and_bold_text_ends(lesson):
    for place, (_, text) in read_prose(translation.prose_of(lesson)).items():
        prose = translation.COMMENT.sub("", text)
        for pattern in (translation.FENCE, translation.CODE, translation.MATHS):
            prose = pattern.sub("x", prose)
        assert not re.search("[\u4e00-\u9fff][,:;?!]", prose), place
        html = MarkdownIt().render(prose)  # `**` that cannot close is printed
        assert "*" not in re.sub("<[^>]+>", "", html), place


@pytest.mark.parametrize(
    ("language", "folder"), [("zh", "zh"), ("zh_CN:zh", ""), ("", "")]
)
def test_lab_is_chinese_only_if_it_is_asked_for(
    language, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("LANGUAGE", language)  # a desktop's own setting asks nothing
    monkeypatch.setattr(lab, "MY_COURSE", tmp_path)
    monkeypatch.setattr(lab, "find_lessons", lambda folder: CORE[:1])
    monkeypatch.setattr(lab.subprocess, "run", lambda *args, **options: ENDED)
    assert lab.main([]) == 0
    start = nbformat.read(tmp_path / folder / lab.START, as_version=4)
    assert start.cells[0].source.startswith(
        "# 从这里开始" if folder else "# Start here"
    )
    lesson = (tmp_path / folder / f"{CORE[0].stem}.ipynb").read_text("utf-8")
    assert ("<summary>参考答案</summary>" in lesson) == bool(folder)


def test_the_readers_copy_has_the_same_code_in_both_languages(tmp_path):
    lesson = CORE[1]
    english, chinese = (lab.readers_copy(lesson, tmp_path / p) for p in ("en", "zh"))
    assert chinese.cells[0].source.startswith("# 02 · 完整的网络")
    code = [[c for c in n.cells if c.cell_type == "code"] for n in (english, chinese)]
    assert code[0] == code[1]
    page = lab.start_page(translation.NOTEBOOKS / "zh")
    assert page.cells[0].source.startswith("# 从这里开始")
    table = page.cells[1].outputs[0].data["text/markdown"]
    assert re.search(
        r"\[02 · 完整的网络\]\(02_full_network.ipynb\) \| 44 分钟 \|", table
    )


def test_an_executed_lesson_is_written_in_chinese_too(notebook, tmp_path, monkeypatch):
    lesson = tmp_path / "01_a.py"
    monkeypatch.setattr(translation, "PROSE", tmp_path / "zh")
    (tmp_path / "zh").mkdir()
    passages = [
        f"<!-- {place} {digest(TEXTS[place])} -->\n{CHINESE[place]}" for place in TEXTS
    ]
    translation.prose_of(lesson).write_text("\n\n".join(passages), "utf-8")
    nbformat.write(notebook, tmp_path / "01_a.ipynb")
    path = translation.write_translated(lesson, tmp_path)
    assert path == tmp_path / "zh" / "01_a.ipynb"
    assert nbformat.read(path, as_version=4).cells[1].source == CHINESE["1.1"]


# English words that often mean something else, or that Chinese abbreviates.
SEVERAL_MEANINGS = {"bias", "class", "depth", "fault", "head", "recipe", "resume"}
SEVERAL_MEANINGS |= {"ablation", "degradation", "split"}
SEVERAL_MEANINGS |= {"dashed, solid shortcut", "expected calibration error, ECE"}
SEVERAL_MEANINGS |= {"negative log-likelihood, NLL"}


def glossary():
    """The English names of each term, and its translation."""
    text = (translation.LESSONS.parent / "docs" / "glossary.zh.md").read_text("utf-8")
    for english, chinese in re.findall(r"(?m)^\| (\w.+?) \| (.+?) \|$", text)[1:]:
        term = re.sub(r" \(.+?\)", "", english)
        if term not in SEVERAL_MEANINGS:
            yield term.split(", "), re.split("[（）]", chinese)


@pytest.mark.parametrize(
    ("names", "translations"), [*glossary()], ids=lambda value: value[0]
)
def test_a_term_has_one_translation_wherever_it_stands(names, translations):
    term = re.compile(rf"\b({'|'.join(map(re.escape, names))})(s|es)?\b", re.I)
    found, lacking = 0, []
    for lesson in CORE:
        prose = read_prose(translation.prose_of(lesson))
        for place, _, text in placed(read_lesson(lesson)):
            plain = translation.CODE.sub("", text).partition("## References")[0]
            if term.search(" ".join(plain.split())):
                found += 1
                if not any(word and word in prose[place].text for word in translations):
                    lacking.append((lesson.stem, place))
    assert len(lacking) <= max(1, found / 10), lacking
