"""The benchmark's case of prediction: a folder against one photo at a time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench_cases import Row, interleave
from bench_ways import Way, timed
from PIL import Image

from course_sketches import draw_flower_sketches
from course_utils.prediction import Predictor, load_predictor, predict, predict_folder

SIZE = (500, 375)  # pixels, as photos on web pages
NUM_FILES = 200
WEIGHTS = "cifar10"
PEAK = """
import resource, sys
from course_utils.prediction import load_predictor, predict_folder
predict_folder(load_predictor(sys.argv[1], device="cpu"), sys.argv[2], progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def make_folder(folder: Path, num_files: int) -> Path:
    """Return `folder`, filled with JPEGs of drawn flowers, enlarged."""
    images, _ = draw_flower_sketches(min(num_files, 50))
    for number in range(num_files):
        picture = Image.fromarray(images[number % len(images)]).resize(SIZE)
        picture.save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def whole_folder(predictor: Predictor, folder: Path) -> Way:
    """Return a way that predicts all photos of a folder in batches."""
    number = len(list(folder.iterdir()))
    return lambda: timed(
        number, lambda: predict_folder(predictor, folder, progress=False)
    )


def one_by_one(predictor: Predictor, folder: Path) -> Way:
    """Return a way that predicts the photos of a folder one after the other."""
    paths = sorted(folder.iterdir())

    def work() -> None:
        for path in paths:
            predict(predictor, path)

    return lambda: timed(len(paths), work)


def against_one_by_one(repeats: int, num_files: int = NUM_FILES) -> list[Row]:
    """(i) `predict_folder` against `predict` in a loop; peak memory by files."""
    predictor = load_predictor(WEIGHTS)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        folder = make_folder(Path(one), num_files)
        ways = [whole_folder(predictor, folder), one_by_one(predictor, folder)]
        found = interleave(ways, repeats)
        larger = make_folder(Path(many), 4 * num_files)
        note = (
            f"peak memory {peak_mib(folder)} for {num_files} files, "
            f"{peak_mib(larger)} for {4 * num_files}"
        )
    return [Row("a folder against one photo at a time", *found, 2.0, note)]


def peak_mib(folder: Path) -> str:
    """Return the peak memory of a new process that predicts a folder, in words."""
    if sys.platform != "linux":
        return "not measured (not Linux)"
    command = [sys.executable, "-c", PEAK, WEIGHTS, str(folder)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return f"{found.stdout.strip()} MiB"
