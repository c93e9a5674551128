"""Checks the anatomy of the lessons, as far as a machine can, and prints their size.

python tools/check_lessons.py [01 01b 03 …]
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lesson_files import (
    find_lessons,
    first_line,
    is_dive,
    read_lesson,
    tags_of,
)
from measure import FOLD, Measure, card_of, count_code_lines, count_words, measured
from nbformat import NotebookNode
from numbers_in_prose import wrong_numbers
from quiz_rules import MOST_WORDS as MOST_QUESTION_WORDS
from quiz_rules import check_quiz, is_question

TAGS = {"setup", "figure", "check", "exercise", "solution", "long-run"}
MOST_CODE_LINES, MOST_CLASS_LINES, MOST_SETUP_LINES = 25, 45, 12
MOST_WORDS = 120
MOST_CODE_CELLS_IN_A_ROW = 2
MOST_EXERCISES_OF_A_DIVE = 2
# words, visible and collapsed code lines, code cells, minutes of reading: at most
BUDGET = {"lesson": (3000, 350, 120, 32, 58), "deep dive": (1500, 200, 80, 16, 32)}
UNITS = ("words", "visible lines", "collapsed lines", "code cells", "minutes to read")
HEADINGS = (
    "## Three questions from before",
    "## A question first",
    "## Myths, tested",
    "## Summary",
    "## Exercises",
    "## Quiz",
    "## References",
)
BEGINS_WELL = re.compile(r"#|%|class |def |@")
INSTALL = re.compile(r"\b(pip3?|conda|mamba|apt|apt-get|npm)\b[\w\s-]*\binstall\b")


def check_lesson(lesson: Path) -> list[str]:
    """Return what breaks the course's rules in a lesson, one sentence each."""
    cells = read_lesson(lesson).cells
    problems = [
        f"{lesson.stem}, cell {number} ({first_line(cell)!r}): {problem}"
        for number, cell in enumerate(cells, 1)
        for problem in check_cell(cell)
    ]
    if is_dive(lesson):
        checks = [check_order, check_dive_measure]
    else:
        checks = [check_order, check_core_measure, check_quiz]
    for check in checks:
        problems += [f"{lesson.stem}: {problem}" for problem in check(cells)]
    return problems + [f"{lesson.stem}: {p}" for p in wrong_numbers(prose(cells))]


def check_cell(cell: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with one cell by itself."""
    tags = {*tags_of(cell)}
    for tag in sorted(tags - TAGS):
        yield f"unknown tag {tag!r}; there are {', '.join(sorted(TAGS))}."
    if cell.cell_type == "markdown":
        question = is_question(cell)
        words = count_words(cell.source if question else FOLD.sub(" ", cell.source))
        most = MOST_QUESTION_WORDS if question else MOST_WORDS
        if words > most:
            yield f"{words} words of prose, at most {most}."
        return
    lines, has_class = count_code_lines(cell.source)
    most = MOST_CLASS_LINES if has_class else MOST_CODE_LINES
    if "setup" in tags:
        most = MOST_SETUP_LINES
    if lines > most:
        yield f"{lines} code lines, at most {most}."
    if INSTALL.search(cell.source):
        yield "installs something; constraints.txt and pyproject.toml do that."
    needs_goal = not tags & {"setup", "exercise", "solution"}
    if needs_goal and not BEGINS_WELL.match(cell.source):
        yield "should begin with a comment that names its goal."


def check_core_measure(cells: list[NotebookNode]) -> Iterator[str]:
    """Yield where a lesson keeps not to its budget, its card or its plan."""
    found = measured(cells)
    yield from check_budget(found, "lesson")
    yield from check_card(cells, found)
    if sorted(found.stars) != [1, 2, 3]:
        yield f"exercises of {list(found.stars)} stars; there should be 1, 2 and 3."
    text = prose(cells)
    headings = [line for line in re.findall(r"(?m)^## .+$", text) if line in HEADINGS]
    if tuple(headings) != HEADINGS:
        yield f"there should be one each of {', '.join(HEADINGS)}, in this order."
    folds = text.partition(HEADINGS[0])[2].partition("\n## ")[0].count("<details")
    if folds != 3:
        yield f"{folds} folded answers under {HEADINGS[0]!r}; there should be 3."


def check_dive_measure(cells: list[NotebookNode]) -> Iterator[str]:
    """Yield where a deep dive keeps not to its budget or its card."""
    found = measured(cells)
    yield from check_budget(found, "deep dive")
    yield from check_card(cells, found)
    if len(found.stars) > MOST_EXERCISES_OF_A_DIVE:
        yield f"{len(found.stars)} exercises, at most {MOST_EXERCISES_OF_A_DIVE}."
    if re.search(r"(?m)^## Quiz$", prose(cells)):
        yield "a deep dive has no quiz."


def check_budget(found: Measure, kind: str) -> Iterator[str]:
    """Yield what there is too much of."""
    for count, most, unit in zip(counts(found), BUDGET[kind], UNITS, strict=True):
        if count > most:
            yield f"{count} {unit}, at most {most} in a {kind}."


def check_card(cells: list[NotebookNode], found: Measure) -> Iterator[str]:
    """Yield what the card in the first cell should say, where it says otherwise."""
    minutes = found.reading_minutes, found.exercise_minutes
    if card_of(cells) != minutes:
        exercises = f"**exercises** {minutes[1]} minutes · " if found.stars else ""
        yield (
            f"the card should say '**Reading** {minutes[0]} minutes · {exercises}"
            "**run time** quick CPU …, full GPU …'."
        )


def counts(found: Measure) -> tuple[int, ...]:
    """Return what a budget limits, in its order."""
    sizes = found.words, found.visible, found.collapsed, found.cells
    return *sizes, found.reading_minutes


def prose(cells: list[NotebookNode]) -> str:
    """Return all Markdown of a lesson."""
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def size_line(lesson: Path) -> str:
    """Return one line of what is counted of a lesson, beside what is allowed."""
    found = measured(read_lesson(lesson).cells)
    budget = BUDGET["deep dive" if is_dive(lesson) else "lesson"]
    parts = [
        f"{unit} {count}/{most}"
        for count, most, unit in zip(counts(found), budget, UNITS, strict=True)
    ]
    parts += [f"minutes of exercises {found.exercise_minutes}"]
    return f"{lesson.stem}: {', '.join(parts)}"


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


def main(names: list[str]) -> int:
    """Check the lessons; return the exit status."""
    lessons = find_lessons(names)
    print(*map(size_line, lessons), sep="\n")
    problems = [problem for lesson in lessons for problem in check_lesson(lesson)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(lessons)} lessons keep the rules.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
