"""A lesson's exercises as a source notebook of nbgrader."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lesson_files import cell_id, first_line, tags_of
from measure import count_stars
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

CONFIG = Path(__file__).with_name("nbgrader_config.py")
IMPORT = re.compile(r"(?m)^from course_classroom\.checks import .*$")
KEPT = (ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom)

INTRODUCTION = """{title}: exercises

Write each answer into the cell under its text, and run the cell below it: it says
what is right, or gives a hint. Delete no cell: what is missing earns no point. A
program that runs for ever or takes all the memory earns none either."""

TEST = """{call}

### BEGIN HIDDEN TESTS
# The check, anew from the package, whatever the answer made of the one above.
import contextlib, io, sys

for name in [n for n in sys.modules if n.startswith("course_classroom.checks")]:
    del sys.modules[name]
{checks}

with contextlib.redirect_stdout(io.StringIO()) as said:
    verdict = {call}
assert verdict, said.getvalue()
### END HIDDEN TESTS"""


@dataclass
class Exercise:
    """One exercise: its text, stub and solution without the check, the check's call."""

    text: str
    stub: str
    solution: str
    call: str

    @property
    def name(self) -> str:
        """The check's name, which is the grade's id."""
        return re.match(r"\w+\.(\w+)", self.call)[1]

    @property
    def points(self) -> int:
        """One point a star."""
        return count_stars(self.text)


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Return the exercises of a lesson in order."""
    found, text = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = re.split(r"(?m)^(?=## Exercises)", f"{text}\n\n{cell.source}")[-1]
        elif "exercise" in tags_of(cell):
            stub, call = split_call(cell.source)
            found.append(Exercise(text.strip(), stub, "", call))
        elif "solution" in tags_of(cell):
            found[-1].solution = split_call(cell.source)[0]
        if cell.cell_type == "code":
            text = ""
    return found


def split_call(source: str) -> tuple[str, str]:
    """Return a cell without its last statement, and that: the call of the check."""
    start = ast.parse(source).body[-1].lineno - 1
    lines = source.splitlines()
    return "\n".join(lines[:start]).strip(), "\n".join(lines[start:])


def has_exercises(notebook: NotebookNode) -> bool:
    """Return whether a lesson has an exercise; a deep dive may have none."""
    return any("exercise" in tags_of(cell) for cell in notebook.cells)


def assignment(notebook: NotebookNode) -> NotebookNode:
    """Return the source notebook: setup, and three cells for each exercise."""
    code = [c for c in notebook.cells if c.cell_type == "code"]
    (setup,) = (cell.source for cell in code if "setup" in tags_of(cell))
    checks = next(line for c in code for line in IMPORT.findall(c.source))
    parts = exercises(notebook)
    cells = [
        new_markdown_cell(INTRODUCTION.format(title=first_line(notebook.cells[0]))),
        graded_cell(setup, "setup", locked=True),
    ]
    if helpers := "\n\n\n".join(definitions(notebook, setup, parts)):
        cells.append(graded_cell(helpers, "helpers", locked=True))
    for part in parts:
        answer = f"{part.stub}\n### BEGIN SOLUTION\n{part.solution}\n### END SOLUTION"
        test = TEST.format(call=part.call, checks=checks)
        cells += [
            new_markdown_cell(f"{part.text}\n\nPoints: {part.points}"),
            graded_cell(answer, f"{part.name}-answer", solution=True),
            graded_cell(test, part.name, grade=True, locked=True, points=part.points),
        ]
    for cell in cells:
        cell.id = cell_id(cell, 0)
    notebook.cells = cells
    return notebook


def graded_cell(source: str, grade_id: str, **roles: bool | int) -> NotebookNode:
    """Return a code cell that nbgrader knows under `grade_id`."""
    metadata = {"grade": False, "solution": False, "locked": False, "task": False}
    metadata |= {"schema_version": 3, "cell_type": "code", "grade_id": grade_id}
    return new_code_cell(source, metadata={"nbgrader": metadata | roles})


def definitions(
    notebook: NotebookNode, setup: str, parts: list[Exercise]
) -> Iterator[str]:
    """Yield the lesson's classes, functions and imports that its exercises need.

    Raises:
        ValueError: an exercise needs something else, which the lesson computes.
    """
    given = {}  # name: source of its definition
    for cell in notebook.cells:
        if cell.cell_type == "code" and not {"exercise", "solution"} & {*tags_of(cell)}:
            for node in ast.parse(cell.source).body:
                if isinstance(node, KEPT):
                    first = [node, *getattr(node, "decorator_list", [])]
                    start = min(part.lineno for part in first) - 1
                    lines = cell.source.splitlines()[start : node.end_lineno]
                    text = "\n".join(lines)
                    given |= dict.fromkeys(bound_names(text), text)
    known = bound_names(setup) | set(dir(builtins))
    needed: set[str] = set()
    for part in parts:
        waiting = free_names(f"{part.stub}\n{part.solution}\n{part.call}") - known
        while waiting:
            name = waiting.pop()
            if name not in given:
                raise ValueError(
                    f"the exercise {part.name} needs {name!r}, which the lesson "
                    "computes; only classes, functions and imports are taken over."
                )
            needed.add(given[name])
            known |= bound_names(given[name])
            waiting = (waiting | free_names(given[name])) - known
    return (text for text in dict.fromkeys(given.values()) if text in needed)


def bound_names(code: str) -> set[str]:
    """Return the names that the code's outermost level defines."""
    symbols = symtable.symtable(code, "", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def free_names(code: str) -> set[str]:
    """Return the global names that the code uses and does not define."""
    tables, used = [symtable.symtable(code, "", "exec")], set()
    for table in tables:  # grows
        tables += table.get_children()
        used |= {
            s.get_name()
            for s in table.get_symbols()
            if s.is_referenced() and s.is_global()
        }
    return used - bound_names(code)
