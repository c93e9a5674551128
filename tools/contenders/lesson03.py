"""Lesson 03 as it stands: ResNet-8, batches of 64, one cycle; all training images."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torchvision import transforms

from contenders.pace import epochs_that_fit
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import cifar_resnet
from course_utils.training import train

TITLE = "lesson 03"


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train for the epochs that fit into the time, or once on the images that do."""
    torch.manual_seed(seed)
    loaders = splits.loaders(64, seed=seed)
    model = cifar_resnet(8)
    fitting = epochs_that_fit(model, loaders.train, watch)
    if fitting < 1:
        number = max(1, int(fitting * len(splits.train.labels)))
        loaders = splits.loaders(64, seed=seed, train_size=number)
    num_epochs = max(1, int(fitting))
    watch.steps = num_epochs * len(loaders.train)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    train(
        model,
        loaders.train,
        loaders.val,
        num_epochs=num_epochs,
        optimizer=optimizer,
        scheduler=OneCycleLR(optimizer, 0.1, total_steps=watch.steps),
        progress=False,
    )
    watch.look(nn.Sequential(transforms.Normalize(splits.mean, splits.std), model))
