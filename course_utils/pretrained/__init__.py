"""Small trained networks that ship with the course, each with a card beside it."""

from pathlib import Path

from torch import nn

from course_utils.data.arrays import ImageSplits
from course_utils.session import Session
from course_utils.training.checkpoint import load_checkpoint, load_model

# name: network, data it was trained on
PRETRAINED = {
    "cifar10": ("residual", "CIFAR-10 photos"),
    "cifar10-plain": ("plain", "CIFAR-10 photos"),
    "sketches": ("residual", "CIFAR-10 sketches"),
    "sketches-plain": ("plain", "CIFAR-10 sketches"),
    "flowers": ("residual", "flower photos"),
    "flower-sketches": ("residual", "flower sketches"),
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
            ``"flower-sketches"`` for 64x64 images of five flowers.

    Returns:
        Maps normalised images (B, 3, H, W) to logits (B, num_classes). The weights
        were stored in half precision and are float32 again.

    Raises:
        ValueError: If there is no such network.

    Taught in: lesson 03, "Weights that ship".
    """
    return load_model(pretrained_path(name))


def load_trained(session: Session, splits: ImageSplits) -> nn.Module:
    """Return the reader's own network of lesson 03, else the one that ships.

    Prints which. The reader's is passed over if it was trained on other data, for
    example on sketches where there are photos now.

    Args:
        session: Says where the reader's checkpoints are, and on which device to put
            the network.
        splits: The data in use.

    Returns:
        Maps images normalised as `splits` does to logits (B, 10); in eval mode.

    Raises:
        CheckpointError: If the reader's file is damaged.

    Taught in: lesson 04, first cells.
    """
    own = session.runs_dir / "03_cifar10_training" / "best.pt"
    name = "cifar10" if splits.is_photos else "sketches"
    shown = f"{own.parent.parent.name}/{own.parent.name}/{own.name}"
    if own.is_file():
        checkpoint = load_checkpoint(own)
        theirs, ours = checkpoint.get("data") or {}, splits.info()
        if all(theirs.get(key) == ours[key] for key in ("classes", "mean", "std")):
            accuracy = checkpoint["val_accuracy"]
            print(f"network  your own, {shown} (validation accuracy {accuracy:.1%})")
            return load_model(own).to(session.device)
        print(f"network  not {shown}, which was trained on other data, but:")
    print(f"network  the pretrained {name!r} that ships with the course")
    return load_pretrained(name).to(session.device)
