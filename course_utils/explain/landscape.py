"""A slice of the loss surface around trained weights."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from course_utils.explain.observing import observed
from course_utils.models.modes import device_of

Direction = dict[str, Tensor]


def filter_normalised_directions(
    model: nn.Module, seed: int = 0, count: int = 1
) -> list[Direction]:
    """Return random directions in which each filter is as long as the model's own.

    Without that, networks of equal function but differently scaled weights would seem
    to lie in valleys of different width.

    Args:
        model: The network.
        seed: Seed of the directions.
        count: How many.

    Returns:
        For each direction, a tensor a parameter, by name; zero for BatchNorm and bias.

    Source: Li et al. 2018 (arXiv 1712.09913), section 4.
    Taught in: lesson 05b, "A slice of the loss, and a trap of scale".
    """
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
    length = torch.linalg.vector_norm(direction, dim=inside, keepdim=True)
    return direction * wanted / length


@torch.no_grad()
def loss_slice(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    direction: Direction,
    alphas: Sequence[float],
) -> Tensor:
    """Return the mean loss at points on a line through the model's weights.

    The model computes with moved copies of its weights, in evaluation mode; its own
    weights and BatchNorm's statistics are not touched.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        batch: Images and int64 labels (B,).
        direction: One of `filter_normalised_directions`.
        alphas: Steps along the direction; 0 is the model itself.

    Returns:
        Cross-entropy, float (len(alphas),), on the CPU. Far out it may be infinite.

    Source: Li et al. 2018 (arXiv 1712.09913), sections 3 and 4.
    Taught in: lesson 05b, "A slice of the loss, and a trap of scale".
    """
    images, labels = (values.to(device_of(model)) for values in batch)
    parameters = dict(model.named_parameters())
    losses = []
    with observed(model):
        for alpha in alphas:
            moved = {n: p + alpha * direction[n] for n, p in parameters.items()}
            logits = functional_call(model, moved, (images,))
            losses.append(F.cross_entropy(logits, labels))
    return torch.stack(losses).cpu()
