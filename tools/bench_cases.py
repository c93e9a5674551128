"""The cases of the benchmark, one function each; it returns rows of the table.

Every function takes the number of rounds. Sizes that a test makes smaller are arguments
with a default.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from bench_ways import (
    DEVICE,
    Way,
    array_loader,
    judging,
    loading,
    operations,
    per_image_loader,
    plain_training,
    products,
    steps_alone,
    training,
)

from course_utils.models import resnet18

EPOCH = 12_800 if DEVICE.type == "cuda" else 1_280  # images; the GPU needs more


@dataclass(frozen=True)
class Row:
    """One comparison: images a second of both, round by round.

    Attributes:
        name: What is compared.
        ours: Images a second, one number a round.
        theirs: Likewise, measured right after.
        goal: The ratio wanted at least, if any.
        note: What else there is to know.
    """

    name: str
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    goal: float | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios, not the ratio of the medians."""
        return statistics.median(self.ratios)

    @property
    def missed(self) -> bool:
        """Whether there is a goal and a measurement, and it falls short."""
        return self.goal is not None and bool(self.ours) and self.ratio < self.goal


def interleave(ways: Sequence[Way], repeats: int) -> list[list[float]]:
    """Run all ways in turn, A B A B …; return the speeds of each, round by round.

    Args:
        ways: Each runs once more before the first round, to warm up.
        repeats: Rounds.
    """
    for way in ways:
        way()
    rounds = [[way() for way in ways] for _ in range(repeats)]
    return [list(speeds) for speeds in zip(*rounds, strict=True)]


def against_plain(repeats: int, number: int = EPOCH) -> list[Row]:
    """(a) `train` against the loop of the textbooks, data path included."""
    loader = array_loader(number)
    none, two = (plain_training(per_image_loader(number, n)) for n in (0, 2))
    course, course32, plain0, plain2 = interleave(
        [training(loader), training(loader, amp=False), none, two], repeats
    )
    better = max(plain0, plain2, key=statistics.median)
    workers = "no worker" if better is plain0 else "2 workers"
    first = "workers stay alive; the first epoch is not counted"
    return [
        Row("train against a plain loop, no worker", course, plain0, 1.3),
        Row("train against a plain loop, 2 workers", course, plain2, 1.3, first),
        Row(
            f"the same in float32: train(amp=False) against the plain loop, {workers}",
            course32,
            better,
            note="the data path and channels last, without 16 bits",
        ),
    ]


def against_steps(repeats: int, number: int = EPOCH) -> list[Row]:
    """(b) `train` against its steps alone, on one batch that is there already."""
    ways = [training(array_loader(number)), steps_alone(number)]
    return [Row("train against its steps alone", *interleave(ways, repeats), 0.95)]


def data_path(repeats: int, number: int = 20_000) -> list[Row]:
    """(c) Making batches: `ArrayDataset` against per-image transforms."""
    ours = array_loader(number, device=torch.device("cpu"))
    ways = [loading(ours), loading(per_image_loader(number // 10))]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = interleave(ways, repeats)
    torch.set_num_threads(threads)
    name = "data path alone: arrays against per-image transforms"
    return [Row(name, *found, 10.0, "one core each")]


def against_forward(repeats: int, number: int = 10_000) -> list[Row]:
    """(h) Collecting logits against a bare forward pass over the same batches."""
    ways = [judging(number, bare=bare) for bare in (False, True)]
    name = "collect_logits against a bare forward pass, shipped weights"
    return [Row(name, *interleave(ways, repeats), 1 / 1.1)]


def against_products(repeats: int, number: int = EPOCH // 10) -> list[Row]:
    """(j) Steps of a ResNet-18 against products of large matrices, alike in work."""
    model = resnet18(num_classes=10, stem="cifar")
    work = operations(model)
    ways = [steps_alone(number, model=model), products(number, work)]
    found = interleave(ways, repeats)
    rate = statistics.median(found[1]) * work / 1e12
    name = "operations a second: steps of ResNet-18 against matrix products"
    return [Row(name, *found, note=f"products: {rate:.3g} · 10¹² operations a second")]
