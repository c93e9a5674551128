"""A ResNet at half the resolution, Muon, few crops; see lesson 03b."""

from __future__ import annotations

from itertools import chain, islice, repeat

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from contenders.pace import epochs_that_fit
from contenders.stopwatch import Stopwatch
from course_utils.data.arrays import ImageSplits
from course_utils.models import CifarResNet
from course_utils.models.fast import BothViews, use_patches
from course_utils.models.modes import amp_dtype
from course_utils.training import train_one_epoch
from course_utils.training.recipes import muon_one_cycle

TITLE = "the course's fast recipe"
STEPS = 5  # between two looks at the clock
CYCLE = 1000  # steps of the schedule, whatever the time
STEM = {"stem_stride": 2, "stem_kernel": 4}
# Epochs that have to fit, depth, width, batch size; the smallest first.
SHAPES = ((0, 8, 16, 128), (2, 8, 32, 128), (3, 8, 64, 128), (10, 14, 64, 256))


def largest_that_fits(
    splits: ImageSplits, watch: Stopwatch, seed: int
) -> tuple[nn.Module, DataLoader]:
    """Return the network for this time on this machine, and batches for it."""
    for epochs, depth, width, batch_size in SHAPES:
        loader = splits.loaders(batch_size, seed=seed).train
        model = CifarResNet(depth, shortcut="B", width=width, **STEM)
        use_patches(model.layer3)
        model.to(memory_format=torch.channels_last)
        fitting = epochs_that_fit(model, loader, watch, steps=3)
        if fitting < epochs:
            break
        loader.dataset.padding = min(4, int(fitting) // 4)  # crops cost short trainings
        found = model, loader
    return found


def run(splits: ImageSplits, watch: Stopwatch, seed: int) -> None:
    """Train until the time is up; the learning rate follows the clock."""
    torch.manual_seed(seed)
    model, loader = largest_that_fits(splits, watch, seed)
    batches = chain.from_iterable(repeat(loader))  # epoch after epoch
    optimizer, scheduler = muon_one_cycle(model, 0.2, CYCLE)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    dtype = amp_dtype(torch.device("cpu"), "auto")
    progress = 0.0
    while progress < 1:
        few = list(islice(batches, STEPS))
        train_one_epoch(model, few, optimizer, criterion, dtype=dtype)
        watch.steps += STEPS
        progress = min(1.0, watch.seconds / watch.budget)
        while scheduler.last_epoch < CYCLE * progress - 1:
            scheduler.step()
    normalise = transforms.Normalize(splits.mean, splits.std)
    watch.look(nn.Sequential(normalise, BothViews(model)))
