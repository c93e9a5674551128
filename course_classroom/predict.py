"""`course predict`: names photos, also from the web and in folders."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from course_utils._engine.errors import ImageError
from course_utils.data.images import source_name
from course_utils.data.photo_splits import PhotoSplits
from course_utils.prediction.folder import FolderPredictions, FolderRow, predict_folder
from course_utils.prediction.predict import predict
from course_utils.prediction.predictor import Predictor, load_predictor
from course_utils.pretrained import PRETRAINED
from course_utils.session import Session, project_root
from course_utils.training.checkpoint import load_checkpoint


def predict_all(
    sources: Sequence[str],
    *,
    checkpoint: str | None = None,
    top_k: int = 5,
    csv_path: str | None = None,
    allow_private: bool = False,
) -> bool:
    """Print what a network says of each source; return whether all could be read.

    Sources that fail are told on the error stream, and the others go on.

    Args:
        sources: Paths, addresses and folders.
        checkpoint: A path or the name of shipped weights; default `own_or_shipped`.
        top_k: Classes to print for a single photo.
        csv_path: A file for the most probable class of every photo, if given.
        allow_private: See `load_image`.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        OSError: If the CSV cannot be written.
    """
    predictor = load_predictor(checkpoint or own_or_shipped())
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
    return not predictions.failed


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


def own_or_shipped(runs_dir: Path | None = None) -> str | Path:
    """Return the reader's own checkpoint of lesson 06, else the name of one that ships.

    Args:
        runs_dir: Where the reader's checkpoints are; default COURSE_RUNS, else
            ``runs/``.
    """
    if runs_dir is None:
        runs = os.environ.get("COURSE_RUNS", "").strip()
        runs_dir = Path(runs).expanduser() if runs else project_root() / "runs"
    own = runs_dir / "06_transfer_learning" / "best.pt"
    if own.is_file():
        return own
    return "flowers" if "flowers" in PRETRAINED else "cifar10"


def own_or_shipped_for(session: Session, splits: PhotoSplits) -> str | Path:
    """Return the weights for the flowers in use: the reader's own, else what ships.

    Prints which. The reader's are passed over if they were trained on other data, for
    example on sketches where there are photos now.

    Args:
        session: Says where the reader's checkpoints are.
        splits: The data in use.

    Returns:
        A path or a name, as `load_predictor` takes it.

    Raises:
        CheckpointError: If the reader's file is damaged.

    Taught in: lesson 07, first cells.
    """
    own = own_or_shipped(session.runs_dir)
    if isinstance(own, Path):
        shown = f"{own.parent.parent.name}/{own.parent.name}/{own.name}"
        checkpoint = load_checkpoint(own)
        theirs = checkpoint.get("data") or {}
        same = theirs.get("source") == splits.source
        if same and list(theirs.get("classes", ())) == list(splits.classes):
            accuracy = checkpoint["val_accuracy"]
            print(f"network  your own, {shown} (validation accuracy {accuracy:.1%})")
            return own
        print(f"network  not {shown}, which was trained on other data, but:")
    name = "flowers" if splits.is_photos else "flower-sketches"
    print(f"network  the pretrained {name!r} that ships with the course")
    return name
