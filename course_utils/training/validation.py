"""What a training refuses, each with a sentence that says what to do."""

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader


def check_not_empty(loader: DataLoader) -> None:
    """Raise if there is no batch to go through."""
    if not len(loader):
        raise ValueError(
            "The loader yields no batch; give it at least one image (and "
            "drop_last=False where there are fewer than a batch)."
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise if a label names none of the network's classes."""
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"Labels go from {labels.min()} to {labels.max()}, but the network has "
            f"{logits.shape[1]} classes (0 to {logits.shape[1] - 1}); build it with "
            "num_classes to match the data."
        )


def check_finite(loss: float, where: str) -> None:
    """Raise if a loss is no longer a finite number."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{where}: the loss became {loss}; lower the learning rate (a tenth of it "
            "is a good first try) and look at the data."
        )


def check_steps(losses: list[Tensor], last_step: int) -> None:
    """Raise if the loss of one of the steps up to the last is no finite number."""
    first_step = last_step - len(losses) + 1
    for step, loss in enumerate(torch.stack(losses).tolist(), first_step):
        check_finite(loss, f"step {step}")


def check_unused(scheduler: LRScheduler | None) -> None:
    """Raise if a training that begins would go on with a schedule that has begun."""
    if scheduler is not None and scheduler.last_epoch > 0:
        raise ValueError(
            f"The schedule has taken {scheduler.last_epoch} steps already: for a new "
            "training, build network, optimizer and scheduler anew; to go on with the "
            "one in a folder, give save_path and resume=True."
        )


def check_run(
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler | None,
    num_epochs: int,
    loader: DataLoader,
) -> None:
    """Raise if a training would learn nothing, or if its cycle would end too early."""
    if num_epochs < 1 or num_epochs % 1:
        raise ValueError(f"num_epochs is {num_epochs}; give a whole number from 1 on.")
    own = {id(p) for p in model.parameters() if p.requires_grad}
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    if not own.intersection(held):
        raise ValueError(
            f"The optimizer holds {len(held)} parameters, none of them trainable ones "
            "of this network; build it after the network, from model.parameters()."
        )
    steps = num_epochs * len(loader)
    if isinstance(scheduler, OneCycleLR) and scheduler.total_steps < steps:
        raise ValueError(
            f"The schedule is planned for {scheduler.total_steps} steps, but "
            f"{num_epochs} epochs of {len(loader)} batches are {steps}; give "
            f"OneCycleLR total_steps={steps}."
        )
