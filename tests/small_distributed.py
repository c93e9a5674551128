"""A program for `torchrun`: a small training shared by its processes.

    torchrun --nproc-per-node 2 small_distributed.py FOLDER

Alone, ``python small_distributed.py FOLDER`` is the same training in one process.
Each process writes what it ended with to FOLDER/rank<number>.pt.
"""

import os
import sys
from pathlib import Path

import small_training as small
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from course_utils.data.arrays import Loaders
from course_utils.models import cifar_resnet
from course_utils.training import evaluate, train
from course_utils.training.distributed import loader_of_this_rank, rank


def loaders() -> Loaders:
    """Return this process's share of 44 training and 19 validation images."""
    whole = small.make_loaders()
    whole.train.dataset.augment = False  # each process would draw its own
    whole.val.dataset.images = whole.val.dataset.images[:19]
    whole.val.dataset.labels = whole.val.dataset.labels[:19]
    return Loaders(
        loader_of_this_rank(whole.train, train=True, seed=5),
        loader_of_this_rank(whole.val, train=False),
        loader_of_this_rank(whole.test, train=False),
    )


def without_batchnorm() -> nn.Module:
    """Return a network whose images do not see each other in a batch."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
    )


def fit(model: nn.Module, num_epochs: int, folder: Path, resume: bool = False) -> dict:
    """Train, and return history, weights and the score on the test images."""
    if dist.is_initialized():
        model = DistributedDataParallel(model)
    mine = loaders()
    history = train(
        model,
        mine.train,
        mine.val,
        num_epochs=num_epochs,
        optimizer=SGD(model.parameters(), 0.05, momentum=0.9),
        criterion=F.cross_entropy,
        save_path=folder,
        resume=resume,
        amp=False,
    )
    inner = model.module if dist.is_initialized() else model
    return {
        "history": {k: v for k, v in vars(history).items() if k != "seconds"},
        "weights": dict(inner.state_dict()),
        "test": list(evaluate(model, mine.test)),
    }


def main() -> None:
    """Train twice: without BatchNorm, and a network of the course, with a resume."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    found = {}
    torch.manual_seed(0)
    found["without BatchNorm"] = fit(without_batchnorm(), 3, folder / "plain")
    torch.manual_seed(0)
    found["straight"] = fit(cifar_resnet(8, 3), 3, folder / "straight")
    torch.manual_seed(0)
    fit(cifar_resnet(8, 3), 2, folder / "resumed")
    found["resumed"] = fit(cifar_resnet(8, 3), 3, folder / "resumed", resume=True)
    torch.save(found, folder / f"rank{rank()}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
