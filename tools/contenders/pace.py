"""How many epochs fit into the time that is left."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader, Subset

from contenders.stopwatch import Stopwatch
from course_utils.models.modes import amp_dtype
from course_utils.training import train_one_epoch

RESERVE = 0.06  # of the time: validation, and a machine whose speed wanders


def epochs_that_fit(
    network: nn.Module, loader: DataLoader, watch: Stopwatch, steps: int = 15
) -> float:
    """Return the number of epochs, after timing some steps of a copy.

    Args:
        network: Stays as it is.
        loader: Of the training images.
        watch: Its time runs on meanwhile.
        steps: To warm up, and again to time.
    """
    twin = copy.deepcopy(network).to(memory_format=torch.channels_last)  # as `train`
    number = min(steps * loader.batch_size, len(loader.dataset))
    some = Subset(loader.dataset, range(number))
    few = DataLoader(some, loader.batch_size, collate_fn=loader.collate_fn)
    optimizer = SGD(twin.parameters(), 0.0, momentum=0.9)
    dtype = amp_dtype(torch.device("cpu"), "auto")
    train_one_epoch(twin, few, optimizer, dtype=dtype)
    began = watch.seconds
    train_one_epoch(twin, few, optimizer, dtype=dtype)
    epoch = (watch.seconds - began) * len(loader) / len(few)
    return max(0.0, watch.budget - watch.seconds) * (1 - RESERVE) / epoch
