"""Lesson 03 as it stands: ResNet-8, batches of 64, one cycle; all training images."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torchvision import transforms

from contenders.pace import train_in_time
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import cifar_resnet

TITLE = "lesson 03"


def recipe(model: nn.Module, steps: int) -> tuple[SGD, OneCycleLR]:
    """Return SGD and one cycle, as in the lesson's quick profile."""
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return optimizer, OneCycleLR(optimizer, 0.1, total_steps=steps)


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train for the epochs that fit into the time."""
    torch.manual_seed(seed)
    loaders = splits.loaders(64, seed=seed)
    model = cifar_resnet(8)
    train_in_time(model, loaders, watch, recipe)
    watch.look(nn.Sequential(transforms.Normalize(splits.mean, splits.std), model))
