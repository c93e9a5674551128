"""Small trained networks that ship with the course, each with a card beside it."""

from pathlib import Path

from torch import nn

from course_utils.training.checkpoint import load_model

# name: network, data it was trained on
PRETRAINED = {
    "cifar10": ("residual", "CIFAR-10 photos"),
    "cifar10-plain": ("plain", "CIFAR-10 photos"),
    "sketches": ("residual", "CIFAR-10 sketches"),
    "sketches-plain": ("plain", "CIFAR-10 sketches"),
    "flowers": ("residual", "flower photos"),
    "flower-sketches": ("residual", "flower sketches"),
    "imagenet200": ("residual", "ImageNet-200 photos"),
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
    """Return a trained network of 20 layers, in eval mode.

    Args:
        name: ``"cifar10"`` or ``"sketches"`` for 32x32 images of ten classes; with
            ``"-plain"`` behind it, the twin without shortcuts. ``"flowers"`` or
            ``"flower-sketches"`` for 64x64 images of five flowers. ``"imagenet200"``
            for 32x32 images of 200 classes: three times as wide, a start for others.

    Returns:
        Maps normalised images (B, 3, H, W) to logits (B, num_classes). The weights
        were stored in half precision and are float32 again.

    Raises:
        ValueError: If there is no such network.

    Taught in: lesson 04, "Collect once, compute everything".
    """
    return load_model(pretrained_path(name))
