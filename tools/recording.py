"""What the tools that record runs share."""

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn
from torch.optim import Optimizer

from course_utils.data.arrays import Loaders
from course_utils.pretrained.backbones import Backbone
from course_utils.results import load_results
from course_utils.training import History, train

RESULTS = Path(__file__).resolve().parents[1] / "results"
if "COURSE_RESULTS" in os.environ:  # for a rehearsal
    RESULTS = Path(os.environ["COURSE_RESULTS"])
README_MACHINE = "2-core AMD EPYC, float32"  # whose minutes the README shows


def is_recorded(path: Path) -> bool:
    """Return whether a run's file is there already, and say so."""
    if path.is_file():
        print(f"{path.name} is there already")
    return path.is_file()


def view_of(backbone: Backbone) -> dict[str, Any]:
    """Return how a network wants its images: size, mean and standard deviation."""
    return {key: getattr(backbone, key) for key in ("image_size", "mean", "std")}


def machine_of(run: Mapping[str, Any]) -> str:
    """Return where a run was made, as in ``"2-core Intel Xeon, bfloat16"``.

    Processors of one name differ: the type that `train` computes in there is named.
    """
    native = any("bf16" in unit for unit in run["sixteen_bits"])
    cores, processor = run["hardware"].split()[0], run["processor"]
    return f"{cores} {processor}, {'bfloat16' if native else 'float32'}"


def accuracy_by_minutes(folder: Path) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Return test accuracies of bench_minutes.py: by machine, training, minutes.

    Of two runs with one seed, the one with more marks counts. The training with the
    best median comes last.
    """
    accuracy: dict[tuple[str, str, float, int], float] = {}
    runs = load_results("minutes", folder)
    for run in sorted(runs, key=lambda run: len(run["minutes"])):
        for mark, point in zip(run["minutes"], run["points"], strict=True):
            key = machine_of(run), run["title"], mark, run["seed"]
            accuracy[key] = point["test_accuracy"]
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    for (machine, title, mark, _), value in accuracy.items():
        marks = found.setdefault(machine, {}).setdefault(title, {})
        marks.setdefault(mark, []).append(value)
    return {
        machine: dict(sorted(trainings.items(), key=lambda item: _best(item[1])))
        for machine, trainings in sorted(found.items())
    }


def _best(marks: Mapping[float, list[float]]) -> float:
    return max(map(median, marks.values()))


def train_to_the_end(
    model: nn.Module,
    loaders: Loaders,
    epochs: int,
    optimizer: Optimizer,
    folder: Path | None = None,
    **options: Any,
) -> History:
    """Return the history of a training that goes on from what is in `folder`.

    Raises:
        SystemExit: If it was interrupted: `train` returns what there is so far.
    """
    history = train(
        model,
        loaders.train,
        loaders.val,
        num_epochs=epochs,
        optimizer=optimizer,
        save_path=folder,
        resume=folder is not None,
        **options,
    )
    if len(history) < epochs:
        raise SystemExit("Stopped, nothing recorded; the same command goes on.")
    return history
