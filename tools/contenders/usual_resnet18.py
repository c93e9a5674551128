"""The ResNet-18 that most scripts for CIFAR-10 are copied from.

Source: github.com/kuangliu/pytorch-cifar, `main.py` and `models/resnet.py`.
"""

from __future__ import annotations

import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms

from contenders.pillow_images import PillowImages, usual_transform
from contenders.plain_loop import train_one_epoch
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import resnet18

TITLE = "the usual ResNet-18"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train until the time is up."""
    torch.manual_seed(seed)
    data = PillowImages(splits.train, usual_transform(MEAN, STD))
    loader = DataLoader(data, 128, shuffle=True, num_workers=2)
    net = resnet18(num_classes=10, stem="cifar")  # the same layers as the source's
    judged = nn.Sequential(transforms.Normalize(MEAN, STD), net)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
    while True:
        train_one_epoch(net, loader, optimizer, watch, judged)
        scheduler.step()
