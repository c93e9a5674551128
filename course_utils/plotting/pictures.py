"""Pictures: images, and what a network makes of them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

MAX_BARS = 10
RIGHT, WRONG = "#009E73", "#D55E00"  # of the style sheet: green and red, told apart


def show_images(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    size: float = 1.1,
) -> np.ndarray:
    """Return a grid of axes with one image each, upscaled without blur.

    Args:
        images: uint8 (N, H, W, 3), or float in [0, 1].
        titles: One for each image.
        columns: Images a row.
        size: Width and height of each image, in inches.

    Taught in: lesson 03, "From images to batches".
    """
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    height = size * (1.25 if titles is not None else 1.0)
    _, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image)
        if titles is not None:
            axis.set_title(titles[index], fontsize="small", loc="center")
    return axes


def show_predictions(
    images: np.ndarray,
    predicted: Sequence[int],
    true: Sequence[int],
    names: Sequence[str],
    *,
    rows: int = 8,
    columns: int = 8,
) -> np.ndarray:
    """Return a grid of images titled ``predicted (true)``, and their accuracy above.

    Right ones are green with ✓, wrong ones red with ✗ and a frame.

    Args:
        images: uint8 (N, H, W, 3), or float in [0, 1]; the first of them are shown.
        predicted: The predicted class of each, (N,).
        true: The true class of each, (N,).
        names: The classes' names; a class is a position in them.
        rows: Rows of the grid.
        columns: Images a row.

    Raises:
        ValueError: If the grid is larger than the data.

    Taught in: lesson 05, "Right and wrong at a glance".
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    count = rows * columns
    if not 0 < count <= len(images):
        raise ValueError(
            f"A grid of {rows} × {columns} needs {count} images, but there are "
            f"{len(images)}; choose rows and columns of at least 1 that fit, or give "
            "more images."
        )
    predicted, true = predicted[:count], true[:count]
    right = predicted == true
    titles = [
        f"{'✓' if hit else '✗'} {_short(names[p])}\n({_short(names[t])})"
        for hit, p, t in zip(right, predicted, true, strict=True)
    ]
    axes = show_images(images[:count], titles, columns=columns)
    for axis, hit in zip(axes.flat, right, strict=True):
        axis.title.set_color(RIGHT if hit else WRONG)
        if not hit:
            frame = Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False)
            frame.set(edgecolor=WRONG, linewidth=4)
            axis.add_patch(frame)
    axes[0, 0].figure.suptitle(
        f"predicted (true): {right.sum()} of {count} right, {right.mean():.1%}"
    )
    return axes


def show_filters(weights: np.ndarray, *, columns: int = 8) -> np.ndarray:
    """Return a grid of axes with the filters of the first layer as colour images.

    Args:
        weights: float (filters, 3, k, k); each filter is scaled to its own range, so
            brightness cannot be compared between filters.
        columns: Filters a row.

    Taught in: lesson 05, "Filters and feature maps".
    """
    weights = np.asarray(weights)
    pictures = np.stack([_own_range(w.transpose(1, 2, 0)) for w in weights])
    axes = show_images(pictures, columns=columns, size=0.8)
    axes[0, 0].figure.suptitle("each filter scaled to its own range")
    return axes


def show_feature_maps(
    maps: Mapping[str, np.ndarray], *, channels: int = 8
) -> np.ndarray:
    """Return axes with the first feature maps of each layer, one layer a row.

    Args:
        maps: By the layer's name, the maps of one image, float (C, h, w); each is
            scaled to its own range.
        channels: Maps a row.

    Taught in: lesson 05, "Filters and feature maps".
    """
    _, axes = plt.subplots(
        len(maps), channels, figsize=(channels * 0.9 + 1, len(maps)), squeeze=False
    )
    for row, (name, values) in zip(axes, maps.items(), strict=True):
        for axis in row:
            axis.set(xticks=[], yticks=[], frame_on=False)
        for axis, one in zip(row, values, strict=False):
            axis.imshow(one)
        height, width = np.shape(values)[1:]
        row[0].set_ylabel(
            f"{name}\n{len(values)} maps, {height}×{width}",
            rotation=0,
            ha="right",
            va="center",
        )
    axes[0, 0].figure.suptitle("each map scaled to its own range")
    return axes


