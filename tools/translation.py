"""Lessons in another language: their prose, cell by cell, beside the English.

`lessons/zh/NN_topic.md` has every prose cell of a lesson and the text of each figure,
each below a line `<!-- 3.2 0123456789ab -->`: the second cell of section 3, and the
hash of the English text that it translates. The code is the English lesson's.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from lesson_files import (
    LESSONS,
    NOTEBOOKS,
    figure_text,
    write_notebook,
)
from nbformat import NotebookNode

from course_classroom.edition import CHINESE

PROSE = LESSONS / CHINESE
MARK = re.compile(r"^<!-- (\d+\.\d+|figure \d+) ([0-9a-f]{12}) -->\n", re.M)
COMMENT = re.compile(r"<!--.*?-->", re.S)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
CODE = re.compile(r"`[^`\n]+`")
MATHS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?:[^>\s]+)>")
NUMBER = re.compile(r"\d+(?:[.,\u202f\u00a0 ]\d{3}(?!\d))*(?:\.\d+)?")
TEN_THOUSANDS = re.compile(r"(\d+) 万")  # 128 万 is 1.28 million
VERDICT = re.compile(r"\*\*(Right|No|对|不对)(?:\.|。)\*\*")
OWN_PAGE = re.compile(r"\]\((?!https?:)(?!\d\d_\w+\.ipynb)")  # not a core lesson


class Passage(NamedTuple):
    """A translated text, and the hash of the English one."""

    sha256: str
    text: str


def digest(text: str) -> str:
    """Return the hash by which a passage names its English text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def placed(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode, str]]:
    """Yield place, cell and text of all that is translated of a lesson, in order."""
    section = number = figures = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if cell.source.startswith("## "):
                section, number = section + 1, 0
            number += 1
            yield f"{section}.{number}", cell, cell.source
        elif text := figure_text(cell):
            figures += 1
            yield f"figure {figures}", cell, text


def read_prose(path: Path) -> dict[str, Passage]:
    """Return the passages of a file by their places."""
    parts = MARK.split(path.read_text("utf-8"))[1:]
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {place: Passage(sha256, text.strip()) for place, sha256, text in found}


def to_translate(notebook: NotebookNode) -> str:
    """Return a lesson's prose in the form of its translation, still in English."""
    return "\n".join(
        f"<!-- {place} {digest(text)} -->\n{text}\n"
        for place, _, text in placed(notebook)
    )


def check(notebook: NotebookNode, prose: dict[str, Passage]) -> list[str]:
    """Return what is missing, stale or too much, and where the two texts differ."""
    english = {place: text for place, _, text in placed(notebook)}
    problems = [f"{place} is not in the lesson." for place in prose.keys() - english]
    for place, text in english.items():
        if place not in prose:
            problems.append(f"{place} is missing.")
        elif prose[place].sha256 != digest(text):
            problems.append(f"{place} is stale: its English text has changed.")
        else:
            problems += [
                f"{place}: {said}" for said in differences(text, prose[place].text)
            ]
    return problems


def differences(english: str, other: str) -> Iterator[str]:
    """Yield which formulas, links, code words, numbers and answers are not the same."""
    one, two = contents(english), contents(other)
    for kind in one:
        lost, added = one[kind] - two[kind], two[kind] - one[kind]
        if lost or added:
            lacks = ", ".join(map(str, lost)) or "nothing"
            more = ", ".join(map(str, added)) or "nothing"
            yield f"{kind}: lacks {lacks}, has {more} instead."


def contents(text: str) -> dict[str, Counter]:
    """Return all that a translation leaves as it is, counted."""
    found = {"hidden comments": Counter(COMMENT.findall(text))}
    text = COMMENT.sub("", text)
    verdicts = [said in ("Right", "对") for said in VERDICT.findall(text)]
    found["right answers"] = Counter(enumerate(verdicts))
    for kind, pattern in (("code", FENCE), ("code words", CODE), ("formulas", MATHS)):
        found[kind] = Counter(
            " ".join(match[0].split()) for match in pattern.finditer(text)
        )
        text = pattern.sub(" ", text)
    found["links"] = Counter(a or b for a, b in LINK.findall(text))
    text = LINK.sub(" ", text)
    text = TEN_THOUSANDS.sub(lambda found: f"{float(found[1]) / 100:g}", text)
    numbers = (re.sub(r"[^\d.]|\.$", "", n) for n in NUMBER.findall(text))
    found["numbers"] = Counter(numbers)
    return found


def translated(notebook: NotebookNode, prose: dict[str, Passage]) -> NotebookNode:
    """Return an executed notebook with its prose and its figures' texts exchanged.

    Args:
        notebook: The English one, with its outputs.
        prose: A passage for each of its places.
    """
    result = copy.deepcopy(notebook)
    for place, cell, _ in list(placed(result)):
        text = prose[place].text
        if cell.cell_type == "markdown":
            cell.source = OWN_PAGE.sub("](../", text)
            continue
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.metadata.setdefault("image/png", {})["alt"] = text
    return result


def chinese_is_asked_for() -> bool:
    """Return whether LANGUAGE=zh asks for the Chinese lessons."""
    return os.environ.get("LANGUAGE") == "zh"


def write_translated(lesson: Path, folder: Path) -> Path:
    """Write an executed notebook of `folder` in Chinese, into zh/ there."""
    notebook = nbformat.read(folder / f"{lesson.stem}.ipynb", as_version=4)
    path = folder / PROSE.name / f"{lesson.stem}.ipynb"
    write_notebook(translated(notebook, read_prose(prose_of(lesson))), path)
    return path


def prose_of(lesson: Path) -> Path:
    """Return the file with a lesson's translation, whether it is there or not."""
    return PROSE / f"{lesson.stem}.md"


def join(lesson: Path, *, write: bool) -> list[str]:
    """Make the translated notebook from the executed one; nothing is run.

    Args:
        lesson: Of one that has no translation nothing is made.
        write: Whether to write it; else it is compared with the one that is there.

    Returns:
        What is wrong, a sentence each.
    """
    if not prose_of(lesson).is_file():
        return []
    prose = read_prose(prose_of(lesson))
    notebook = nbformat.read(NOTEBOOKS / f"{lesson.stem}.ipynb", as_version=4)
    path = NOTEBOOKS / PROSE.name / f"{lesson.stem}.ipynb"
    problems = [
        f"lessons/zh/{lesson.stem}.md: {said}" for said in check(notebook, prose)
    ]
    if problems:
        return problems
    result = translated(notebook, prose)
    if write:
        write_notebook(result, path)
    elif not path.is_file() or nbformat.read(path, as_version=4) != result:
        again = "run `python tools/build_notebooks.py --translations`"
        problems = [f"zh/{path.name} is not up to date: {again}."]
    return problems
