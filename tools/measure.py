"""How long a lesson is and what it takes to read: one formula, for cards and editions.

Nothing is measured here: the formula fits the minutes of eight readings.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass

from lesson_files import tags_of
from nbformat import NotebookNode

WORDS_A_MINUTE = 130
LINES_A_MINUTE = 10
EXERCISE_MINUTES = {1: 5, 2: 8, 3: 12}  # by stars
NOT_READ = ("## Quiz", "## References")
SECTION = re.compile(r"(?m)^(?=## )")
STARS = re.compile(r"(?m)^(?:### |\*\*)(★+)")  # as an exercise's title begins
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FOLD = re.compile(r"<details\b.*?</details>", re.DOTALL)
MATHS = re.compile(r"\$\$.*?\$\$|\$.*?\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL)
LINK_TARGET = re.compile(r"\]\([^)]*\)|<https?:[^>]*>")
HTML_TAG = re.compile(r"</?\w+>")
CARD = re.compile(
    r"\*\*Reading\*\* (\d+) minutes · (?:\*\*exercises\*\* (\d+) minutes · )?"
    r"\*\*run time\*\* quick CPU .+, full GPU .+"
)


@dataclass
class Measure:
    """What is counted of a lesson or of a part of it.

    Attributes:
        words: Of prose, but for the quiz, folded answers and references.
        visible: Code lines outside figure cells and solutions.
        collapsed: Code lines of figure cells.
        cells: All code cells, solutions included.
        stars: The number of stars of each exercise.
    """

    words: int = 0
    visible: int = 0
    collapsed: int = 0
    cells: int = 0
    stars: tuple[int, ...] = ()

    @property
    def reading_minutes(self) -> int:
        """The time to read, without exercises and computing."""
        return math.ceil(self.words / WORDS_A_MINUTE + self.visible / LINES_A_MINUTE)

    @property
    def minutes(self) -> int:
        """The time to read and to solve."""
        return self.reading_minutes + self.exercise_minutes

    @property
    def exercise_minutes(self) -> int:
        """The time for the exercises, by their stars."""
        return sum(EXERCISE_MINUTES.get(count, 0) for count in self.stars)


def sections(cells: list[NotebookNode]) -> list[Measure]:
    """Return the measure of what stands before the first section, then of each one."""
    parts, is_read, stars = [Measure()], True, 0
    for cell in cells:
        if cell.cell_type == "markdown":
            stars = count_stars(cell.source) or stars
            for number, text in enumerate(SECTION.split(FOLD.sub(" ", cell.source))):
                if number:
                    parts.append(Measure())
                    is_read = text.partition("\n")[0] not in NOT_READ
                parts[-1].words += is_read * count_words(text)
            continue
        lines, tags = count_code_lines(cell.source)[0], tags_of(cell)
        parts[-1].cells += 1
        if "figure" in tags:
            parts[-1].collapsed += lines
        elif "solution" not in tags:
            parts[-1].visible += lines
        if "exercise" in tags:
            parts[-1].stars += (stars,)
    return parts


def measured(cells: list[NotebookNode]) -> Measure:
    """Return the measure of a whole lesson."""
    parts = sections(cells)
    counts = (
        sum(getattr(part, name) for part in parts)
        for name in ("words", "visible", "collapsed", "cells")
    )
    return Measure(*counts, stars=sum((part.stars for part in parts), ()))


def card_of(cells: list[NotebookNode]) -> tuple[int, int] | None:
    """Return the minutes of reading and exercises that a lesson's card names."""
    found = CARD.search(" ".join(cells[0].source.split()))
    return (int(found[1]), int(found[2] or 0)) if found else None


def count_stars(text: str) -> int:
    """Return the stars of the last exercise that begins in a text, 0 without any."""
    return len((STARS.findall(text) or [""])[-1])


def count_words(prose: str) -> int:
    """Return the words of prose; formulas, link targets, tags and comments are none."""
    prose = HTML_TAG.sub(" ", COMMENT.sub(" ", prose))
    prose = LINK_TARGET.sub("]", MATHS.sub(" ", prose))
    return sum(bool(re.search(r"\w", word)) for word in prose.split())


def count_code_lines(source: str) -> tuple[int, bool]:
    """Return the lines of code but for blanks, comments and docstrings; any class?"""
    lines = {
        number
        for number, line in enumerate(source.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    }
    magic = re.compile(r"^(\s*)[%!]", re.MULTILINE)
    tree = ast.parse(magic.sub(r"\1pass #", source))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            lines -= set(range(text.lineno, text.end_lineno + 1))
    has_class = any(isinstance(node, ast.ClassDef) for node in tree.body)
    return len(lines), has_class
