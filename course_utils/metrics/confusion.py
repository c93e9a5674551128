"""What is taken for what: the confusion matrix, and what is read off it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Return how many images of each class (row) got each prediction (column).

    Args:
        labels: int64 (N,), 0 to num_classes - 1.
        predictions: int64 (N,), likewise; from logits: ``logits.argmax(1)``.
        num_classes: Rows and columns.

    Returns:
        Counts int64 (num_classes, num_classes).

    Raises:
        ValueError: If a label or a prediction is outside the classes.

    Taught in: lesson 04, "What is taken for what".
    """
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"{name} go from {values.min()} to {values.max()}, expected 0 to "
                f"{num_classes - 1}; give num_classes to match the data."
            )
    cells = labels * num_classes + predictions
    counts = torch.bincount(cells, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def normalise_rows(matrix: Tensor) -> Tensor:
    """Return each row of a confusion matrix as shares of that class's images.

    The diagonal then holds the per-class accuracies. The row of a class without an
    example is NaN.

    Args:
        matrix: Counts (num_classes, num_classes), rows are true classes.

    Returns:
        float32 (num_classes, num_classes).

    Taught in: lesson 04, "What is taken for what".
    """
    return matrix / matrix.sum(1, keepdim=True)


class Confusion(NamedTuple):
    """How many images of one class were taken for another."""

    true: str
    predicted: str
    count: int


def most_confused(
    matrix: Tensor, class_names: Sequence[str], count: int = 5
) -> list[Confusion]:
    """Return the most frequent mistakes, the most frequent first.

    Args:
        matrix: Counts (num_classes, num_classes), rows are true classes.
        class_names: One name for each class.
        count: How many to return; fewer where there are fewer kinds of mistakes.

    Taught in: lesson 04, "What is taken for what".
    """
    mistakes = matrix - matrix.diag().diag()
    order = mistakes.flatten().argsort(descending=True, stable=True)[:count]
    rows, columns = order // len(matrix), order % len(matrix)
    return [
        Confusion(class_names[row], class_names[column], int(mistakes[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if mistakes[row, column] > 0
    ]
