"""The reader's own trained network, or the one that ships for the data in use."""

from pathlib import Path

from torch import nn

from course_utils.data.arrays import ImageSplits
from course_utils.data.photo_splits import PhotoSplits
from course_utils.pretrained.shipped import pretrained_path
from course_utils.session import Session
from course_utils.training import load_checkpoint
from course_utils.training.checkpoint import load_model

CIFAR10_RUN = "03_cifar10_training/best.pt"
FLOWERS_RUN = "06_transfer_learning/best.pt"


def own_or_shipped(session: Session, splits: ImageSplits | PhotoSplits) -> str | Path:
    """Return the weights for the data in use: the reader's own, else what ships.

    Prints which. The reader's are passed over if they were trained on other data, for
    example on sketches where there are photos now.

    Args:
        session: Says where the reader's checkpoints are.
        splits: The data in use, CIFAR-10 or the flowers.

    Returns:
        The path of a checkpoint of lesson 03 or 06, or a name in `PRETRAINED`, as
        `load_predictor` takes either.

    Raises:
        CheckpointError: If the reader's file is damaged.

    Taught in: lesson 07, first cells.
    """
    if isinstance(splits, ImageSplits):
        own = session.runs_dir / CIFAR10_RUN
        shipped = "cifar10" if splits.is_photos else "sketches"
        data = {"mean": list(splits.mean), "std": list(splits.std)}
    else:
        own = session.runs_dir / FLOWERS_RUN
        shipped = "flowers" if splits.is_photos else "flower-sketches"
        data = {"source": splits.source}
    data["classes"] = list(splits.classes)
    if own.is_file():
        checkpoint = load_checkpoint(own)
        trained_on = checkpoint.get("data") or {}
        # a notebook shows no path of the machine
        shown = f"{session.runs_dir.name}/{own.parent.name}/{own.name}"
        if all(trained_on.get(key) == value for key, value in data.items()):
            accuracy = checkpoint["val_accuracy"]
            print(f"network  your own, {shown} (validation accuracy {accuracy:.1%})")
            return own
        print(f"network  not {shown}, which was trained on other data, but:")
    print(f"network  the pretrained {shipped!r} that ships with the course")
    return shipped


def own_or_flowers(runs: Path) -> str | Path:
    """Return the weights that name photos of flowers: the reader's own, else `flowers`.

    The reader's of lesson 06 are passed over, and it is printed, if they were trained
    on sketches.

    Args:
        runs: Folder of the reader's checkpoints.

    Raises:
        CheckpointError: If the reader's file is damaged.
    """
    own = runs / FLOWERS_RUN
    if not own.is_file():
        return "flowers"
    trained_on = load_checkpoint(own).get("data") or {}
    if "sketches" not in str(trained_on.get("source")):
        return own
    print(f"network  not {own}, which was trained on sketches, but:")
    return "flowers"


def load_trained(session: Session, splits: ImageSplits | PhotoSplits) -> nn.Module:
    """Return the network of `own_or_shipped`, in eval mode, on the session's device.

    Returns:
        Maps normalised images (B, 3, H, W) to logits (B, num_classes).

    Raises:
        CheckpointError: If the reader's file is damaged.

    Taught in: lesson 04, first cells.
    """
    weights = own_or_shipped(session, splits)
    path = weights if isinstance(weights, Path) else pretrained_path(weights)
    return load_model(path).to(session.device)
