"""Checks of arguments that several rooms share, a sentence each."""

from torch import Tensor
from torch.utils.data import DataLoader


def check_at_least_one(value: int | None, name: str) -> None:
    """Raise if a number that counts something is given and is below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}; give at least 1.")


def check_not_empty(loader: DataLoader) -> None:
    """Raise if there is no batch to go through."""
    if not len(loader):
        raise ValueError(
            "The loader yields no batch; give it at least one image (and "
            "drop_last=False where there are fewer than a batch)."
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise if a label names none of the network's classes."""
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"Labels go from {labels.min()} to {labels.max()}, but the network has "
            f"{logits.shape[1]} classes (0 to {logits.shape[1] - 1}); build it with "
            "num_classes to match the data."
        )
