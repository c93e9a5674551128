"""Measures lessons for results/: runs the lesson itself, once for each seed.

python tools/record_lesson.py 03 [04 …] [--seeds 0 1 2]

The lesson leaves result.json in its folder of runs. Data, profile and device are the
lesson's own: COURSE_DATA and COURSE_PROFILE choose.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from execution import execute
from lesson_files import ROOT, find_lessons, read_lesson, tags_of

RESULTS = ROOT / "results"
SEED = "start(seed=0)"


def record(lesson: Path, seed: int, results: Path = RESULTS) -> Path:
    """Return the file to which the run of one seed was written.

    Args:
        lesson: the lesson's file.
        seed: takes the place of the one in the lesson's setup cell.
        results: where the file goes.

    Raises:
        SystemExit: the setup cell sets no seed, or a cell failed.
    """
    notebook = read_lesson(lesson)
    setup = next(cell for cell in notebook.cells if "setup" in tags_of(cell))
    if SEED not in setup.source:
        raise SystemExit(f"The setup cell of {lesson.name} has no {SEED!r}.")
    setup.source = setup.source.replace(SEED, f"start(seed={seed})")
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "COURSE_OFFLINE": "1",
            "COURSE_RUNS": folder,
            "PYTHONPATH": os.pathsep.join(
                (str(ROOT), os.environ.get("PYTHONPATH", ""))
            ),
            "TQDM_DISABLE": "1",
        }
        execution = execute(notebook, Path(folder), env)
        if execution.error:
            raise SystemExit(f"{lesson.stem}, seed {seed}: {execution.error}")
        text = Path(folder, lesson.stem, "result.json").read_text("utf-8")
    result = json.loads(text)
    data = result["data"].split()[-1]
    name = f"{lesson.stem}-{result['profile']}-{data}-seed{seed}.json"
    (results / name).write_text(text, "utf-8")
    print(f"{name}: the whole lesson took {execution.seconds:.0f} s")
    return results / name


def main(arguments: Sequence[str] | None = None) -> None:
    """Record the seeds of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="+", help="numbers, such as 03 or 04b")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    for lesson in find_lessons(options.lessons):
        for seed in options.seeds:
            record(lesson, seed)


if __name__ == "__main__":
    main()
