"""Trains one network of the paper's CIFAR family and writes what was measured.

python tools/train_cifar10.py --network residual --depth 20 --epochs 40

Reads CIFAR-10 where COURSE_DATA says. Run it again after an interruption: it goes on
from runs/<name>/last.pt. The test images are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch.optim.lr_scheduler import OneCycleLR

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from course_utils.data.cifar10 import load_cifar10  # noqa: E402
from course_utils.models import cifar_plain, cifar_resnet  # noqa: E402
from course_utils.results import save_result  # noqa: E402
from course_utils.session import start  # noqa: E402
from course_utils.training import evaluate, train  # noqa: E402

NETWORKS = {"residual": cifar_resnet, "plain": cifar_plain}


def run(options: argparse.Namespace) -> Path:
    """Return the file with the measurements of the run that `options` describe."""
    session = start(seed=options.seed)
    splits = load_cifar10(session.data_dir)
    kind = "photos" if splits.is_photos else "sketches"
    size = options.train_size or len(splits.train.labels)
    name = f"cifar_{options.network}{options.depth}-{kind}-{size}-seed{options.seed}"
    folder = session.run_dir(f"{options.study}/{name}")
    loaders = splits.loaders(128, seed=options.seed, train_size=size)
    model = NETWORKS[options.network](options.depth).to(session.device)
    optimizer = torch.optim.SGD(
        model.parameters(), options.lr, 0.9, weight_decay=5e-4, nesterov=True
    )
    steps = options.epochs * len(loaders.train)
    history = train(
        model,
        loaders.train,
        loaders.val,
        num_epochs=options.epochs,
        optimizer=optimizer,
        scheduler=OneCycleLR(optimizer, options.lr, total_steps=steps),
        save_path=folder,
        resume=True,
    )
    test = evaluate(model, loaders.test)
    result = {
        "network": options.network,
        "depth": options.depth,
        "data": f"{splits.name} {kind}",
        "seed": options.seed,
        "epochs": options.epochs,
        "lr": options.lr,
        "train_size": size,
        "val_accuracy": max(history.val_accuracy),
        "test_accuracy": test.accuracy,
        "minutes": sum(history.seconds) / 60,
        "threads": torch.get_num_threads(),
        "history": asdict(history),
    }
    save_result(folder / "result.json", result, session.device)
    print(
        f"{name}: validation {max(history.val_accuracy):.2%}, test {test.accuracy:.2%}"
    )
    return folder / "result.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="pretrained", help="folder under runs/")
    parser.add_argument("--network", choices=NETWORKS, default="residual")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
