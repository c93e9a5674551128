"""Trains the start for other tasks that ships as `imagenet200`; minutes on a GPU.

COURSE_DATA=DIR python tools/train_imagenet200.py --width 48 --epochs 34

Reads DIR/imagenet32/{train,val}/<class>/, 200 classes of 32×32 pixels. Run it again
after an interruption: it goes on from last.pt of its folder in runs/. Then `python
tools/ship_weights.py runs/pretrained/NAME` makes the file that ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from recording import RESULTS, is_recorded, train_to_the_end
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils._engine.cache import load_or_make
from course_utils.data.arrays import (
    ArrayDataset,
    LabelledImages,
    Loaders,
    already_collated,
    channel_statistics,
)
from course_utils.data.photos import class_folders, decode, list_images, listing_key
from course_utils.models import CifarResNet
from course_utils.results import of_training, save_result
from course_utils.session import start
from course_utils.training import amp_dtype, sgd_one_cycle

BATCH_SIZE, LR, SMOOTHING = 256, 0.4, 0.1
SMALLEST_AREA = 0.35  # of an image, for a random crop


def load_part(folder: Path, classes: Sequence[str]) -> LabelledImages:
    """Return the images of ``<folder>/<class>/``, decoded once and kept."""
    listed = list_images(folder, classes)
    key = f"imagenet32-{folder.name}-{listing_key(folder, listed)}"
    return LabelledImages(**load_or_make(key, lambda: decode(listed, 32)._asdict()))


class RandomCrops(ArrayDataset):
    """Images of which each batch shows other parts, at times mirrored."""

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images float32 (B, 3, 32, 32) on the device, labels int64 (B,)."""
        images, labels = super().__getitems__(indices)
        return cropped_and_flipped(images), labels


def cropped_and_flipped(images: Tensor) -> Tensor:
    """Return a random square of each image, resized to the whole, at times mirrored."""
    count = len(images)
    side = (SMALLEST_AREA + (1 - SMALLEST_AREA) * torch.rand(count)).sqrt()
    shift = (2 * torch.rand(2, count) - 1) * (1 - side)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    zero = torch.zeros(count)
    theta = torch.stack(
        [
            torch.stack([mirror * side, zero, shift[0]], 1),
            torch.stack([zero, side, shift[1]], 1),
        ],
        1,
    ).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def run(
    width: int, epochs: int, seed: int, train_size: int | None, *, record: bool
) -> None:
    """Train, and leave weights and record in runs/, and the record in results/."""
    session = start(seed=seed)
    name = f"imagenet200-width{width}"
    recorded = RESULTS / f"{name}-seed{seed}.json"
    if record and is_recorded(recorded):
        return
    folder = (session.data_dir or Path("data")) / "imagenet32"
    classes = class_folders(folder / "train")
    train_part, val_part = (load_part(folder / p, classes) for p in ("train", "val"))
    mean, std = channel_statistics(train_part.images)
    order = torch.randperm(len(train_part.labels))[:train_size].numpy()
    train_part = LabelledImages(*(values[order] for values in train_part))
    info = {
        "name": "ImageNet-200",
        "source": "photos",
        "classes": classes,
        "mean": list(mean),
        "std": list(std),
        "image_size": 32,
        "train_size": len(order),
    }
    own = {"device": session.device, "info": info}
    fitted = RandomCrops(*train_part, mean, std, **own)
    judged = ArrayDataset(*val_part, mean, std, **own)
    train_loader = DataLoader(fitted, BATCH_SIZE, True, collate_fn=already_collated)
    val_loader = DataLoader(judged, 1000, collate_fn=already_collated)
    model = CifarResNet(20, len(classes), "B", width=width, stem_stride=2)
    model.to(session.device)
    optimizer, scheduler = sgd_one_cycle(model, LR, epochs * len(train_loader))
    history = train_to_the_end(
        model,
        Loaders(train_loader, val_loader, val_loader),
        epochs,
        optimizer,
        session.run_dir("pretrained") / name,
        scheduler=scheduler,
        criterion=nn.CrossEntropyLoss(label_smoothing=SMOOTHING),
    )
    result = {
        "network": "residual",
        "depth": 20,
        "width": width,
        "data": "ImageNet-200 photos",
        "train_size": info["train_size"],
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "lr": LR,
        "label_smoothing": SMOOTHING,
        "arithmetic": str(amp_dtype(session.device, "auto") or torch.float32),
        **of_training(history),
    }
    save_result(
        session.run_dir("pretrained") / name / "result.json", result, session.device
    )
    if record:
        save_result(recorded, result, session.device)
    print(f"{name}: validation accuracy {result['val_accuracy']:.2%}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=48, help="of the first stage")
    parser.add_argument("--epochs", type=int, default=34)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-size", type=int, help="images to fit; default all")
    parser.add_argument("--record", action="store_true", help="also into results/")
    options = parser.parse_args(arguments)
    size, record = options.train_size, options.record
    run(options.width, options.epochs, options.seed, size, record=record)


if __name__ == "__main__":
    main()
