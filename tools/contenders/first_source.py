"""The first of the course's sources: ResNet-34 as for ImageNet, a plateau schedule.

Source: github.com/JayPatwardhan/ResNet-PyTorch (its notebook has the ResNet-50).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.models import resnet34

from contenders.pillow_images import PillowImages, usual_transform
from contenders.plain_loop import train_one_epoch
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits

TITLE = "ResNet-34, plateau schedule"
HALVES = (0.5, 0.5, 0.5)


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train until the time is up."""
    torch.manual_seed(seed)
    still = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(HALVES, HALVES)]
    )
    train_set = PillowImages(splits.train, usual_transform(HALVES, HALVES))
    train_loader = DataLoader(train_set, 128, shuffle=True, num_workers=2)
    val_loader = DataLoader(PillowImages(splits.val, still), 128, num_workers=2)
    net = resnet34(num_classes=10)
    judged = nn.Sequential(transforms.Normalize(HALVES, HALVES), net)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=5)
    while True:
        train_one_epoch(net, train_loader, optimizer, watch, judged)
        net.eval()
        with torch.no_grad():
            losses = [F.cross_entropy(net(x), y).item() for x, y in val_loader]
        scheduler.step(sum(losses) / len(losses))
