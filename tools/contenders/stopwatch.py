"""A clock for trainings that are judged by the minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from course_utils.data.arrays import LabelledImages

TEST_BATCH = 500


class TimeIsUp(Exception):
    """The last mark has passed."""


@dataclass
class Point:
    """What a network could do at one moment of its training."""

    seconds: float
    steps: int
    parameters: int
    test_accuracy: float


@dataclass
class Stopwatch:
    """Runs while a network is trained, and stands still while it is tested.

    Attributes:
        marks: Seconds at which to test, in ascending order.
        test: The images to test on, once they are read; nothing is chosen by them.
        points: What was found at the marks so far.
        steps: Of the optimiser, so far.
    """

    marks: Sequence[float]
    test: LabelledImages | None = None
    points: list[Point] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time that went into the training so far."""
        return time.perf_counter() - self._began

    @property
    def budget(self) -> float:
        """The seconds in all."""
        return self.marks[-1]

    def tick(self, network: nn.Module) -> None:
        """Count a step; test `network` if a mark has passed.

        Args:
            network: Maps float32 images (B, 3, 32, 32), pixels in [0, 1], to logits.

        Raises:
            TimeIsUp: If it was the last mark.
        """
        self.steps += 1
        if self.seconds >= self.marks[len(self.points)]:
            self.look(network)

    def look(self, network: nn.Module) -> None:
        """Test `network` for the next mark, with the clock standing still."""
        stopped = self.seconds
        size = sum(parameter.numel() for parameter in network.parameters())
        accuracy = _accuracy(network, self.test)
        self.points.append(Point(stopped, self.steps, size, accuracy))
        self._began = time.perf_counter() - stopped
        if len(self.points) == len(self.marks):
            raise TimeIsUp

    def record(self) -> list[dict]:
        """Return the points as plain data."""
        return [asdict(point) for point in self.points]


@torch.no_grad()
def _accuracy(network: nn.Module, test: LabelledImages) -> float:
    images, labels = map(torch.from_numpy, test)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    correct = 0
    for first in range(0, len(images), TEST_BATCH):
        batch = images[first : first + TEST_BATCH].permute(0, 3, 1, 2).float() / 255
        answers = network(batch.to(device)).argmax(1).cpu()
        correct += (answers == labels[first : first + TEST_BATCH]).sum().item()
    network.train(was_training)
    return correct / len(labels)