def show_receptive_fields(
    image: np.ndarray,
    spans: Mapping[str, tuple[float, float]],
    ax: Axes | None = None,
) -> Axes:
    """Return axes with squares on an image: what one position of each stage sees.

    Args:
        image: uint8 (H, W, 3), or float in [0, 1].
        spans: By the stage's name, first and last pixel along a side, which may lie
            outside the image.
        ax: Axes to draw on; default a new figure's.

    Taught in: lesson 05b, "The receptive field".
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 4))
    ax.imshow(image)
    for number, (name, (first, last)) in enumerate(spans.items()):
        side = last - first + 1  # pixel centres are whole numbers
        square = Rectangle((first - 0.5, first - 0.5), side, side, fill=False)
        color = f"C{number % 7}"
        square.set(edgecolor=color, linewidth=2, label=f"{name}: {side:.0f} px")
        ax.add_patch(square)
    low = min(-0.5, *(first - 1 for first, _ in spans.values()))
    high = max(max(image.shape[:2]) - 0.5, *(last + 1 for _, last in spans.values()))
    ax.set(xlim=(low, high), ylim=(high, low), xlabel="pixel", ylabel="pixel")
    ax.grid(False)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def overlay_heatmap(
    image: np.ndarray,
    heatmap: np.ndarray,
    ax: Axes | None = None,
    vmax: float | None = None,
) -> Axes:
    """Return axes with an image in grey and, over it, a map whose colours begin at 0.

    Args:
        image: uint8 (H, W, 3), or float in [0, 1].
        heatmap: float (h, w), at least 0; stretched over the image, whatever its size,
            to one value a pixel.
        ax: Axes to draw on; default a new figure's.
        vmax: The value that is brightest; default the map's own maximum. Give maps
            that are compared the same.

    Taught in: lesson 05, "Grad-CAM".
    """
    image, heatmap = np.asarray(image), np.asarray(heatmap)
    if ax is None:
        _, ax = plt.subplots(figsize=(2.5, 2.5))
    height, width = image.shape[:2]
    ax.imshow(image.mean(2), cmap="gray")
    ax.imshow(
        _stretched(_stretched(heatmap, height).T, width).T,
        cmap="inferno",
        vmin=0,
        vmax=vmax or heatmap.max() or 1,  # a map of zeros stays dark
        alpha=0.5,
    )
    ax.axis("off")
    return ax


def plot_prediction(
    image: ArrayLike,
    classes: Sequence[str],
    probabilities: ArrayLike,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the photo on the left and its most probable classes as bars.

    Args:
        image: The photo: PIL, uint8 (H, W, 3), or float in [0, 1].
        classes: One name for each class.
        probabilities: float (num_classes,), in [0, 1]; the ten highest are drawn, the
            best on top.
        ax: Axes to divide in two; default a new figure's. Its ``child_axes`` are the
            photo and the bars.

    Raises:
        ValueError: If there is not one probability for each class.

    Taught in: lesson 07, "One photo, by hand".
    """
    probabilities = np.asarray(probabilities, float)
    if probabilities.shape != (len(classes),) or not len(classes):
        raise ValueError(
            f"Got {len(classes)} classes and probabilities of shape "
            f"{probabilities.shape}; give one for each class of a single photo."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3))
    best = np.argsort(-probabilities, kind="stable")[:MAX_BARS][::-1]  # best last: top
    ax.axis("off")
    picture = ax.inset_axes([0, 0, 0.48, 1])
    picture.imshow(np.asarray(image))
    picture.axis("off")
    bars = ax.inset_axes([0.52, 0, 0.3, 1])
    bars.barh(range(len(best)), probabilities[best], color="C0")
    labels = [f"{classes[k]}  {probabilities[k]:.3f}" for k in best]
    bars.yaxis.tick_right()  # long names grow away from the photo
    bars.set_yticks(range(len(best)), labels)
    bars.tick_params(axis="y", length=0)
    bars.set(xlim=(0, 1), ylim=(-0.6, len(best) - 0.4))
    left_out = len(classes) - len(best)
    bars.set_xlabel(
        f"probability, best {len(best)} of {len(classes)}"
        if left_out
        else "probability"
    )
    bars.xaxis.set_major_formatter(PercentFormatter(1))
    bars.grid(visible=False, axis="y")
    return ax


def _stretched(values: np.ndarray, length: int) -> np.ndarray:
    """Return `values` with `length` rows, interpolated between old rows' centres."""
    rows = np.arange(len(values))
    places = (np.arange(length) + 0.5) * len(values) / length - 0.5
    return np.stack([np.interp(places, rows, column) for column in values.T], axis=1)


def _own_range(picture: np.ndarray) -> np.ndarray:
    """Return values from 0 to 1; mid-grey where all are equal."""
    low, high = picture.min(), picture.max()
    if low == high:
        return np.full_like(picture, 0.5)
    return (picture - low) / (high - low)


def _short(name: str, longest: int = 14) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
