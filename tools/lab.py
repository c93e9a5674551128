"""Puts a personal copy of the lessons into my_course/ and opens JupyterLab there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from lesson_files import (
    LESSONS,
    METADATA_KEY,
    ROOT,
    find_lessons,
    lesson_sha256,
    read_lesson,
    write_notebook,
)

MY_COURSE = ROOT / "my_course"
CONFIG = ROOT / "tools" / "jupyter"  # without a teacher's menus and Jupyter's news


def copy_lesson(lesson: Path, folder: Path = MY_COURSE) -> str:
    """Write a lesson as a notebook without outputs, beside what is there already.

    Returns:
        One line that says what was done. A file that exists is never written to.
    """
    sha256 = lesson_sha256(lesson)
    mine = folder / f"{lesson.stem}.ipynb"
    newer = folder / name_beside(mine.name, sha256)
    if not mine.exists():
        write_notebook(read_lesson(lesson), mine)
        return f"{mine.name}: new"
    if copied_sha256(mine) == sha256:
        return f"{mine.name}: yours, kept as it is"
    if not newer.exists():
        write_notebook(read_lesson(lesson), newer)
    return (
        f"{mine.name}: yours, kept as it is; the lesson has changed since, "
        f"its new version is {newer.name}"
    )


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
    """Copy what is missing, then run JupyterLab with the arguments given."""
    print(f"Your copy of the course is in {MY_COURSE}:")
    try:
        for lesson in find_lessons(folder=LESSONS):
            print(f"  {copy_lesson(lesson, MY_COURSE)}")
    except OSError as error:
        raise SystemExit(
            f"Cannot write {error.filename or MY_COURSE} ({error.strerror}); free the "
            "place for the folder, or make it writable."
        ) from None
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={MY_COURSE}"]
    paths = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    try:
        return subprocess.run([*command, *arguments], env=environment).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
