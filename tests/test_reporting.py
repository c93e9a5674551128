"""The verdicts of the exercises' checks: one line, never a traceback."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lesson_code import verdict
from torch import nn

from course_classroom.checks.marks import solved
from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    module,
    number,
    several,
    tensor,
    truth,
)


@exercise(hint="Think of doubling.")
def doubles(answer: Callable[[int], int]):
    if answer(3) + 0 != 6:
        raise Wrong("For 3 your function gives the wrong number; what is twice 3?")
    return "It doubles."


@exercise(hint="Return the layer.")
def makes_a_layer(answer: Callable[[], nn.Module]):
    made = answer()
    made(torch.zeros(1, 2))
    return "It runs."


@exercise(hint="Which season?")
def names_a_season(answer: str):
    if answer.lower() != "autumn":
        raise Wrong("Another one. Hint: leaves.")
    return "It is."


def unsolved(x):
    raise NotImplementedError


def broken(x):
    return x.upper()


class Unfinished(nn.Module):
    def forward(self, x):
        raise NotImplementedError


class Misspelt(nn.Module):
    def forwards(self, x):
        return x


class Broken(nn.Module):
    def forward(self, x):
        return x.upper()


@pytest.mark.parametrize(
    ("answer", "said", "passed"),
    [
        (lambda x: 2 * x, "✓ It doubles.", True),
        (lambda x: x, "✗ For 3 your function gives the wrong number", False),
        (unsolved, "Not solved yet. Hint: Think of doubling.", False),
        (None, "Not solved yet. Hint: Think of doubling.", False),
        (..., "Not solved yet. Hint: Think of doubling.", False),
        (broken, "✗ Your code raised AttributeError: 'int' object has no", False),
        (broken, "Hint: look at the line `return x.upper()`.", False),
        (lambda x: torch.arange(x).softmax(0), "raised NotImplementedError", False),
        (lambda x: exit(), "✗ Your code ended the program. Hint: leave with", False),
        (lambda x: "6", "✗ The check cannot use what your answer gives", False),
        (lambda: 6, "✗ The arguments do not fit: too many positional", False),
        (lambda x, y: 6, "missing a required argument: 'y', where 1 are", False),
        (7, "✗ The check was given 7 (type int); a function was expected.", False),
    ],
)
def test_verdicts(capsys, answer, said, passed):
    found, (line,) = verdict(doubles, answer, capsys)
    assert found == passed
    assert said in line


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: nn.Linear(2, 3), "✓ It runs."),
        (Unfinished, "Not solved yet."),
        (Misspelt, "cannot use what your answer gives: NotImplementedError: Module"),
        (Broken, "Your code raised AttributeError"),
        (lambda: nn.Linear(3, 2), "cannot use what your answer gives: RuntimeError"),
    ],
)
def test_what_runs_after_the_readers_function_is_the_readers_too(answer, said, capsys):
    _, (line,) = verdict(makes_a_layer, answer, capsys)
    assert said in line


def test_an_answer_need_not_be_a_function(capsys):
    assert verdict(names_a_season, "Autumn", capsys) == (True, ["✓ It is."])
    assert verdict(names_a_season, "May", capsys)[1] == ["✗ Another one. Hint: leaves."]
    _, (line,) = verdict(names_a_season, 3, capsys)
    assert line.startswith("✗ The check cannot use what your answer gives")


def test_an_interruption_is_none_of_the_checks_business(capsys):
    def interrupted(x):
        print("so far")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        doubles(interrupted)
    assert capsys.readouterr().out == "so far\n"


def test_inputs_that_are_changed_are_named(capsys):
    inputs = torch.zeros(2), np.zeros(2), [1, [2]], {"b": 1, "a": torch.zeros(1)}

    @exercise(hint="Do nothing.")
    def touches_nothing(answer: Callable[..., None]):
        answer(*inputs)
        return "It does not."

    def swaps(tensor, array, list_, dict_):
        dict_["b"] = dict_.pop("b")

    changes = [
        lambda t, a, s, d: t.add_(1),
        lambda t, a, s, d: a.resize(3, refcheck=False),
        lambda t, a, s, d: s[1].append(3),
        swaps,
    ]
    assert verdict(touches_nothing, lambda *_: None, capsys)[0]
    for position, change in enumerate(changes, 1):
        passed, (line,) = verdict(touches_nothing, change, capsys)
        assert not passed
        assert f"changes its input number {position};" in line


def test_a_few_lines_of_the_readers_come_before_the_verdict(capsys):
    def prints(x):
        print("\n".join(f"{'line ' * 100}{k}" for k in range(x, 1000)))
        return 2 * x

    _, lines = verdict(doubles, prints, capsys)
    assert len(lines) == 7
    assert max(map(len, lines)) <= 160
    assert lines[5:] == ["… and 992 more lines of your function.", "✓ It doubles."]


def test_a_check_leaves_the_readers_random_numbers_alone(capsys):
    drawn = []

    def draws(x):
        drawn.append(torch.rand(1).item())
        return 2 * x

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    doubles(draws)
    assert torch.rand(1) == expected
    doubles(draws)
    assert drawn[0] == drawn[1] != expected


def test_only_a_check_that_passes_is_marked(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    doubles(lambda x: x)
    doubles(unsolved)
    assert solved() == set()
    doubles(lambda x: 2 * x)
    assert solved() == {"doubles"}


def test_a_mark_that_cannot_be_written_disturbs_no_check(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file"))
    assert verdict(doubles, lambda x: 2 * x, capsys) == (True, ["✓ It doubles."])


def test_numbers_and_truths_of_all_kinds_are_read():
    for value in (2, 2.0, np.float32(2), torch.tensor(2), np.array(2)):
        assert number(value) == 2
    for value in (True, np.bool_(True), torch.tensor(True)):
        assert truth(value) is True


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: number(None), "returns nothing; one number was expected"),
        (lambda: number(True), "It gives True (type bool); one number"),
        (lambda: number(torch.zeros(3)), "shape (3,) and type float32; one number"),
        (lambda: number(np.inf), "It gives inf; a finite number"),
        (lambda: number(np.nan, "which class?"), "Hint: which class?"),
        (lambda: truth(1), "It gives 1 (type int); True or False"),
        (lambda: tensor(np.zeros(2), (2,), "h"), "a NumPy array of shape (2,)"),
        (lambda: tensor(torch.zeros(2), (3,), "which axis?"), "Hint: which axis?"),
        (lambda: tensor(torch.zeros(2) * 1j, (2,), "h"), "with real numbers"),
        (lambda: tensor(torch.tensor([np.nan, 1]), (2,), "h"), "1 of 2 values are NaN"),
        (lambda: several("ab", 2, "two ends"), "'ab' (type str); two ends"),
        (lambda: several((1, 2, 3), 2, "two ends"), "3 parts; two ends was expected"),
        (lambda: several(torch.tensor(1), 2, "two ends"), "shape () and type int64"),
        (lambda: module(nn.ReLU), "the class ReLU; an nn.Module was expected"),
        (lambda: module(print), "an object of type builtin_function_or_method"),
    ],
)
def test_a_value_of_another_kind_is_described(read, said):
    with pytest.raises(Wrong) as wrong:
        read()
    assert said in str(wrong.value)
    assert str(wrong.value).count("Hint: ") == 1
