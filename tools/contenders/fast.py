"""A wide ResNet at half the resolution, a white stem, Muon; see lesson 03b."""

from __future__ import annotations

from itertools import chain, islice, repeat

import torch
from torch import nn
from torchvision import transforms

from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import CifarResNet
from course_utils.models.fast import BothViews, use_patches, whiten_stem
from course_utils.models.modes import amp_dtype
from course_utils.training import train_one_epoch
from course_utils.training.recipes import muon_one_cycle

TITLE = "the course's fast recipe"
STEPS = 5  # between two looks at the clock
CYCLE = 1000  # steps of the schedule, whatever the time


def shape_for(minutes: float) -> tuple[int, int, int]:
    """Return depth, width and batch size: a larger network where there is more time."""
    if minutes <= 1:
        return 8, 32, 128
    return (14, 64, 256) if minutes >= 30 else (8, 64, 128)


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train until the time is up; the learning rate follows the clock."""
    torch.manual_seed(seed)
    depth, width, batch_size = shape_for(watch.budget / 60)
    loader = splits.loaders(batch_size, seed=seed).train
    batches = chain.from_iterable(repeat(loader))  # epoch after epoch
    model = CifarResNet(depth, shortcut="B", width=width, stem_stride=2, stem_kernel=4)
    whiten_stem(model, next(batches)[0])
    use_patches(model.layer3)
    model.to(memory_format=torch.channels_last)
    optimizer, scheduler = muon_one_cycle(model, 0.1, CYCLE)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    dtype = amp_dtype(torch.device("cpu"), "auto")
    while watch.seconds < watch.budget:
        few = list(islice(batches, STEPS))
        train_one_epoch(model, few, optimizer, criterion, dtype=dtype)
        watch.steps += STEPS
        now = min(1.0, watch.seconds / watch.budget)
        while scheduler.last_epoch < CYCLE * now - 1:
            scheduler.step()
    normalise = transforms.Normalize(splits.mean, splits.std)
    watch.look(nn.Sequential(normalise, BothViews(model)))
