"""What the tools that record runs share."""

from pathlib import Path

from course_utils.training import History

RESULTS = Path(__file__).resolve().parents[1] / "results"


def refuse_unfinished(history: History, epochs: int) -> None:
    """Exit if the training was interrupted: `train` returns what there is so far."""
    if len(history) < epochs:
        raise SystemExit("Stopped, nothing recorded; the same command goes on.")
