"""Makes a checkpoint small enough to ship, and writes its card.

python tools/ship_weights.py runs/pretrained/residual20-photos-45000-seed0

Takes best.pt and result.json of a run of tools/train_cifar10.py or, for flowers, of
tools/train_flowers.py; for ImageNet's 200 classes, of tools/train_imagenet200.py. The
accuracies on the card are measured on the stored file, on the data that COURSE_DATA
names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from recording import RESULTS, view_of
from torch.utils.data import DataLoader
from train_imagenet200 import load_part

from course_utils.data.arrays import (
    ArrayDataset,
    ImageSplits,
    Loaders,
    already_collated,
)
from course_utils.data.cifar10 import load_cifar10
from course_utils.data.flowers import load_flowers
from course_utils.data.photo_splits import PhotoSplits
from course_utils.pretrained import PRETRAINED, pretrained_path
from course_utils.pretrained.backbones import load_backbone
from course_utils.session import find_data_dir
from course_utils.training import evaluate
from course_utils.training.checkpoint import load_checkpoint, load_model
from course_utils.training.state import save_checkpoint

ABOUT = {
    "CIFAR-10 photos": "CIFAR-10 (Krizhevsky 2009), read from a copy whose images were "
    "stored again as JPEG; accuracies on the original, lossless images were not "
    "measured.",
    "CIFAR-10 sketches": "The course's built-in sketches: images drawn by code, one "
    "style for each of the ten CIFAR-10 classes. They are not photos.",
    "flower photos": "Flower photos of five classes (The TensorFlow Team, 2019), read "
    "from a copy of 3457 of the 3670, stored again at 128x128. The photos are under "
    "Creative Commons licences (CC BY); LICENSE.txt in the archive flower_photos.tgz "
    "names each photographer.",
    "ImageNet-200 photos": "The 200 classes of Tiny ImageNet, 500 photos each, shrunk "
    "to 32x32 and stored as JPEG. The photos are ImageNet's (Deng et al. 2009), for "
    "research and teaching; none of them ships. There is no test set: the validation "
    "images are Tiny ImageNet's, and they chose the epoch.",
    "flower sketches": "The course's built-in sketches of five flowers: images drawn "
    "by code. They are not photos.",
}
LIMITS = {
    "CIFAR-10 photos": "Knows ten classes and 32x32 pixels only; whatever it is shown "
    "becomes one of the ten. Ordinary photos, shrunk to that size, were not tested.",
    "flower photos": "Knows five flowers and one image size only; whatever it is shown "
    "becomes one of the five.",
    "ImageNet-200 photos": "A start for other tasks. As a classifier of its 200 "
    "classes it is wrong more often than right.",
}
SKETCH_LIMITS = "Says nothing about photos: it has never seen one."
CARD = """\
# {name}

{layers}-layer {network} network of the CIFAR family (He et al. 2015, section \
4.2){variant}.

| | |
|---|---|
| data | {data} |
| images | {images} |
{accuracies}
| recipe | from {start}; {epochs} epochs of batches of {batch_size}, SGD (momentum \
0.9, Nesterov, weight decay 0.0005), one cycle up to a learning rate of {lr}, crop \
and flip{more}; arithmetic in {arithmetic} |
| seed | {seed} |
| hardware, time | {hardware}, {threads} thread(s), {minutes:.0f} minutes beside other \
work |
| torch | {torch} |
| file | {size_kib:.0f} KiB, weights in half precision |

Accuracies were measured on this file, in float32, after training had ended.

Made by:

    {command}
    python tools/ship_weights.py runs/pretrained/{run}

**Intended use.** A trained network at once, for the lessons that look into one.

