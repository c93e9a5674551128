"""The loop of the textbooks: what the scripts that are compared have in common."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from contenders.stopwatch import Stopwatch


def train_one_epoch(
    net: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    watch: Stopwatch,
    judged: nn.Module,
) -> None:
    """Train on every batch once.

    Args:
        net: Maps images as the loader yields them to logits.
        loader: Yields images and labels.
        optimizer: Over the network's parameters.
        watch: Told of each step.
        judged: The same network for pixels in [0, 1]: what the watch tests.
    """
    net.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        watch.tick(judged)
