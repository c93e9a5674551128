"""A training of seconds; as a program, one that stops and asks at every batch.

    python small_training.py FOLDER

trains on from FOLDER/last.pt. Before each batch it prints a line and waits for a
line on its standard input, so that who runs it can end it between any two.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.data.arrays import ImageSplits, Loaders, Pair
from course_utils.history import History
from course_utils.models import CifarResNet, cifar_resnet
from course_utils.session import seed_everything
from course_utils.training import Criterion, train

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


def run(
    folder: Path,
    *,
    resume: bool = False,
    criterion: Criterion | None = None,
    num_epochs: int = NUM_EPOCHS,
) -> tuple[CifarResNet, History]:
    """Return the network and the history; the same at every call."""
    seed_everything(1)
    model = cifar_resnet(8, num_classes=3)
    loaders = make_loaders()
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    steps = NUM_EPOCHS * len(loaders.train)
    history = train(
        model,
        loaders.train,
        loaders.val,
        num_epochs=num_epochs,
        optimizer=optimizer,
        scheduler=OneCycleLR(optimizer, 0.1, total_steps=steps),
        criterion=criterion,
        save_path=folder,
        resume=resume,
        progress=False,
    )
    return model, history


class RaiseAt:
    """A cross-entropy that raises at its n-th call (training and validation)."""

    def __init__(self, call: int, error: BaseException) -> None:
        self.left, self.error = call, error

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return F.cross_entropy(logits, labels)


def _ask_first(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    print("batch", flush=True)
    sys.stdin.readline()
    return F.cross_entropy(logits, labels)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    run(Path(sys.argv[1]), resume=True, criterion=_ask_first)
