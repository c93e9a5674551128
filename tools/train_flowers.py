"""Trains the small flower network that ships, from the course's own weights.

COURSE_DATA=DIR python tools/train_flowers.py               on photos
COURSE_DATA=built-in python tools/train_flowers.py          on the drawn flowers

Run it again after an interruption: it goes on from last.pt of its folder in runs/.
Then `python tools/ship_weights.py runs/pretrained/NAME` makes the file that ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from compare_transfer import BATCH_SIZE, LR, train_network
from recording import view_of

from course_utils.data.flowers import load_flowers
from course_utils.pretrained.backbones import load_backbone
from course_utils.results import of_training, save_result
from course_utils.session import start
from course_utils.training import amp_dtype, evaluate


def run(epochs: int, image_size: int, seed: int) -> Path:
    """Return the folder with the trained network and its measurements."""
    session = start(seed=seed)
    splits = load_flowers(session.data_dir)
    kind = "photos" if splits.is_photos else "sketches"
    backbone = load_backbone("cifar10" if splits.is_photos else "sketches")
    backbone.model.to(session.device)
    view = view_of(backbone) | {"image_size": image_size}
    loaders = splits.loaders(BATCH_SIZE, **view, seed=seed, device=session.device)
    name = f"flowers-{kind}-{image_size}-seed{seed}"
    folder = session.run_dir("pretrained") / name
    model, history = train_network("finetuned", backbone, loaders, epochs, folder)
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
        "lr": LR,
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
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    run(options.epochs, options.image_size, options.seed)


if __name__ == "__main__":
    main()
