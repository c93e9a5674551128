"""Lessons as notebooks: found, converted with stable cell ids, hashed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
LESSONS = ROOT / "lessons"
NOTEBOOKS = ROOT / "notebooks"
METADATA_KEY = "resnet_course"
SOLUTION = "# Solution"
KERNELSPEC = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}


def find_lessons(names: Sequence[str] = (), folder: Path = LESSONS) -> list[Path]:
    """Return the lessons `NN_topic.py`, each before its deep dive `NNb_topic.py`.

    Args:
        names: only these: `01` is the lesson, `01b` its deep dive, `all` is every one;
            the beginning of a file's name that goes beyond its number will do, too.
        folder: where they lie.

    Raises:
        SystemExit: there is no lesson, or a name fits none.
    """
    found = [*folder.glob("[0-9][0-9]_*.py"), *folder.glob("[0-9][0-9]b_*.py")]
    lessons = sorted(found)  # "_" comes before "b"
    if not lessons:
        raise SystemExit(f"No lesson (NN_topic.py) was found in {folder}.")
    named = [p for p in lessons if any(fits(p, name) for name in names)]
    for name in names:
        if not any(fits(lesson, name) for lesson in lessons):
            stems = ", ".join(lesson.stem for lesson in lessons)
            raise SystemExit(f"No lesson begins with {name!r}; there are: {stems}.")
    return named if names else lessons


def number_of(lesson: Path) -> str:
    """Return a lesson's number, such as "01", or "01b" for a deep dive."""
    return lesson.stem.partition("_")[0]


def is_dive(lesson: Path) -> bool:
    """Return whether a lesson is a deep dive."""
    return number_of(lesson).endswith("b")


def fits(lesson: Path, name: str) -> bool:
    """Return whether a lesson is meant by `all`, a number or the start of its name."""
    begins = "_" in name and lesson.stem.startswith(name)
    return begins or name in ("all", number_of(lesson))


def lesson_sha256(lesson: Path) -> str:
    """Return the hash of the lesson's text, the same whatever ends its lines."""
    text = lesson.read_text(encoding="utf-8")  # universal newlines
    return hashlib.sha256(text.encode()).hexdigest()


def cell_id(cell: NotebookNode, occurrence: int) -> str:
    """Return an id made from what is in the cell and how often that came before."""
    content = f"{cell.cell_type}\n{cell.source}\n{occurrence}"
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def read_lesson(lesson: Path) -> NotebookNode:
    """Return a lesson as a notebook without outputs, the same at every call."""
    cells = jupytext.read(lesson, fmt="py:percent").cells
    seen: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        tags = list(cell.metadata.get("tags", []))
        if "solution" in tags and not cell.source.startswith(SOLUTION):
            cell.source = f"{SOLUTION}\n{cell.source}"  # the line that a fold shows
        key = (cell.cell_type, cell.source)
        cell.id = cell_id(cell, seen[key])
        seen[key] += 1
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
        if {"solution", "figure"} & {*tags}:  # shown collapsed
            cell.metadata["jupyter"] = {"source_hidden": True}
    metadata = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python"},
        METADATA_KEY: {"lesson_sha256": lesson_sha256(lesson)},
    }
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    notebook.nbformat_minor = 5
    return notebook


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def first_line(cell: NotebookNode) -> str:
    """Return the first line of a cell, to name it by."""
    return cell.source.strip().split("\n", 1)[0]


def figure_text(cell: NotebookNode) -> str:
    """Return what a cell says of its figure, or "".

    That is the comment `# Figure: …` with which the cell begins, up to the first line
    that is no comment, in one line and without the word "Figure".
    """
    comment = takewhile(lambda line: line.startswith("#"), cell.source.splitlines())
    text = " ".join(line.lstrip("# ") for line in comment)
    return text.removeprefix("Figure:").strip() if text.startswith("Figure:") else ""


def describe_figures(notebook: NotebookNode) -> None:
    """Give each figure the text of its cell, where IPython's own `alt` comes, too."""
    for cell in notebook.cells:
        text = figure_text(cell)
        for output in cell.get("outputs", []):
            if text and "image/png" in output.get("data", {}):
                output.metadata.setdefault("image/png", {})["alt"] = text


def output_text(cell: NotebookNode) -> str:
    """Return all plain text that a code cell has put out."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif "data" in output:
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(parts)


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook in one step, so that no half-written file is ever there."""
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook)
    part = path.with_name(path.name + ".part")
    part.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    part.replace(path)
