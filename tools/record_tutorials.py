"""Records the recipes that circulate for flowers, on ImageNet weights and without.

python tools/record_tutorials.py

Flower photos, two-way split, Adam at 1e-4, batches of 16: 3 epochs from ImageNet's
ResNet-34, 20 from scratch. Flowers-102, official and swapped protocol, SGD at 0.02,
batches of 256, rotation and flips: 50 epochs of each. Both need a network, and hours
without a GPU. Run it again after an interruption: what is recorded is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from recording import RESULTS, is_recorded, train_to_the_end, view_of
from torchvision.transforms import v2

from course_utils._engine.download import DownloadError
from course_utils.data.flowers import load_flowers
from course_utils.data.flowers102 import load_flowers102
from course_utils.data.photo_splits import PhotoSplits, split_by_class
from course_utils.data.photos import training_transform
from course_utils.pretrained.backbones import load_backbone
from course_utils.pretrained.transfer import replace_head
from course_utils.results import of_training, save_result
from course_utils.session import Session, seed_everything, start
from course_utils.training import evaluate
from course_utils.training.checkpoint import build_model

BACKBONE = "resnet34"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a run is made of; `scratch` starts from random weights."""

    data: str
    scratch: bool
    epochs: int
    batch_size: int
    optimizer: str
    lr: float


RECIPES = (
    Recipe("flower-photos", False, 3, 16, "Adam", 1e-4),
    Recipe("flower-photos", True, 20, 16, "Adam", 1e-4),
    *(
        Recipe(f"flowers102-{protocol}", scratch, 50, 256, "SGD", 0.02)
        for protocol in ("official", "swapped")
        for scratch in (False, True)
    ),
)


def load(data: str, session: Session, short_side: int) -> PhotoSplits:
    """Return the data of a recipe.

    Raises:
        DownloadError: If the photos are neither there nor to be had.
    """
    if data.startswith("flowers102"):
        protocol = data.split("-")[1]
        return load_flowers102(
            session.data_dir, protocol=protocol, short_side=short_side
        )
    splits = load_flowers(session.data_dir, short_side=short_side)
    if not splits.is_photos:
        raise DownloadError("These recipes need photos, not sketches.")
    two_way = split_by_class(splits.labels, test=False)
    return dataclasses.replace(splits, split=two_way)


def record(recipe: Recipe, seed: int, session: Session) -> Path:
    """Return the file with the measurements of one run, made unless it is there.

    Raises:
        DownloadError: If photos or weights are neither there nor to be had.
    """
    kind = "scratch" if recipe.scratch else "pretrained"
    name = f"06_tutorial-{recipe.data}-{kind}-seed{seed}"
    path = RESULTS / f"{name}.json"
    if is_recorded(path):
        return path
    seed_everything(seed)
    backbone = load_backbone(BACKBONE, session.data_dir)
    splits = load(recipe.data, session, short_side=256)
    view = view_of(backbone)
    augment = training_transform(**view)
    if recipe.optimizer == "SGD":
        turned = [v2.RandomRotation(45), v2.RandomVerticalFlip()]
        augment = v2.Compose([*turned, augment])
    loaders = splits.loaders(
        recipe.batch_size,
        **view,
        seed=seed,
        augment=augment,
        device=session.device,
    )
    model = backbone.model
    if recipe.scratch:
        model = build_model(model.architecture)
    model = replace_head(model, len(splits.classes)).to(session.device)
    optimizer = getattr(torch.optim, recipe.optimizer)(model.parameters(), recipe.lr)
    folder = session.run_dir("record_tutorials") / name
    history = train_to_the_end(model, loaders, recipe.epochs, optimizer, folder)
    result = {
        **dataclasses.asdict(recipe),
        "backbone": BACKBONE,
        "seed": seed,
        "train_size": len(loaders.train.dataset),
        **of_training(history),
    }
    if len(loaders.test):
        result["test_accuracy"] = evaluate(model, loaders.test).accuracy
    save_result(path, result, session.device)
    print(f"{name}: best validation accuracy {result['val_accuracy']:.1%}")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Record all recipes; say of each that cannot be run why."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    session = start()
    for seed in parser.parse_args(arguments).seeds:
        for recipe in RECIPES:
            try:
                record(recipe, seed, session)
            except DownloadError as error:
                print(f"{recipe.data}: not measured. {error}")


if __name__ == "__main__":
    main()
