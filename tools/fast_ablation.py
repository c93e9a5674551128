"""Measures what each ingredient of the fast recipe is worth, in two epochs of CIFAR-10.

COURSE_DATA=DIR python tools/fast_ablation.py [everything sgd …]

Each variant lacks one ingredient, or has the crops of longer trainings. It has the best
of some rates, by the validation images, with the first seed; then it is trained with
two seeds more. Interrupted, the same command goes on. The mirror image at the test is
told from the same runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import train_cifar10

EPOCHS = 2
SMOOTHED = ("--label-smoothing", "0.1")
VARIANTS = {  # and their options
    "everything": ("--muon", "--padding", "0", *SMOOTHED),
    "sgd": ("--padding", "0", *SMOOTHED),
    "no-smoothing": ("--muon", "--padding", "0"),
    "no-flips": ("--muon", "--no-augmentation", *SMOOTHED),
    "crops-too": ("--muon", "--padding", "4", *SMOOTHED),
}


def train(variant: str, rate: float, seed: int) -> float:
    """Return the validation accuracy of one run, which is made if it is missing."""
    command = f"--study ingredients --network fast8 --name {variant}-lr{rate:g}"
    command += f" --epochs {EPOCHS} --lr {rate} --seed {seed} --record"
    options = train_cifar10.parse([*command.split(), *VARIANTS[variant]])
    return json.loads(train_cifar10.run(options).read_text("utf-8"))["val_accuracy"]


def best_rate(variant: str) -> float:
    """Return a rate that neither its half nor its double surpasses, with seed 0."""
    tried: dict[float, float] = {}
    middle, best = 0.0, 0.1
    while best != middle:
        middle = best
        for rate in sorted({middle / 2, middle, 2 * middle} - tried.keys()):
            tried[rate] = train(variant, rate, seed=0)
        best = max(tried, key=tried.get)
    print(f"{variant}: {tried}, so {best:g}", flush=True)
    return best


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help="default: all")
    for variant in parser.parse_args(arguments).variants or VARIANTS:
        rate = best_rate(variant)
        for seed in (1, 2):
            train(variant, rate, seed)


if __name__ == "__main__":
    main()
