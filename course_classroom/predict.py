"""`course predict`: names photos, also from the web and in folders."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from course_utils._engine.errors import ImageError
from course_utils._engine.places import runs_dir
from course_utils.data.images import source_name
from course_utils.prediction.folder import FolderPredictions, FolderRow, predict_folder
from course_utils.prediction.predict import predict
from course_utils.prediction.predictor import Predictor, load_predictor
from course_utils.pretrained.choice import own_or_flowers
from course_utils.training import CheckpointError


def predict_all(
    sources: Sequence[str],
    *,
    checkpoint: str | None = None,
    top_k: int = 5,
    csv_path: str | None = None,
    allow_private: bool = False,
) -> int:
    """Print what a network says of each source; return 0 if all could be read, else 1.

    Sources that fail are told on the error stream, and the others go on.

    Args:
        sources: Paths, addresses and folders.
        checkpoint: A path or the name of shipped weights; default lesson 06's own, if
            it was trained on photos, else the one that ships for flowers.
        top_k: Classes to print for a single photo.
        csv_path: A file for the most probable class of every photo, if given.
        allow_private: See `load_image`.

    Raises:
        OSError: If the CSV cannot be written, or would replace a file of another kind.
    """
    if csv_path and Path(csv_path).exists() and not csv_path.lower().endswith(".csv"):
        raise FileExistsError(f"{csv_path} exists and is no .csv; name another file.")
    try:
        predictor = load_predictor(checkpoint or own_or_flowers(runs_dir()))
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"network  {predictor.name}, {len(predictor.classes)} classes")
    rows: list[FolderRow] = []
    for source in sources:
        try:
            if os.path.isdir(os.path.expanduser(source)):
                rows += _folder(predictor, source)
            else:
                rows.append(_photo(predictor, source, top_k, allow_private))
        except ImageError as error:
            print(error, file=sys.stderr)
            rows.append(FolderRow(source_name(source), error=str(error)))
    predictions = FolderPredictions(tuple(rows))
    if csv_path is not None:
        predictions.write_csv(csv_path)
        print(f"written  {csv_path}, {len(rows)} rows")
    return 1 if predictions.failed else 0


def _photo(
    predictor: Predictor, source: str, top_k: int, allow_private: bool
) -> FolderRow:
    prediction = predict(predictor, source, top_k, allow_private=allow_private)
    print(f"\n{prediction.source}\n{prediction}")
    (name, prob), *_ = prediction.top
    return FolderRow(prediction.source, name, prob)


def _folder(predictor: Predictor, source: str) -> list[FolderRow]:
    found = predict_folder(predictor, source, progress=sys.stderr.isatty())
    read = [row for row in found.rows if not row.error]
    print(f"\n{source_name(source)}\n{FolderPredictions(tuple(read))}")
    for row in found.failed:
        print(row.error, file=sys.stderr)
    # under the folder's name: two folders may hold files of one name
    return [
        FolderRow(f"{source_name(source)}/{r.image}", r.class_name, r.prob, r.error)
        for r in found.rows
    ]
