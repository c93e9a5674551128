"""How a check of an exercise answers: right, wrong with one hint, or not solved yet."""

import contextlib
import copy
import inspect
import io
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, get_origin

import numpy as np
import torch
from torch import Tensor

from course_classroom.checks.marks import mark_solved
from course_classroom.checks.values import Wrong, described
from course_classroom.edition import edition

__all__ = ["Verdict", "Wrong", "exercise"]

MOST_LINES = 5  # of what the reader's function prints
MOST_LETTERS = 160  # of what an exception says
LIBRARIES = {"course_classroom", "course_utils", "numpy", "torch", "torchvision"}
LIBRARIES |= sys.stdlib_module_names


class Verdict(int):
    """Whether an answer is right: 1 or 0. A notebook does not display it again."""

    def _ipython_display_(self) -> None:
        """Show nothing: the sentence has been printed."""


def exercise(hint: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Return a decorator that turns a check into one that prints its verdict.

    The decorated check takes the reader's answer. It raises `Wrong` where the answer
    is wrong and returns a sentence that says what is right. An answer that is not
    there yet (``None``, ``...``, or a bare ``raise NotImplementedError``) is not an
    error. Any other exception becomes one line that says whose it is: the reader's
    code's, or the check's because it was given something of another kind.

    Where the check's parameter is annotated as a `Callable`, it gets a function that
    calls the reader's, refuses a wrong number of arguments and inputs that were
    changed. The check runs with a random seed of its own, and the first lines that
    the reader's code prints come before the verdict. That it has passed is marked
    for the start page.

    Args:
        hint: What to say to a reader who has not begun.
    """

    def decorate(check: Callable[..., str]) -> Callable[..., Verdict]:
        kinds = [p.annotation for p in inspect.signature(check).parameters.values()]

        def judge(answers: tuple[Any, ...]) -> tuple[bool, str]:
            say = edition()
            unsolved = say(f"Not solved yet. Hint: {hint}")
            if any(answer is None or answer is ... for answer in answers):
                return False, unsolved
            try:
                given = [
                    _asked(answer) if get_origin(kind) is Callable else answer
                    for answer, kind in zip(answers, kinds, strict=True)
                ]
                return True, f"✓ {say(check(*given))}"
            except Wrong as wrong:
                return False, f"✗ {say(str(wrong))}"
            except (Exception, SystemExit) as error:
                if _is_stub(error):
                    return False, unsolved
                return False, f"✗ {say(_whose(error, check))}"

        @wraps(check)
        def checked(*answers: Any) -> Verdict:
            with _few_lines_of_output(), torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(1)
                passed, sentence = judge(answers)
            print(" ".join(sentence.split()))
            if passed:
                mark_solved(check.__name__)
            return Verdict(passed)

        return checked

    return decorate


def _asked(answer: Any) -> Callable[..., Any]:
    """Return the reader's function, to be asked by a check."""
    if not callable(answer):
        raise Wrong(
            f"The check was given {described(answer)}; a function was expected. Hint: "
            "hand over the function by its name, without calling it."
        )

    def ask(*inputs: Any) -> Any:
        _refuse_other_arguments(answer, inputs)
        before = [copy.deepcopy(value) if _is_data(value) else None for value in inputs]
        found = answer(*inputs)
        for number, (old, new) in enumerate(zip(before, inputs, strict=True), 1):
            if _is_data(new) and not _same(old, new):
                raise Wrong(
                    f"Your function changes its input number {number}; inputs are "
                    "expected to stay as they were. Hint: work on a copy."
                )
        return found

    return ask


def _refuse_other_arguments(answer: Callable[..., Any], inputs: tuple) -> None:
    """Raise `Wrong` unless the reader's function can be called with these inputs."""
    try:
        inspect.signature(answer).bind(*inputs)
    except ValueError:  # some built-in functions have no signature
        return
    except TypeError as error:
        raise Wrong(
            f"The arguments do not fit: {error}, where {len(inputs)} are handed over. "
            "Hint: keep the line that begins with def as the exercise has it."
        ) from error


def _is_data(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray | list | dict)


def _same(old: Any, new: Any) -> bool:
    """Return whether two inputs hold the same values in the same order."""
    if isinstance(old, Tensor | np.ndarray):
        return old.shape == new.shape and bool((old == new).all())
    if isinstance(old, dict):
        return list(old) == list(new) and all(_same(old[k], new[k]) for k in old)
    return old == new


def _is_stub(error: BaseException) -> bool:
    """Return whether the exception is a stub's: PyTorch's own have something to say."""
    return isinstance(error, NotImplementedError) and not error.args


def _whose(error: BaseException, check: Callable[..., str]) -> str:
    """Return a sentence that says where an exception came from, and a hint."""
    kind = type(error).__name__
    first, *others = str(error).strip().splitlines() or ["no message"]
    reason = f"{first} {others[0].strip()}" if first[-1:] == ":" and others else first
    reason = f"{reason[:MOST_LETTERS]}…" if reason[MOST_LETTERS:] else reason.strip(".")
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code is not check.__code__
        and frame.f_globals.get("__name__", "").partition(".")[0] not in LIBRARIES
    ]
    if not frames:
        return (
            f"The check cannot use what your answer gives: {kind}: {reason}. Hint: "
            "compare its type and shape with those that the exercise asks for."
        )
    frame, number = frames[-1]
    if isinstance(error, SystemExit):
        return "Your code ended the program. Hint: leave with return, not with exit()."
    line = linecache.getline(frame.f_code.co_filename, number).strip()
    place = f"look at the line `{line}`." if line else "call it in a cell of its own."
    return f"Your code raised {kind}: {reason}. Hint: {place}"


@contextlib.contextmanager
def _few_lines_of_output() -> Iterator[None]:
    """Let pass the first lines that the reader's code prints, and count the others."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines()
        for line in lines[:MOST_LINES]:
            print(line[:MOST_LETTERS])
        if len(lines) > MOST_LINES:
            more = f"… and {len(lines) - MOST_LINES} more lines of your function."
            print(edition()(more))
