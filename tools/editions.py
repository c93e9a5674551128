"""Writes an edition of the lessons for a class; a file that was changed is kept.

python tools/editions.py --student DIR [01 01b …]   without outputs and solutions
python tools/editions.py --teacher DIR             solutions open, with timing notes
python tools/editions.py --nbgrader DIR            a course directory for nbgrader
python tools/editions.py --hosted ADDRESS DIR      for Colab and Kaggle, with the course
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from hosted_edition import Place, build_wheel, hosted, place_at, readme
from lab import name_beside, readers_copy
from lesson_files import NOTEBOOKS, find_lessons, read_lesson, tags_of
from measure import (
    EXERCISE_MINUTES,
    LINES_A_MINUTE,
    SECTION,
    WORDS_A_MINUTE,
    count_stars,
    measured,
    sections,
)
from nbformat import NotebookNode
from nbgrader_edition import CONFIG, assignment, has_exercises
from site_pages import title_of

from course_utils._engine.files import write_atomically

RECORD = ".edition.json"


class Edition:
    """A folder, and the hashes of what was written into it."""

    def __init__(self, folder: Path, kind: str) -> None:
        if folder.exists() and not folder.is_dir():
            raise SystemExit(f"{folder} is a file; name a folder for the edition.")
        self.folder, self.kind = folder, kind
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            self.written = dict(record["files"])
        except (FileNotFoundError, ValueError, TypeError, LookupError):
            self.written = {}  # then only what is equal to the new version is ours
            return
        if record.get("kind") != kind:
            raise SystemExit(
                f"{folder} holds the edition --{record.get('kind')}; name another "
                f"folder for --{kind}."
            )

    def lay(self, name: str, content: bytes) -> str:
        """Write a file, or beside it where somebody else's is; say what was done."""
        path = self.folder / name
        new, old = hashlib.sha256(content).hexdigest(), self.written.get(name)
        if not path.exists():
            self._write(name, content, new)
            return f"{name}: new"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found in (new, old):
            self._write(name, content, new)
            return f"{name}: {'up to date' if found == new else 'brought up to date'}"
        whose = "changed since it was written" if old else "here before, and not ours"
        if old == new:
            return f"{name}: {whose}, kept as it is"
        beside = self.folder / name_beside(path.name, new)  # not among nbgrader's own
        if not beside.exists():
            write_atomically(beside, lambda part: part.write_bytes(content))
        return f"{name}: {whose}, kept as it is; the new version is {beside.name}"

    def _write(self, name: str, content: bytes, sha256: str) -> None:
        write_atomically(self.folder / name, lambda part: part.write_bytes(content))
        self.written[name] = sha256
        record = json.dumps({"kind": self.kind, "files": self.written}, indent=1)
        write_atomically(
            self.folder / RECORD, lambda part: part.write_text(record, encoding="utf-8")
        )


