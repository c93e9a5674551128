"""Trained networks to start from: ImageNet's, or the course's own small ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from course_utils import models
from course_utils._engine.download import DownloadError
from course_utils._engine.files import write_atomically
from course_utils._engine.places import downloads_allowed
from course_utils.pretrained import load_pretrained, pretrained_path
from course_utils.training.checkpoint import load_checkpoint

IMAGENET = tuple(name for name in models.__all__ if name.startswith("resne"))
OWN = ("cifar10", "sketches")
OWN_IMAGE_SIZE = 48  # pixels; these networks were trained on 32, but see lesson 06
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
        name: ``"cifar10"`` or ``"sketches"``, which ship with the course, or one of
            torchvision's ImageNet networks, such as ``"resnet34"``.
        data_dir: Where ImageNet weights are looked for, in ``imagenet/``, and put.

    Raises:
        ValueError: If there is no such network, or the file holds another's weights.
        DownloadError: If ImageNet weights are neither there nor to be had.

    Taught in: lesson 06, "A trained network to start from".
    """
    if name in OWN:
        info = load_checkpoint(pretrained_path(name))["data"]
        kind = "CIFAR-10" if name == "cifar10" else "sketches of CIFAR-10's classes"
        return Backbone(
            load_pretrained(name),
            f"the course's own ResNet-20, trained on {kind}",
            OWN_IMAGE_SIZE,
            tuple(info["mean"]),
            tuple(info["std"]),
        )
    if name not in IMAGENET:
        raise ValueError(
            f"There is no backbone {name!r}; choose one of {', '.join(OWN + IMAGENET)}."
        )
    from torchvision.models import get_model_weights

    model = getattr(models, name)()
    weights = imagenet_weights(name, data_dir)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"The file for {name} holds the weights of another network "
            f"({str(error).splitlines()[-1].strip()}); delete it and fetch it again."
        ) from error
    transform = get_model_weights(name).IMAGENET1K_V1.transforms()
    return Backbone(
        model.eval(),
        f"torchvision's {name}, trained on ImageNet",
        transform.crop_size[0],
        tuple(transform.mean),
        tuple(transform.std),
    )


def imagenet_weights(name: str, data_dir: Path | None = None) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights of a network, found or downloaded.

    Looked for in ``imagenet/`` of `data_dir`, then in PyTorch's own cache.

    Raises:
        DownloadError: If they are neither there nor to be had, or are damaged.
    """
    return _read(_weights_file(name, data_dir))


def prepare_resnet34(folder: Path) -> Path:
    """Return the file with ResNet-34's ImageNet weights in `folder`, put there first.

    Raises:
        DownloadError: If they are neither there nor to be had, or are damaged.
    """
    found = _weights_file("resnet34", folder)
    _read(found)
    target = folder / FOLDER / found.name
    if found != target:
        write_atomically(target, lambda temporary: shutil.copyfile(found, temporary))
    return target


def _weights_file(name: str, data_dir: Path | None) -> Path:
    """Return where the weights lie, after fetching them if need be."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).IMAGENET1K_V1
    file = weights.url.rsplit("/", 1)[1]
    cache = Path(torch.hub.get_dir(), "checkpoints")
    folders = [cache] if data_dir is None else [data_dir / FOLDER, cache]
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    path = folders[0] / file
    what = f"ImageNet weights of {name} ({weights.meta['_file_size']:.0f} MiB)"
    if not downloads_allowed():
        raise DownloadError(
            f"The {what} are not in {path.parent}, and COURSE_OFFLINE forbids their "
            f"download: put {file} there, or start from the course's own weights."
        )
    print(f"Downloading the {what}")
    checksum = path.stem.rsplit("-", 1)[1]  # of SHA-256, its first digits
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(path), checksum)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise DownloadError(
            f"The {what} cannot be saved in {path.parent} ({error.strerror}): choose a "
            "folder that can be written, or start from the course's own weights."
        ) from error
    except (HTTPException, OSError, RuntimeError) as error:  # Runtime: wrong checksum
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"The {what} could not be downloaded ({reason}): put {file} into "
            f"{path.parent}, or start from the course's own weights."
        ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle makes it raise nearly anything
        raise DownloadError(
            f"{path} is damaged: delete it and fetch it again."
        ) from error
