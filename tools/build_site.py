"""Renders executed notebooks as a site that asks nothing of a network.

python tools/build_site.py      notebooks/ as they are, into build/site/
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import nbformat
from build_notebooks import check
from lesson_files import (
    NOTEBOOKS,
    ROOT,
    find_lessons,
    tags_of,
    write_notebook,
)
from measure import COMMENT
from site_api import api_pages
from site_pages import SITE, chinese_landing, hand_written, landing, relinked
from site_references import references_page

TARGET = ROOT / "build" / "site"
# In the notebook that the site offers, not on the page, which shows its outputs.
NEEDS = """\
> **To run this notebook** you need the course that it is a part of, *Deep residual
> networks, hands on*: the packages `course_utils` and `course_classroom`, which it
> imports, come with it. In the course's folder, `make lab` sets up all that is needed
> and opens your own copy of every lesson."""
NEEDS_IN_CHINESE = """\
> **要运行这个笔记本**，需要整个课程：
> 它导入的 `course_utils` 和 `course_classroom` 都在课程里。
> 在课程的文件夹中，`make lab LANGUAGE=zh` 会装好一切，并打开每一课的中文副本。"""
FOLDED = {  # how a cell with a tag is folded, and what its fold says
    "solution": ("hide-cell", "Show the solution", "Hide the solution"),
    "figure": (
        "hide-input",
        "Show how the figure is drawn",
        "Hide how the figure is drawn",
    ),
}
FOLDED_IN_CHINESE = {
    "solution": ("hide-cell", "查看答案", "收起答案"),
    "figure": ("hide-input", "查看绘图代码", "收起绘图代码"),
}
CHINESE = ("-D", "language=zh_CN", "-D", "html_title=深度残差网络：动手课程")
NUMBER_SPACE = re.compile(
    r"(`+[^`]+`+|\$[^$]+\$)|(?<=\d) (?=\d{3}\b|%|[\u4e00-\u9fff])"
)
ENGLISH_PAGE = re.compile(r"\[([^]]+)\]\(\.\./(\w+)\.ipynb\)")


def build_site(
    notebooks: Sequence[Path],
    target: Path,
    table: str = "",
    strict: bool = False,
    chinese: Sequence[Path] = (),
) -> bool:
    """Render the course as a site; return whether that worked.

    Args:
        notebooks: executed notebooks; they stay as they are.
        target: folder of the pages, replaced as a whole once they are made; index.html
            comes there.
        table: Markdown for the page of results: how the lessons ran on this machine.
        strict: whether a warning, such as that of a dead link, is a failure.
        chinese: the same lessons in Chinese, whose pages come into zh/.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".site-") as folder:
        pages = Path(folder, "pages")
        options = ["-W"] if strict else []
        write_sources(notebooks, table, Path(folder, "source"))
        if chinese:
            options += ["-t", "two_languages"]
            write_chinese(chinese, Path(folder, "zh"))
        if not render(Path(folder, "source"), pages, options):
            return False
        if chinese and not render(
            Path(folder, "zh"), pages / "zh", [*options, *CHINESE]
        ):
            return False
        if target.exists():
            target.rename(Path(folder, "old"))
        pages.rename(target)
    return True


def render(source: Path, pages: Path, options: Sequence[str]) -> bool:
    """Make pages of a folder of sources; return whether that worked."""
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", str(SITE)]
    command += ["-d", str(source.with_name(f"{source.name}-doctrees")), *options]
    command += [str(source), str(pages)]
    return subprocess.run(command, cwd=ROOT).returncode == 0


def write_chinese(notebooks: Sequence[Path], source: Path) -> None:
    """Write the pages in Chinese: the lessons, their first page, the glossary."""
    lessons = {path.stem: nbformat.read(path, as_version=4) for path in notebooks}
    for notebook in lessons.values():
        for cell in notebook.cells:  # deep dives are in English alone
            if cell.cell_type == "markdown":
                page = r'<a href="../../notebooks/\2.html">\1</a>'
                cell.source = ENGLISH_PAGE.sub(page, cell.source)
    pages = {f"notebooks/{name}.ipynb" for name in lessons}
    source.mkdir()
    (source / "index.md").write_text(chinese_landing(lessons), "utf-8")
    write_lessons(lessons, pages, source, FOLDED_IN_CHINESE, NEEDS_IN_CHINESE)
    shutil.copy(ROOT / "docs" / "glossary.zh.md", source / "glossary.md")
    shutil.copy(SITE / "picture.png", source)


