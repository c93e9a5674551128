"""Checks of the exercises of lesson 03."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.checks.reporting import Wrong, exercise
from course_utils.models import cifar_resnet


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


@exercise(hint="show the network the same images once together, once in two halves.")
def depends_on_company(answer: Callable[[nn.Module, Tensor], bool]) -> str:
    """Return a sentence if `answer` finds batch statistics in use, and only those."""
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        in_train, in_eval, one_left = (cifar_resnet(8) for _ in range(3))
    in_eval.eval()
    one_left.eval().bn1.train()
    no_norm = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
    cases = (
        ("in train()", in_train, True),
        ("in eval()", in_eval, False),
        ("in eval() but for one layer", one_left, True),
        ("in train(), but without BatchNorm", no_norm, False),
    )
    for name, network, right in cases:
        before = copy.deepcopy(network.state_dict())
        modes = [part.training for part in network.modules()]
        found = answer(network, images)
        if found is None:
            raise Wrong("The function returns nothing. Hint: return True or False.")
        if bool(found) != right:
            raise Wrong(
                f"For a network {name} it gives {bool(found)}. Hint: compare the "
                "outputs for an image in two different companies, up to rounding; "
                "another order of the same images is the same company."
            )
        after = network.state_dict()
        if [part.training for part in network.modules()] != modes:
            raise Wrong(
                f"Right for a network {name}, but it is in another mode afterwards. "
                "Hint: try it on a copy."
            )
        if not all(torch.equal(before[key], after[key]) for key in before):
            raise Wrong(
                f"Right for a network {name}, but its running means moved. Hint: "
                "no_grad() does not stop that; try it on a copy."
            )
    return "It finds the layer that was forgotten, and leaves no trace."


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
