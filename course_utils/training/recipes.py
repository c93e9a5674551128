"""Recipes: an optimiser and the schedule that goes with it."""

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.training.muon import Muon


def sgd_one_cycle(
    model_or_groups: nn.Module | Iterable, lr: float, steps: int
) -> tuple[SGD, OneCycleLR]:
    """Return SGD with Nesterov's momentum, and one cycle of its learning rate.

    The cycle moves the momentum too, from 0.95 to 0.85 and back (`OneCycleLR`'s
    default); without the cycle it is 0.9.

    Args:
        model_or_groups: A network, or groups of parameters; a group that has an
            ``"lr"`` of its own has its cycle up to that.
        lr: Highest learning rate of the cycle.
        steps: Batches in the whole training: epochs times ``len(train_loader)``.

    Source: Smith and Topin 2017 (arXiv 1708.07120).
    Taught in: lesson 03, "The whole run".
    """
    groups = model_or_groups
    if isinstance(groups, nn.Module):
        groups = groups.parameters()
    optimizer = SGD(groups, lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    highest = [group["lr"] for group in optimizer.param_groups]
    return optimizer, OneCycleLR(optimizer, highest, total_steps=steps)


def muon_one_cycle(
    model: nn.Module, lr: float, steps: int, *, other_lr: float = 0.5
) -> tuple[Muon, OneCycleLR]:
    """Return Muon for the kernels of convolutions, and one cycle of its rates.

    Args:
        model: A network; what is frozen in it is left out.
        lr: Highest learning rate of the kernels.
        steps: Batches in the whole training: epochs times ``len(train_loader)``.
        other_lr: Highest learning rate of all other parameters.

    Source: Jordan et al. 2024, as `Muon`.
    Taught in: lesson 03b, "A recipe for minutes".
    """
    learnt = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in learnt if p.ndim == 4]
    others = [p for p in learnt if p.ndim != 4]
    groups = [{"params": kernels, "lr": lr}, {"params": others, "lr": other_lr}]
    optimizer = Muon(groups)
    return optimizer, OneCycleLR(optimizer, [lr, other_lr], total_steps=steps)
