"""Builds notebooks/ from lessons/, or checks that both agree.

python tools/build_notebooks.py [01 01b …]   converts and executes, on the built-in data
python tools/build_notebooks.py --check     fails where lesson and notebook differ

python tools/build_notebooks.py --translations   only notebooks/zh/, without executing

A lesson with a translation in lessons/zh/ gets a second notebook in notebooks/zh/, with
the outputs of the first.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from execution import execute
from lesson_files import (
    LESSONS,
    METADATA_KEY,
    NOTEBOOKS,
    find_lessons,
    first_line,
    output_text,
    read_lesson,
    tags_of,
    write_notebook,
)
from nbformat import NotebookNode
from PIL import Image
from translation import join

LARGEST_NOTEBOOK_MIB = 1.0
REBUILD = "run `make notebooks`"
MACHINE_PATH = re.compile(
    r"(/home/|/root/|/tmp/|/Users/|/var/folders/|[A-Z]:\\Users\\)"
)


def build_environment(runs: Path) -> dict[str, str]:
    """Return the environment in which notebooks are executed to be committed."""
    return os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "COURSE_DATA": "built-in",
        "COURSE_OFFLINE": "1",
        "COURSE_PROFILE": "quick",
        "COURSE_RUNS": str(runs),
        "TQDM_DISABLE": "1",
    }


def build(lesson: Path, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Execute a lesson and write its notebook; return what is wrong with it.

    Nothing is written where a cell fails: the notebook of before stays.
    """
    notebook = read_lesson(lesson)
    metadata = nbformat.from_dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        execution = execute(notebook, Path(folder), build_environment(runs))
    if execution.error:
        return [f"{lesson.stem}: {execution.error}"]
    notebook.metadata = metadata  # without the versions and widgets of this run
    shrink_figures(notebook)
    path = notebooks / f"{lesson.stem}.ipynb"
    write_notebook(notebook, path)
    print(f"{path.name}: executed in {execution.seconds:.0f} s")
    return check_outputs(notebook, path)


def shrink_figures(notebook: NotebookNode) -> None:
    """Give figures a palette of 256 colours: the same look in a third of the bytes."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
                shrunk = io.BytesIO()
                picture.quantize(256).save(shrunk, "png", optimize=True)
                smaller = base64.b64encode(shrunk.getvalue()).decode()
                output.data["image/png"] = min(png, smaller, key=len)


def check(lesson: Path, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Return all that is wrong with a lesson's notebooks, one sentence each."""
    return check_english(lesson, notebooks) or join(lesson, write=False)


def check_english(lesson: Path, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Return all that is wrong with the notebook that was executed."""
    path = notebooks / f"{lesson.stem}.ipynb"
    if not path.is_file():
        return [f"{path.name} is missing: {REBUILD}."]
    notebook = nbformat.read(path, as_version=4)
    expected = read_lesson(lesson)
    problems = []
    if notebook.metadata.get(METADATA_KEY) != expected.metadata[METADATA_KEY]:
        problems.append(
            f"{path.name} was executed from another version of lessons/{lesson.name}: "
            f"{REBUILD}."
        )
    elif [contents(c) for c in notebook.cells] != [contents(c) for c in expected.cells]:
        problems.append(
            f"{path.name} was edited by hand: put the change into "
            f"lessons/{lesson.name}, then {REBUILD}."
        )
    return problems + check_outputs(notebook, path)


def contents(cell: NotebookNode) -> tuple:
    """Return all of a cell but its outputs."""
    return cell.get("id"), cell.cell_type, cell.source, dict(cell.metadata)


def check_outputs(notebook: NotebookNode, path: Path) -> list[str]:
    """Return what is wrong with an executed notebook's outputs, size and order."""
    problems = []
    size_mib = path.stat().st_size / 2**20
    if size_mib > LARGEST_NOTEBOOK_MIB:
        problems.append(
            f"{path.name} has {size_mib:.2f} MiB, at most {LARGEST_NOTEBOOK_MIB} may "
            "be: draw smaller or fewer figures."
        )
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    if [c.execution_count for c in code] != list(range(1, len(code) + 1)):
        problems.append(f"{path.name}: cells ran out of order, or not all: {REBUILD}.")
    for cell in code:
        where = f"{path.name}, [{cell.execution_count}] ({first_line(cell)!r})"
        problems += [f"{where}: {problem}" for problem in check_cell(cell)]
    return problems


def check_cell(cell: NotebookNode) -> list[str]:
    """Return what is wrong with the outputs of one code cell."""
    problems = []
    text = output_text(cell)
    for output in cell.outputs:
        if output.output_type == "error":
            problems.append(f"holds an error, {output.ename}: {output.evalue}")
        if output.output_type == "stream" and output.name == "stderr":
            problems.append(f"warns: {' '.join(output.text.split())[:300]}")
        described = output.get("metadata", {}).get("image/png", {}).get("alt")
        if "image/png" in output.get("data", {}) and not described:
            problems.append(
                "draws a figure without saying what it shows: begin the cell with "
                f"`# Figure: …`, then {REBUILD}."
            )
    if MACHINE_PATH.search(text):
        problems.append("prints a path of the machine it was built on.")
    if "exercise" in tags_of(cell) and "not solved yet" not in text.lower():
        problems.append('an unsolved exercise should print "Not solved yet".')
    if "solution" in tags_of(cell) and "✓" not in text:
        problems.append("this solution does not pass its check (no ✓ printed).")
    return problems


def stray(lessons: Path = LESSONS, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Return a sentence for each notebook that has no lesson."""
    stems = {lesson.stem for lesson in find_lessons(folder=lessons)}
    return [
        f"{path.name} has no lesson: delete it."
        for path in sorted(notebooks.glob("*.ipynb"))
        if path.stem not in stems
    ]


def main(arguments: list[str] | None = None) -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="only these, such as 01 01b")
    parser.add_argument("--check", action="store_true", help="build nothing")
    parser.add_argument(
        "--translations", action="store_true", help="build only these: run nothing"
    )
    options = parser.parse_args(arguments)
    lessons = find_lessons(options.lessons)
    problems = [] if options.lessons else stray()
    for lesson in lessons:
        if options.check:
            problems += check(lesson)
        else:
            made = check_english if options.translations else build
            problems += made(lesson) or join(lesson, write=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(lessons)} notebooks are up to date.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
