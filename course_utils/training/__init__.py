"""Training. `loop` is the page to read: one epoch, evaluation, and `train`.

loop        `train`, `train_one_epoch`, `evaluate`
state       `History`, which `train` returns; checkpoints; what a resume needs
validation  what is refused, with a sentence each
checkpoint  a network built again from its checkpoint
recipes     `sgd_one_cycle`: an optimiser with its schedule
distributed shares of the data for several processes
"""

from course_utils.models.modes import amp_dtype
from course_utils.training.loop import evaluate, train, train_one_epoch
from course_utils.training.recipes import sgd_one_cycle
from course_utils.training.state import CheckpointError, History, load_checkpoint

__all__ = [
    "CheckpointError",
    "History",
    "amp_dtype",
    "evaluate",
    "load_checkpoint",
    "sgd_one_cycle",
    "train",
    "train_one_epoch",
]
