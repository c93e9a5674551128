"""Renders executed notebooks as a site that asks nothing of a network.

python tools/build_site.py      notebooks/ as they are, into build/site/
"""

from __future__ import annotations

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
    figure_text,
    find_lessons,
    tags_of,
    write_notebook,
)
from measure import COMMENT
from site_api import api_pages
from site_pages import SITE, hand_written, landing, relinked
from site_references import references_page

TARGET = ROOT / "build" / "site"
# In the notebook that the site offers, not on the page, which shows its outputs.
NEEDS = """\
> **To run this notebook** you need the course that it is a part of, *Deep residual
> networks, hands on*: the packages `course_utils` and `course_classroom`, which it
> imports, come with it. In the course's folder, `make lab` sets up all that is needed
> and opens your own copy of every lesson."""
FOLDED = {
    "solution": ("hide-cell", "the solution"),
    "figure": ("hide-input", "how the figure is drawn"),
}


def build_site(
    notebooks: Sequence[Path], target: Path, table: str = "", strict: bool = False
) -> bool:
    """Render the course as a site; return whether that worked.

    Args:
        notebooks: executed notebooks; they stay as they are.
        target: folder of the pages, replaced as a whole once they are made; index.html
            comes there.
        table: Markdown for the page of results: how the lessons ran on this machine.
        strict: whether a warning, such as that of a dead link, is a failure.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".site-") as folder:
        source, pages = Path(folder, "source"), Path(folder, "pages")
        write_sources(notebooks, table, source)
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", str(SITE)]
        command += ["-d", str(Path(folder, "doctrees")), str(source), str(pages)]
        command += ["-W"] if strict else []
        if subprocess.run(command, cwd=ROOT).returncode:
            return False
        if target.exists():
            target.rename(Path(folder, "old"))
        pages.rename(target)
    return True


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
    for name, notebook in lessons.items():
        prepare(notebook, pages)
        notebook.cells.insert(0, needs())
        write_notebook(notebook, source / "notebooks" / f"{name}.ipynb")
    shutil.copy(SITE / "picture.png", source)


def prepare(notebook: nbformat.NotebookNode, pages: Collection[str]) -> None:
    """Fold what a reader may open, describe figures, mend links, drop comments."""
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.split("\n") if line[:1] == "#"]
            section = headings[-1].lstrip("# ") if headings else section
            source = COMMENT.sub("", cell.source)
            cell.source = relinked(source, "notebooks", pages)
        elif cell.cell_type == "code":
            text = figure_text(cell) or f"Figure of the section “{section}”"
            cell.metadata["mystnb"] = {"image": {"alt": text}}
        for tag in {*tags_of(cell)} & {*FOLDED}:
            hidden, what = FOLDED[tag]
            cell.metadata.tags.append(hidden)
            cell.metadata["mystnb"]["code_prompt_show"] = f"Show {what}"
            cell.metadata["mystnb"]["code_prompt_hide"] = f"Hide {what}"


def needs() -> nbformat.NotebookNode:
    """Return the first cell of a notebook that somebody takes away from the site."""
    metadata = {"tags": ["remove-cell"]}
    return nbformat.v4.new_markdown_cell(NEEDS, id="needs", metadata=metadata)


def main() -> int:
    """Build the site from notebooks/; return the exit status."""
    lessons = find_lessons()
    problems = [problem for lesson in lessons for problem in check(lesson)]
    if problems:
        print("No site was built. " + "\n".join(problems))
        return 1
    notebooks = [NOTEBOOKS / f"{lesson.stem}.ipynb" for lesson in lessons]
    if not build_site(notebooks, TARGET, strict=True):
        print("No site was built (see above); an older one is still there.")
        return 1
    print(f"Read it in a browser: {(TARGET / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
