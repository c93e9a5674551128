"""Training: `loop` is the page to read; the others are what it calls."""

from course_utils.training.checkpoint import CheckpointError, load_checkpoint
from course_utils.training.loop import evaluate, train, train_one_epoch

__all__ = [
    "CheckpointError",
    "evaluate",
    "load_checkpoint",
    "train",
    "train_one_epoch",
]
