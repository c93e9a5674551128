"""A wide, shallow residual network at half the resolution, and the course's loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision import transforms

from contenders.pace import train_in_time
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import CifarResNet
from course_utils.training import sgd_one_cycle

TITLE = "wide ResNet-8"


class BothViews(nn.Module):
    """The mean of what a network says of an image and of its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (B, num_classes)."""
        straight, mirrored = self.network(images), self.network(images.flip(3))
        return (straight.softmax(1) + mirrored.softmax(1)) / 2


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train for the epochs that fit into the time."""
    torch.manual_seed(seed)
    loaders = splits.loaders(128, seed=seed)
    model = CifarResNet(8, shortcut="B", width=64, stem_stride=2)
    train_in_time(
        model,
        loaders,
        watch,
        lambda model, steps: sgd_one_cycle(model, 0.2, steps),
        nn.CrossEntropyLoss(label_smoothing=0.1),
    )
    normalise = transforms.Normalize(splits.mean, splits.std)
    watch.look(nn.Sequential(normalise, BothViews(model)))
