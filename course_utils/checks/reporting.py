"""How a check of an exercise answers: right, wrong with one hint, or not solved yet."""

from collections.abc import Callable
from functools import wraps
from typing import Any


class Verdict(int):
    """Whether an answer is right: 1 or 0. A notebook does not display it again."""

    def _ipython_display_(self) -> None:
        """Show nothing: the sentence has been printed."""


class Wrong(Exception):
    """What is wrong with the reader's answer, with one hint. Never the answer."""


def exercise(hint: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Return a decorator that turns a check into one that prints its verdict.

    The decorated check takes the reader's answer. It raises `Wrong` where the answer
    is wrong and returns a sentence that says what is right. An answer that is not
    there yet (``None``, ``...``, or a function that raises `NotImplementedError`) is
    not an error, and an exception inside the reader's function becomes one line.

    Args:
        hint: What to say to a reader who has not begun.
    """

    def decorate(check: Callable[..., str]) -> Callable[..., Verdict]:
        @wraps(check)
        def checked(*answers: Any) -> Verdict:
            if any(answer is None or answer is ... for answer in answers):
                print(f"Not solved yet. Hint: {hint}")
                return Verdict(False)
            try:
                print(f"✓ {check(*answers)}")
            except NotImplementedError:
                print(f"Not solved yet. Hint: {hint}")
                return Verdict(False)
            except Wrong as wrong:
                print(f"✗ {wrong}")
                return Verdict(False)
            except Exception as error:
                reason = str(error).strip().splitlines() or ["no message"]
                print(f"✗ Your code raised {type(error).__name__}: {reason[0]}")
                return Verdict(False)
            return Verdict(True)

        return checked

    return decorate
