"""What `train` refuses, each with a sentence that says what to do."""

import math
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader


def refuse_below_one(value: int | None, name: str) -> None:
    """Raise if a number that counts something is given and is below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}; give at least 1.")


def refuse_empty(loader: DataLoader) -> None:
    """Raise if there is no batch to go through."""
    if not len(loader):
        raise ValueError(
            "The loader yields no batch; give it at least one image (and "
            "drop_last=False where there are fewer than a batch)."
        )


def refuse_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise if a label names none of the network's classes."""
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"Labels go from {labels.min()} to {labels.max()}, but the network has "
            f"{logits.shape[1]} classes (0 to {logits.shape[1] - 1}); build it with "
            "num_classes to match the data."
        )


def refuse_nan(loss: float, where: str) -> None:
    """Raise if a loss is no longer a finite number."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{where}: the loss became {loss}; lower the learning rate (a tenth of it "
            "is a good first try) and look at the data."
        )


def refuse_devices(model: nn.Module, criterion: Callable | None) -> None:
    """Raise if parts of the network, or of the criterion, are on different devices."""
    parts = [model, criterion] if isinstance(criterion, nn.Module) else [model]
    tensors = chain.from_iterable((*p.parameters(), *p.buffers()) for p in parts)
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1:
        raise ValueError(
            f"The network and the criterion are on several devices "
            f"({', '.join(devices)}); move both to one: model.to(device) and "
            "criterion.to(device)."
        )


def refuse_optimizer(model: nn.Module, optimizer: Optimizer) -> None:
    """Raise if the optimiser would change none of the network's parameters."""
    own = {id(p) for p in model.parameters() if p.requires_grad}
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    if not own.intersection(held):
        raise ValueError(
            f"The optimizer holds {len(held)} parameters, none of them trainable ones "
            "of this network; build it after the network, from model.parameters()."
        )


def refuse_short_cycle(
    scheduler: LRScheduler | None, num_epochs: int, loader: DataLoader
) -> None:
    """Raise if a `OneCycleLR` would end before the training does."""
    steps = num_epochs * len(loader)
    if isinstance(scheduler, OneCycleLR) and scheduler.total_steps < steps:
        raise ValueError(
            f"The schedule is planned for {scheduler.total_steps} steps, but "
            f"{num_epochs} epochs of {len(loader)} batches are {steps}; give "
            f"OneCycleLR total_steps={steps}."
        )


def explained(error: RuntimeError, batch_size: int | None) -> RuntimeError:
    """Return `error` in one sentence where its cause is known, else as it is."""
    if isinstance(error, torch.OutOfMemoryError):
        return torch.OutOfMemoryError(
            f"The device has no memory left for batches of {batch_size} images; try "
            "half of that, or a smaller network, and close other programs that use it."
        )
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        reason = str(error).splitlines()[0]
        return RuntimeError(
            f"torch.compile failed ({reason}); use compile=False, or install a C++ "
            "compiler."
        )
    return error
