"""Draws site/picture.png, the picture of the README, from the course's own data.

python tools/make_picture.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from course_utils.data.cifar10 import load_cifar10
from course_utils.plotting import course_style
from course_utils.results import load_results

PICTURE = Path(__file__).resolve().parent.parent / "site" / "picture.png"


def main() -> int:
    """Draw the picture; return the exit status."""
    matplotlib.use("Agg")
    course_style()
    sketches = load_cifar10(None)
    runs = [
        run
        for run in load_results("03_cifar10_training")
        if run["profile"] == "quick" and "sketches" in run["data"]
    ]
    if not runs:
        print("results/ holds no quick run on the sketches: run `make results-03`.")
        return 1
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
        curves = np.array([run["history"][f"{split}_accuracy"] for run in runs])
        epochs = np.arange(1, curves.shape[1] + 1)
        label = f"{name} (n = {len(runs)} seeds)"
        axis.plot(epochs, curves.mean(0), dash, label=label)
        axis.fill_between(epochs, curves.min(0), curves.max(0), alpha=0.2, lw=0)
    axis.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(loc="lower right")
    figure.savefig(PICTURE, metadata={"Software": None})
    print(f"{PICTURE.name} drawn from {len(runs)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
