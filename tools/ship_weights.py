"""Makes a checkpoint small enough to ship, and writes its card.

python tools/ship_weights.py runs/pretrained/residual20-photos-45000-seed0

Takes best.pt and result.json of a run of tools/train_cifar10.py. The accuracies on
the card are measured on the stored file, on the data that COURSE_DATA names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from course_utils.checkpoint import (
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from course_utils.data.cifar10 import load_cifar10
from course_utils.pretrained import PRETRAINED, pretrained_path
from course_utils.session import find_data_dir
from course_utils.training import evaluate

RESULTS = Path(__file__).resolve().parents[1] / "results"
ABOUT = {
    "photos": "CIFAR-10 (Krizhevsky 2009), read from a copy whose images were stored "
    "again as JPEG; accuracies on the original, lossless images were not measured.",
    "sketches": "The course's built-in sketches: images drawn by code, one style for "
    "each of the ten CIFAR-10 classes. They are not photos.",
}
LIMITS = {
    "photos": "Knows ten classes and 32x32 pixels only; whatever it is shown becomes "
    "one of the ten. Ordinary photos, shrunk to that size, were not tested.",
    "sketches": "Says nothing about photos: it has never seen one.",
}
CARD = """\
# {name}

{layers}-layer {network} network of the CIFAR family (He et al. 2015, section 4.2).

| | |
|---|---|
| data | {data} |
| images | {train_size} to fit, {val_size} to choose the epoch, {test_size} to \
test once |
| validation accuracy | {val:.2%} |
| test accuracy | {test:.2%} |
| recipe | {epochs} epochs of batches of {batch_size}, SGD (momentum 0.9, Nesterov, \
weight decay 0.0005), one cycle up to a learning rate of {lr}, crop and flip; \
arithmetic in {arithmetic} |
| seed | {seed} |
| hardware, time | {hardware}, {threads} thread(s), {minutes:.0f} minutes beside other \
work |
| torch | {torch} |
| file | {size_kib:.0f} KiB, weights in half precision |

Both accuracies were measured on this file, in float32, after training had ended.

Made by:

    {command}
    python tools/ship_weights.py runs/pretrained/{run}

**Intended use.** A trained network at once, for the lessons that look into one.

**Limits.** {limits}
"""


def halve(value: object) -> object:
    """Return a floating-point tensor in half precision, anything else as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.half().contiguous()
    return value


def ship(run: Path) -> Path:
    """Return the small checkpoint made of the best weights in the folder `run`."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    kind = result["data"].split()[-1]
    wanted = (result["network"], kind)
    name = next(name for name, what in PRETRAINED.items() if what == wanted)
    splits = load_cifar10(find_data_dir())
    if splits.is_photos != (kind == "photos"):
        raise SystemExit(f"{run.name} needs {kind}: set COURSE_DATA to them.")
    checkpoint = load_checkpoint(run / "best.pt")
    checkpoint["model"] = {k: halve(v) for k, v in checkpoint["model"].items()}
    path = pretrained_path(name)
    save_checkpoint(path, checkpoint)

    model, loaders = load_model(path), splits.loaders(500)
    val, test = (evaluate(model, loader).accuracy for loader in loaders[1:])
    data = "built-in" if kind == "sketches" else "DIR"
    whole = result["train_size"] == len(splits.train.labels)
    fewer = "" if whole else f"--train-size {result['train_size']} "
    command = (
        f"COURSE_DATA={data} python tools/train_cifar10.py --network "
        f"{result['network']} --depth {result['depth']} --epochs {result['epochs']} "
        f"--lr {result['lr']} {fewer}--seed {result['seed']}"
    )
    card = CARD.format(
        **result | {"data": ABOUT[kind]},
        name=name,
        layers=result["depth"],
        val_size=len(splits.val.labels),
        test_size=len(splits.test.labels),
        val=val,
        test=test,
        size_kib=path.stat().st_size / 1024,
        command=command,
        run=run.name,
        limits=LIMITS[kind],
    )
    path.with_suffix(".md").write_text(card, "utf-8")
    measured = result | {"shipped_as": name, "val_accuracy": val, "test_accuracy": test}
    text = json.dumps(measured, indent=1) + "\n"
    (RESULTS / f"pretrained-{name}.json").write_text(text, "utf-8")
    print(f"{name}: validation {val:.2%}, test {test:.2%}, {path.stat().st_size} bytes")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Ship the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders in runs/pretrained")
    for run in parser.parse_args(arguments).runs:
        ship(run)


if __name__ == "__main__":
    main()
