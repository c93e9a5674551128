"""Compares ways to train a classifier of flower photos, and records each run.

COURSE_DATA=DIR python tools/transfer_study.py                     from imagenet200
COURSE_DATA=DIR python tools/transfer_study.py --ways norms-frozen --per-class 30
COURSE_DATA=DIR python tools/transfer_study.py --backbone cifar10
python tools/transfer_study.py --backbone resnet34     downloads ImageNet's weights

First the highest rate of each way is chosen on validation images, at 30 photos a class,
as the best mean of three seeds, and the search goes on until no neighbour of the best
rate is better. Then each way is trained at its rate on several sizes. All networks
are judged as they are after the last epoch: no epoch is chosen. Run it again after an
interruption: trainings that were finished are kept in runs/ and not made again.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch
from recording import RESULTS, is_recorded, view_of
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.data.flowers import load_flowers
from course_utils.data.photo_splits import PhotoSplits
from course_utils.data.photos import evaluation_transform
from course_utils.explain import penultimate_features
from course_utils.models.modes import device_of
from course_utils.pretrained.backbones import OWN, load_backbone
from course_utils.pretrained.transfer import (
    freeze_norms,
    rates_by_depth,
    replace_head,
)
from course_utils.results import Result, save_result
from course_utils.session import Session, seed_everything, start
from course_utils.training import (
    amp_dtype,
    evaluate,
    sgd_one_cycle,
    train_one_epoch,
)
from course_utils.training.checkpoint import build_model

PER_CLASS = (10, 30, 100, None)
CHOOSING, SEEDS = 30, (0, 1, 2)
BATCH_SIZE = 32
MIN_STEPS, MIN_EPOCHS = 300, 15
GRID = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FIRST = {  # where the search begins; SGD's highest of the cycle, Adam's for frozen
    "frozen": 0.01,
    "finetuned": 0.01,
    "head-first": 0.01,
    "scratch": 0.03,
    "by-depth": 0.03,
}
AT_THE_RATE_OF = {"norms-frozen": "finetuned"}


def num_epochs(train_size: int) -> int:
    """Return the budget: 15 epochs, or more where they would be under 300 steps."""
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(train_size / BATCH_SIZE)))


class Study:
    """The trainings from one backbone: the finished ones are read back from runs/."""

    def __init__(self, name: str, session: Session, splits: PhotoSplits) -> None:
        self.name, self.session, self.splits = name, session, splits
        self.kind = "photos" if splits.is_photos else "sketches"
        self.backbone = load_backbone(name, session.data_dir)
        self.backbone.model.to(session.device)

    def trained(self, way: str, per_class: int | None, lr: float, seed: int) -> Result:
        """Return the record of one training."""
        count = per_class or "all"
        folder = self.session.run_dir("transfer_study")
        path = folder / f"{self.name}-{way}-{count}-{self.kind}-{lr}-seed{seed}.json"
        if not path.is_file():
            save_result(
                path, self._train(way, per_class, lr, seed), self.session.device
            )
        record = json.loads(path.read_text("utf-8"))
        print(f"{path.stem}: validation {record['val_accuracy']:.1%}", flush=True)
        return record

    def best_rate(self, way: str) -> float:
        """Return the rate with the best mean validation accuracy, and record all."""
        way = AT_THE_RATE_OF.get(way, way)
        path = RESULTS / f"06_rates-{self.name}-{way}-{self.kind}.json"
        if is_recorded(path):
            return json.loads(path.read_text("utf-8"))["lr"]
        found: dict[float, list[float]] = {}
        best = FIRST[way]
        while True:
            here = GRID.index(best)
            for lr in GRID[max(here - 1, 0) : here + 2]:
                if lr not in found:
                    runs = [self.trained(way, CHOOSING, lr, seed) for seed in SEEDS]
                    found[lr] = [run["val_accuracy"] for run in runs]
            if best == (best := max(found, key=lambda lr: mean(found[lr]))):
                break
        result = {
            "way": way,
            "backbone": self.name,
            "data": f"flower {self.kind}",
            "per_class": CHOOSING,
            "seeds": list(SEEDS),
            "lr": best,
            "val_accuracy": {str(lr): found[lr] for lr in sorted(found)},
        }
        save_result(path, result, self.session.device)
        return best

    def record(self, way: str, per_class: int | None, seed: int) -> None:
        """Record one training at the way's own rate, unless it is recorded."""
        name = f"06_study-{self.name}-{way}-{per_class or 'all'}-{self.kind}-seed{seed}"
        path = RESULTS / f"{name}.json"
        if is_recorded(path):
            return
        result = self.trained(way, per_class, self.best_rate(way), seed)
        save_result(path, result, self.session.device)
        print(f"{name}: test accuracy {result['test_accuracy']:.1%}", flush=True)

    def _train(self, way: str, per_class: int | None, lr: float, seed: int) -> Result:
        seed_everything(seed)
        view, device = view_of(self.backbone), self.session.device
        options = {**view, "seed": seed, "per_class": per_class, "device": device}
        loaders = self.splits.loaders(BATCH_SIZE, **options)
        still = self.splits.loaders(
            BATCH_SIZE, **options, augment=evaluation_transform(**view)
        )
        train_size = len(loaders.train.dataset)
        epochs = num_epochs(train_size)
        began = time.perf_counter()
        model = copy.deepcopy(self.backbone.model)
        if way == "scratch":
            model = build_model(model.architecture)
        model = replace_head(model, len(self.splits.classes)).to(device)
        if way in ("frozen", "head-first"):
            head_lr = lr if way == "frozen" else self.best_rate("frozen")
            train_head(model, still.train, epochs, head_lr)
            seed_everything(seed)
        if way != "frozen":
            if way == "norms-frozen":
                keep_norms_frozen(model)
            groups = rates_by_depth(model, lr) if way == "by-depth" else model
            fit(model, loaders.train, epochs, groups, lr)
        trained = model.fc if way == "frozen" else model
        return {
            "way": way,
            "backbone": self.name,
            "data": f"flower {self.kind}",
            "per_class": per_class,
            "train_size": train_size,
            "seed": seed,
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "lr": lr,
            "image_size": self.backbone.image_size,
            "trained_parameters": sum(p.numel() for p in trained.parameters()),
            "minutes": (time.perf_counter() - began) / 60,
            "arithmetic": str(amp_dtype(device, "auto") or torch.float32),
            "val_accuracy": evaluate(model, loaders.val).accuracy,
            "test_accuracy": evaluate(model, loaders.test).accuracy,
        }


