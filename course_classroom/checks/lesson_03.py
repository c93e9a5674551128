"""Checks of the exercises of lesson 03."""

import math
from collections.abc import Callable, Sequence
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    number,
    refuse_slips,
    several,
    tensor,
)

FRAME = "note the rate before each step, as the frame does."


class NotedCycle(OneCycleLR):
    """One cycle that notes its steps, and those of its optimiser, in `calls`."""

    def __init__(self, optimizer: SGD, total_steps: int) -> None:
        self.calls: list[str] = []
        super().__init__(optimizer, 0.1, total_steps=total_steps)
        self.calls.clear()  # of the step that making it takes
        optimizer.register_step_post_hook(lambda *_: self.calls.append("optimizer"))

    def step(self, epoch: int | None = None) -> None:
        """Note the step, and take it."""
        self.calls.append("scheduler")
        super().step(epoch)


@exercise(
    hint="delete the line that raises; then, a one cycle counts batches: where does a "
    "batch end?"
)
def rates_of_a_run(answer: Callable[..., Sequence[float]]) -> str:
    """Return a sentence if `answer` steps a one cycle after every batch."""
    num_epochs, num_batches = 4, 5
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    cycle = NotedCycle(optimizer, num_epochs * num_batches)
    try:
        rates = answer(optimizer, cycle, num_epochs, num_batches)
    except ValueError as error:
        if "total steps" not in str(error):
            raise
        raise Wrong(
            "The cycle is stepped more often than it was made for. Hint: once a batch, "
            "and nowhere else."
        ) from None
    found = several(rates, num_epochs * num_batches, "one rate a batch", FRAME)
    found = [number(rate) for rate in found]
    right = OneCycleLR(SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 0.1, len(found))
    if len(set(found)) == 1:
        raise Wrong("The rate never changes. Hint: who steps the scheduler?")
    if len(set(found)) == num_epochs:
        raise Wrong(
            "The rate changes once an epoch, so the cycle never gets far. Hint: it "
            "counts batches."
        )
    for batch, rate in enumerate(found):
        if not math.isclose(rate, right.get_last_lr()[0]):
            raise Wrong(
                f"Batch {batch} has the rate {rate:.4g}, not "
                f"{right.get_last_lr()[0]:.4g}. Hint: note the rate before the step, "
                "and step once a batch."
            )
        if batch + 1 < len(found):
            right.optimizer.step()
            right.step()
    if cycle.calls.count("optimizer") != len(found):
        raise Wrong(
            f"The optimiser takes {cycle.calls.count('optimizer')} steps in "
            f"{len(found)} batches. Hint: optimizer.step() stays where it was."
        )
    if cycle.calls != ["optimizer", "scheduler"] * len(found):
        raise Wrong(
            "The rates are right, but the schedule steps before the optimiser has used "
            "its rate. Hint: optimizer.step() first."
        )
    return "Once a batch, after the optimiser's step."


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
                "the cosine begins here, at 1: count its steps from the end of the "
                "warm-up, and bring its values to between 0 and 1."
            )
        elif step == total and factors[step] < 0:
            hint = "a cosine falls to -1: bring it to between 0 and 1."
        elif step == total:
            hint = "how many steps has the cosine, and how long is half a turn?"
        else:
            hint = "half a cosine wave is flat at both ends: slow, fast, slow."
        raise Wrong(
            f"With {warmup} steps of warm-up, step {step} of {total} has "
            f"{factors[step]:.4g}, not {right[step]:.4g}. Hint: {hint}"
        )
    return "Up in a straight line, down along half a cosine."


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
    rows, columns = logits.log_softmax(1), logits.log_softmax(0)
    start = "With ε = 0 it is not the cross-entropy. Hint: "
    one_each = torch.arange(len(labels))
    other_axis = "log_softmax goes over the classes; which axis of (B, K) is theirs?"
    everyone = "[:, labels] takes six numbers from each row; which one is its own?"
    wrong_sign = "the logarithm of a probability is negative; a loss is not."
    slips = {
        other_axis: -columns[one_each, labels].mean(),
        everyone: -rows[:, labels].mean(),
        wrong_sign: -ordinary,
    }
    refuse_slips(plain, slips, start)
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
            "weights of all classes add up to 1; each multiplies a *log*-probability."
        )
    if not found.requires_grad or not close(
        *(torch.autograd.grad(loss, leaf)[0] for loss in (found, right))
    ):
        raise Wrong(
            "The value is right, the gradient is not. Hint: stay with tensors, without "
            "item(), detach() or no_grad()."
        )
    return "Right, and its gradient flows."
