"""What a network says of every photo in a folder: decoded ahead, in batches."""

import csv
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from course_utils._engine import checks
from course_utils._engine.files import write_atomically
from course_utils._engine.progress import progress_bar
from course_utils.data.images.errors import ImageError, printable
from course_utils.prediction.predictor import Predictor, Weights, load_predictor

SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".gif", ".webp", ".bmp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif"),  # HEIC: to say why it is not read
}
MAX_THREADS = 4


@dataclass(frozen=True)
class FolderRow:
    """One image of a folder: its class, or why it has none.

    Attributes:
        image: Its path in the folder.
        class_name: The most probable class; empty for an unreadable file.
        prob: The probability of that class; None for an unreadable file.
        error: Why the file cannot be read; empty for an image.
    """

    image: str
    class_name: str = ""
    prob: float | None = None
    error: str = ""


@dataclass(frozen=True)
class FolderPredictions:
    """What a network says of a folder's images; printed, one line each.

    Attributes:
        rows: One for each file, sorted by name.
    """

    rows: tuple[FolderRow, ...]

    @property
    def failed(self) -> list[FolderRow]:
        """The files that could not be read."""
        return [row for row in self.rows if row.error]

    def __str__(self) -> str:
        """Return lines such as ``image: a.jpg  class: daisy  prob: 0.997``."""
        widths = [
            max((len(getattr(row, key)) for row in self.rows), default=0)
            for key in ("image", "class_name")
        ]
        return "\n".join(_line(row, *widths) for row in self.rows)

    def write_csv(self, path: Path | str) -> None:
        """Write the rows as UTF-8 with the columns image, class, prob and error.

        Raises:
            OSError: If the file cannot be written.
        """

        def write(temporary: Path) -> None:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["image", "class", "prob", "error"])
                for row in self.rows:
                    prob = "" if row.prob is None else f"{row.prob:.6f}"
                    writer.writerow([row.image, row.class_name, prob, row.error])

        write_atomically(Path(path), write)


def _line(row: FolderRow, image_width: int, class_width: int) -> str:
    if row.error:
        return f"image: {row.image:<{image_width}}  error: {row.error}"
    return (
        f"image: {row.image:<{image_width}}  class: {row.class_name:<{class_width}}  "
        f"prob: {row.prob:.3f}"
    )


def predict_folder(
    model_or_checkpoint: Weights,
    folder: Path | str,
    batch_size: int = 32,
    *,
    recursive: bool = False,
    csv_path: Path | str | None = None,
    progress: bool = True,
) -> FolderPredictions:
    """Return what a network says of every image in a folder, sorted by name.

    Images are decoded in a few threads, two batches ahead of the network at most, so
    the memory it takes does not grow with the number of files. The numbers are those of
    `predict`, up to the rounding of a sum.

    Args:
        model_or_checkpoint: Whatever `load_predictor` takes.
        folder: Files with the suffix of an image count, hidden ones do not.
        batch_size: Images that the network sees at once; the last may be fewer.
        recursive: Whether to look into the folders inside, too.
        csv_path: A file to write the rows to, if given.
        progress: Whether to show a progress bar.

    Raises:
        ImageError: If there is no such folder, or no image in it. An unreadable file is
            a row with its reason instead.
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If `batch_size` is below 1.
        OSError: If the CSV cannot be written.

    Taught in: lesson 07, "A folder".
    """
    checks.check_at_least_one(batch_size, "batch_size")
    folder = Path(os.path.expanduser(folder))
    paths = list_photos(folder, recursive=recursive)
    predictor = load_predictor(model_or_checkpoint)
    starts = range(0, len(paths), batch_size)
    prepared = _prepared(predictor, paths, ahead=2 * batch_size)
    rows: list[FolderRow] = []
    for start in progress_bar(starts, "predict", progress):
        batch = paths[start : start + batch_size]
        found = [next(prepared) for _ in batch]
        images = [one for one in found if isinstance(one, Tensor)]
        sure = iter(predictor.probabilities(torch.stack(images)) if images else ())
        for path, one in zip(batch, found, strict=True):
            name = printable(path.relative_to(folder).as_posix())
            if isinstance(one, Tensor):
                probabilities = next(sure)
                best = int(probabilities.argmax())
                prob = float(probabilities[best])
                rows.append(FolderRow(name, predictor.classes[best], prob))
            else:
                rows.append(FolderRow(name, error=str(one)))
    predictions = FolderPredictions(tuple(rows))
    if csv_path is not None:
        predictions.write_csv(csv_path)
    return predictions


def list_photos(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return the files in a folder that have the suffix of an image, sorted.

    Raises:
        ImageError: If there is no such folder, or no such file in it.
    """
    if not os.path.isdir(folder):
        raise ImageError(
            f"There is no folder {printable(str(folder))}: check the spelling."
        )
    direct, inside = [], []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in SUFFIXES:
                (direct if path.parent == folder else inside).append(path)
    found = sorted(direct + inside if recursive else direct)
    if not found:
        hint = f", but {len(inside)} inside its folders: give recursive=True or one"
        raise ImageError(
            f"{printable(str(folder))} holds no image (.jpg, .png, .webp, …)"
            + (f"{hint} of them." if inside else ": name the folder with the photos.")
        )
    return found


def _prepared(
    predictor: Predictor, paths: Sequence[Path], *, ahead: int
) -> Iterator[Tensor | ImageError]:
    """Yield each photo as the network takes it, or why it cannot be read, in order."""

    def prepare(path: Path) -> Tensor | ImageError:
        try:
            return predictor.prepare(path)
        except ImageError as error:
            return error

    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
    try:
        for path in paths:
            waiting.append(pool.submit(prepare, path))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
