"""What `train` refuses, each with a sentence that says what to do."""

import math
from collections.abc import Callable
from itertools import chain

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader


def check_finite(loss: float, where: str) -> None:
    """Raise if a loss is no longer a finite number."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{where}: the loss became {loss}; lower the learning rate (a tenth of it "
            "is a good first try) and look at the data."
        )


def check_devices(model: nn.Module, criterion: Callable | None) -> None:
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


def check_optimizer(model: nn.Module, optimizer: Optimizer) -> None:
    """Raise if the optimiser would change none of the network's parameters."""
    own = {id(p) for p in model.parameters() if p.requires_grad}
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    if not own.intersection(held):
        raise ValueError(
            f"The optimizer holds {len(held)} parameters, none of them trainable ones "
            "of this network; build it after the network, from model.parameters()."
        )


def check_cycle_length(
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
