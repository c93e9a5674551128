"""How good the predictions are: over all images, and class by class."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils._engine.progress import progress_bar
from course_utils.models.modes import device_of, in_mode
from course_utils.training import validation


@torch.no_grad()
def collect_logits(
    model: nn.Module, loader: DataLoader, *, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of all images, computed in evaluation mode.

    Every part of the model is back in its own mode afterwards. Of a batch, nothing but
    its logits and labels is kept.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,); the last batch may be short.
        progress: Whether to show a progress bar; TQDM_DISABLE=1 hides it.

    Returns:
        Logits float32 (N, num_classes) and labels int64 (N,), in the loader's order,
        on the CPU.

    Raises:
        ValueError: If the loader is empty, a label is outside the classes, or the
            model's outputs are not one logit a class.

    Taught in: lesson 04, "Collect once, compute everything".
    """
    validation.check_not_empty(loader)
    device = device_of(model)
    all_logits, all_labels = [], []  # logits stay on the device: no wait at each batch
    with in_mode(model, training=False):
        for images, labels in progress_bar(loader, "evaluate", progress):
            logits = model(images.to(device, non_blocking=True)).float()
            refuse_misfits(logits, labels)
            all_logits.append(logits)
            all_labels.append(labels)
    return torch.cat(all_logits).cpu(), torch.cat(all_labels).cpu()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of images whose highest logit is at the right class.

    Args:
        logits: float (B, num_classes); probabilities serve as well.
        labels: int64 (B,), on the same device.

    Returns:
        A fraction between 0 and 1.

    Raises:
        ValueError: If there is no image, or one class only, or the shapes do not fit.

    Taught in: lesson 03, "One epoch".
    """
    _refuse_shapes(logits, labels)
    return (logits.argmax(1) == labels).float().mean().item()


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int) -> float:
    """Return the share of images whose right class has one of the k highest logits.

    Args:
        logits: float (N, num_classes); probabilities serve as well.
        labels: int64 (N,), 0 to num_classes - 1.
        k: From 1 (the accuracy) to num_classes (always 1.0).

    Returns:
        A fraction between 0 and 1. Of equal logits the first class ranks highest.

    Raises:
        ValueError: If `k` or a label is out of range, or the shapes do not fit.

    Source: Russakovsky et al. 2015 (arXiv 1409.0575), section 4.1, for k = 5.
    Taught in: lesson 04, "Collect once, compute everything".
    """
    refuse_misfits(logits, labels)
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(
            f"k is {k}, but there are {logits.shape[1]} classes; give a number from 1 "
            f"to {logits.shape[1]}."
        )
    # topk would break ties either way; a stable sort breaks them as argmax does
    top = logits.argsort(dim=1, descending=True, stable=True)[:, :k]  # (N, k)
    return (top == labels[:, None]).any(1).float().mean().item()


class PerClass(NamedTuple):
    """For each class: accuracy (NaN without an example), hits, images; each (C,)."""

    accuracy: Tensor
    correct: Tensor
    count: Tensor


def per_class_accuracy(logits: Tensor, labels: Tensor) -> PerClass:
    """Return, for each class, the share of its images that are predicted right.

    Args:
        logits: float (N, num_classes); probabilities serve as well.
        labels: int64 (N,), 0 to num_classes - 1.

    Returns:
        Accuracy float32, hits and images int64, each (num_classes,). The accuracy of a
        class without an example is NaN.

    Raises:
        ValueError: If a label is outside the classes, or the shapes do not fit.

    Taught in: lesson 04, "Real, or luck?".
    """
    refuse_misfits(logits, labels)
    num_classes = logits.shape[1]
    hits = labels[logits.argmax(1) == labels]
    correct = torch.bincount(hits, minlength=num_classes)
    count = torch.bincount(labels, minlength=num_classes)
    return PerClass(correct / count, correct, count)


def most_confident_mistakes(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the indices of the wrong predictions, the most confident first.

    Args:
        logits: float (N, num_classes).
        labels: int64 (N,), 0 to num_classes - 1.
        count: How many to return; fewer where there are fewer mistakes.

    Returns:
        int64, at most (count,).

    Raises:
        ValueError: If a label is outside the classes, or the shapes do not fit.

    Taught in: lesson 04, "Confidently wrong".
    """
    refuse_misfits(logits, labels)
    # in 64 bits: in 32, many a confidence would round to 1
    confidences, predictions = logits.double().softmax(1).max(1)
    wrong = torch.nonzero(predictions != labels).flatten()
    order = confidences[wrong].argsort(descending=True, stable=True)
    return wrong[order[:count]]


def refuse_misfits(logits: Tensor, labels: Tensor) -> None:
    """Raise if logits and labels do not go together, or there are none."""
    _refuse_shapes(logits, labels)
    validation.check_labels(labels, logits)


def _refuse_shapes(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}, labels {tuple(labels.shape)}; "
            "expected (B, num_classes) and (B,) with at least one image."
        )
    if logits.shape[1] == 1:
        raise ValueError(
            "There is 1 class to choose from, so every prediction is the same; "
            "expected at least 2 (two logits for a yes or no)."
        )
