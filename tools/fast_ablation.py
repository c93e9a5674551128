"""Measures what each ingredient of the fast recipe is worth, in two epochs of CIFAR-10.

COURSE_DATA=DIR python tools/fast_ablation.py [everything sgd …]

Each variant lacks one ingredient and has the best of three rates, by the validation
images, with the first seed; then it is trained with two seeds more. Interrupted, the
same command goes on. The mirror image at the test is told from the same runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import train_cifar10

EPOCHS = 2
SMOOTHED = ("--label-smoothing", "0.1")
VARIANTS = {  # options, and the highest rates to choose from
    "everything": (("--muon", "--white-stem", *SMOOTHED), (0.05, 0.1, 0.2)),
    "sgd": (("--white-stem", *SMOOTHED), (0.05, 0.1, 0.2)),
    "learnt-stem": (("--muon", *SMOOTHED), (0.05, 0.1, 0.2)),
    "no-smoothing": (("--muon", "--white-stem"), (0.05, 0.1, 0.2)),
    "no-augmentation": (
        ("--muon", "--white-stem", "--no-augmentation", *SMOOTHED),
        (0.05, 0.1, 0.2),
    ),
}


def train(variant: str, rate: float, seed: int) -> float:
    """Return the validation accuracy of one run, which is made if it is missing."""
    command = f"--study fast-ablation --network wide8 --name {variant}-lr{rate:g}"
    command += f" --epochs {EPOCHS} --lr {rate} --seed {seed} --record"
    options = train_cifar10.parse([*command.split(), *VARIANTS[variant][0]])
    return json.loads(train_cifar10.run(options).read_text("utf-8"))["val_accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help="default: all")
    for variant in parser.parse_args(arguments).variants or VARIANTS:
        tried = {rate: train(variant, rate, 0) for rate in VARIANTS[variant][1]}
        best = max(tried, key=tried.get)
        print(f"{variant}: {tried}, so {best:g}", flush=True)
        for seed in (1, 2):
            train(variant, best, seed)


if __name__ == "__main__":
    main()
