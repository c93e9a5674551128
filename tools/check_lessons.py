"""Checks the anatomy of the lessons, as far as a machine can.

python tools/check_lessons.py [01 03 …]
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lesson_files import find_lessons, first_line, read_lesson, tags_of
from nbformat import NotebookNode
from quiz_rules import MOST_WORDS as MOST_QUESTION_WORDS
from quiz_rules import check_quiz, is_question

TAGS = {"setup", "check", "exercise", "solution", "long-run"}
MOST_CODE_LINES = 30
MOST_CLASS_LINES = 45
MOST_SETUP_LINES = 15
MOST_WORDS = 120
MOST_CODE_CELLS_IN_A_ROW = 2
INSTALL = re.compile(r"\b(pip3?|conda|mamba|apt|apt-get|npm)\b[\w\s-]*\binstall\b")
MATHS = re.compile(r"\$\$.*?\$\$|\$.*?\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL)
LINK_TARGET = re.compile(r"\]\([^)]*\)|<https?:[^>]*>")
HTML_TAG = re.compile(r"</?\w+>")


def check_lesson(lesson: Path) -> list[str]:
    """Return what breaks the course's rules in a lesson, one sentence each."""
    cells = read_lesson(lesson).cells
    problems = [
        f"{lesson.stem}, cell {number} ({first_line(cell)!r}): {problem}"
        for number, cell in enumerate(cells, 1)
        for problem in check_cell(cell)
    ]
    for check in (check_order, check_quiz):
        problems += [f"{lesson.stem}: {problem}" for problem in check(cells)]
    return problems


def check_cell(cell: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with one cell by itself."""
    for tag in sorted(set(tags_of(cell)) - TAGS):
        yield f"unknown tag {tag!r}; there are {', '.join(sorted(TAGS))}."
    if cell.cell_type == "markdown":
        words = count_words(cell.source)
        most = MOST_QUESTION_WORDS if is_question(cell) else MOST_WORDS
        if words > most:
            yield f"{words} words of prose, at most {most}."
        return
    lines, has_class = count_code_lines(cell.source)
    most = MOST_CLASS_LINES if has_class else MOST_CODE_LINES
    if "setup" in tags_of(cell):
        most = MOST_SETUP_LINES
    if lines > most:
        yield f"{lines} code lines, at most {most}."
    if INSTALL.search(cell.source):
        yield "installs something; constraints.txt and pyproject.toml do that."


def check_order(cells: list[NotebookNode]) -> Iterator[str]:
    """Yield what is wrong with how the cells of a lesson follow each other."""
    if not cells or not cells[0].source.startswith("# "):
        yield "the first cell should be the title ('# ...')."
    setups = [cell for cell in cells if "setup" in tags_of(cell)]
    code = [cell for cell in cells if cell.cell_type == "code"]
    if len(setups) != 1 or setups[0] is not code[0]:
        yield f"{len(setups)} setup cells; there should be one, the first code cell."
    run = 0
    for number, cell in enumerate(cells, 1):
        run = run + 1 if cell.cell_type == "code" else 0
        if run == MOST_CODE_CELLS_IN_A_ROW + 1:
            yield f"cell {number} ({first_line(cell)!r}): third code cell in a row."
        following = cells[number] if number < len(cells) else NotebookNode()
        if "exercise" in tags_of(cell):
            if "solution" not in following.get("metadata", {}).get("tags", []):
                yield f"exercise in cell {number} has no solution in the next cell."
            else:
                yield from compare_exercise(cell, following, number)
        if "solution" in tags_of(cell) and "exercise" not in tags_of(cells[number - 2]):
            yield f"solution in cell {number} does not follow its exercise."


def compare_exercise(
    exercise: NotebookNode, solution: NotebookNode, number: int
) -> Iterator[str]:
    """Yield how a solution departs from its exercise in names or in the check."""
    stub, solved = ast.parse(exercise.source), ast.parse(solution.source)
    missing = defined_names(stub) - defined_names(solved)
    if missing:
        yield f"solution in cell {number + 1} does not define {sorted(missing)}."
    checks = [ast.unparse(tree.body[-1]) for tree in (stub, solved) if tree.body]
    if len(set(checks)) != 1 or not isinstance(stub.body[-1], ast.Expr):
        yield (
            f"exercise in cell {number} and its solution should end with the same "
            f"call of a check, not with {checks}."
        )


def defined_names(tree: ast.Module) -> set[str]:
    """Return the functions and classes that a cell defines."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def count_words(prose: str) -> int:
    """Return the words of a prose cell; formulas, link targets and tags are none."""
    prose = LINK_TARGET.sub("]", MATHS.sub(" ", HTML_TAG.sub(" ", prose)))
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


def main(names: list[str]) -> int:
    """Check the lessons; return the exit status."""
    lessons = find_lessons(names)
    problems = [problem for lesson in lessons for problem in check_lesson(lesson)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(lessons)} lessons keep the rules.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
