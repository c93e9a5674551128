"""Checks of the exercises of lesson 08."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from course_classroom import faults
from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import left_alone, list_of, number, refused
from course_utils.models import cifar_resnet

QUESTIONS = {  # what to ask a run that was named wrongly: no question gives the name
    "eval() missing": "what do other batches change in its answers?",
    "wrong statistics": "what arrives at the network, here and there?",
    "labels shuffled": "is what it fits true? Look at a batch.",
    "rate too high": "how long are its steps?",
    "scheduler never stepped": "do its steps change as the plan says?",
    "frozen norms move": "is everything that should rest at rest?",
    "ReLU before the addition": "can its blocks do all that a block can?",
    "test images leaked": "how does it do on images that nobody has seen?",
}


@exercise(hint="compare the bytes: image.tobytes() can be kept in a set.")
def shared_images(answer: Callable[[np.ndarray, np.ndarray], list[int]]) -> str:
    """Return a sentence if `answer` finds the images of one set in another."""
    rng = np.random.default_rng(4)
    first = rng.integers(0, 256, (30, 6, 6, 3), np.uint8)
    second = rng.integers(0, 256, (12, 6, 6, 3), np.uint8)
    second[[2, 7, 11]] = first[[20, 3, 20]]
    second[5] = first[9]
    second[5, 0, 0, 0] ^= 255  # nearly the same, and another image
    second[8] = first[4][::-1, ::-1]  # the same pixels at other places
    whole = int | np.integer
    places = list_of(answer(first, second), whole, "a list of positions in the second")
    if sorted(places) in ([3, 20, 20], [3, 20]):
        raise Wrong(
            "These are positions in the first set. Hint: which images of the *second* "
            "set are in the first?"
        )
    mistakes = {
        8: "an image with the same pixels at other places was taken for the same",
        5: "two images that differ in one value were taken for the same",
    }
    for place, mistake in mistakes.items():
        if place in places:
            raise Wrong(f"At least {mistake}. Hint: every pixel, in its place.")
    if sorted(places) == [2, 7]:
        raise Wrong(
            "An image that is twice in the second set was found once. Hint: each "
            "position counts."
        )
    if sorted(places) != [2, 7, 11]:
        raise Wrong(
            f"{len(set(places) & {2, 7, 11})} of 3 shared images were found, and "
            f"{len(set(places) - {2, 7, 11})} that are not shared. Hint: compare each "
            "image of the second set with all of the first, not pair by pair."
        )
    if places != sorted(places):
        raise Wrong("The positions are right. Hint: give them in ascending order.")
    return "All shared images, wherever they stand, and no others."


@exercise(hint="begin with the runs whose curves leave the reference's.")
def diagnosis(answer: dict[str, str]) -> str:
    """Return a sentence if `answer` names the fault of each run."""
    right = faults.answers()
    if not isinstance(answer, dict):
        raise refused(
            answer,
            "a dictionary from run to fault",
            "Hint: keep the form that the exercise has.",
        )
    if all(name is None or name is ... for name in answer.values()):
        raise NotImplementedError
    strange = [str(letter) for letter in answer if letter not in right]
    if strange:
        raise Wrong(
            f"There is no run {strange[0][:20]}. Hint: the runs are {', '.join(right)}."
        )
    names = [name for name in answer.values() if name is not None and name is not ...]
    for name in names:
        if name not in faults.FAULTS:
            raise Wrong(
                f"There is no fault {str(name)[:40]!r}. Hint: copy the name from the "
                "list in section 1."
            )
    wrong = [letter for letter, name in right.items() if answer.get(letter) != name]
    if not wrong:
        return "All eight. You have the eye for it."
    hits = len(right) - len(wrong)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Wrong(
            f"{hits} of 8 are right, and {twice[0]!r} is named twice. Hint: each fault "
            "was planted once."
        )
    named = [letter for letter in wrong if answer.get(letter) in faults.FAULTS]
    letter = (named or wrong)[0]
    raise Wrong(
        f"{hits} of 8 are right. Hint: ask run {letter}, {QUESTIONS[right[letter]]}"
    )


Overfit = Callable[[nn.Module, Tensor, Tensor, int], float]


@exercise(hint="deepcopy, train(), then the five lines of a step, again and again.")
def overfit_one_batch(answer: Overfit) -> str:
    """Return a sentence if `answer` fits one batch by heart, on a copy."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(8, 3, 8, 8, generator=generator)
    labels = torch.randint(4, (8,), generator=generator)
    torch.manual_seed(0)
    model = cifar_resnet(8, num_classes=4).eval()
    with left_alone(model, "copy.deepcopy first."):
        none, some = (number(answer(model, images, labels, n)) for n in (0, 60))
    with torch.no_grad():
        logits = copy.deepcopy(model).train()(images)
        fresh = nn.functional.cross_entropy(logits, labels)
    if abs(none - fresh.item()) > 1e-3:
        raise Wrong(
            f"After no step at all it gives {none:.4f}, expected {fresh.item():.4f}. "
            "Hint: return the loss of the batch after the last step, in train()."
        )
    if some > 0.05:
        raise Wrong(
            f"After 60 steps the loss is {some:.3f}; below 0.05 was expected. Hint: "
            "zero the gradients, backward, step, always with the same batch, at a "
            "rate of 0.05."
        )
    stiff = cifar_resnet(8, num_classes=4).requires_grad_(False)
    stiff.fc.bias.requires_grad_(True)
    stuck = number(answer(stiff, images, labels, 60))
    if stuck < 0.3:
        raise Wrong(
            "A network of which only one bias can learn reaches a loss of "
            f"{stuck:.3f}. Hint: leave requires_grad as you find it."
        )
    return "A sound network learns the batch by heart, a stiff one does not."


@exercise(hint="named_buffers() before and after one forward pass of a copy.")
def moved_buffers(answer: Callable[[nn.Module, Tensor], list[str]]) -> str:
    """Return a sentence if `answer` names the buffers that a forward pass moves."""
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    model = cifar_resnet(8, num_classes=4).requires_grad_(False).eval()
    model.layer2[0].bn1.train()
    prefix = "layer2.0.bn1."
    right = {prefix + part for part in ("running_mean", "running_var")}
    right.add(prefix + "num_batches_tracked")
    leave = "ask a copy, in the modes that you find: no eval() and no train()."
    with left_alone(model, leave):
        found = set(list_of(answer(model, images), str, "a list of names"))
    if found > right and not found - set(dict(model.named_buffers())):
        raise Wrong(
            f"{len(found)} buffers are named, and {len(right)} moved. Hint: ask in the "
            "modes that you find; a single layer may be in train()."
        )
    if not found:
        raise Wrong(
            f"None was found, and {len(right)} moved. Hint: keep a clone of each value "
            "before the pass; a buffer changes in place."
        )
    if found != right:
        raise Wrong(
            f"{len(found & right)} of {len(right)} were found, and "
            f"{len(found - right)} others. Hint: the names that named_buffers() gives."
        )
    if list_of(answer(model.eval(), images), str, "a list of names"):
        raise Wrong(
            "In eval() nothing moves, and yet something is named. Hint: compare the "
            "values, not the modes."
        )
    return "Those that moved, by name, and the network as it was."