def student(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without its solutions."""
    notebook.cells = [c for c in notebook.cells if "solution" not in tags_of(c)]
    return notebook


def teacher(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with its solutions open and notes on the time."""
    total = measured(notebook.cells)
    times = iter([part.minutes for part in sections(notebook.cells)[1:]])
    text = notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = "".join(_with_times(cell.source, times))
            text = cell
        elif "solution" in tags_of(cell):
            cell.metadata.pop("jupyter", None)
        elif "exercise" in tags_of(cell):
            time = EXERCISE_MINUTES.get(count_stars(text.source), 0)
            text.source += f"\n\n> ⏱ This exercise: about {time} min (estimate)."
    title, _, rest = notebook.cells[0].source.partition("\n")
    by_stars = ", ".join(str(minutes) for minutes in EXERCISE_MINUTES.values())
    notebook.cells[0].source = (
        f"{title}\n\n> ⏱ **For the teacher:** about {total.minutes} min in all, "
        f"{total.exercise_minutes} of them for exercises. All times are estimates, not "
        f"measurements, by the formula of the card: {WORDS_A_MINUTE} words or "
        f"{LINES_A_MINUTE} lines of code a minute; {by_stars} minutes for an exercise "
        "of one, two, three stars. They are for one who reads alone: the time that "
        "long cells compute and what a class discusses come on top. docs/teaching.md "
        f"plans sessions of 90 minutes.\n{rest}"
    )
    return notebook


def _with_times(source: str, times: Iterator[int]) -> Iterator[str]:
    """Yield a cell's parts, each section's time under its heading."""
    for part in SECTION.split(source):
        heading, _, rest = part.partition("\n")
        if not heading.startswith("## "):
            yield part
            continue
        time = next(times)  # 0 where nothing is read, as in the quiz
        note = f"\n\n> ⏱ about {time} min (estimate)" if time else ""
        yield f"{heading}{note}\n{rest}"


def as_text(notebook: NotebookNode) -> str:
    """Return what goes into the file."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def edition_of(kind: str, lesson: Path) -> tuple[str, str]:
    """Return the name and the text of a lesson's file in an edition."""
    name, notebook = f"{lesson.stem}.ipynb", read_lesson(lesson)
    if kind == "nbgrader":
        return f"source/{lesson.stem}/{name}", as_text(assignment(notebook))
    return name, as_text((student if kind == "student" else teacher)(notebook))


def lay_hosted(edition: Edition, place: Place, lessons: list[Path]) -> Iterator[str]:
    """Write the course's wheel, the notebooks that install it and a page of badges."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        yield edition.lay(wheel.name, wheel.read_bytes())
    titles = {}
    for lesson in lessons:
        name, notebook = f"{lesson.stem}.ipynb", readers_copy(lesson)
        titles[name] = title_of(notebook)
        text = as_text(hosted(notebook, name, place, wheel.name))
        yield edition.lay(f"notebooks/{name}", text.encode())
    yield edition.lay("README.md", readme(titles, place).encode())


def main(arguments: list[str]) -> int:
    """Write the editions asked for, one line a file."""
    parser = argparse.ArgumentParser(
        description="Write an edition of the lessons; a file that was changed is kept."
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--student", metavar="DIR", help="solutions removed")
    kinds.add_argument("--teacher", metavar="DIR", help="solutions open, with times")
    kinds.add_argument("--nbgrader", metavar="DIR", help="a course for nbgrader")
    kinds.add_argument(
        "--hosted",
        nargs=2,
        metavar=("ADDRESS", "DIR"),
        help="for Colab and Kaggle; ADDRESS: of the folder on GitHub that DIR will be",
    )
    parser.add_argument("lessons", nargs="*", help="for example 01 01b; default: all")
    options = vars(parser.parse_args(arguments))
    lessons = find_lessons(options.pop("lessons"))
    ((kind, value),) = ((k, v) for k, v in options.items() if v is not None)
    *address, folder = value if kind == "hosted" else [value]
    folder = Path(folder).expanduser()
    if folder.resolve() == NOTEBOOKS:
        raise SystemExit("notebooks/ is the course's own; name another folder.")
    try:
        place = place_at(*address) if address else None
    except ValueError as error:
        raise SystemExit(str(error)) from None
    left_out = 0
    try:
        edition = Edition(folder, kind)
        if place:
            for said in lay_hosted(edition, place, lessons):
                print(said)
            return 0
        if kind == "nbgrader":
            print(edition.lay(CONFIG.name, CONFIG.read_bytes()))
        for lesson in lessons:
            if kind == "nbgrader" and not has_exercises(read_lesson(lesson)):
                continue
            try:
                name, text = edition_of(kind, lesson)
            except ValueError as error:
                print(f"{lesson.stem}: left out: {error}", file=sys.stderr)
                left_out = 1
            else:
                print(edition.lay(name, text.encode()))
    except OSError as error:
        raise SystemExit(
            f"Cannot write {error.filename or folder} ({error.strerror}); name a "
            "folder that you may write to."
        ) from None
    return left_out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
