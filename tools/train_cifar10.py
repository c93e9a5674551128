"""Trains one network on CIFAR-10 and writes what was measured.

python tools/train_cifar10.py --network residual --depth 20 --epochs 40
torchrun --nproc-per-node 2 tools/train_cifar10.py --depth 56      (on several GPUs)

Reads CIFAR-10 where COURSE_DATA says. Run it again after an interruption: it goes on
from last.pt of its folder in runs/. The test images are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from recording import RESULTS, is_recorded, train_to_the_end
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.data.arrays import ImageSplits, Loaders
from course_utils.data.cifar10 import load_cifar10
from course_utils.models import CifarResNet, cifar_plain, cifar_resnet, resnet18
from course_utils.models.fast import BothViews
from course_utils.results import of_training, save_result
from course_utils.session import start
from course_utils.training import amp_dtype, evaluate, sgd_one_cycle
from course_utils.training.distributed import device_of_rank, loader_of_this_rank, rank
from course_utils.training.recipes import muon_one_cycle

NETWORKS = {  # of a depth and a width, which only some choose
    "residual": lambda depth, _: cifar_resnet(depth),
    "plain": lambda depth, _: cifar_plain(depth),
    "resnet18": lambda *_: resnet18(num_classes=10, stem="cifar"),
    "resnet18-imagenet-stem": lambda *_: resnet18(num_classes=10),
    "fast8": lambda _, width: CifarResNet(  # of the fast recipe
        8, shortcut="B", width=width, stem_stride=2, stem_kernel=4
    ),
}
DEPTHS = {"resnet18": 18, "resnet18-imagenet-stem": 18, "fast8": 8}
BATCH_SIZE = 128


def make_loaders(
    splits: ImageSplits, seed: int, train_size: int, device: torch.device
) -> Loaders:
    """Return this process's loaders: its part of the data where there are several."""
    whole = splits.loaders(
        BATCH_SIZE, seed=seed + rank(), train_size=train_size, device=device
    )
    if not dist.is_initialized():
        return whole
    return Loaders(
        loader_of_this_rank(whole.train, train=True, seed=seed),
        loader_of_this_rank(whole.val, train=False),
        loader_of_this_rank(whole.test, train=False),
    )


def make_optimizer(
    model: nn.Module, options: argparse.Namespace, steps: int
) -> tuple[Optimizer, OneCycleLR | None]:
    """Return an optimiser, and its schedule: one cycle, or none."""
    if options.muon:
        return muon_one_cycle(model, options.lr, steps)
    optimizer, scheduler = sgd_one_cycle(model, options.lr, steps)
    for group in optimizer.param_groups:
        group["weight_decay"] = options.weight_decay
        if options.constant_rate:
            group.update(lr=options.lr, momentum=0.9)
    return optimizer, None if options.constant_rate else scheduler


def run(options: argparse.Namespace) -> Path:
    """Return the file with the measurements of the run that `options` describe."""
    session = start(seed=options.seed)
    device = device_of_rank(session.device)
    splits = load_cifar10(session.data_dir)
    kind = "photos" if splits.is_photos else "sketches"
    size = min(options.train_size or len(splits.train.labels), len(splits.train.labels))
    own_name = options.name or f"{options.network}{options.depth}"
    name = f"{own_name}-{kind}-{size}-seed{options.seed}"
    recorded = RESULTS / f"{options.study}-{name}.json"
    if options.record and is_recorded(recorded):
        return recorded
    folder = session.runs_dir / options.study / name
    loaders = make_loaders(splits, options.seed, size, device)
    loaders.train.dataset.augment = not options.no_augmentation
    loaders.train.dataset.padding = options.padding
    model = NETWORKS[options.network](options.depth, options.width).to(device)
    model.to(memory_format=torch.channels_last)
    if dist.is_initialized():
        model = DistributedDataParallel(model)
    steps = options.epochs * len(loaders.train)
    optimizer, scheduler = make_optimizer(model, options, steps)
    history = train_to_the_end(
        model,
        loaders,
        options.epochs,
        optimizer,
        folder,
        scheduler=scheduler,
        criterion=nn.CrossEntropyLoss(label_smoothing=options.label_smoothing),
    )
    test = evaluate(model, loaders.test)
    result = {
        "study": f"{options.study}-{own_name}",
        "network": options.network,
        "depth": DEPTHS.get(options.network, options.depth),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": f"{splits.name} {kind}",
        "train_size": size,
        "seed": options.seed,
        "epochs": options.epochs,
        "batch_size": BATCH_SIZE,
        "lr": options.lr,
        "optimizer": type(optimizer).__name__,
        "weight_decay": 0 if options.muon else options.weight_decay,
        "label_smoothing": options.label_smoothing,
        "augmented": not options.no_augmentation,
        "padding": options.padding,
        "schedule": "constant" if options.constant_rate else "one cycle",
        "test_accuracy": test.accuracy,
        "test_accuracy_both_views": evaluate(BothViews(model), loaders.test).accuracy,
        "arithmetic": str(amp_dtype(device, "auto") or torch.float32),
        **of_training(history),
    }
    path = folder / "result.json"
    if rank() == 0:
        save_result(path, result, device)
        if options.record:
            save_result(recorded, result, device)
        print(f"{name}: test accuracy {test.accuracy:.2%}, measured in {path}")
    return path


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="pretrained", help="folder in runs/")
    parser.add_argument("--name", help="of the run; default: network and depth")
    parser.add_argument("--network", choices=NETWORKS, default="residual")
    parser.add_argument("--depth", type=int, default=20, help="6n + 2")
    parser.add_argument("--width", type=int, default=16, help="of fast8 only")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--lr", type=float, default=0.2, help="highest of the cycle")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--muon", action="store_true", help="in place of SGD")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--constant-rate", action="store_true", help="no cycle")
    parser.add_argument("--no-augmentation", action="store_true")
    parser.add_argument("--padding", type=int, default=4, help="0: flips alone")
    parser.add_argument("--train-size", type=int, help="images to fit; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="also into results/")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the command line asks for."""
    options = parse(arguments)
    if "RANK" in os.environ:
        dist.init_process_group()
    run(options)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
