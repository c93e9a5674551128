"""What a network's parts contribute: blocks, features and slices of the loss."""

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

MARKERS = "o^sD"  # those after the first are outlined, too
MOST_NAMES = 30  # along an axis; of more, every second, third … is written


def plot_branch_ratios(ratios: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Return axes with a bar a block: the size of F(x) against that of x.

    Args:
        ratios: By the block's name, at least 0; stages have colours of their own.
        ax: Axes to draw on; default a new figure's.

    Taught in: lesson 01b, "How much does a trained block change?".
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

    Source: Veit et al. 2016 (arXiv 1605.06431), Figure 3.
    Taught in: lesson 05, "Deleting a block".
    """
    blocks = {block for found in accuracies.values() for block in found}
    names = sorted(blocks, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    if axes is None:
        number = len(accuracies)
        size = (1.5 + 4 * number, 3.5)
        _, axes = plt.subplots(1, number, figsize=size, sharey=True, squeeze=False)
        axes = axes[0]
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
        ValueError: If there are more classes than colours and markers.

    Taught in: lesson 05, "The space of features".
    """
    points, labels = np.asarray(points), np.asarray(labels)
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
        losses: By network, the loss at each step.
        ax: Axes to draw on; default a new figure's.

    Source: Li et al. 2018 (arXiv 1712.09913), section 3.
    Taught in: lesson 05b, "A slice of the loss, and a trap of scale".
    """
    if ax is None:
        _, ax = plt.subplots()
    for name, values in losses.items():
        ax.plot(alphas, values, label=name)
    ax.axvline(0, color="black", linestyle=":", linewidth=1)
    ax.set(ylabel="cross-entropy loss", xlabel="step, in filter lengths")
    ax.legend()
    return ax


def _block_bars(ax: Axes, names: Sequence[str], values: Mapping[str, float]) -> None:
    """Draw a bar a block, a stage in one colour, an × where there is no value."""
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
