"""How good the predictions are: class by class, by confidence, under damage."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgba_array
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

MAX_CLASSES = 50  # more names than this do not fit beside a figure
MAX_NUMBERED = 20  # more numbers a row than this do not fit into its cells
FEW_IMAGES = 20  # the accuracy of a bin with fewer scatters widely: drawn pale


def plot_per_class(
    class_names: Sequence[str],
    correct: ArrayLike,
    count: ArrayLike,
    interval: tuple[ArrayLike, ArrayLike],
    ax: Axes | None = None,
) -> Axes:
    """Return axes with one dot a class, the best on top, each with its interval.

    The axis ends at 100 % and begins below the lowest interval, not at 0.

    Args:
        class_names: One name for each class, at most 50.
        correct: Hits of each class, (num_classes,).
        count: Images of each class; a class without one is said to have no example.
        interval: Lower and upper ends for each class, fractions, as
            `wilson_interval` returns them.
        ax: Axes to draw on; default a new figure's, as high as it takes.

    Raises:
        ValueError: If there are too many classes to be labelled.

    Taught in: lesson 04, "An interval for an accuracy".
    """
    _check_room(class_names)
    correct, count = np.asarray(correct), np.asarray(count)
    lower, upper = (np.asarray(end, float) for end in interval)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 0.8 + 0.28 * len(class_names)))
    share = correct / np.maximum(count, 1)
    order = np.argsort(np.where(count > 0, share, -1), kind="stable")  # best last: top
    share, lower, upper = share[order], lower[order], upper[order]
    correct, count = correct[order], count[order]
    rows, seen = np.arange(len(order)), count > 0
    whiskers = np.stack([share - lower, upper - share]).clip(0)[:, seen]
    style = {"fmt": "o", "color": "C0", "ecolor": "0.3", "capsize": 3, "lw": 1.2}
    ax.errorbar(share[seen], rows[seen], xerr=whiskers, clip_on=False, **style)
    beside = ax.get_yaxis_transform()  # x in widths of the axes, y in rows
    for row in rows:
        text = f"{share[row]:.1%} of {count[row]}" if seen[row] else "no example"
        ax.text(1.02, row, text, va="center", size="small", transform=beside)
    ax.set_yticks(rows, [class_names[index] for index in order])
    label = "accuracy of the class (whisker: interval)"
    start = np.floor(20 * lower[seen].min(initial=1) - 0.1) / 20  # in steps of 5 %
    start = min(max(start, 0), 0.9)
    ax.set(xlim=(start, 1), ylim=(-0.6, len(order) - 0.4), xlabel=label)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(visible=False, axis="y")
    return ax


def plot_confusion(
    matrix: ArrayLike, class_names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Return axes with the confusion matrix, each row shaded by its own shares.

    Up to 20 classes the cells hold their numbers: counts as they are, shares in per
    cent with one decimal; cells that are 0 stay empty. The row of a class without an
    example is grey. The colours run with the square root of the share.

    Args:
        matrix: Counts or shares (num_classes, num_classes), rows are true classes.
        class_names: One name for each class, at most 50.
        ax: Axes to draw on; default a new figure's, as large as it takes.

    Raises:
        ValueError: If there are too many classes to be labelled.

    Taught in: lesson 04, "What is taken for what".
    """
    _check_room(class_names)
    matrix = np.asarray(matrix)
    size = len(class_names)
    if ax is None:
        inches = 2 + (0.46 if size <= MAX_NUMBERED else 0.17) * size
        _, ax = plt.subplots(figsize=(inches + 0.8, inches))
    images = np.nan_to_num(matrix.sum(1, keepdims=True))  # shares of nothing are NaN
    shares = np.divide(
        matrix, images, out=np.full((size, size), np.nan), where=images > 0
    )
    # square roots: a mistake in a hundred would be as white as none
    colors = plt.get_cmap("Blues").with_extremes(bad="0.85")
    picture = ax.imshow(shares, cmap=colors, norm=PowerNorm(0.5, 0, 1))
    ticks = {"ticks": [0, 0.01, 0.05, 0.2, 0.5, 1], "format": PercentFormatter(1)}
    bar = ax.figure.colorbar(picture, ax=ax, shrink=0.8, **ticks)
    bar.set_label("share of the true class")
    if size <= MAX_NUMBERED:
        is_count = np.issubdtype(matrix.dtype, np.integer)
        for row, column in np.argwhere(np.nan_to_num(matrix)):
            value = matrix[row, column]
            text = f"{value}" if is_count else f"{100 * value:.1f}".removesuffix(".0")
            color = "white" if shares[row, column] > 0.35 else "black"
            style = {"ha": "center", "va": "center", "size": "x-small", "color": color}
            ax.text(column, row, text, **style)
    seen = [
        name if number else f"{name} (no example)"
        for name, number in zip(class_names, images[:, 0], strict=True)
    ]
    small = {"fontsize": "small" if size <= MAX_NUMBERED else "x-small"}
    ax.set_xticks(range(size), class_names, rotation=90, **small)
    ax.set_yticks(range(size), seen, **small)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.grid(visible=False)
    return ax


