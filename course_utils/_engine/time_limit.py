"""A time limit for work that may hang, such as looking up a name."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_time(work: Callable[[], Result], seconds: float) -> Result:
    """Return what `work()` returns, or raise what it raises, within a time limit.

    It runs in a thread, since no time limit of a socket covers looking up a name, or an
    answer that arrives byte by byte. Work that is late goes on there until it ends by
    itself: close what it waits for.

    Args:
        work: Takes no arguments.
        seconds: How long to wait; not at all if it is 0 or below.

    Raises:
        TimeoutError: If it takes longer.
    """
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    # A daemon: what still hangs must not keep Python from ending.
    threading.Thread(target=run, daemon=True).start()
    return answer.result(seconds)
