"""Fills the tables of README.md and docs/results.md from the runs in results/.

python tools/update_readme.py

A table stands between the lines <!-- measured: NAME --> and <!-- end -->.
"""

from __future__ import annotations

import json
import re
import statistics
from functools import partial
from pathlib import Path

from recording import README_MACHINE, accuracy_by_minutes

from course_utils._engine.files import write_atomically
from course_utils.results import (
    Result,
    load_results,
    markdown_table,
    mean_and_range,
    results_table,
)

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "README.md", ROOT / "docs" / "results.md"
MARKS = (1, 3, 10, 30)  # minutes
EXPECTED = [
    {"profile": "quick", "data": "CIFAR-10, photos", "hardware": "two CPU cores"},
    {"profile": "full", "data": "CIFAR-10, photos", "hardware": "one GPU"},
]


def lesson_03(folder: Path) -> str:
    """Return the table of lesson 03's runs."""
    return markdown_table(
        *results_table(load_results("03_cifar10_training", folder), EXPECTED)
    )


def weights(folder: Path) -> str:
    """Return the table of the networks that ship."""
    rows = [
        (
            f"`{run['shipped_as']}`",
            run["data"],
            str(run["epochs"]),
            f"{run['minutes']:.0f}",
            f"{run['val_accuracy']:.2%}",
            f"{run['test_accuracy']:.2%}" if "test_accuracy" in run else "no test set",
        )
        for run in load_results("pretrained", folder)
    ]
    heads = ("name", "data", "epochs", "minutes", "validation", "test accuracy")
    return markdown_table(heads, rows)


def degradation(folder: Path) -> str:
    """Return the table of plain against residual networks, by depth."""
    groups: dict[tuple, list[Result]] = {}
    for run in load_results("degradation", folder):
        key = run["data"], run["epochs"], run["train_size"], run["depth"]
        groups.setdefault((*key, run["network"]), []).append(run)
    rows = [
        (
            f"{data}, {size} images, {epochs} epochs",
            f"{network} {depth}",
            str(len(runs)),
            mean_and_range([run["history"]["train_loss"][-1] for run in runs], ".2f"),
            mean_and_range([run["test_accuracy"] for run in runs], ".1%"),
        )
        for (data, epochs, size, depth, network), runs in sorted(groups.items())
    ]
    heads = ("data", "network", "seeds", "training loss at the end", "test accuracy")
    return markdown_table(heads, rows)


def gpu(folder: Path) -> str:
    """Return the table of the runs on one GPU: ablation, both stems, fast recipe."""
    groups: dict[tuple, list[Result]] = {}
    studies = ("ablation", "stem", "fast")
    for run in [run for study in studies for run in load_results(study, folder)]:
        if "search" not in run["study"]:
            key = run["study"], run["hardware"], run["depth"], run["epochs"], run["lr"]
            groups.setdefault(key, []).append(run)
    rows = [
        (*key, len(runs), mean_and_range([run["test_accuracy"] for run in runs], ".1%"))
        for key, runs in groups.items()
    ]
    heads = ("study", "GPU", "layers", "epochs", "rate", "seeds", "test accuracy")
    return markdown_table(heads, rows)


def ingredients(folder: Path) -> str:
    """Return the table of the fast recipe without one ingredient, at its best rate."""
    groups: dict[tuple[str, float], list[Result]] = {}
    for run in load_results("ingredients", folder):
        name, _ = run["study"].removeprefix("ingredients-").rsplit("-lr", 1)
        groups.setdefault((name, run["lr"]), []).append(run)
    views = "test_accuracy", "test_accuracy_both_views"
    rows = [
        (*key, len(runs), *(mean_and_range([r[v] for r in runs], ".1%") for v in views))
        for key, runs in groups.items()
        if len(runs) > 1  # a rate that was not the best has one seed
    ]
    return markdown_table(("recipe", "rate", "seeds", "one view", "both views"), rows)


def transfer(folder: Path) -> str:
    """Return the table of lesson 06's ways to train, by number of photos."""
    groups: dict[tuple, list[Result]] = {}
    for run in load_results("06_study", folder):
        groups.setdefault((run["backbone"], run["way"], run["lr"]), []).append(run)
    counts = (10, 30, 100, None)
    rows = []
    for key, runs in sorted(groups.items()):
        cells = []
        for count in counts:
            same = [run for run in runs if run["per_class"] == count]
            found = mean_and_range([run["test_accuracy"] for run in same], ".1%")
            cells.append(f"{found}, n = {len(same)}" if same else "not measured")
        rows.append((*key, *cells))
    if not any(backbone == "resnet34" for backbone, *_ in groups):
        rows.append(("resnet34 (ImageNet)", "all", *["not measured"] * 5))
    heads = ("start", "way", "rate", *(f"{c or 'all'} a class" for c in counts))
    return markdown_table(heads, rows)


def minutes(folder: Path) -> str:
    """Return test accuracy on CIFAR-10 by minutes, on the README's machine."""
    rows = [row for machine, *row in _by_minutes(folder) if machine == README_MACHINE]
    return markdown_table(("training", *(f"{m} min" for m in MARKS)), rows)


def minutes_elsewhere(folder: Path) -> str:
    """Return the same of every other machine."""
    rows = [row for row in _by_minutes(folder) if row[0] != README_MACHINE]
    return markdown_table(("machine", "training", *(f"{m} min" for m in MARKS)), rows)


def _by_minutes(folder: Path) -> list[tuple[str, ...]]:
    """Return machine, training and a cell for each mark."""
    return [
        (machine, title, *(median_and_range(marks.get(mark, [])) for mark in MARKS))
        for machine, trainings in accuracy_by_minutes(folder).items()
        for title, marks in trainings.items()
    ]


def median_and_range(values: list[float]) -> str:
    """Return the median in per cent, and the range where there are several values."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):.1%}"
    if len(values) == 1:
        return middle
    return f"{middle} ({100 * min(values):.1f}–{100 * max(values):.1f})"


def bench(folder: Path, name: str = "bench") -> str:
    """Return the table of a recorded benchmark, without what it compares no more."""
    record = json.loads((folder / f"{name}.json").read_text("utf-8"))
    rows = [
        (
            f"({row['case']}) {row['name']}",
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
            if "ratio" in row
            else "",
            row["note"],
        )
        for row in record["rows"]
        if row["case"] not in "defg"
    ]
    return markdown_table(("comparison", "ratio (range)", "note"), rows)


TABLES = {
    "lesson 03": lesson_03,
    "weights": weights,
    "degradation": degradation,
    "gpu": gpu,
    "ingredients": ingredients,
    "transfer": transfer,
    "minutes": minutes,
    "minutes elsewhere": minutes_elsewhere,
    "bench": bench,
    "bench gpu": partial(bench, name="gpu-bench"),
}


def filled(text: str, folder: Path = ROOT / "results") -> str:
    """Return `text` with each of its tables made anew from the files in `folder`."""

    def fill(found: re.Match) -> str:
        return f"{found[1]}\n{TABLES[found[2]](folder)}\n{found[3]}"

    return re.sub(
        r"(<!-- measured: (.+?) -->).*?(<!-- end -->)", fill, text, flags=re.S
    )


def main() -> None:
    """Fill the tables."""
    for page in PAGES:
        text = filled(page.read_text("utf-8"))
        write_atomically(page, lambda path, text=text: path.write_text(text, "utf-8"))


if __name__ == "__main__":
    main()