def plot_reliability(
    confidence: ArrayLike,
    accuracy: ArrayLike,
    count: ArrayLike,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with accuracy against confidence, and the gap between the two.

    The gap begins at the accuracy, a black line, and ends at the mean confidence:
    orange upwards where the network is too sure, blue downwards where it is too modest.
    Bins with fewer than 20 images are pale.

    Args:
        confidence: Mean confidence of each bin, (num_bins,); NaN where it is empty.
        accuracy: Share of right predictions, likewise. The three are what
            `reliability` returns.
        count: Images in each bin, written above it.
        ax: Axes to draw on; default a new figure's.

    Source: Guo et al. 2017 (arXiv 1706.04599), figure 1.
    Taught in: lesson 04, "Can its confidence be believed?".
    """
    confidence, accuracy, count = map(np.asarray, (confidence, accuracy, count))
    if ax is None:
        _, ax = plt.subplots(figsize=(5.6, 4.4))
    edges = np.linspace(0, 1, len(count) + 1)
    seen = count > 0
    left, confidence, accuracy = edges[:-1][seen], confidence[seen], accuracy[seen]
    width = 1 / len(count)
    pale = np.where(count[seen] < FEW_IMAGES, 0.3, 1)
    gap = confidence - accuracy
    colors = to_rgba_array(["C1" if part > 0 else "C0" for part in gap], pale)
    bars = {"width": width, "align": "edge", "ec": "white"}
    ax.bar(left, accuracy, **bars, color="0.88")
    ax.bar(left, gap, bottom=accuracy, **bars, color=colors)
    ax.plot([0, 1], [0, 1], "--", color="black", lw=1, label="no gap")
    black = to_rgba_array("black", pale)
    ax.hlines(accuracy, left, left + width, colors=black, lw=2.2)
    ax.plot([], [], color="black", lw=2.2, label="accuracy")  # never pale in the legend
    for color, name in (("C1", "too sure"), ("C0", "too modest")):
        ax.add_patch(Rectangle((0, 0), 0, 0, color=color, label=name))  # for the legend
    top = ax.secondary_xaxis("top")
    centres = left + width / 2
    top.set_xticks(centres, count[seen], rotation=90, size="x-small")
    top.tick_params(length=0)
    top.set_xlabel("images in the bin", size="small")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 4}
    ax.legend(**place, fontsize="small", columnspacing=1)
    return ax


def _check_room(class_names: Sequence[str]) -> None:
    """Raise if there are more classes than fit beside a figure."""
    if len(class_names) > MAX_CLASSES:
        raise ValueError(
            f"{len(class_names)} classes are more than the figure can label "
            f"({MAX_CLASSES}); give it the ones to look at, for example the 20 with "
            "the lowest accuracy."
        )
