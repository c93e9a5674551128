"""Plots of lesson 05: blocks, features and loss surfaces; plain data in, axes out."""

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import PercentFormatter

from course_utils.plotting.images import refuse_classes

MARKERS = "o^sD"  # those after the first are outlined, too
MOST_NAMES = 30  # along an axis; of more, every second, third … is written


def plot_branch_ratios(ratios: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Return axes with a bar a block: the size of F(x) against that of x.

    Args:
        ratios: By the block's name, at least 0; stages have colours of their own.
        ax: Axes to draw on; default a new figure's.

    Raises:
        ValueError: If there is no block.

    Taught in: lesson 05, "Inside the residual".
    """
    if ax is None:
        _, ax = plt.subplots()
    _block_bars(ax, list(ratios), ratios)
    ax.axhline(1, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel="block", ylabel="‖F(x)‖ / ‖shortcut(x)‖")
    return ax


def plot_deletion(
    accuracies: Mapping[str, Mapping[str, float]],
    baselines: Mapping[str, float],
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Return one panel a network: the accuracy with each block deleted, side by side.

    Args:
        accuracies: By network and block, the accuracy without that block, a fraction.
            A block that cannot be taken out of a network has an × there.
        baselines: By network, the accuracy with all blocks.
        axes: One axes a network; default a new figure's, with shared limits.

    Raises:
        ValueError: If there is no block, or not one baseline a network.

    Source: Veit et al. 2016 (arXiv 1605.06431), Figure 3.
    Taught in: lesson 05, "Deleting a block".
    """
    if set(accuracies) != set(baselines):
        raise ValueError(
            f"There are accuracies of {sorted(accuracies)} and baselines of "
            f"{sorted(baselines)}; give both for every network."
        )
    blocks = {block for found in accuracies.values() for block in found}
    names = sorted(blocks, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    if axes is None:
        _, axes = _panels(len(accuracies))
    for axis, (network, values) in zip(axes, accuracies.items(), strict=True):
        _block_bars(axis, names, values)
        baseline = baselines[network]
        axis.axhline(baseline, color="black", linestyle="--", linewidth=1)
        axis.set(title=f"{network}: {baseline:.1%} with all blocks", ylim=(0, 1))
        note = "" if len(values) == len(names) else " (×: cannot be taken out)"
        axis.set_xlabel(f"deleted block{note}")
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("accuracy")
    return axes


def plot_embedding(
    points: np.ndarray,
    labels: Sequence[int],
    names: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Return axes with points in two dimensions, coloured by class.

    Args:
        points: float (N, 2).
        labels: Class of each point, (N,).
        names: The classes' names; 28 at most, by colour and marker.
        ax: Axes to draw on; default a new figure's.

    Raises:
        ValueError: If the shapes do not fit, a label has no name, or there are more
            classes than colours and markers.

    Taught in: lesson 05, "The space of features".
    """
    points, labels = np.asarray(points), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels):
        raise ValueError(
            f"points has shape {points.shape} for {len(labels)} labels; expected "
            "(N, 2) with a label each."
        )
    refuse_classes(labels, names)
    if len(names) > 7 * len(MARKERS):
        raise ValueError(
            f"{len(names)} classes cannot be told apart in one plot; choose at most "
            f"{7 * len(MARKERS)} of them."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(6.5, 4.5))
    for number, name in enumerate(names):
        own = points[labels == number]
        ax.plot(
            *own.T,
            MARKERS[number // 7],
            color=f"C{number % 7}",
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.6 if number >= 7 else 0,
            alpha=0.8,
            label=name,
        )
    ax.set(xticks=[], yticks=[], xlabel="first dimension", ylabel="second dimension")
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        markerscale=1.8,
        ncols=-(-len(names) // 16),
    )
    return ax


def plot_loss_slice(
    alphas: Sequence[float],
    losses: Mapping[str, Sequence[float]],
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the loss along one direction, one line a network.

    Args:
        alphas: Steps from the trained weights, which are at 0.
        losses: By network, the loss at each step; above 0.
        ax: Axes to draw on; default a new figure's.

    Raises:
        ValueError: If there is no network, or not one loss a step.

    Source: Li et al. 2018 (arXiv 1712.09913), section 3.
    Taught in: lesson 05, "What the optimiser saw".
    """
    _refuse_losses(losses, (len(alphas),))
    if ax is None:
        _, ax = plt.subplots()
    for name, values in losses.items():
        ax.plot(alphas, values, label=name)
    ax.axvline(0, color="black", linestyle=":", linewidth=1)
    ax.set(yscale="log", ylabel="cross-entropy loss", xlabel="step, in filter lengths")
    ax.legend()
    return ax


def plot_loss_surface(
    alphas: Sequence[float],
    betas: Sequence[float],
    losses: Mapping[str, np.ndarray],
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Return one panel a network: contours of the loss in a plane, on one scale.

    Args:
        alphas: Steps along the first direction; the trained weights are at 0.
        betas: Steps along the second.
        losses: By network, float (len(alphas), len(betas)), above 0.
        axes: One axes a network; default a new figure's.

    Raises:
        ValueError: If there is no network, or not one loss a point.

    Source: Li et al. 2018 (arXiv 1712.09913), section 4.
    Taught in: lesson 05, "What the optimiser saw".
    """
    _refuse_losses(losses, (len(alphas), len(betas)))
    if axes is None:
        _, axes = _panels(len(losses), sharex=True)
    finite = np.concatenate([np.ravel(values) for values in losses.values()])
    finite = finite[np.isfinite(finite)]
    levels = np.geomspace(finite.min(), finite.max(), 13)
    for axis, (name, values) in zip(axes, losses.items(), strict=True):
        drawn = axis.contourf(
            alphas,
            betas,
            np.minimum(values, 2 * levels[-1]).T,  # infinite ones, too, have a colour
            levels,
            norm=LogNorm(levels[0], levels[-1]),
            cmap="viridis",
            extend="max",
        )
        axis.plot(0, 0, "*", color="white", markeredgecolor="black", markersize=10)
        axis.set(title=name, xlabel="first direction", aspect="equal")
        axis.grid(False)
    axes[0].set_ylabel("second direction")
    axes[0].figure.colorbar(
        drawn,
        ax=axes,
        label="cross-entropy loss",
        ticks=levels[::2],
        format=lambda loss, _: f"{float(f'{loss:.2g}'):g}",  # two digits, no exponent
    )
    return axes


def _panels(number: int, **options: bool) -> tuple:
    """Return a figure and its axes, side by side, with one y-axis for all."""
    size = (1.5 + 4 * number, 3.5)
    figure, axes = plt.subplots(
        1, number, figsize=size, sharey=True, squeeze=False, **options
    )
    return figure, axes[0]


def _block_bars(ax: Axes, names: Sequence[str], values: Mapping[str, float]) -> None:
    """Draw a bar a block, a stage in one colour, an × where there is no value."""
    if not names:
        raise ValueError("There is no block to draw; give at least one.")
    stages = list(dict.fromkeys(name.split(".")[0] for name in names))
    for place, name in enumerate(names):
        color = f"C{stages.index(name.split('.')[0]) % 7}"
        if name in values:
            ax.bar(place, values[name], color=color)
        else:
            ax.text(place, 0, "×", color=color, ha="center", va="bottom")
    step = -(-len(names) // MOST_NAMES)
    places = range(0, len(names), step)
    ax.set_xticks(places, [names[p] for p in places], rotation=90, fontsize="small")
    ax.grid(False, axis="x")


def _refuse_losses(losses: Mapping[str, object], shape: tuple[int, ...]) -> None:
    shapes = {name: np.shape(values) for name, values in losses.items()}
    if not shapes or set(shapes.values()) != {shape}:
        raise ValueError(
            f"The losses have shapes {shapes}; expected {shape} for at least one "
            "network, a loss for every step."
        )
