"""What happened in each epoch of a training."""

import json
from dataclasses import asdict, dataclass, field
from typing import NamedTuple


class Scores(NamedTuple):
    """Mean loss and accuracy (a fraction) over all images of a loader."""

    loss: float
    accuracy: float


@dataclass
class History:
    """What happened in each epoch: one number an epoch in every list.

    Attributes:
        train_loss: Mean training loss, measured while the weights changed.
        train_accuracy: Training accuracy, likewise; a fraction.
        val_loss: Validation loss after the epoch.
        val_accuracy: Validation accuracy after the epoch; a fraction.
        lr: Learning rate at the epoch's first step.
        seconds: Duration of the epoch with its validation.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    def append(self, train: Scores, val: Scores, *, lr: float, seconds: float) -> None:
        """Add one epoch."""
        self.train_loss.append(train.loss)
        self.train_accuracy.append(train.accuracy)
        self.val_loss.append(val.loss)
        self.val_accuracy.append(val.accuracy)
        self.lr.append(lr)
        self.seconds.append(seconds)

    def line(self, num_epochs: int) -> str:
        """Return the last epoch as one line of text."""
        return (
            f"Epoch [{len(self):3d}/{num_epochs:3d}]  "
            f"Train Loss {self.train_loss[-1]:.4f}  "
            f"Train Acc {self.train_accuracy[-1]:7.2%}  "
            f"Val Loss {self.val_loss[-1]:.4f}  "
            f"Val Acc {self.val_accuracy[-1]:7.2%}  "
            f"Learning Rate {self.lr[-1]:.5f}  "
            f"Time {self.seconds[-1]:.1f} s"
        )

    def to_json(self) -> str:
        """Return the history as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "History":
        """Return the history that `to_json` wrote."""
        return cls(**json.loads(text))