def keep_norms_frozen(model: nn.Module) -> None:
    """Freeze the norms each time that the loop calls the model's `train()`."""
    model.train = lambda mode=True: freeze_norms(nn.Module.train(model, mode))


def fit(
    model: nn.Module,
    loader: DataLoader,
    epochs: int,
    groups: nn.Module | list[dict[str, Any]],
    lr: float,
) -> None:
    """Train a network for a number of epochs, without choosing among them."""
    model.to(memory_format=torch.channels_last)
    optimizer, scheduler = sgd_one_cycle(groups, lr, epochs * len(loader))
    dtype = amp_dtype(device_of(model), "auto")
    for _ in range(epochs):
        train_one_epoch(model, loader, optimizer, scheduler=scheduler, dtype=dtype)


def train_head(model: nn.Module, loader: DataLoader, epochs: int, lr: float) -> None:
    """Train the classifier alone, on features that are computed once."""
    data = TensorDataset(*penultimate_features(model, loader))
    optimizer = torch.optim.Adam(model.fc.parameters(), lr)
    batches = DataLoader(data, BATCH_SIZE, shuffle=True)
    for _ in range(epochs):
        train_one_epoch(model.fc, batches, optimizer)


def count_or_all(text: str) -> int | None:
    """Return the number that `text` is, or None for ``all``."""
    return None if text == "all" else int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = (*FIRST, *AT_THE_RATE_OF)
    parser.add_argument("--backbone", default="imagenet200")
    parser.add_argument("--ways", nargs="+", choices=ways, default=tuple(FIRST))
    parser.add_argument("--per-class", nargs="+", default=PER_CLASS, type=count_or_all)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    options = parser.parse_args(arguments)
    session = start()
    short_side = 128 if options.backbone in OWN else 256
    splits = load_flowers(session.data_dir, short_side=short_side)
    study = Study(options.backbone, session, splits)
    for per_class in options.per_class:
        for way in options.ways:
            for seed in options.seeds:
                study.record(way, per_class, seed)


if __name__ == "__main__":
    main()
