"""Puts a personal copy of the lessons into my_course/ and opens its start page."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import nbformat
from lesson_files import (
    KERNELSPEC,
    LESSONS,
    METADATA_KEY,
    ROOT,
    SOLUTION,
    find_lessons,
    is_dive,
    lesson_sha256,
    read_lesson,
    tags_of,
    write_notebook,
)
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from translation import chinese_is_asked_for, prose_of, read_prose, translated

from course_classroom.edition import CHINESE, edition
from course_classroom.start_page import overview

MY_COURSE = ROOT / "my_course"  # the Chinese lessons come into a folder there
CONFIG = ROOT / "tools" / "jupyter"  # without a teacher's menus and Jupyter's news
START = "START_HERE.ipynb"

FOLDED = """<details><summary>{title}</summary>

```python
{code}
```

{advice}

</details>"""

REFRESH = """# Shift + Enter shows what you have solved by now
from course_classroom.start_page import show_overview

show_overview()"""


def copy_lesson(lesson: Path, folder: Path = MY_COURSE) -> str:
    """Write a lesson as a notebook without outputs, beside what is there already.

    Returns:
        One line that says what was done. A file that exists is never written to.
    """
    sha256 = lesson_sha256(lesson)
    mine = folder / f"{lesson.stem}.ipynb"
    newer = folder / name_beside(mine.name, sha256)
    if not mine.exists():
        write_notebook(readers_copy(lesson, folder), mine)
        return f"{mine.name}: new"
    if copied_sha256(mine) == sha256:
        return f"{mine.name}: yours, kept as it is"
    if not newer.exists():
        write_notebook(readers_copy(lesson, folder), newer)
    return (
        f"{mine.name}: yours, kept as it is; the lesson has changed since, "
        f"its new version is {newer.name}"
    )


def readers_copy(lesson: Path, folder: Path = MY_COURSE) -> NotebookNode:
    """Return a lesson in the language of its folder, its solutions folded text.

    Nothing runs a solution that is text.
    """
    notebook, say = read_lesson(lesson), edition(folder)
    if folder.name == CHINESE:
        notebook = translated(notebook, read_prose(prose_of(lesson)))
    notebook.cells = [
        folded(cell, say) if "solution" in tags_of(cell) else cell
        for cell in notebook.cells
    ]
    return notebook


def folded(solution: NotebookNode, say: Callable[[str], str]) -> NotebookNode:
    """Return a solution's code as text that opens at a click."""
    code = solution.source.removeprefix(f"{SOLUTION}\n")
    title, advice = say("Solution"), say("To run it, copy it into a cell of your own.")
    text = FOLDED.format(title=title, code=code, advice=advice)
    tags = tags_of(solution)
    return new_markdown_cell(text, id=solution.id, metadata={"tags": tags})


def start_page(folder: Path) -> NotebookNode:
    """Return the page that says where to begin and what the reader has solved."""
    course = Path(sysconfig.get_path("scripts"), "course")
    if course.drive == folder.drive:
        course = os.path.relpath(course, folder)  # Lab's terminals begin there
    name = "start_here.zh.md" if folder.name == CHINESE else "start_here.md"
    text = Path(__file__).with_name(name).read_text("utf-8")
    table = new_output("display_data", {"text/markdown": overview(folder)})
    cells = [
        new_markdown_cell(text.format(doctor=f"{course} doctor").strip()),
        new_code_cell(REFRESH, outputs=[table]),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def name_beside(name: str, sha256: str) -> str:
    """Return the name for a new version of a file that is kept."""
    return f"{Path(name).stem}.new-{sha256[:8]}{Path(name).suffix}"


def copied_sha256(notebook: Path) -> str | None:
    """Return the hash of the lesson a notebook was copied from, None if unknown."""
    try:
        metadata = nbformat.read(notebook, as_version=4).metadata
    except Exception:  # the reader's file may hold anything; it stays as it is
        return None
    return metadata.get(METADATA_KEY, {}).get("lesson_sha256")


def main(arguments: list[str]) -> int:
    """Copy what is missing, then run JupyterLab with the arguments given.

    It opens with the start page, which is the course's own and written anew.
    """
    folder, lessons = MY_COURSE, find_lessons(folder=LESSONS)
    if chinese_is_asked_for():
        folder, lessons = MY_COURSE / CHINESE, [p for p in lessons if not is_dive(p)]
    print(f"Your copy of the course is in {folder}:")
    try:
        for lesson in lessons:
            print(f"  {copy_lesson(lesson, folder)}")
        write_notebook(start_page(folder), folder / START)
    except OSError as error:
        raise SystemExit(
            f"Cannot write {error.filename or folder} ({error.strerror}); free the "
            "place for the folder, or make it writable."
        ) from None
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}"]
    command.append(f"--LabApp.default_url=/lab/tree/{START}")
    paths = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    try:
        return subprocess.run([*command, *arguments], env=environment).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
