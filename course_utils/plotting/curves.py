"""Curves: what is measured against epochs, steps or sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike


class EpochLists(Protocol):
    """What `plot_history` draws: one number an epoch in every list."""

    train_loss: list[float]
    train_accuracy: list[float]
    val_loss: list[float]
    val_accuracy: list[float]
    lr: list[float]


def course_style() -> None:
    """Use the course's style for all figures that follow.

    Taught in: lesson 01, first cell.
    """
    plt.style.use(Path(__file__).with_name("course.mplstyle"))


def plot_history(
    history: EpochLists | Mapping[str, EpochLists], axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Return three axes: loss, accuracy and learning rate against the epoch.

    Training numbers are means over an epoch, so they stand in its middle; validation is
    measured at its end.

    Args:
        history: One `History`, or several by name.
        axes: Three axes to draw on; default a new figure's.

    Raises:
        ValueError: If there is no finished epoch to draw.

    Taught in: lesson 03, "Train, and read the curves".
    """
    runs = history if isinstance(history, Mapping) else {"": history}
    if not runs or not all(run.train_loss for run in runs.values()):
        raise ValueError(
            "A history has no finished epoch to draw; train for one epoch at least."
        )
    if axes is None:
        _, axes = plt.subplots(1, 3, figsize=(10.5, 3.2))
    panels = (("loss", "cross-entropy loss"), ("accuracy", "accuracy"))
    for axis, (quantity, label) in zip(axes, panels, strict=False):
        for number, (name, run) in enumerate(runs.items()):
            for split, dash, end in (("train", "--", 0.5), ("val", "-", 1)):
                values = getattr(run, f"{split}_{quantity}")
                long_name = {"train": "training", "val": "validation"}[split]
                axis.plot(
                    np.arange(len(values)) + end,
                    values,
                    dash,
                    color=f"C{number}",
                    label=f"{name} {long_name}".strip(),
                )
        axis.set_ylabel(label)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    for number, run in enumerate(runs.values()):
        epochs = range(1, len(run.lr) + 1)
        axes[2].plot(epochs, run.lr, color=f"C{number}", marker=".")
    axes[2].set_ylabel("learning rate")
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0].legend()
    return axes


def plot_lines(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ax: Axes | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    percent: bool = False,
) -> Axes:
    """Return axes with one line a name, a dot at each value.

    Args:
        lines: For each name (which goes into the legend) the values of x and of y.
        ax: Axes to draw on; default a new figure's.
        xlabel: What x is, with its unit.
        ylabel: What y is, with its unit.
        percent: Whether y holds fractions, to be written in per cent.

    Taught in: lesson 03, "Results".
    """
    if ax is None:
        _, ax = plt.subplots()
    for name, (x, y) in lines.items():
        ax.plot(x, y, marker=".", label=name)
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if any(lines):
        ax.legend()
    return ax


def plot_seeds(
    curves: Mapping[str, Sequence[Sequence[float]]],
    ax: Axes | None = None,
    *,
    x: Sequence[float] | None = None,
    linestyle: str = "-",
) -> Axes:
    """Return axes with each group of runs as its mean, in a band from least to most.

    Args:
        curves: For each name, one curve a seed, all of one length.
        ax: Axes to draw on; default a new figure's.
        x: Where the points are; default the epochs 1, 2, 3 …
        linestyle: ``"-"`` for validation, ``"--"`` for training.

    Taught in: lesson 03, "Train, and read the curves".
    """
    if ax is None:
        _, ax = plt.subplots()
    for number, (name, runs) in enumerate(curves.items()):
        runs = np.asarray(runs)
        points = np.arange(1, runs.shape[1] + 1) if x is None else x
        color = f"C{number}"
        label = f"{name} (n = {len(runs)})"
        ax.plot(points, runs.mean(0), linestyle, color=color, label=label)
        ax.fill_between(points, runs.min(0), runs.max(0), color=color, alpha=0.2, lw=0)
    ax.legend()
    return ax
