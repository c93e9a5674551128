"""Measured runs as JSON files: one file a run, read back for tables.

`save_result` and `load_results` keep them (`of_training` is what every training says of
itself, `save_run` keeps a lesson's), `pivot` and `results_table` gather them,
`show_table` shows them in a notebook.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from course_utils._engine.files import write_atomically
from course_utils._engine.places import results_dir
from course_utils.data.arrays import ImageSplits
from course_utils.session import Session
from course_utils.training import History

Result = dict[str, Any]


def hardware_name(device: torch.device) -> str:
    """Return the machine in a few words, for example ``"2-core x86_64 CPU"``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return f"{cores or os.cpu_count()}-core {platform.machine()} {device.type.upper()}"


def environment(device: torch.device) -> Result:
    """Return where a run is made: processor, threads, 16-bit units, PyTorch."""
    found = torch.cpu.get_capabilities()
    units = ("avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
    return {
        "hardware": hardware_name(device),
        "processor": found.get("cpu_name") or platform.processor(),
        "threads": torch.get_num_threads(),
        "sixteen_bits": [unit for unit in units if found.get(unit)],
        "torch": str(torch.__version__).split("+")[0],
    }


def save_result(path: Path, result: Mapping[str, Any], device: torch.device) -> None:
    """Write a measured run to `path`, with the environment it was made in.

    Args:
        path: The file to write, for example ``runs/03_cifar10_training/result.json``.
        result: Numbers, strings, and lists and dicts of them.
        device: Where the run was made.

    Raises:
        OSError: If the file cannot be written; what was there before stays.

    Taught in: lesson 03, "Results".
    """
    record = {**result, **environment(device)}
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def of_training(history: History) -> Result:
    """Return what a record says of a training: how it went, and how long it took."""
    return {
        "val_accuracy": max(history.val_accuracy),
        "minutes": sum(history.seconds) / 60,
        "history": asdict(history),
    }


def save_run(
    folder: Path,
    session: Session,
    splits: ImageSplits,
    recipe: Mapping[str, Any],
    history: History,
    **found: Any,
) -> None:
    """Write a lesson's training to ``result.json`` in its folder of runs.

    Args:
        folder: As `Session.run_dir` gave it; its name is the lesson's.
        session: What the lesson runs with.
        splits: The data.
        recipe: What was chosen for the training.
        history: What `train` returned.
        **found: What else was measured, for example ``test_accuracy=0.65``.

    Taught in: lesson 03, "The test, once".
    """
    result = {
        "lesson": folder.name,
        "profile": session.profile,
        "data": f"{splits.name}, {'photos' if splits.is_photos else 'sketches'}",
        "recipe": dict(recipe),
        "seed": session.seed,
        **of_training(history),
        **found,
    }
    save_result(folder / "result.json", result, session.device)


def load_results(prefix: str, folder: Path | None = None) -> list[Result]:
    """Return the measured runs whose file name begins with `prefix`, in its order.

    Args:
        prefix: For example ``"03_cifar10_training"``.
        folder: Where to look; default the course's recorded runs.

    Raises:
        ValueError: If a file is not JSON.

    Taught in: lesson 03, "Results".
    """
    folder = folder or results_dir()
    results = []
    for path in sorted(folder.glob(f"{prefix}*.json")):
        try:
            results.append(json.loads(path.read_text("utf-8")))
        except ValueError as error:
            raise ValueError(
                f"{path} is not JSON ({error}); restore it, or delete it."
            ) from error
    return results


def results_table(
    measured: Sequence[Result],
    expected: Sequence[Mapping[str, str]] = (),
    mine: Sequence[Result] = (),
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return headings and rows of a table of runs: one a profile, data and machine.

    Args:
        measured: Runs as `save_result` wrote them; seeds of one kind share a row.
        expected: Profile, data and hardware of runs that should be there; those
            without a measurement get the row "not measured".
        mine: The reader's own runs, in rows of their own.

    Taught in: lesson 03, "Results".
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for run in measured:
        key = (run["profile"], run["data"], run["hardware"])
        groups.setdefault(key, []).append(run)
    rows = [(*key, *_summary(runs)) for key, runs in sorted(groups.items())]
    known = {key[:2] for key in groups}
    rows += [
        (row["profile"], row["data"], row["hardware"], "0", *["not measured"] * 2)
        for row in expected
        if (row["profile"], row["data"]) not in known
    ]
    for run in mine:
        name = f"{run['profile']}, your run"
        rows.append((name, run["data"], run["hardware"], *_summary([run])))
    heads = ("profile", "data", "hardware", "seeds", "minutes", "test accuracy")
    return heads, rows


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table with these headings; every cell as `str` writes it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Show a table below the cell of a notebook.

    Args:
        heads: The columns' headings.
        rows: For each row one cell a column: text, or what `str` makes text of.

    Taught in: lesson 03, "Results".
    """
    from IPython.display import Markdown, display

    display(Markdown(markdown_table(heads, rows)))


def pivot(
    runs: Sequence[Result],
    *,
    rows: str,
    columns: str,
    value: str,
    form: str = ".1%",
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table of runs: ``show_table(*pivot(...))``.

    Args:
        runs: As `load_results` returns them.
        rows: The key whose values name the rows, for example ``"way"``.
        columns: The key whose values name the columns. Rows and columns stand in the
            order in which the runs name them.
        value: The key of the numbers, for example ``"test_accuracy"``.
        form: How each number is written.

    Returns:
        In each cell the mean of its runs, with their range where there are several;
        "not measured" where there is none.

    Taught in: lesson 06, "Four ways".
    """
    cells: dict[tuple, list[float]] = {}
    for run in runs:
        cells.setdefault((run[rows], run[columns]), []).append(run[value])
    names = dict.fromkeys(run[rows] for run in runs)  # each once, in order
    heads = dict.fromkeys(run[columns] for run in runs)
    table = [
        [str(name), *(mean_and_range(cells.get((name, h), []), form) for h in heads)]
        for name in names
    ]
    return [rows, *map(str, heads)], table


def mean_and_range(values: Sequence[float], form: str) -> str:
    """Return the mean of `values` as text, and their range where there are several.

    Args:
        values: Numbers; without one, the text is "not measured".
        form: How each is written, for example ``".1%"``.
    """
    if len(values) == 0:
        return "not measured"
    mean = format(sum(values) / len(values), form)
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):{form}} to {max(values):{form}})"


def _summary(runs: Sequence[Result]) -> tuple[str, str, str]:
    """Return the number of runs, their mean minutes, their mean accuracy and range."""
    scores = [run["test_accuracy"] for run in runs]
    minutes = sum(run["minutes"] for run in runs) / len(runs)
    return str(len(runs)), f"{minutes:.1f}", mean_and_range(scores, ".1%")
