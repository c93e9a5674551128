"""Measures speed as ratios, each from one interleaved run.

python tools/bench.py    prints a table and writes build/bench.json

Machines are noisy, so two ways are timed in turn, A B A B …, and the ratio is taken
pair by pair: what slows the machine slows both.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from course_utils.data.arrays import ArrayDataset, whole_batch
from course_utils.results import hardware_name

OUTPUT = Path(__file__).resolve().parent.parent / "build" / "bench.json"
REPEATS = 7
MEAN, STD = (0.4911, 0.4821, 0.4466), (0.2451, 0.2426, 0.2603)


def compare(ours: Callable[[], float], theirs: Callable[[], float]) -> dict[str, float]:
    """Return median images per second of both, and the ratio pair by pair.

    Args:
        ours: Does some work and returns its images per second.
        theirs: Likewise, the other way.
    """
    ours(), theirs()  # warm up
    pairs = [(ours(), theirs()) for _ in range(REPEATS)]
    ratios = [a / b for a, b in pairs]
    return {
        "ours_images_per_s": statistics.median(a for a, _ in pairs),
        "theirs_images_per_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "repeats": REPEATS,
    }


class PerImage(Dataset):
    """The usual way: one image at a time through torchvision's transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.transform(Image.fromarray(self.images[index]))
        return image, int(self.labels[index])


def images_per_s(loader: DataLoader) -> float:
    """Return how many images of `loader` are made ready in a second."""
    began = time.perf_counter()
    count = sum(len(labels) for _, labels in loader)
    return count / (time.perf_counter() - began)


def data_path() -> dict[str, float]:
    """Return the speed of `ArrayDataset` against per-image transforms, one core."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20_000, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, len(images))
    arrays = ArrayDataset(images, labels, MEAN, STD, augment=True)
    ours = DataLoader(arrays, 128, shuffle=True, collate_fn=whole_batch)
    theirs = DataLoader(PerImage(images[:2000], labels), 128, shuffle=True)
    return compare(lambda: images_per_s(ours), lambda: images_per_s(theirs))


def main() -> int:
    """Measure, print a table, write the JSON; return the exit status."""
    torch.set_num_threads(1)
    found = {"data path: arrays against per-image transforms": data_path()}
    print("| comparison | ours, images/s | theirs, images/s | ratio (min to max) |")
    print("|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| {name} | {row['ours_images_per_s']:.0f} "
            f"| {row['theirs_images_per_s']:.0f} | {row['ratio']:.1f} "
            f"({row['ratio_min']:.1f} to {row['ratio_max']:.1f}) |"
        )
    machine = {
        "hardware": hardware_name(torch.device("cpu")),
        "torch": str(torch.__version__),
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({**machine, "comparisons": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
