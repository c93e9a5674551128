"""A training of a fraction of a second, and how to compare two of them."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.data.arrays import ImageSplits, LabelledImages, Loaders
from course_utils.models import CifarResNet, cifar_resnet
from course_utils.session import seed_everything
from course_utils.training import History, train
from course_utils.training.checkpoint import load_checkpoint

Setting = dict[str, Any]
NUM_EPOCHS = 5
TRAIN_BATCHES, VAL_BATCHES = 3, 2  # 44 images: 16, 16, 12; 20 images: 16, 4
BATCHES = TRAIN_BATCHES + VAL_BATCHES


def make_loaders(name: str = "noise", seed: int = 3) -> Loaders:
    """Return loaders of 8x8 images of three classes, told apart by brightness."""
    rng = np.random.default_rng(0)

    def pair(size: int) -> LabelledImages:
        labels = rng.integers(0, 3, size)
        noise = rng.integers(0, 128, (size, 8, 8, 3))
        images = noise + 60 * labels[:, None, None, None]
        return LabelledImages(images.astype(np.uint8), labels)

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
    return splits.loaders(batch_size=16, seed=seed)


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


def same_state(one: Any, other: Any) -> bool:
    """Return whether two nested states are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same_state(one[key], other[key]) for key in one
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other


def without_seconds(history: History) -> dict[str, list[float]]:
    """Return what must be equal in two histories."""
    return {k: v for k, v in vars(history).items() if k != "seconds"}


def saved(folder: Path) -> dict[str, Any]:
    """Return all that last.pt and best.pt hold, but for the seconds."""
    last, best = (load_checkpoint(folder / f"{name}.pt") for name in ("last", "best"))
    del last["history"]["seconds"]
    return {"last": last, "best": best}


class RaiseAt:
    """A noisy loss that raises at its n-th call (training and validation)."""

    def __init__(self, call: int, error: BaseException) -> None:
        self.left, self.error = call, error

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return noisy_loss(logits, labels)


def run_on(folder: Path) -> None:
    """Go on from `folder` to epoch 3, in a process that may be killed."""
    torch.set_num_threads(1)
    run(folder, num_epochs=3, resume=True)
