"""Every exercise of every lesson: stub, solution, wrong answers and hostile ones.

The typical wrong answers stand in the table ``WRONG`` of tests/test_lesson_NN.py: the
name of the check, the answer, and a part of the hint that it must get.
"""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from lesson_code import exercises, verdict
from torch import Tensor, nn

from course_classroom.edition import in_chinese

pytestmark = pytest.mark.usefixtures("one_thread")
EXERCISES = exercises()
BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
TABLES = {
    path.stem.rpartition("_")[2]: getattr(import_module(path.stem), "WRONG", [])
    for path in sorted(Path(__file__).parent.glob("test_lesson_[0-9][0-9]*.py"))
}
EVERY = pytest.mark.parametrize(
    "exercise",
    EXERCISES,
    ids=lambda exercise: "-".join((exercise.lesson.partition("_")[0], exercise.name)),
)
WRONG = [pytest.param(*row, id=f"{n}-{row[0]}") for n in TABLES for row in TABLES[n]]


def test_every_check_has_a_name_of_its_own():
    assert len(BY_NAME) == len(EXERCISES)


@EVERY
def test_a_stub_is_not_solved_yet_and_its_solution_is_right(exercise, capsys):
    passed, (line,) = verdict(exercise.judge, exercise.stub, capsys)
    assert not passed
    assert re.fullmatch("Not solved yet. Hint: .+[.?]", line)
    passed, (line,) = verdict(exercise.judge, exercise.solution, capsys)
    assert passed
    assert re.fullmatch("✓ .+[.]", line)


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_typical_wrong_answer_gets_its_hint(name, answer, hint, capsys):
    passed, (line,) = verdict(BY_NAME[name].judge, answer, capsys)
    assert not passed
    assert re.fullmatch("✗ .+ Hint: .+[.?]", line)
    assert hint in line
    found, asked = in_chinese(line.removeprefix("✗ ")).split("提示：")
    assert found.endswith("。")
    assert re.search("[。？]$", asked)


LONG = "word " * 100 + "\nTraceback (most recent call last):\n" * 50


def gives(value):
    return lambda *inputs: value


def fails(*inputs):
    return inputs[0].missing


def fails_at_length(*inputs):
    raise ValueError(LONG)


def fails_without_a_word(*inputs):
    raise AssertionError


def ends_the_program(*inputs):
    raise SystemExit("bye")


def calls_itself(*inputs):
    return calls_itself(*inputs)


def has_a_bug_that_pytorch_did_not_implement(*inputs):
    return torch.arange(3).softmax(0)


class Thing:
    """No module, and of no use."""

    def __init__(self, *inputs):
        pass


HOSTILE = {
    "returns None": gives(None),
    "returns a text": gives("0.5"),
    "returns another kind of number": gives(1j),
    "returns NaN": gives(float("nan")),
    "returns infinity": gives(float("inf")),
    "returns a list": gives([1, 2]),
    "returns a long list": gives(list(range(100_000))),
    "returns a long tuple": gives((1, "b", None, 4, 5, 6, 7)),
    "returns pairs": gives([("a", 1), ("b", None)]),
    "returns nested lists": gives([[1, [2, 3]], [4]] * 2),
    "returns a dictionary": gives({"a": 1}),
    "returns an array": gives(np.zeros((3, 4))),
    "returns an array of objects": gives(np.array([None, "a"], dtype=object)),
    "returns a tensor of another shape": gives(torch.zeros(2, 1, 2, 1, 2)),
    "returns an empty tensor": gives(torch.zeros(0)),
    "returns complex numbers": gives(torch.zeros(3, dtype=torch.complex64)),
    "returns NaN in a tensor": gives(torch.tensor(float("nan"))),
    "returns a function": gives(gives(1)),
    "returns a class": gives(nn.Linear),
    "returns a module": gives(nn.Linear(2, 2)),
    "returns an empty module": gives(nn.Module()),
    "returns something of its own": gives(Thing()),
    "takes no argument": lambda: 0,
    "takes many arguments": lambda a, b, c, d, e, f, g, h: 0,
    "raises": fails,
    "raises a long text": fails_at_length,
    "raises without a word": fails_without_a_word,
    "raises in PyTorch": has_a_bug_that_pytorch_did_not_implement,
    "never returns": calls_itself,
    "ends the program": ends_the_program,
    "is a text": "an answer",
    "is a number": 0.25,
    "is a list": [1, 2],
    "is a tensor": torch.zeros(3),
    "is a class": Thing,
    "is a class of Python's": dict,
    "is a class of PyTorch's": nn.Identity,
    "is built in": len,
}


@EVERY
def test_a_hostile_answer_gets_one_sentence_and_one_hint(exercise, capsys):
    for what, answer in HOSTILE.items():
        passed, lines = verdict(exercise.judge, answer, capsys)
        assert not passed, what
        assert len(lines) == 1, (what, lines)
        assert re.fullmatch("✗ .+ Hint: .+[.?]", lines[0]), (what, lines)
        assert lines[0].count("Hint:") == 1, (what, lines)
        assert len(lines[0]) < 400, (what, lines)
        assert "Traceback" not in lines[0], what


TENSORS = ["smoothed_cross_entropy", "class_activation", "fall_without"]
TENSORS += ["refused_by_energy", "mirrored_too"]
OTHER_KINDS = {
    "an array": lambda found: found.numpy(),
    "complex": lambda found: found.to(torch.complex64),
    "NaN": lambda found: (found * float("nan")).float(),
    "a dimension more": lambda found: found[None],
    "a list": lambda found: found.tolist(),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("name", TENSORS)
def test_a_right_tensor_of_another_kind_is_refused(name, kind, capsys):
    def other(*inputs):
        return OTHER_KINDS[kind](BY_NAME[name].solution(*inputs).detach())

    passed, (line,) = verdict(BY_NAME[name].judge, other, capsys)
    assert not passed
    assert re.fullmatch("✗ It gives .+ was expected. Hint: .+|✗ .+NaN.+", line)


@EVERY
def test_an_answer_that_prints_or_spoils_its_inputs(exercise, capsys):
    if not callable(exercise.solution):
        return
    spoilt = []

    def prints(*inputs):
        print("step\n" * 1000)
        return exercise.solution(*inputs)

    def spoils(*inputs):
        found = exercise.solution(*inputs)
        for value in inputs:
            if isinstance(value, Tensor | np.ndarray | list | dict):
                spoilt.append(value)
            if isinstance(value, Tensor):
                value.detach().fill_(7)
            elif isinstance(value, np.ndarray):
                value.fill(7)
            elif isinstance(value, list | dict):
                value.clear()
        return found

    passed, lines = verdict(exercise.judge, prints, capsys)
    assert passed
    assert lines[:5] == ["step"] * 5
    assert re.fullmatch(r"… and \d+ more lines of your function\.", lines[5])
    assert re.fullmatch("✓ .+", lines[6])
    passed, (line,) = verdict(exercise.judge, spoils, capsys)
    assert passed == (not spoilt)
    assert not spoilt or "Hint: work on a copy." in line
