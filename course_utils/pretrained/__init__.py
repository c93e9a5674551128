"""Small trained networks that ship with the course, each with a card beside it."""

from pathlib import Path

from torch import nn

from course_utils.checkpoint import load_model

# name: network, data it was trained on
PRETRAINED = {
    "cifar10": ("residual", "photos"),
    "cifar10-plain": ("plain", "photos"),
    "sketches": ("residual", "sketches"),
    "sketches-plain": ("plain", "sketches"),
}


def pretrained_path(name: str) -> Path:
    """Return the checkpoint's file; its card is beside it, with the suffix ``.md``.

    Args:
        name: One of `PRETRAINED`.

    Raises:
        ValueError: If there is no such network.
    """
    if name not in PRETRAINED:
        raise ValueError(
            f"There is no pretrained network {name!r}; choose one of "
            f"{', '.join(PRETRAINED)}."
        )
    return Path(__file__).with_name(f"{name}.pt")


def load_pretrained(name: str) -> nn.Module:
    """Return a trained network of 20 layers for 32x32 images, in eval mode.

    Args:
        name: ``"cifar10"`` or ``"sketches"``; with ``"-plain"`` behind it, the twin
            without shortcuts.

    Returns:
        Maps normalised images (B, 3, 32, 32) to logits (B, 10). The weights were
        stored in half precision and are float32 again.

    Raises:
        ValueError: If there is no such network.

    Taught in: lesson 03, "Weights that ship".
    """
    return load_model(pretrained_path(name))
