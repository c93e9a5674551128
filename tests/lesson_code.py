"""What a lesson defines and asks, without running its experiments."""

import ast
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jupytext
import pytest
from lesson_files import find_lessons
from torch import Tensor, nn

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
KINDS = (ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom)


def definitions(lesson: str, skip: Collection[str] = ("exercise",)) -> dict[str, Any]:
    """Return the classes, functions and imports of a lesson, by name.

    Args:
        lesson: Its file's name without ".py".
        skip: Cells with one of these tags are left out; ``("solution",)`` gives the
            stubs of the exercises instead of their solutions.
    """
    namespace: dict[str, Any] = {"__name__": f"lesson_{lesson}"}
    for cell in jupytext.read(LESSONS / f"{lesson}.py", fmt="py:percent").cells:
        if cell.cell_type != "code" or _tags(cell) & set(skip):
            continue
        kinds = (*KINDS, ast.Assign) if _asks(cell) else KINDS
        nodes = [
            node for node in ast.parse(cell.source).body if isinstance(node, kinds)
        ]
        code = compile(ast.Module(nodes, []), f"{lesson}.py", "exec")
        exec(code, namespace)
    return namespace


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _asks(cell: Any) -> bool:
    return bool(_tags(cell) & {"exercise", "solution"})


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson, as its cells have it.

    Attributes:
        lesson: The lesson's file's name without ".py".
        name: The name of its check.
        expression: What the last line of the cell hands to the check.
        prose: The text before the cell.
    """

    lesson: str
    name: str
    expression: str
    prose: str

    @property
    def judge(self) -> Callable[[Any], int]:
        """Its check."""
        module = import_module(f"course_classroom.checks.lesson_{self.lesson[:2]}")
        return getattr(module, self.name)

    @property
    def stub(self) -> Any:
        """What the exercise's cell hands to the check."""
        return eval(self.expression, _cells(self.lesson, "solution"))

    @property
    def solution(self) -> Any:
        """What the solution's cell hands to the check."""
        return eval(self.expression, _cells(self.lesson, "exercise"))


@cache
def _cells(lesson: str, skip: str) -> dict[str, Any]:
    return definitions(lesson, (skip,))


def exercises() -> list[Exercise]:
    """Return the exercises of all lessons, in order."""
    found = []
    for path in find_lessons():
        prose = ""
        for cell in jupytext.read(path, fmt="py:percent").cells:
            if "exercise" in _tags(cell):
                call = ast.parse(cell.source).body[-1].value
                (answer,) = call.args
                found.append(
                    Exercise(path.stem, call.func.attr, ast.unparse(answer), prose)
                )
            prose = cell.source
    return found


def verdict(
    judge: Callable[[Any], int], answer: Any, capsys: pytest.CaptureFixture
) -> tuple[bool, list[str]]:
    """Return whether a check lets an answer pass, and the lines it printed."""
    capsys.readouterr()
    passed = judge(answer)
    said = capsys.readouterr()
    assert not said.err
    return bool(passed), said.out.splitlines()


def forward_source(lesson: str, class_name: str) -> str:
    """Return the text of a class's `forward` as the lesson has it."""
    text = (LESSONS / f"{lesson}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for method in node.body:
                if getattr(method, "name", "") == "forward":
                    start, end = method.lineno - 1, method.end_lineno
                    return "\n".join(text.splitlines()[start:end])
    raise LookupError(f"Lesson {lesson} has no class {class_name} with a forward.")


def wrong_shape_comments(forward: str, network: nn.Module, images: Tensor) -> list[str]:
    """Return the lines of `forward` whose comment names another shape than they make.

    Each line ``x = …  # (B, 64, 56, 56)`` runs in turn, with ``self`` and ``x``; a
    line without a comment is left out.

    Raises:
        LookupError: If fewer than three lines have such a comment.
    """
    scope = {"self": network, "x": images}
    sizes = {"B": len(images), "num_classes": getattr(network.fc, "out_features", 0)}
    found = re.findall(r"^ +(?:x =|return) (.+?) +# (\(B.*\))$", forward, re.MULTILINE)
    if len(found) < 3:
        raise LookupError(f"Only {len(found)} lines of this forward state a shape.")
    wrong = []
    for code, comment in found:
        scope["x"] = eval(code, scope)
        if tuple(scope["x"].shape) != eval(comment, sizes):
            wrong.append(f"{code}: {tuple(scope['x'].shape)}, not {comment}")
    return wrong
