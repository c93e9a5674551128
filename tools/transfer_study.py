"""Compares ways to train a classifier of flower photos from trained weights.

python tools/transfer_study.py rates  --backbone imagenet200   each way's own rate
python tools/transfer_study.py runs   --backbone imagenet200   then the comparison

The rate of each way is chosen on validation images, at 30 photos a class, as the best
mean of three seeds. What is recorded in results/ already is left out.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from compare_transfer import (
    BATCH_SIZE,
    PER_CLASS,
    count_or_all,
    num_epochs,
    train_head,
)
from recording import RESULTS, is_recorded, train_to_the_end
from torch import nn

from course_utils.data.arrays import Loaders
from course_utils.data.flowers import load_flowers
from course_utils.data.photo_splits import PhotoSplits
from course_utils.data.photos import evaluation_transform
from course_utils.pretrained.backbones import Backbone, load_backbone
from course_utils.pretrained.transfer import rates_by_depth, replace_head
from course_utils.results import of_training, save_result
from course_utils.session import Session, seed_everything, start
from course_utils.training import evaluate, sgd_one_cycle
from course_utils.training.checkpoint import build_model

IMAGE_SIZE, CHOOSING = 64, 30
RATES = {  # SGD's highest of the cycle; for a linear head, Adam's
    "scratch": (0.01, 0.02, 0.05, 0.1, 0.2),
    "frozen": (0.0003, 0.001, 0.003, 0.01, 0.03),
    "finetuned": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    "by-depth": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4),
    "head-first": (0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    "norms-frozen": (0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
}


def freeze_norms(model: nn.Module) -> None:
    """Keep every BatchNorm's statistics as they are, in training mode too."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, module=module: module


def train_one(
    way: str,
    backbone: Backbone,
    splits: PhotoSplits,
    per_class: int | None,
    lr: float,
    seed: int,
    device: torch.device,
    head_lr: float = 0.0,
) -> dict:
    """Return the record of one training; its test accuracy is measured at the end."""
    seed_everything(seed)
    model = copy.deepcopy(backbone.model).to(device)
    view = {"image_size": IMAGE_SIZE, "mean": backbone.mean, "std": backbone.std}

    def make_loaders(augmented: bool) -> Loaders:
        still = None if augmented else evaluation_transform(**view)
        cpu = torch.device("cpu")  # without worker processes
        return splits.loaders(
            BATCH_SIZE,
            **view,
            seed=seed,
            per_class=per_class,
            augment=still,
            device=cpu,
        )

    loaders = make_loaders(augmented=way != "frozen")
    train_size = len(loaders.train.dataset)
    epochs = num_epochs(train_size)
    test_loader = loaders.test
    if way == "frozen":
        trained, history, test_loader, _ = train_head(backbone, loaders, epochs, lr)
    else:
        if way == "scratch":
            model = build_model(model.architecture)
        trained = replace_head(model, len(splits.classes)).to(device)
        if way == "head-first":
            head, *_ = train_head(backbone, make_loaders(False), epochs, head_lr)
            trained.fc.load_state_dict(head.state_dict())
        if way == "norms-frozen":
            freeze_norms(trained)
        groups = rates_by_depth(trained, lr) if way == "by-depth" else trained
        optimizer, scheduler = sgd_one_cycle(groups, lr, epochs * len(loaders.train))
        history = train_to_the_end(
            trained, loaders, epochs, optimizer, scheduler=scheduler, progress=False
        )
    return {
        "way": way,
        "data": splits.name,
        "per_class": per_class,
        "train_size": train_size,
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "lr": lr,
        "image_size": IMAGE_SIZE,
        "trained_parameters": sum(p.numel() for p in trained.parameters()),
        "test_accuracy": evaluate(trained, test_loader).accuracy,
        **of_training(history),
    }


def rates_file(backbone: str, way: str, seed: int) -> Path:
    """Return where the validation accuracies of a way's rates are recorded."""
    return RESULTS / f"06_rates-{backbone}-{way}-photos-seed{seed}.json"


def best_rate(backbone: str, way: str, seeds: Sequence[int]) -> float:
    """Return the rate with the best mean validation accuracy over `seeds`."""
    files = [rates_file(backbone, way, seed) for seed in seeds]
    tables = [json.loads(file.read_text("utf-8"))["val_accuracy"] for file in files]
    return float(max(tables[0], key=lambda lr: sum(table[lr] for table in tables)))


def record_rates(
    way: str, backbone_name: str, seed: int, session: Session, splits: PhotoSplits
) -> None:
    """Record the validation accuracy of each of a way's rates for one seed."""
    path = rates_file(backbone_name, way, seed)
    if is_recorded(path):
        return
    backbone = load_backbone(backbone_name, session.data_dir)
    backbone.model.to(session.device)
    if way == "head-first":
        head_lr = best_rate(backbone_name, "frozen", [0, 1, 2])
    else:
        head_lr = 0.0
    found = {}
    for lr in RATES[way]:
        run = train_one(
            way, backbone, splits, CHOOSING, lr, seed, session.device, head_lr
        )
        found[str(lr)] = run["val_accuracy"]
    save_result(
        path,
        {
            "way": way,
            "backbone": backbone_name,
            "per_class": CHOOSING,
            "seed": seed,
            "val_accuracy": found,
        },
        session.device,
    )
    print(path.name, found, flush=True)


def record_run(
    way: str,
    backbone_name: str,
    per_class: int | None,
    seed: int,
    session: Session,
    splits: PhotoSplits,
) -> None:
    """Record one training at the way's own rate."""
    count = per_class or "all"
    path = RESULTS / f"06_study-{backbone_name}-{way}-{count}-photos-seed{seed}.json"
    if is_recorded(path):
        return
    backbone = load_backbone(backbone_name, session.data_dir)
    backbone.model.to(session.device)
    lr = best_rate(backbone_name, way, [0, 1, 2])
    head_lr = best_rate(backbone_name, "frozen", [0, 1, 2])
    result = train_one(
        way, backbone, splits, per_class, lr, seed, session.device, head_lr
    )
    save_result(path, {"backbone": backbone_name, **result}, session.device)
    print(f"{path.name}: test accuracy {result['test_accuracy']:.1%}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("rates", "runs"))
    parser.add_argument("--backbone", default="imagenet200")
    parser.add_argument("--ways", nargs="+", choices=RATES, default=tuple(RATES))
    parser.add_argument("--per-class", nargs="+", default=PER_CLASS, type=count_or_all)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args(arguments)
    session = start()
    splits = load_flowers(session.data_dir)
    for seed in options.seeds:
        for way in options.ways:
            if options.what == "rates":
                record_rates(way, options.backbone, seed, session, splits)
                continue
            for per_class in options.per_class:
                record_run(way, options.backbone, per_class, seed, session, splits)


if __name__ == "__main__":
    main()
