"""PyTorch's own tutorial, "Training a Classifier": its network and its settings.

Source: docs.pytorch.org, Deep Learning with PyTorch: A 60 Minute Blitz.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms

from contenders.pillow_images import PillowImages
from contenders.plain_loop import train_one_epoch
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits

TITLE = "PyTorch's tutorial"
HALVES = (0.5, 0.5, 0.5)


class Net(nn.Module):
    """Two convolutions, three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 10) of images (B, 3, 32, 32)."""
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x))).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train until the time is up."""
    torch.manual_seed(seed)
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(HALVES, HALVES)]
    )
    loader = DataLoader(
        PillowImages(splits.train, transform), 4, shuffle=True, num_workers=2
    )
    net = Net()
    judged = nn.Sequential(transforms.Normalize(HALVES, HALVES), net)
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    while True:
        train_one_epoch(net, loader, optimizer, watch, judged)
