"""The verdicts of the exercises' checks: one line, never a traceback."""

import pytest

from course_utils.checks.reporting import Wrong, exercise


@exercise(hint="Think of doubling.")
def doubles(answer):
    if answer(3) != 6:
        raise Wrong("For 3 your function gives the wrong number; what is twice 3?")
    return "It doubles."


def unsolved(x):
    raise NotImplementedError


def broken(x):
    return x.upper()


@pytest.mark.parametrize(
    ("answer", "verdict", "passed"),
    [
        (lambda x: 2 * x, "✓ It doubles.", True),
        (lambda x: x, "✗ For 3 your function gives the wrong number", False),
        (unsolved, "Not solved yet. Hint: Think of doubling.", False),
        (None, "Not solved yet. Hint: Think of doubling.", False),
        (..., "Not solved yet. Hint: Think of doubling.", False),
        (broken, "✗ Your code raised AttributeError: 'int' object has no", False),
        (7, "✗ Your code raised TypeError: 'int' object is not callable", False),
    ],
)
def test_verdicts(capsys, answer, verdict, passed):
    assert doubles(answer) == passed
    said = capsys.readouterr().out
    assert said.startswith(verdict)
    assert said.count("\n") == 1


def test_a_notebook_shows_the_verdict_once():
    verdict = doubles(lambda x: 2 * x)
    assert verdict
    verdict._ipython_display_()  # what IPython calls for a cell's last value
