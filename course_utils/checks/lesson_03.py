"""Checks of the exercises of lesson 03."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.checks.reporting import Wrong, exercise


@exercise(hint="add up the loss of all images first; a batch of n holds n of them.")
def dataset_mean(answer: Callable[[Sequence[float], Sequence[int]], float]) -> str:
    """Return a sentence if `answer` is the mean over images."""
    losses, sizes = [2.0, 3.0, 7.0], [64, 64, 2]
    found = answer(losses, sizes)
    if found is None:
        raise Wrong("The function returns nothing. Hint: return the mean.")
    right = (2.0 * 64 + 3.0 * 64 + 7.0 * 2) / 130
    if math.isclose(found, sum(losses) / 3):
        raise Wrong(
            "This is the mean over batches: two images count as much as 64. Hint: "
            "how much of the total does a batch of 2 deserve?"
        )
    if math.isclose(found, right * 130):
        raise Wrong("This is the total of all images. Hint: how many are there?")
    if math.isclose(found, right * 130 / 3):
        raise Wrong("The total is right. Hint: divide by the images, not the batches.")
    if not math.isclose(found, right):
        raise Wrong(
            f"For losses {losses} and sizes {sizes} it gives {found:.4g}, which is not "
            "the mean over the images. Hint: try equal sizes first."
        )
    return "A short last batch counts by its size."


@exercise(hint="two cases: before warmup_steps a straight line, after it a cosine.")
def warmup_cosine(answer: Callable[[int, int, int], float]) -> str:
    """Return a sentence if `answer` warms up and then falls along a cosine."""
    warmup, total = 20, 140
    factors = [answer(step, warmup, total) for step in range(total + 1)]
    if any(factor is None for factor in factors):
        raise Wrong("For some steps nothing is returned. Hint: cover both cases.")
    if not math.isclose(factors[0], 0, abs_tol=1e-9):
        raise Wrong(f"At step 0 it is {factors[0]:.4g}. Hint: it should rise from 0.")
    for step in range(warmup):
        if not math.isclose(factors[step], step / warmup, abs_tol=1e-6):
            raise Wrong(
                f"In the warm-up, at step {step} of {warmup}, it is "
                f"{factors[step]:.4g}. Hint: equal steps, that would reach 1 at "
                f"step {warmup}."
            )
    if not math.isclose(factors[warmup], 1, abs_tol=1e-6):
        raise Wrong(
            f"At the end of the warm-up it is {factors[warmup]:.4g}, not 1. Hint: the "
            "cosine begins there; count its steps from the end of the warm-up."
        )
    if not math.isclose(factors[total], 0, abs_tol=1e-6):
        raise Wrong(
            f"At the last step it is {factors[total]:.4g}, not 0. Hint: the cosine has "
            "total_steps - warmup_steps steps, and half a turn is π."
        )
    middle, quarter = (warmup + total) // 2, warmup + (total - warmup) // 4
    right = (1 + math.cos(math.pi / 4)) / 2
    if not math.isclose(factors[middle], 0.5, abs_tol=1e-6) or not math.isclose(
        factors[quarter], right, abs_tol=1e-6
    ):
        raise Wrong(
            f"It begins at 1 and ends at 0, but is {factors[quarter]:.4g} a quarter of "
            "the way down. Hint: (1 + cos) / 2, not a straight line."
        )
    return "Up in a straight line, down along half a cosine."


@exercise(
    hint="the target is a mixture, so the loss is the same mixture of two losses."
)
def smoothed_cross_entropy(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """Return a sentence if `answer` is the label-smoothed cross-entropy."""
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(6, 5, generator=generator)
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    plain = answer(logits, labels, 0.0)
    if plain is None:
        raise Wrong("The function returns nothing. Hint: return the mean loss.")
    plain = torch.as_tensor(plain)
    if plain.ndim:
        raise Wrong(
            f"It gives a tensor of shape {tuple(plain.shape)}. Hint: one number, the "
            "mean over the batch."
        )
    if not torch.isclose(plain, F.cross_entropy(logits, labels), atol=1e-5):
        raise Wrong(
            f"With ε = 0 it gives {plain:.4f}, not the cross-entropy "
            f"{F.cross_entropy(logits, labels):.4f}. Hint: minus the log-probability "
            "of the right class, averaged."
        )
    found = torch.as_tensor(answer(logits, labels, 0.2))
    right = F.cross_entropy(logits, labels, label_smoothing=0.2)
    # ε shared among the other K - 1 classes is the same loss with a larger ε
    others = F.cross_entropy(logits, labels, label_smoothing=0.2 * 5 / 4)
    if torch.isclose(found, others, atol=1e-5):
        raise Wrong(
            "Here ε is shared among the other classes. Hint: the right class has its "
            "part of ε as well."
        )
    if not torch.isclose(found, right, atol=1e-5):
        raise Wrong(
            f"With ε = 0 it is right, with ε = 0.2 it gives {found:.4f}. Hint: the "
            "weights of all classes must add up to 1."
        )
    leaf = logits.clone().requires_grad_()
    loss = answer(leaf, labels, 0.2)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong(
            "The value is right, but no gradient flows back. Hint: stay with tensors, "
            "without item() or no_grad()."
        )
    return "Right, and its gradient flows."