def write_sources(notebooks: Sequence[Path], table: str, source: Path) -> None:
    """Write all pages as Sphinx reads them: Markdown, notebooks, reStructuredText."""
    lessons = {path.stem: nbformat.read(path, as_version=4) for path in notebooks}
    written = hand_written()
    texts = {name: path.read_text("utf-8") for name, path in written.items()}
    docs = [Path(name).stem for name in written if name.startswith("docs/")]
    texts["index.md"] = landing(lessons, docs)
    if table:
        texts["results.md"] += f"\n## The lessons on this machine\n\n{table}\n"
    texts["references.md"] = references_page(lessons)
    pages = {*texts, *(f"notebooks/{name}.ipynb" for name in lessons)}
    for name, text in texts.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(relinked(text, str(Path(name).parent), pages), "utf-8")
    (source / "api").mkdir()
    for name, text in api_pages().items():
        (source / "api" / name).write_text(text, "utf-8")
    write_lessons(lessons, pages, source, FOLDED, NEEDS)
    shutil.copy(SITE / "picture.png", source)


def write_lessons(
    lessons: dict[str, nbformat.NotebookNode],
    pages: Collection[str],
    source: Path,
    folds: dict[str, tuple[str, str, str]],
    needed: str,
) -> None:
    """Write the lessons as the site shows them and as a reader takes them away.

    Args:
        lessons: the executed notebooks by name; they are changed.
        pages: the files of the site that may be linked to.
        source: the folder of the sources.
        folds: how a cell with a tag is folded, and what its fold says.
        needed: what somebody needs who takes a notebook away.
    """
    for name, notebook in lessons.items():
        prepare(notebook, pages)
        fold(notebook, folds)
        notebook.cells.insert(0, needs(needed))
        write_notebook(notebook, source / "notebooks" / f"{name}.ipynb")


def prepare(notebook: nbformat.NotebookNode, pages: Collection[str]) -> None:
    """Describe figures, mend links, drop comments."""
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.split("\n") if line[:1] == "#"]
            section = headings[-1].lstrip("# ") if headings else section
            source = unbroken(COMMENT.sub("", cell.source))
            cell.source = relinked(source, "notebooks", pages)
        elif cell.cell_type == "code":
            text = described(cell) or f"Figure of the section “{section}”"
            cell.metadata["mystnb"] = {"image": {"alt": text}}


def described(cell: nbformat.NotebookNode) -> str:
    """Return the text of a cell's figures, "" where it draws none."""
    texts = [
        output.metadata.get("image/png", {}).get("alt", "")
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    return next(iter(texts), "")


def unbroken(text: str) -> str:
    """Return Markdown whose numbers, 10 000, 5 % or 3 张, stay on one line."""
    return NUMBER_SPACE.sub(lambda found: found[1] or "\N{NO-BREAK SPACE}", text)


def fold(
    notebook: nbformat.NotebookNode, folds: dict[str, tuple[str, str, str]]
) -> None:
    """Fold what a reader may open: solutions, and the code of figures."""
    for cell in notebook.cells:
        for tag in {*tags_of(cell)} & {*folds}:
            hidden, show, hide = folds[tag]
            cell.metadata.tags.append(hidden)
            cell.metadata["mystnb"]["code_prompt_show"] = show
            cell.metadata["mystnb"]["code_prompt_hide"] = hide


def needs(text: str) -> nbformat.NotebookNode:
    """Return the first cell of a notebook that somebody takes away from the site."""
    metadata = {"tags": ["remove-cell"]}
    return nbformat.v4.new_markdown_cell(text, id="needs", metadata=metadata)


def main() -> int:
    """Build the site from notebooks/; return the exit status."""
    lessons = find_lessons()
    problems = [problem for lesson in lessons for problem in check(lesson)]
    if problems:
        print("No site was built. " + "\n".join(problems))
        return 1
    notebooks = [NOTEBOOKS / f"{lesson.stem}.ipynb" for lesson in lessons]
    chinese = sorted(NOTEBOOKS.glob("zh/*.ipynb"))
    if not build_site(notebooks, TARGET, strict=True, chinese=chinese):
        print("No site was built (see above); an older one is still there.")
        return 1
    print(f"Read it in a browser: {(TARGET / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
