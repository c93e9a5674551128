"""What a network says of every photo in a folder, in batches."""

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from course_utils._engine import checks
from course_utils._engine.errors import ImageError, printable
from course_utils._engine.files import write_atomically
from course_utils._engine.progress import progress_bar
from course_utils.data.layout import is_image
from course_utils.prediction.predictor import Predictor, Weights, load_predictor

NUM_THREADS = 4


@dataclass(frozen=True)
class FolderRow:
    """One image of a folder: its class, or why it has none.

    Attributes:
        image: Its name.
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
        width = max((len(row.image) for row in self.rows), default=0)
        class_width = max((len(row.class_name) for row in self.rows), default=0)
        lines = []
        for row in self.rows:
            line = f"image: {row.image:<{width}}  "
            if row.error:
                line += f"error: {row.error}"
            else:
                line += f"class: {row.class_name:<{class_width}}  prob: {row.prob:.3f}"
            lines.append(line)
        return "\n".join(lines)

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


def predict_folder(
    model_or_checkpoint: Weights,
    folder: Path | str,
    batch_size: int = 32,
    *,
    csv_path: Path | str | None = None,
    progress: bool = True,
) -> FolderPredictions:
    """Return what a network says of every image in a folder, sorted by name.

    The images of a batch are decoded in a few threads. No more than a batch is held, so
    the memory it takes does not grow with the number of files. The numbers are those of
    `predict`, up to the rounding of a sum.

    Args:
        model_or_checkpoint: Whatever `load_predictor` takes.
        folder: Files with the suffix of an image count, hidden ones do not.
        batch_size: Images that the network sees at once; the last may be fewer.
        csv_path: A file to write the rows to, if given.
        progress: Whether to show a progress bar.

    Raises:
        ImageError: If there is no such folder, or no image in it. An unreadable file is
            a row with its reason instead.
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If `batch_size` is below 1.
        OSError: If the CSV cannot be written.

    Taught in: lesson 07, "A folder, an address, an upload".
    """
    checks.check_at_least_one(batch_size, "batch_size")
    paths = _list_photos(Path(folder).expanduser())
    predictor = load_predictor(model_or_checkpoint)

    def prepare(path: Path) -> Tensor | ImageError:
        try:
            return predictor.prepare(path)
        except ImageError as error:
            return error

    rows: list[FolderRow] = []
    starts = range(0, len(paths), batch_size)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for start in progress_bar(starts, "predict", progress):
            batch = paths[start : start + batch_size]
            rows += _predict_batch(predictor, batch, list(pool.map(prepare, batch)))
    predictions = FolderPredictions(tuple(rows))
    if csv_path is not None:
        predictions.write_csv(csv_path)
    return predictions


def _predict_batch(
    predictor: Predictor, paths: list[Path], prepared: list[Tensor | ImageError]
) -> Iterator[FolderRow]:
    """Yield a row for each file: its class, or why it could not be read."""
    images = [one for one in prepared if isinstance(one, Tensor)]
    sure = iter(predictor.probabilities(torch.stack(images)) if images else ())
    for path, one in zip(paths, prepared, strict=True):
        name = printable(path.name)
        if isinstance(one, ImageError):
            yield FolderRow(name, error=str(one))
        else:
            probabilities = next(sure)
            best = int(probabilities.argmax())
            yield FolderRow(name, predictor.classes[best], float(probabilities[best]))


def _list_photos(folder: Path) -> list[Path]:
    """Return the files in a folder that have the suffix of an image, sorted."""
    name = printable(str(folder))
    if not folder.is_dir():
        raise ImageError(f"There is no folder {name}: check the spelling.")
    try:
        found = sorted(path for path in folder.iterdir() if is_image(path))
    except OSError as error:
        raise ImageError(
            f"The folder {name} cannot be read ({error.strerror}): allow it, or use a "
            "copy."
        ) from None
    if not found:
        raise ImageError(
            f"{name} itself holds no image (.jpg, .png, .webp, …): name the folder "
            "with the photos, perhaps one inside it."
        )
    return found
