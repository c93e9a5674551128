"""Draws the README's two pictures in site/, from the course's own data and runs.

python tools/make_picture.py
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from recording import README_MACHINE, RESULTS, accuracy_by_minutes

from course_utils.data.cifar10 import load_cifar10
from course_utils.plotting import course_style, plot_seeds
from course_utils.results import load_results

SITE = Path(__file__).resolve().parent.parent / "site"
PICTURE, MINUTES = SITE / "picture.png", SITE / "minutes.png"


def main() -> None:
    """Draw both pictures."""
    matplotlib.use("Agg")
    course_style()
    draw_sketches_and_curves()
    draw_minutes(accuracy_by_minutes(RESULTS)[README_MACHINE])


def draw_minutes(found: dict[str, dict[float, list[float]]]) -> None:
    """Draw test accuracy against minutes: medians, in a bar from least to most."""
    figure, axis = plt.subplots(figsize=(8, 3.6))
    for title, marks in reversed(found.items()):
        minutes = sorted(marks)
        middle = [median(marks[mark]) for mark in minutes]
        below = [m - min(marks[mark]) for m, mark in zip(middle, minutes, strict=True)]
        above = [max(marks[mark]) - m for m, mark in zip(middle, minutes, strict=True)]
        axis.errorbar(minutes, middle, (below, above), marker="o", label=title)
    axis.set_xscale("log")
    ticks = sorted({mark for marks in found.values() for mark in marks})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel=f"minutes, {README_MACHINE}", ylabel="test accuracy", ylim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(MINUTES, metadata={"Software": None})
    print(f"{MINUTES.name} drawn from {len(found)} trainings")


def draw_sketches_and_curves() -> None:
    """Draw one image of each class, and the curves of the quick runs on such images."""
    sketches = load_cifar10(None)
    runs = [
        run
        for run in load_results("03_cifar10_training")
        if run["profile"] == "quick" and "sketches" in run["data"]
    ]
    figure = plt.figure(figsize=(9, 4.2))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2.2))
    for number, axis in enumerate(top.subplots(1, 10)):
        first = np.flatnonzero(sketches.test.labels == number)[1]
        axis.imshow(sketches.test.images[first])
        axis.set_title(sketches.classes[number], fontsize="small", loc="center")
        axis.axis("off")
    axis = bottom.subplots()
    for split, name, dash in (
        ("train", "training images, while learning", "--"),
        ("val", "images never trained on", "-"),
    ):
        curves = [run["history"][f"{split}_accuracy"] for run in runs]
        plot_seeds({name: curves}, axis, linestyle=dash)
    axis.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(loc="lower right")
    figure.savefig(PICTURE, metadata={"Software": None})
    print(f"{PICTURE.name} drawn from {len(runs)} runs")


if __name__ == "__main__":
    main()
