"""Measures test accuracy on CIFAR-10 after 1, 3, 10 and 30 minutes of training.

COURSE_DATA=DIR python tools/bench_minutes.py                    what is missing, hours
COURSE_DATA=DIR python tools/bench_minutes.py --contenders fast --minutes 3 --seeds 0

Every contender trains on the same 45 000 images, in a process of its own, whose clock
starts once Python has imported its libraries: reading the decoded images from disk and
building the network count. It stands still while the network is tested. Two of the
contenders fit their schedule to the time and train anew for each budget; the others
train once and are tested at each mark. They take turns, seed after seed. Run it again
after an interruption: what is in results/ for this machine is not measured again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

import torch
from contenders.stopwatch import Stopwatch, TimeIsUp
from recording import RESULTS, is_recorded, machine_of

from course_utils.data.cifar10 import load_cifar10
from course_utils.results import environment, save_result
from course_utils.session import find_data_dir

CPU = torch.device("cpu")
MINUTES = (1.0, 3.0, 10.0, 30.0)
FIRST_SEED_ONLY = 30.0  # this budget and longer ones
# Whether a contender's schedule follows the clock, so that each budget is its own run.
CONTENDERS = {
    "tutorial": False,
    "usual_resnet18": False,
    "first_source": False,
    "lesson03": True,
    "fast": True,
}


def plan(
    contenders: Sequence[str], minutes: Sequence[float], seeds: Sequence[int]
) -> Iterator[tuple[str, int, list[float]]]:
    """Yield each run, the contenders in turn: name, seed and marks in minutes."""
    for seed in seeds:
        marks = [m for m in sorted(minutes) if seed == 0 or m < FIRST_SEED_ONLY]
        for name in contenders:
            if CONTENDERS[name]:
                yield from ((name, seed, [mark]) for mark in marks)
            elif marks:
                yield name, seed, marks


def file_name(name: str, seed: int, marks: Sequence[float]) -> str:
    """Return the name of a run's record on this machine."""
    machine = re.sub(r"[^a-z0-9]+", "-", machine_of(environment(CPU)).lower())
    minutes = "-".join(f"{mark:g}" for mark in marks)
    return f"minutes-{machine}-{name}-{minutes}-seed{seed}.json"


def measure(name: str, seed: int, marks: Sequence[float]) -> None:
    """Train one contender until its last mark, and record it."""
    contender = importlib.import_module(f"contenders.{name}")
    watch = Stopwatch([60 * mark for mark in marks])
    splits = load_cifar10(find_data_dir())
    watch.test = splits.test
    with contextlib.suppress(TimeIsUp):
        contender.run(splits, watch, seed)
    result = {
        "contender": name,
        "title": contender.TITLE,
        "data": f"{splits.name} {'photos' if splits.is_photos else 'sketches'}",
        "train_size": len(splits.train.labels),
        "seed": seed,
        "minutes": list(marks),
        "points": watch.record(),
    }
    path = RESULTS / file_name(name, seed, marks)
    save_result(path, result, CPU)
    found = ", ".join(
        f"{point.test_accuracy:.1%} after {point.seconds / 60:.2f} min"
        for point in watch.points
    )
    print(f"{path.stem}: {found}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs of the command line that are not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = {"choices": CONTENDERS, "default": list(CONTENDERS)}
    parser.add_argument("--contenders", nargs="+", **names)
    parser.add_argument("--minutes", nargs="+", type=float, default=MINUTES)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args(arguments)
    for name, seed, marks in plan(options.contenders, options.minutes, options.seeds):
        if is_recorded(RESULTS / file_name(name, seed, marks)):
            continue
        if options.here:
            measure(name, seed, marks)
            continue
        minutes = map(str, marks)
        command = [sys.executable, __file__, "--here", "--contenders", name]
        command += ["--seeds", str(seed), "--minutes", *minutes]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
