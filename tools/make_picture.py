"""Draws site/picture.png, the picture of the README, from the course's own data.

python tools/make_picture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from course_utils.data.cifar10 import load_cifar10
from course_utils.plotting import course_style, plot_seeds
from course_utils.results import load_results

PICTURE = Path(__file__).resolve().parent.parent / "site" / "picture.png"


def main() -> None:
    """Draw the picture."""
    matplotlib.use("Agg")
    course_style()
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
