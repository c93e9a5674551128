"""A training of seconds; as a program, one that stops and asks at every batch.

    python small_training.py FOLDER

trains on from FOLDER/last.pt. Before each batch it prints a line and waits for a
line on its standard input, so that who runs it can end it between any two.
"""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.data.arrays import ImageSplits, Loaders, Pair
from course_utils.history import History
from course_utils.models import CifarResNet, cifar_resnet
from course_utils.session import seed_everything
from course_utils.training import train

Setting = dict[str, Any]
NUM_EPOCHS = 5
TRAIN_BATCHES, VAL_BATCHES = 3, 2  # 44 images: 16, 16, 12; 20 images: 16, 4
BATCHES = TRAIN_BATCHES + VAL_BATCHES


def make_loaders(name: str = "noise") -> Loaders:
    """Return loaders of 8x8 images of three classes, told apart by brightness."""
    rng = np.random.default_rng(0)

    def pair(size: int) -> Pair:
        labels = rng.integers(0, 3, size)
        noise = rng.integers(0, 128, (size, 8, 8, 3))
        images = noise + 60 * labels[:, None, None, None]
        return Pair(images.astype(np.uint8), labels)

    splits = ImageSplits(
        name=name,
        source="random",
        is_photos=False,
        classes=("dark", "grey", "light"),
        train=pair(44),
        val=pair(20),
        test=pair(20),
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )
    return splits.loaders(batch_size=16, seed=3)


def noisy_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return a cross-entropy that draws from every source of randomness."""
    noise = random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002
    return F.cross_entropy(logits, labels) * (1 + noise / 10)


def setting(folder: Path) -> Setting:
    """Return what `train` is called with; the same at every call."""
    seed_everything(1)
    model = cifar_resnet(8, num_classes=3)
    loaders = make_loaders()
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    steps = NUM_EPOCHS * len(loaders.train)
    return {
        "model": model,
        "train_loader": loaders.train,
        "val_loader": loaders.val,
        "num_epochs": NUM_EPOCHS,
        "optimizer": optimizer,
        "scheduler": OneCycleLR(optimizer, 0.1, total_steps=steps),
        "criterion": noisy_loss,
        "save_path": folder,
        "progress": False,
    }


def run(folder: Path, **changes: Any) -> tuple[CifarResNet, History]:
    """Return the network and the history of `setting`, with some changes."""
    options = setting(folder) | changes
    return options["model"], train(**options)


class RaiseAt:
    """A noisy loss that raises at its n-th call (training and validation)."""

    def __init__(self, call: int, error: BaseException) -> None:
        self.left, self.error = call, error

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return noisy_loss(logits, labels)


def _ask_first(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    print("batch", flush=True)
    sys.stdin.readline()
    return noisy_loss(logits, labels)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    run(Path(sys.argv[1]), resume=True, criterion=_ask_first)
