"""Checkpoints: written whole, read safely, enough to rebuild their model."""

import pickle
import platform
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils._engine.files import write_atomically
from course_utils.models import BasicBlock, Bottleneck, CifarResNet, ResNet

Checkpoint = dict[str, Any]


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or does not fit."""


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` whole; the old file stays if that fails.

    Args:
        path: The file to write, for example ``runs/03_cifar10_training/best.pt``.
        checkpoint: Tensors, numbers, strings, and lists and dicts of them.

    Raises:
        OSError: If the file cannot be written.

    Taught in: lesson 03, "Checkpoints".
    """
    path = Path(path)
    try:
        write_atomically(path, lambda temporary: torch.save(checkpoint, temporary))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as Runtime
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            f"The checkpoint {path} could not be written ({reason}); what was there "
            "before is unchanged: free some space, or set COURSE_RUNS to a folder that "
            "has it."
        ) from error


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Return what `save_checkpoint` wrote to `path`, on the CPU.

    Nothing in the file is executed (``weights_only=True``).

    Raises:
        CheckpointError: If there is no such file, or it is damaged, or it is no
            checkpoint of this course.

    Taught in: lesson 03, "Checkpoints".
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; train the model first.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(
            f"{path} is damaged or is not a checkpoint of weights alone; use another "
            "copy, or train again."
        ) from error
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise CheckpointError(
            f"{path} holds no entry 'model'; expected a checkpoint written by train(). "
            "A bare state dict goes into model.load_state_dict(torch.load(...))."
        )
    return checkpoint


def versions() -> dict[str, str]:
    """Return the versions of the libraries that a checkpoint depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": metadata.version("torchvision"),
    }


def describe(model: nn.Module, data: object) -> Checkpoint:
    """Return what a checkpoint says of its network, its data and its making.

    Args:
        model: The network.
        data: The data set; its ``info`` names source, classes, normalisation and
            image size, where it has one.
    """
    return {
        "architecture": architecture_of(model),
        "data": getattr(data, "info", None),
        "versions": versions(),
    }


def architecture_of(model: nn.Module) -> dict[str, Any] | None:
    """Return what is needed to build `model` again; None for a foreign network."""
    return getattr(model, "architecture", None)


def build_model(architecture: dict[str, Any]) -> nn.Module:
    """Return a new network as `architecture_of` described it.

    Raises:
        CheckpointError: If the description is not of one of the course's networks.
    """
    arguments = dict(architecture)
    family = arguments.pop("family", None)
    try:
        if family == "CifarResNet":
            return CifarResNet(**arguments)
        if family == "ResNet":
            blocks = {block.__name__: block for block in (BasicBlock, Bottleneck)}
            return ResNet(blocks[arguments.pop("block")], **arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint's description {architecture} is not of one of the "
            f"course's networks ({error}); use another copy, or train again."
        ) from error
    raise CheckpointError(
        f"The checkpoint's network family is {family!r}; expected CifarResNet or "
        "ResNet. Build the network yourself and load the entry 'model' into it."
    )


def load_model(path: Path | str) -> nn.Module:
    """Return the network that a checkpoint describes, with its weights, in eval mode.

    Args:
        path: A checkpoint written by `train`.

    Raises:
        CheckpointError: If the file cannot be read, or was made from a network that
            is not the course's own, or its weights do not fit.

    Taught in: lesson 03, "Checkpoints".
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.get("architecture") is None:
        raise CheckpointError(
            f"{path} does not say which network it belongs to; build that network and "
            "call model.load_state_dict(load_checkpoint(path)['model'])."
        )
    model = build_model(checkpoint["architecture"])
    load_weights(model, checkpoint, path)
    return model.eval()


def load_weights(model: nn.Module, checkpoint: Checkpoint, path: Path | str) -> None:
    """Load a checkpoint's weights into `model`.

    Raises:
        CheckpointError: If they belong to another network; it names what differs.
    """
    saved, own = checkpoint.get("architecture"), architecture_of(model)
    if saved and own and saved != own:
        differing = [k for k in {**saved, **own} if saved.get(k) != own.get(k)]
        details = ", ".join(
            f"{key} {saved.get(key)!r} there, {own.get(key)!r} here"
            for key in differing
        )
        raise CheckpointError(
            f"{path} belongs to another network ({details}); build the same one, or "
            "use load_model(path)."
        )
    try:
        model.load_state_dict(checkpoint["model"])
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = str(error).splitlines()
        raise CheckpointError(
            f"The weights in {path} do not fit this network "
            f"({lines[min(1, len(lines) - 1)].strip()}); build the network they came "
            "from."
        ) from error
