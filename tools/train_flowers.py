"""Trains the small flower network that ships, from the course's own weights.

COURSE_DATA=DIR python tools/train_flowers.py --image-size 96 --lr 0.02     on photos
COURSE_DATA=built-in python tools/train_flowers.py               on the drawn flowers

Run it again after an interruption: it goes on from last.pt of its folder in runs/.
Then `python tools/ship_weights.py runs/pretrained/NAME` makes the file that ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from recording import train_to_the_end, view_of

from course_utils.data.flowers import load_flowers
from course_utils.pretrained.backbones import load_backbone
from course_utils.pretrained.transfer import replace_head
from course_utils.results import of_training, save_result
from course_utils.session import start
from course_utils.training import amp_dtype, evaluate, sgd_one_cycle

BATCH_SIZE = 32


def run(epochs: int, image_size: int, lr: float, seed: int) -> Path:
    """Return the folder with the trained network and its measurements."""
    session = start(seed=seed)
    splits = load_flowers(session.data_dir)
    kind = "photos" if splits.is_photos else "sketches"
    backbone = load_backbone("imagenet200" if splits.is_photos else "sketches")
    view = view_of(backbone) | {"image_size": image_size}
    loaders = splits.loaders(BATCH_SIZE, **view, seed=seed, device=session.device)
    name = f"flowers-{kind}-{image_size}-seed{seed}"
    folder = session.run_dir("pretrained") / name
    model = replace_head(backbone.model, len(splits.classes)).to(session.device)
    optimizer, scheduler = sgd_one_cycle(model, lr, epochs * len(loaders.train))
    history = train_to_the_end(
        model, loaders, epochs, optimizer, folder, scheduler=scheduler
    )
    test = evaluate(model, loaders.test)
    result = {
        "network": "residual",
        "depth": 20,
        "data": f"flower {kind}",
        "start": backbone.description,
        "image_size": image_size,
        "train_size": len(splits.split.train),
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "lr": lr,
        "test_accuracy": test.accuracy,
        "arithmetic": str(amp_dtype(session.device, "auto") or torch.float32),
        **of_training(history),
    }
    save_result(folder / "result.json", result, session.device)
    print(f"{name}: test accuracy {test.accuracy:.2%}")
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1, help="highest of the cycle")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    run(options.epochs, options.image_size, options.lr, options.seed)


if __name__ == "__main__":
    main()
