"""A slice of the loss surface around trained weights."""

import itertools
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from course_utils._engine import checks
from course_utils.explain.observing import observed
from course_utils.models.modes import device_of

Direction = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]


def filter_normalised_directions(
    model: nn.Module, seed: int = 0, count: int = 1
) -> list[Direction]:
    """Return random directions in which each filter is as long as the model's own.

    Without that, networks of equal function but differently scaled weights would seem
    to lie in valleys of different width.

    Args:
        model: The network.
        seed: Seed of the directions.
        count: How many: 1 for a line, 2 for a plane.

    Returns:
        For each direction, a tensor a parameter, by name; zero for BatchNorm and bias.

    Raises:
        ValueError: If `count` is below 1.

    Source: Li et al. 2018 (arXiv 1712.09913), section 4.
    Taught in: lesson 05, "What the optimiser saw".
    """
    checks.check_at_least_one(count, "count")
    generator = torch.Generator().manual_seed(seed)
    return [
        {n: _as_long_as(p.detach(), generator) for n, p in model.named_parameters()}
        for _ in range(count)
    ]


def _as_long_as(weight: Tensor, generator: torch.Generator) -> Tensor:
    if weight.ndim < 2:  # BatchNorm and bias
        return torch.zeros_like(weight)
    direction = torch.randn(weight.shape, generator=generator).to(weight)
    inside = tuple(range(1, weight.ndim))  # a filter, or a row of a linear layer
    wanted = torch.linalg.vector_norm(weight, dim=inside, keepdim=True)
    return (
        direction
        * wanted
        / torch.linalg.vector_norm(direction, dim=inside, keepdim=True)
    )


@torch.no_grad()
def loss_slice(
    model: nn.Module,
    batches: Iterable[Batch] | Batch,
    directions: Sequence[Direction],
    alphas: Sequence[float],
    betas: Sequence[float] | None = None,
) -> Tensor:
    """Return the mean loss at points around the model's weights.

    The model computes with moved copies of its weights, in evaluation mode; its own
    weights and BatchNorm's statistics are not touched.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        batches: A loader, or one batch: images and int64 labels (B,).
        directions: One direction, or two with `betas`; `filter_normalised_directions`.
        alphas: Steps along the first direction; 0 is the model itself.
        betas: Steps along the second.

    Returns:
        Cross-entropy, float (len(alphas),) or (len(alphas), len(betas)), on the CPU.
        Far out it may be infinite.

    Raises:
        ValueError: If there is no batch, the number of directions does not fit, or a
            direction belongs to another network.

    Source: Li et al. 2018 (arXiv 1712.09913), sections 3 and 4.
    Taught in: lesson 05, "What the optimiser saw".
    """
    parameters = dict(model.named_parameters())
    _refuse_directions(parameters, directions, 1 if betas is None else 2)
    axes = [alphas] if betas is None else [alphas, betas]
    steps = list(itertools.product(*axes))
    losses, count = torch.zeros(len(steps), dtype=torch.float64), 0
    device = device_of(model)
    if isinstance(batches, Sequence) and batches and isinstance(batches[0], Tensor):
        batches = [batches]
    with observed(model):
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            for index, step in enumerate(steps):
                moved = _moved(parameters, directions, step)
                logits = functional_call(model, moved, (images,))
                losses[index] += F.cross_entropy(logits, labels, reduction="sum").cpu()
            count += len(labels)
    if not count:
        raise ValueError("There is no batch to take the loss of; give at least one.")
    return (losses / count).float().reshape([len(axis) for axis in axes])


def _moved(
    parameters: Direction, directions: Sequence[Direction], step: Sequence[float]
) -> Direction:
    """Return the weights, each with its step along every direction added."""
    moved = dict(parameters)
    for direction, length in zip(directions, step, strict=True):
        moved = {name: moved[name] + length * direction[name] for name in moved}
    return moved


def _refuse_directions(
    parameters: Direction, directions: Sequence[Direction], expected: int
) -> None:
    if len(directions) != expected:
        raise ValueError(
            f"Got {len(directions)} directions; expected a list of one for alphas, of "
            "two for alphas and betas."
        )
    shapes = {name: value.shape for name, value in parameters.items()}
    for direction in directions:
        if {name: value.shape for name, value in direction.items()} != shapes:
            raise ValueError(
                "A direction does not have the shapes of this network's parameters; "
                "make it with filter_normalised_directions(model)."
            )