**Limits.** {limits}
"""


def halve(value: torch.Tensor) -> torch.Tensor:
    """Return a floating-point tensor in half precision, any other as it is."""
    return value.half().contiguous() if value.is_floating_point() else value


def imagenet200_val(folder: Path, info: dict) -> DataLoader:
    """Return the validation photos in ``imagenet32/val/<class>/`` of a data folder."""
    part = load_part(folder / "imagenet32" / "val", info["classes"])
    data = ArrayDataset(*part, info["mean"], info["std"])
    return DataLoader(data, 500, collate_fn=already_collated)


def parts(data: str, image_size: int) -> Loaders:
    """Return the loaders of the data set that a run was trained on.

    Raises:
        SystemExit: If COURSE_DATA names another.
    """
    splits: ImageSplits | PhotoSplits
    if data.startswith("CIFAR-10"):
        splits = load_cifar10(find_data_dir())
        loaders = splits.loaders(500)
    else:
        splits = load_flowers(find_data_dir())
        start = load_backbone("imagenet200" if splits.is_photos else "sketches")
        loaders = splits.loaders(100, **view_of(start) | {"image_size": image_size})
    if splits.is_photos != data.endswith("photos"):
        raise SystemExit(f"The run needs {data}: set COURSE_DATA to them.")
    return loaders


def command_of(result: dict) -> str:
    """Return the command that made the run."""
    if result["data"].startswith("ImageNet"):
        return (
            f"COURSE_DATA=DIR python tools/train_imagenet200.py "
            f"--width {result['width']} --epochs {result['epochs']}"
        )
    where = "built-in" if result["data"].endswith("sketches") else "DIR"
    ends = f"--epochs {result['epochs']} --seed {result['seed']}"
    if result["data"].startswith("flower"):
        tool = (
            f"tools/train_flowers.py --image-size {result['image_size']} "
            f"--lr {result['lr']}"
        )
    else:
        tool = (
            f"tools/train_cifar10.py --network {result['network']} "
            f"--depth {result['depth']} --lr {result['lr']} "
            f"--train-size {result['train_size']}"
        )
    return f"COURSE_DATA={where} python {tool} {ends}"


def ship(run: Path) -> Path:
    """Return the small checkpoint made of the best weights in the folder `run`."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    result = {"start": "random weights", "image_size": 32} | result
    wanted = (result["network"], result["data"])
    name = next(name for name, what in PRETRAINED.items() if what == wanted)
    checkpoint = load_checkpoint(run / "best.pt")
    if result["data"].startswith("ImageNet"):
        judged = {"val": imagenet200_val(find_data_dir(), checkpoint["data"])}
    else:
        _, val, test = parts(result["data"], result["image_size"])
        judged = {"val": val, "test": test}
    checkpoint["model"] = {k: halve(v) for k, v in checkpoint["model"].items()}
    path = pretrained_path(name)
    save_checkpoint(path, checkpoint)

    model = load_model(path)
    found = {part: evaluate(model, judged[part]).accuracy for part in judged}
    uses = {"val": "to choose the epoch", "test": "to test once"}
    titles = {"val": "validation", "test": "test"}
    images = [f"{len(judged[part].dataset)} {uses[part]}" for part in judged]
    rows = [f"| {titles[part]} accuracy | {found[part]:.2%} |" for part in found]
    wide = model.architecture.get("width", 16)
    card = CARD.format(
        **result | {"data": ABOUT[result["data"]]},
        name=name,
        layers=result["depth"],
        images=", ".join([f"{result['train_size']} to fit", *images]),
        accuracies="\n".join(rows),
        variant=""
        if wide == 16
        else f", {wide} to {4 * wide} channels, stem of stride 2",
        more=", label smoothing 0.1" if "label_smoothing" in result else "",
        size_kib=path.stat().st_size / 1024,
        command=command_of(result),
        run=run.name,
        limits=LIMITS.get(result["data"], SKETCH_LIMITS),
    )
    path.with_suffix(".md").write_text(card, "utf-8")
    measured = result | {"shipped_as": name}
    measured |= {f"{part}_accuracy": found[part] for part in found}
    text = json.dumps(measured, indent=1) + "\n"
    (RESULTS / f"pretrained-{name}.json").write_text(text, "utf-8")
    scores = ", ".join(f"{titles[part]} {found[part]:.2%}" for part in found)
    print(f"{name}: {scores}, {path.stat().st_size} bytes")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Ship the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders in runs/pretrained")
    for run in parser.parse_args(arguments).runs:
        ship(run)


if __name__ == "__main__":
    main()
