"""The cases of the benchmark, one function each; it returns rows of the table.

Every function takes the number of rounds. Sizes that a test makes smaller are arguments
with a default.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from bench_ways import (
    BATCH_SIZE,
    DEVICE,
    Way,
    array_loader,
    flops_per_image,
    judging,
    loading,
    matrix_products,
    peak_memory_mib,
    per_image_loader,
    plain_training,
    steps_alone,
    training,
)

from course_utils.models import resnet18

EPOCH = 12_800 if DEVICE.type == "cuda" else 1_280  # images; the GPU needs more
REAL_EPOCH = 45_000
BATCH_SIZES = (32, 64, 128, 256, 512)
SHORT = 72  # images of the last batch of a real epoch: 351 * 128 + 72


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
    ways = [loading(array_loader(number)), loading(per_image_loader(number // 10))]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = interleave(ways, repeats)
    torch.set_num_threads(threads)
    name = "data path alone: arrays against per-image transforms"
    return [Row(name, *found, 10.0, "one core each")]


def compiled(repeats: int, number: int = EPOCH + SHORT) -> list[Row]:
    """(d) `train(compile=True)` against `train`, and when it pays.

    The calls take turns. Later calls on the same network find what the first one
    compiled; both kinds of last batch, and validation, are compiled by then as well.
    """
    name = "train(compile=True) against train"
    if not has_compiler():
        return [Row(name, note="not measured (no C++ compiler)")]
    loader = array_loader(number)
    options = {"val_size": BATCH_SIZE + 8}  # 5 000 images leave a batch of 8
    ours = training(loader, compile=True, **options)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as nothing_compiled,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=nothing_compiled),
    ):
        first_s = number / ours()
        fast, usual = interleave([ours, training(loader, **options)], repeats)
    warm_up_s = max(first_s - number / statistics.median(fast), 0.0)
    row = Row(name, fast, usual)
    epochs = epochs_to_pay(warm_up_s, statistics.median(usual), row.ratio)
    paid = f"pays after {epochs} epochs" if epochs else "never pays"
    note = f"compiling took {warm_up_s:.0f} s; {paid} of {REAL_EPOCH} images"
    return [Row(name, fast, usual, note=note)]


def epochs_to_pay(warm_up_s: float, images_per_s: float, ratio: float) -> int | None:
    """Return after how many real epochs compiling has paid; None for never.

    Args:
        warm_up_s: What compiling takes, once.
        images_per_s: Speed without it.
        ratio: How many times as fast it is with it.
    """
    saved_s = REAL_EPOCH / images_per_s * (1 - 1 / ratio)
    return max(math.ceil(warm_up_s / saved_s), 1) if saved_s > 0 else None


def batch_sizes(
    repeats: int, number: int = EPOCH, sizes: Sequence[int] = BATCH_SIZES
) -> list[Row]:
    """(e) Speed and memory of `train` by batch size; ratios to the usual one."""
    number = math.ceil(number / max(sizes)) * max(sizes)  # whole batches of each
    memory = [memory_note(size) for size in sizes]
    ways = [training(array_loader(number, size)) for size in sizes]
    speeds = dict(zip(sizes, interleave(ways, repeats), strict=True))
    usual = speeds.get(BATCH_SIZE, speeds[sizes[0]])
    return [
        Row(f"batch size {size} against {BATCH_SIZE}", speeds[size], usual, note=note)
        for size, note in zip(sizes, memory, strict=True)
    ]


def memory_note(batch_size: int) -> str:
    """Return the memory of training steps in words; on a CPU, in a new process."""
    if DEVICE.type == "cuda":
        found = str(peak_memory_mib(batch_size))
    else:
        code = f"import bench_ways; print(bench_ways.peak_memory_mib({batch_size}))"
        command = [sys.executable, "-c", code]
        folder = Path(__file__).parent
        result = subprocess.run(
            command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        )
        found = result.stdout.strip()
    if found == "None":
        return "peak memory not measured (not Linux)"
    return f"peak memory {float(found):.0f} MiB above the start"


def data_sizes(repeats: int, number: int = EPOCH // 2) -> list[Row]:
    """(f) Speed of `train` on 1, 2 and 4 times as many images: flat, if all is well."""
    ways = [training(array_loader(number * times)) for times in (1, 2, 4)]
    once, twice, four = interleave(ways, repeats)
    return [
        Row(f"{2 * number} images against {number}", twice, once),
        Row(f"{4 * number} images against {number}", four, once),
    ]


def share_of_gpu(repeats: int) -> list[Row]:
    """(g) A ResNet-18 against what the GPU's measured matrix rate would allow."""
    name = "resnet18, bfloat16, steps alone, against the GPU's matrix rate"
    if DEVICE.type != "cuda":
        return [Row(name, note="not measured (no GPU)")]
    return [matrix_share(name, repeats, DEVICE, batch_size=512, side=8192)]


def matrix_share(
    name: str, repeats: int, device: torch.device, *, batch_size: int, side: int
) -> Row:
    """Return training speed against the speed if all were matrix products."""
    model = resnet18(num_classes=10, stem="cifar").to(device)
    flops = flops_per_image(model)
    ours = steps_alone(
        20 * batch_size, batch_size, device=device, amp=True, model=model
    )
    theirs = matrix_products(side, flops, device=device)
    speeds, bounds = interleave([ours, theirs], repeats)
    rate = statistics.median(bounds) * flops / 1e12
    note = f"matrix rate {rate:.3g} TFLOP/s; {flops / 1e9:.2f} GFLOP an image"
    return Row(name, speeds, bounds, note=note)


def against_forward(repeats: int, number: int = 10_000) -> list[Row]:
    """(h) Collecting logits against a bare forward pass over the same batches."""
    ways = [judging(number, bare=bare) for bare in (False, True)]
    name = "collect_logits against a bare forward pass, shipped weights"
    return [Row(name, *interleave(ways, repeats), 1 / 1.1)]


def has_compiler() -> bool:
    """Whether the compiler that `torch.compile` calls is there."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual)) is not None
