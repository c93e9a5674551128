"""Checks of the exercises of lesson 08."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from course_classroom import faults
from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import left_alone, list_of, refused
from course_utils.models import cifar_resnet


@exercise(hint="enumerate(second) gives each image with its position.")
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
    given = answer(first, second)
    flags = list(given) if isinstance(given, list | np.ndarray) else []
    if flags and all(isinstance(flag, bool | np.bool_) for flag in flags):
        raise Wrong(
            f"{len(flags)} values true or false came back. Hint: give the positions, "
            "whole numbers, at which they are true."
        )
    places = list_of(given, whole, "a list of positions in the second")
    if any(place >= len(second) for place in places):
        raise Wrong(
            f"{max(places)} is no position in the second set, which has {len(second)} "
            "images. Hint: go through `second`, and give positions in it."
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


TELLS = {  # the row of the table in which a fault differs from the healthy runs
    "eval() missing": "validation, mixed",
    "gradients never zeroed": "gradient",
    "labels shuffled": "labels agreed",
    "rate too high": "highest rate",
    "ReLU before the addition": "negative in a branch",
    "scheduler never stepped": "last rate",
    "test images leaked": "test",
    "wrong statistics": "mean pixel",
}


@exercise(hint="begin with the runs whose curves leave the healthy run's.")
def diagnosis(answer: dict[str, str]) -> str:
    """Return a sentence if `answer` names the fault of each run."""
    right = faults.answers()
    if not isinstance(answer, dict):
        raise refused(
            answer,
            "a dictionary from run to fault",
            "keep the form that the exercise has.",
        )
    if all(name is None or name is ... for name in answer.values()):
        raise NotImplementedError
    strange = [str(letter) for letter in answer if letter not in right]
    if strange:
        raise Wrong(
            f"There is no run {strange[0][:20]}. Hint: the runs are {', '.join(right)}."
        )
    spelled = {name.lower(): name for name in faults.FAULTS}
    answer = {
        letter: spelled.get(name.strip().lower(), name)
        if isinstance(name, str)
        else name
        for letter, name in answer.items()
    }
    names = [name for name in answer.values() if name is not None and name is not ...]
    for name in names:
        if name not in faults.FAULTS:
            raise Wrong(
                f"There is no fault {str(name)[:40]!r}. Hint: copy the name from the "
                "list in section 5."
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
    if not named:
        raise Wrong(
            f"{hits} of 8 are right, and run {wrong[0]} has no name yet. Hint: in "
            "which row is it unlike both healthy runs?"
        )
    raise Wrong(
        f"{hits} of 8 are right. Hint: ask run {named[0]} once more, and compare its "
        f"row {TELLS[right[named[0]]]!r} with the healthy runs'."
    )


@exercise(hint="double(images), then torch.equal for each name.")
def moved_buffers(answer: Callable[[nn.Module, Tensor], list[str]]) -> str:
    """Return a sentence if `answer` names the buffers that a forward pass moves."""
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    model = cifar_resnet(8, num_classes=4).requires_grad_(False).eval()
    model.layer2[0].bn1.train()
    prefix = "layer2.0.bn1."
    right = {prefix + part for part in ("running_mean", "running_var")}
    right.add(prefix + "num_batches_tracked")
    passes = []
    model.register_forward_pre_hook(lambda *_: passes.append(True))  # copies keep it
    leave = "ask a copy, in the modes that you find: no eval() and no train()."
    with left_alone(model, leave):
        try:
            named = answer(model, images)
        except RuntimeError as error:
            if "Boolean value of Tensor" not in str(error):
                raise
            raise Wrong(
                "Two tensors were compared with != or ==, which answers for each "
                "number. Hint: torch.equal(a, b) says whether all are equal."
            ) from None
        found = set(list_of(named, str, "a list of names"))
    if not passes:
        raise Wrong(
            "No image has passed the network or its double. Hint: first "
            "double(images), then compare."
        )
    if found == set(dict(model.named_buffers())):
        raise Wrong(
            f"All {len(found)} buffers are named, and {len(right)} moved. Hint: keep "
            "only names whose value after the pass is not equal to the one in `model`, "
            "and call neither train() nor eval()."
        )
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
