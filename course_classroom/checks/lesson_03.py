"""Checks of the exercises of lesson 03."""

import math
from collections.abc import Callable, Sequence
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    left_alone,
    number,
    refuse_slips,
    tensor,
    truth,
)
from course_utils.models import cifar_resnet


@exercise(hint="add up the loss of all images first; a batch of n holds n of them.")
def dataset_mean(answer: Callable[[Sequence[float], Sequence[int]], float]) -> str:
    """Return a sentence if `answer` is the mean over images."""
    losses, sizes = [2.0, 3.0, 7.0], [64, 32, 2]
    found = number(answer(losses, sizes))
    total = 2.0 * 64 + 3.0 * 32 + 7.0 * 2
    slips = {
        "This is the mean over batches: two images count as much as 64. Hint: how much "
        "of the total does a batch of 2 deserve?": sum(losses) / 3,
        "This is the total of all images. Hint: how many are there?": total,
        "The total is right. Hint: divide by the images, not the batches.": total / 3,
    }
    refuse_slips(found, slips)
    if not math.isclose(found, total / 98):
        raise Wrong(
            f"For losses {losses} and sizes {sizes} it gives {found:.4g}, which is not "
            "the mean over the images. Hint: try equal sizes first."
        )
    return "A short last batch counts by its size."


@exercise(hint="two cases: before warmup_steps a straight line, after it a cosine.")
def warmup_cosine(answer: Callable[[int, int, int], float]) -> str:
    """Return a sentence if `answer` warms up and then falls along a cosine."""
    warmup, total = 20, 140
    factors = [number(answer(step, warmup, total)) for step in range(total + 1)]
    turns = (step / (total - warmup) for step in range(total - warmup + 1))
    right = [step / warmup for step in range(warmup)]
    right += [(1 + math.cos(math.pi * turn)) / 2 for turn in turns]
    wrong = [
        step
        for step in range(total + 1)
        if not math.isclose(factors[step], right[step], abs_tol=1e-6)
    ]
    if wrong:
        step = total if wrong[0] > warmup and wrong[-1] == total else wrong[0]
        if step == 0:
            hint = "it should rise from 0."
        elif step < warmup:
            hint = f"equal steps, that would reach 1 at step {warmup}."
        elif step == warmup:
            hint = (
                "the cosine begins here; count its steps from the end of the warm-up."
            )
        elif step == total:
            hint = "how many steps has the cosine, and how long is half a turn?"
        else:
            hint = "half a cosine, not a straight line: it falls slowly, then fast."
        raise Wrong(
            f"With {warmup} steps of warm-up, step {step} of {total} has "
            f"{factors[step]:.4g}, not {right[step]:.4g}. Hint: {hint}"
        )
    return "Up in a straight line, down along half a cosine."


@exercise(hint="show the network the same images once together, once in two halves.")
def depends_on_company(answer: Callable[[nn.Module, Tensor], bool]) -> str:
    """Return a sentence if `answer` finds batch statistics in use, and only those."""
    images = torch.randn(6, 3, 16, 16)
    in_train, in_eval, one_left, forgetful = (cifar_resnet(8) for _ in range(4))
    in_eval.eval()
    one_left.eval().bn1.train()
    forgetful.eval().bn1 = nn.BatchNorm2d(16, track_running_stats=False).eval()
    no_norm = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
    cases = (
        ("in train()", in_train, True),
        ("in eval()", in_eval, False),
        ("in eval() but for one layer", one_left, True),
        ("in eval() with a norm that keeps no statistics", forgetful, True),
        ("in train(), but without BatchNorm", no_norm, False),
    )
    for name, network, right in cases:
        with left_alone(network, "no_grad() does not stop that; try it on a copy."):
            found = truth(answer(network, images))
            if found != right:
                raise Wrong(
                    f"For a network {name} it gives {found}. Hint: compare the "
                    "outputs for an image in two different companies, up to rounding; "
                    "another order of the same images is the same company."
                )
    return "It finds the layer that was forgotten, and leaves no trace."


@exercise(
    hint="the target is a mixture, so the loss is the same mixture of two losses."
)
def smoothed_cross_entropy(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """Return a sentence if `answer` is the label-smoothed cross-entropy."""
    logits = 3 * torch.randn(6, 5)
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    leaf = logits.clone().requires_grad_()
    ordinary = F.cross_entropy(logits, labels)
    right = F.cross_entropy(leaf, labels, label_smoothing=0.2)
    # ε shared among the other K - 1 classes is the same loss with a larger ε
    others = F.cross_entropy(logits, labels, label_smoothing=0.2 * 5 / 4)
    ready_made = Wrong(
        "The answer calls F.cross_entropy; it was expected to do without. Hint: which "
        "entry of a row of log_softmax belongs to the right class?"
    )
    with mock.patch.object(F, "cross_entropy", side_effect=ready_made):
        plain, found = (
            tensor(answer(leaf, labels, e), (), "one number, the mean over the batch.")
            for e in (0.0, 0.2)
        )
    if not close(plain, ordinary):
        raise Wrong(
            f"With ε = 0 it gives {plain:.4f}, not the cross-entropy {ordinary:.4f}. "
            "Hint: minus the log-probability of the right class, averaged."
        )
    shared = (
        "Here ε is shared among the other classes. Hint: the right class has its part."
    )
    refuse_slips(found, {shared: others})
    if not close(found, right):
        raise Wrong(
            f"With ε = 0 it is right, with ε = 0.2 it gives {found:.4f}. Hint: the "
            "weights of all classes must add up to 1."
        )
    if not found.requires_grad or not close(
        *(torch.autograd.grad(loss, leaf)[0] for loss in (found, right))
    ):
        raise Wrong(
            "The value is right, the gradient is not. Hint: stay with tensors, without "
            "item(), detach() or no_grad()."
        )
    return "Right, and its gradient flows."
