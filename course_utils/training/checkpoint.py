"""From a checkpoint back to its network."""

from pathlib import Path
from typing import Any

from torch import nn

from course_utils.models import BasicBlock, Bottleneck, CifarResNet, ResNet
from course_utils.training.state import Checkpoint, CheckpointError, load_checkpoint


def build_model(architecture: dict[str, Any]) -> nn.Module:
    """Return a new network, as its ``architecture`` describes it.

    Raises:
        CheckpointError: If the description is not of one of the course's networks.
    """
    try:
        arguments = dict(architecture)
        family = arguments.pop("family", None)
        if family == "CifarResNet":
            return CifarResNet(**arguments)
        if family == "ResNet":
            blocks = {block.__name__: block for block in (BasicBlock, Bottleneck)}
            return ResNet(blocks[arguments.pop("block")], **arguments)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
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

    Taught in: lesson 03, "Save, resume, test once".
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
        CheckpointError: If they do not fit; it names the first that does not.
    """
    try:
        model.load_state_dict(checkpoint["model"])
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = str(error).splitlines()
        raise CheckpointError(
            f"The weights in {path} do not fit this network "
            f"({lines[min(1, len(lines) - 1)].strip()}); build the network they came "
            "from."
        ) from error
