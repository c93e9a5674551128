"""How many threads PyTorch computes with: those that are faster at the moment.

On two quiet cores two threads are nearly twice as fast as one. Beside other work they
wait for each other at every operation, and can be many times slower than one.
"""

import os
import statistics
import time

import torch
from torch import nn

MOST = torch.get_num_threads()  # what PyTorch, or OMP_NUM_THREADS, begins with
ROUNDS, ENOUGH = 5, 0.5  # turns; seconds after which there is no further one


def choose_threads() -> str:
    """Set PyTorch's number of threads; return it in words.

    COURSE_THREADS or OMP_NUM_THREADS fix it. Else one thread and all of them are timed
    in turns, for some tenths of a second.

    Raises:
        ValueError: If COURSE_THREADS is no number from 1.
    """
    wanted = os.environ.get("COURSE_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(
                f"COURSE_THREADS is {wanted!r}; give a number of threads, 1 or more, "
                "or unset it."
            )
        torch.set_num_threads(int(wanted))
        return in_words(int(wanted))
    if MOST == 1 or "OMP_NUM_THREADS" in os.environ:
        return in_words(torch.get_num_threads())
    one, all_ = seconds_by_threads((1, MOST))
    best, other = (MOST, 1) if all_ < one else (1, MOST)
    torch.set_num_threads(best)
    ratio = max(one, all_) / min(one, all_)
    return f"{in_words(best)}, now {ratio:.1f} times as fast as {in_words(other)}"


def in_words(threads: int) -> str:
    """Return for example ``"2 threads"``."""
    return f"{threads} thread{'s' * (threads > 1)}"


def seconds_by_threads(numbers: tuple[int, ...]) -> list[float]:
    """Return the median seconds of a small training step for each number of threads."""
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
    images = torch.zeros(16, 3, 32, 32)
    seconds = {number: [] for number in numbers}
    for turn in range(1 + ROUNDS):
        if turn > 1 and sum(map(sum, seconds.values())) > ENOUGH:
            break
        for number in numbers:
            torch.set_num_threads(number)
            began = time.perf_counter()
            network(images).sum().backward()
            seconds[number].append(time.perf_counter() - began)
    return [statistics.median(seconds[number][1:]) for number in numbers]
