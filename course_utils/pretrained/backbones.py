"""Trained networks to start from: ImageNet's, or the course's own small ones."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model_weights

from course_utils import models
from course_utils._engine.download import MIB, download
from course_utils._engine.files import write_atomically
from course_utils.pretrained.shipped import load_pretrained, pretrained_path
from course_utils.training import load_checkpoint

IMAGENET = tuple(name for name in models.__all__ if name.startswith("resne"))
OWN = {
    "cifar10": "the course's own ResNet-20, trained on CIFAR-10",
    "sketches": "the course's own ResNet-20, trained on sketches of CIFAR-10's classes",
    "imagenet200": "the course's own wide ResNet-20, trained on 200 ImageNet classes",
}
OWN_IMAGE_SIZE = 64  # pixels: twice what these networks were trained on
FOLDER = "imagenet"


@dataclass(frozen=True)
class Backbone:
    """A trained network with what it expects of its images.

    Attributes:
        model: With the head of its own classes, in eval mode.
        description: What it was trained on, in a few words.
        image_size: Height and width of the images it should get, in pixels.
        mean: Mean of each channel that it was trained with, pixels in [0, 1].
        std: Standard deviation of each channel, likewise.
    """

    model: nn.Module
    description: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_backbone(name: str, data_dir: Path | None = None) -> Backbone:
    """Return a trained network to start from.

    Args:
        name: One of those that ship, such as ``"imagenet200"``, or one of
            torchvision's ImageNet networks, such as ``"resnet34"``.
        data_dir: Where ImageNet weights are looked for, in ``imagenet/``, and put.

    Raises:
        ValueError: If there is no such network.
        DownloadError: If ImageNet weights are neither there nor to be had.

    Taught in: lesson 06, "A trained network to start from".
    """
    if name in OWN:
        info = load_checkpoint(pretrained_path(name))["data"]
        return Backbone(
            load_pretrained(name),
            OWN[name],
            OWN_IMAGE_SIZE,
            tuple(info["mean"]),
            tuple(info["std"]),
        )
    if name not in IMAGENET:
        known = ", ".join((*OWN, *IMAGENET))
        raise ValueError(f"There is no backbone {name!r}; choose one of {known}.")
    model = getattr(models, name)()
    file = imagenet_file(name, data_dir)
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    transform = get_model_weights(name).IMAGENET1K_V1.transforms()
    return Backbone(
        model.eval(),
        _described(name),
        transform.crop_size[0],
        tuple(transform.mean),
        tuple(transform.std),
    )


def _described(name: str) -> str:
    return f"torchvision's {name}, trained on ImageNet"


def imagenet_file(name: str, data_dir: Path | None = None) -> Path:
    """Return the verified file of a network's ImageNet weights, downloaded if need be.

    Looked for in ``imagenet/`` of `data_dir`, then in PyTorch's own cache.

    Raises:
        DownloadError: If it is neither there nor to be had.
    """
    weights = get_model_weights(name).IMAGENET1K_V1
    file = weights.url.rsplit("/", 1)[1]
    cached = Path(torch.hub.get_dir(), "checkpoints", file)
    path = data_dir / FOLDER / file if data_dir else cached
    if cached.exists() and not path.exists():
        path = cached
    return download(
        _described(name),
        [weights.url],
        path,
        size_bytes=round(weights.meta["_file_size"] * MIB),
        checksum=path.stem.rsplit("-", 1)[1],  # the first digits of its SHA-256
    )


def prepare_resnet34(folder: Path) -> Path:
    """Return the file with ResNet-34's ImageNet weights in `folder`, put there first.

    Raises:
        DownloadError: If it is neither there nor to be had.
    """
    found = imagenet_file("resnet34", folder)
    target = folder / FOLDER / found.name
    if found != target:
        write_atomically(target, lambda temporary: shutil.copyfile(found, temporary))
    return target
