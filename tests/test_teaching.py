"""The teacher's plan and the glossary fit the lessons as they are."""

import re
from functools import cache

import pytest
from lesson_files import LESSONS, ROOT, find_lessons, read_lesson
from mdit_py_plugins.anchors.index import slugify

PLAN = ROOT / "docs" / "teaching.md"
GLOSSARY = ROOT / "site" / "glossary.md"
SESSIONS = range(1, 9)
ROW = re.compile(r"^\| (\d+) \| (\d+) \| (.*?) \|(?: (.*?))? \|$", re.MULTILINE)


@cache
def plan() -> dict[str, str]:
    """Return the text under each heading of the second and third level."""
    parts = re.split(r"^##+ (.+)$", PLAN.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def session_of(number: int) -> str:
    """Return the text of a session."""
    (text,) = (
        t for title, t in plan().items() if title.startswith(f"Session {number}")
    )
    return text


@cache
def prose_of(number: int | str) -> str:
    """Return the Markdown of a lesson, or of a deep dive ("01b"), without its code."""
    (lesson,) = find_lessons([f"{number:02}" if isinstance(number, int) else number])
    cells = read_lesson(lesson).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def headings_of(number: int | str) -> list[str]:
    """Return the headings of a lesson that a page can link to."""
    return re.findall(r"^#{2,3} (.+)$", prose_of(number), re.MULTILINE)


def exercises_of(number: int) -> list[str]:
    """Return the exercises of a lesson, each with its stars."""
    found = re.findall(r"^(?:### |\*\*)(★+ .+?)\.?(?:\*\*|$)", prose_of(number), re.M)
    assert found
    return found


def named_in(session: str) -> list[str]:
    """Return what the table of a session, and its homework, name of the lesson."""
    (home,) = re.findall(r"^\*\*At home:\*\* (.+)$", session, re.MULTILINE)
    cells = [row[3] for row in ROW.findall(session)] + [home]
    return [name for cell in cells for name in cell.split("; ")]


def starts_of(text: str) -> list[int]:
    """Return where the blocks of a table begin, and where the last one ends."""
    starts = [0]
    for start, minutes, *_ in ROW.findall(text):
        assert int(start) == starts[-1], f"{start}: the block before ends elsewhere"
        starts.append(starts[-1] + int(minutes))
    return starts


def links_of(path) -> list[str]:
    """Return the targets of a page's links."""
    return re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8"))


def test_there_is_a_session_for_each_lesson():
    titles = [title for title in plan() if title.startswith("Session")]
    rows = re.findall(
        r"^\| (\d) \| \[(.+)\]\(\.\./notebooks/(\d\d)_", PLAN.read_text(), re.M
    )
    assert len(titles) == len(rows) == len(SESSIONS)
    for number, title, (session, lesson, file) in zip(
        SESSIONS, titles, rows, strict=True
    ):
        assert (int(session), int(file)) == (number, number)
        assert title == f"Session {number} · {lesson.split(' · ')[1]}"


@pytest.mark.parametrize("number", SESSIONS)
def test_a_session_takes_ninety_minutes(number):
    assert starts_of(session_of(number))[-1] == 90


def test_the_workshop_takes_as_long_as_it_says():
    text = plan()["A workshop of half a day"]
    assert f"{starts_of(text)[-1]} minutes, two breaks" in text
    for lesson, names in re.findall(r"lesson (\d\d): (.+?) \|$", text, re.MULTILINE):
        assert set(names.split("; ")) <= set(headings_of(int(lesson)))


@pytest.mark.parametrize("number", SESSIONS)
def test_a_session_names_each_section_and_exercise_and_no_other(number):
    session, headings = session_of(number), headings_of(number)
    named = {*named_in(session), *re.findall(r"(★+ .+?) \|", session)}
    sections = {title for title in headings if title[0].isdigit()}
    assert sections
    assert {*sections, *exercises_of(number)} <= named
    assert set(named_in(session)) <= {*headings, *exercises_of(number)}


def test_every_link_of_the_plan_leads_to_a_file():
    missing = [t for t in links_of(PLAN) if not (PLAN.parent / t).is_file()]
    assert not missing


def test_every_term_of_the_glossary_leads_to_its_lesson():
    text = GLOSSARY.read_text("utf-8")
    entries = re.findall(r"^(\w.*)\n((?:  .+\n)+)", text.split(":sorted:")[1], re.M)
    terms = [term for term, _ in entries]
    assert 60 <= len(terms) <= 90
    assert len(set(terms)) == len(terms)
    assert not [term for term, said in entries if "](notebooks/" not in said]
    assert set(re.findall(r"{term}`(.+?)`", text)) <= set(terms)


@pytest.mark.parametrize("target", sorted(set(links_of(GLOSSARY))))
def test_a_link_of_the_glossary_leads_to_a_heading(target):
    lesson, anchor = re.fullmatch(r"notebooks/(\w+)\.ipynb#(.+)", target).groups()
    assert (LESSONS / f"{lesson}.py").is_file()
    assert anchor in {slugify(title) for title in headings_of(lesson.partition("_")[0])}


def test_a_docstring_names_the_section_in_which_it_is_taught():
    taught = re.compile(r'Taught in:\s+lesson (\d\db?), "([^"]+)"')
    wrong = []
    for path in sorted((ROOT / "course_utils").rglob("*.py")):
        for lesson, section in taught.findall(path.read_text("utf-8")):
            name = int(lesson) if lesson.isdigit() else lesson
            headings = {re.sub(r"^\d+ · ", "", title) for title in headings_of(name)}
            if " ".join(section.split()) not in headings:
                wrong.append(f"{path.name}: lesson {lesson}, {section!r}")
    assert not wrong
