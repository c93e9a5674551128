"""Compares four ways to train a classifier of flower photos, and records each run.

python tools/compare_transfer.py                           from the CIFAR-10 weights
python tools/compare_transfer.py --backbone resnet34       from ImageNet's
python tools/compare_transfer.py --ways scratch finetuned --per-class 10 --seeds 0

Run it again after an interruption: what is recorded in results/ already is left out.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from recording import RESULTS, is_recorded, train_to_the_end, view_of
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.data.arrays import Loaders
from course_utils.data.flowers import load_flowers
from course_utils.data.photo_splits import PhotoSplits
from course_utils.data.photos import evaluation_transform
from course_utils.explain import penultimate_features
from course_utils.pretrained.backbones import Backbone, load_backbone
from course_utils.pretrained.transfer import rates_by_depth, replace_head
from course_utils.results import of_training, save_result
from course_utils.session import Session, seed_everything, start
from course_utils.training import History, evaluate, sgd_one_cycle
from course_utils.training.checkpoint import build_model

WAYS = ("scratch", "frozen", "finetuned", "by-depth")
PER_CLASS = (10, 30, 100, None)
BATCH_SIZE = 32
MIN_STEPS, MIN_EPOCHS = 300, 15
LR = 0.1  # highest of the cycle, for all ways but a linear head
HEAD_LR = 0.01  # of Adam


def num_epochs(train_size: int) -> int:
    """Return the budget: 15 epochs, or more where they would be under 300 steps."""
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(train_size / BATCH_SIZE)))


def train_network(
    way: str, backbone: Backbone, loaders: Loaders, epochs: int, folder: Path
) -> tuple[nn.Module, History]:
    """Return a network trained from scratch or from the backbone's weights."""
    num_classes = len(loaders.train.dataset.info["classes"])
    model = backbone.model
    if way == "scratch":
        model = build_model(model.architecture)
    device = next(backbone.model.parameters()).device
    model = replace_head(model, num_classes).to(device)
    groups = rates_by_depth(model, LR) if way == "by-depth" else model
    optimizer, scheduler = sgd_one_cycle(groups, LR, epochs * len(loaders.train))
    history = train_to_the_end(
        model, loaders, epochs, optimizer, folder, scheduler=scheduler
    )
    return model, history


def train_head(
    backbone: Backbone, loaders: Loaders, epochs: int, lr: float = HEAD_LR
) -> tuple[nn.Module, History, DataLoader, float]:
    """Return a linear head trained on features computed once.

    And its history, the test images' features, and the seconds that the features took.
    """
    began = time.perf_counter()
    features = [penultimate_features(backbone.model, loader) for loader in loaders]
    features_s = time.perf_counter() - began
    batches = [
        DataLoader(TensorDataset(*pair), BATCH_SIZE, shuffle=number == 0)
        for number, pair in enumerate(features)
    ]
    num_classes = len(loaders.train.dataset.info["classes"])
    head = nn.Linear(features[0][0].shape[1], num_classes)
    optimizer = torch.optim.Adam(head.parameters(), lr)
    history = train_to_the_end(
        head, Loaders(*batches), epochs, optimizer, progress=False
    )
    return head, history, batches[2], features_s


def compare(
    way: str,
    backbone_name: str,
    splits: PhotoSplits,
    per_class: int | None,
    seed: int,
    session: Session,
) -> Path:
    """Return the file with one run's measurements, made unless it is there."""
    kind = "photos" if splits.is_photos else "sketches"
    count = per_class or "all"
    name = f"06_transfer-{backbone_name}-{way}-{count}-{kind}-seed{seed}"
    path = RESULTS / f"{name}.json"
    if is_recorded(path):
        return path
    seed_everything(seed)
    backbone = load_backbone(backbone_name, session.data_dir)
    backbone.model.to(session.device)
    view = view_of(backbone)
    still = evaluation_transform(**view)
    loaders = splits.loaders(
        BATCH_SIZE,
        **view,
        seed=seed,
        per_class=per_class,
        augment=still if way == "frozen" else None,
        device=session.device,
    )
    train_size = len(loaders.train.dataset)
    epochs = num_epochs(train_size)
    if way == "frozen":
        model, history, test_loader, features_s = train_head(backbone, loaders, epochs)
    else:
        features_s = 0.0
        folder = session.run_dir("compare_transfer") / name
        model, history = train_network(way, backbone, loaders, epochs, folder)
        test_loader = loaders.test
    result = {
        "way": way,
        "backbone": backbone_name,
        "data": splits.name if splits.is_photos else f"{splits.name}, {kind}",
        "per_class": per_class,
        "train_size": train_size,
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "lr": HEAD_LR if way == "frozen" else LR,
        "image_size": backbone.image_size,
        "trained_parameters": sum(p.numel() for p in model.parameters()),
        "test_accuracy": evaluate(model, test_loader).accuracy,
        **of_training(history),
        "minutes": (features_s + sum(history.seconds)) / 60,
    }
    save_result(path, result, session.device)
    print(f"{name}: test accuracy {result['test_accuracy']:.1%}")
    return path


def count_or_all(text: str) -> int | None:
    """Return the number that `text` is, or None for ``all``."""
    return None if text == "all" else int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="cifar10")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--per-class", nargs="+", default=PER_CLASS, type=count_or_all)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args(arguments)
    session = start()
    splits = load_flowers(
        session.data_dir, short_side=session.pick(quick=128, full=256)
    )
    print(splits.describe())
    for seed in options.seeds:
        for per_class in options.per_class:
            for way in options.ways:
                compare(way, options.backbone, splits, per_class, seed, session)


if __name__ == "__main__":
    main()
