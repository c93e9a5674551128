"""Checks of the exercises of lesson 06."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import left_alone, list_of, module, refused, several
from course_utils.models import cifar_resnet

Names = Sequence[str]


@exercise(hint="both have names as keys, and sets of names can be subtracted.")
def loading_report(
    answer: Callable[[nn.Module, Mapping[str, Tensor]], tuple[Names, Names, Names]],
) -> str:
    """Return a sentence if `answer` names what is missing, unexpected or misfits."""
    model = cifar_resnet(8, num_classes=5)
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    if any(_three_lists(answer(model, dict(model.state_dict())))):
        raise Wrong(
            "For a model and its own state dict it does not give three empty lists. "
            "Hint: then every name is on both sides, in the same shape."
        )
    for name in ("layer2.0.bn1.running_mean", "fc.bias", "bn1.weight"):
        weights[f"module.{name}"] = weights.pop(name)
    weights["fc.weight"] = torch.zeros(10, 64)
    weights["conv1.weight"] = torch.zeros(16, 3, 1, 1)
    right = (
        sorted(["layer2.0.bn1.running_mean", "fc.bias", "bn1.weight"]),
        sorted(name for name in weights if name.startswith("module.")),
        ["conv1.weight", "fc.weight"],
    )
    with left_alone(model, "compare names and shapes, no loading."):
        found = _three_lists(answer(model, weights))
    missing, unexpected, _ = found
    if missing == right[1] and unexpected == right[0]:
        raise Wrong(
            "Missing and unexpected are exchanged. Hint: missing is what the model "
            "has and the file does not."
        )
    if set(missing) == set(right[0]) - {"layer2.0.bn1.running_mean"}:
        raise Wrong(
            "Parameters are reported, but buffers are not. Hint: BatchNorm's running "
            "statistics are loaded as well; state_dict() has both."
        )
    if set(right[2]) & set(missing + unexpected):
        raise Wrong(
            "A name that is on both sides in different shapes is reported as missing "
            "or unexpected. Hint: it belongs to the third list only."
        )
    parts = ("missing", "unexpected", "misfits")
    for part, names, expected in zip(parts, found, right, strict=True):
        if sorted(names) != expected:
            raise Wrong(
                f"{part.capitalize()} has {len(names)} names where {len(expected)} "
                "are right. Hint: compare each name's shape on both sides."
            )
        if names != expected:
            raise Wrong(
                f"{part.capitalize()} is right, but not sorted. Hint: sorted()."
            )
    return "Nothing was loaded, and nothing that does not fit goes unseen."


def _three_lists(found: Sequence[Names]) -> list[list[str]]:
    parts = several(found, 3, "three lists of names")
    return [list_of(part, str, "a list of names in each of three") for part in parts]


@exercise(hint="shuffle one class's positions, cut them into parts, then the next.")
def stratified_folds(
    answer: Callable[[np.ndarray, int, int], Sequence[np.ndarray]],
) -> str:
    """Return a sentence if `answer` spreads every class evenly over the folds."""
    labels = np.random.default_rng(4).permutation(np.repeat([0, 2, 5], [40, 25, 13]))
    folds = _folds(answer(labels, 4, 0), len(labels))
    together = np.concatenate(folds)
    if len(together) > len(np.unique(together)):
        raise Wrong(
            "A photo is in two folds. Hint: each fold is one validation part, not the "
            "training part that belongs to it."
        )
    left_out = len(labels) - len(together)
    if left_out:
        raise Wrong(
            f"{left_out} of {len(labels)} photos are in no fold. Hint: where a class "
            "does not divide evenly, some folds get one more."
        )
    counts = np.array([np.bincount(labels[fold], minlength=6) for fold in folds])
    if np.ptp(counts, axis=0).max() > 1:
        worst = int(np.ptp(counts, axis=0).argmax())
        raise Wrong(
            f"Of one class the folds have {counts[:, worst].tolist()} photos. Hint: "
            "cut each class by itself."
        )
    again, other = (_folds(answer(labels, 4, seed), len(labels)) for seed in (0, 1))
    if not all(set(a) == set(b) for a, b in zip(folds, again, strict=True)):
        raise Wrong(
            "The same seed gives other folds the second time. Hint: "
            "np.random.default_rng(seed)."
        )
    if all(set(a) == set(b) for a, b in zip(folds, other, strict=True)):
        raise Wrong(
            "Another seed gives the same folds. Hint: shuffle before you cut; photos "
            "of a folder often come in series."
        )
    return "Every photo once, every class evenly, and the seed decides."


def _folds(found: Sequence[np.ndarray], images: int) -> list[np.ndarray]:
    """Return four folds of positions among so many images."""
    hint = "Hint: how many does num_folds ask for?"
    folds = several(found, 4, "a list of 4 folds", hint)
    for fold in folds:
        if not isinstance(fold, np.ndarray | list) or np.ndim(fold) != 1:
            raise refused(fold, "an array of positions in each fold")
        if np.asarray(fold).dtype.kind not in "iu":
            raise Wrong("A fold holds no whole numbers. Hint: positions, not a mask.")
        if min(fold) < 0 or max(fold) >= images:
            raise Wrong(
                f"A fold reaches from {min(fold)} to {max(fold)}; positions from 0 to "
                f"{images - 1} were expected. Hint: positions among all photos."
            )
    return [np.asarray(fold) for fold in folds]


@exercise(
    hint="train() is called again and again; what runs before each forward pass, or "
    "in each train(), and goes along with a copy?"
)
def keep_frozen(answer: Callable[[nn.Module], nn.Module]) -> str:
    """Return a sentence if `answer` freezes all but the head, whatever the mode."""
    model = cifar_resnet(8, num_classes=5)
    images = 2 + 3 * torch.randn(6, 3, 16, 16)
    with torch.no_grad():
        expected = model.eval()(images)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = module(answer(model))
    if not isinstance(getattr(frozen, "fc", None), nn.Linear):
        raise Wrong(
            f"The {type(frozen).__name__} that comes back has no linear head fc. Hint: "
            "change the model itself, without a wrapper."
        )
    free = {name for name, p in frozen.named_parameters() if p.requires_grad}
    if not {"fc.weight", "fc.bias"} <= free:
        raise Wrong("The head does not require gradients. Hint: it should still learn.")
    if free - {"fc.weight", "fc.bias"}:
        raise Wrong(
            f"{len(free) - 2} parameters of the body require gradients. Hint: "
            "requires_grad_(False) first, then free the head."
        )
    _refuse_drift(frozen, images, expected, start, "after model.train()")
    twin = copy.deepcopy(frozen)
    for part in twin.modules():  # train() of the copy, not of the first, must mend it
        part.training = True
    _refuse_drift(twin, images, expected, start, "in a deep copy")
    frozen.train()
    if not (frozen.training and frozen.fc.training):
        raise Wrong(
            "After train(), the model or its head is not in training mode. Hint: only "
            "the body is to stay in eval()."
        )
    frozen.zero_grad()
    F.cross_entropy(frozen(images), torch.arange(6) % 5).backward()
    if frozen.fc.weight.grad is None or not frozen.fc.weight.grad.any():
        raise Wrong("The head gets no gradient. Hint: no torch.no_grad() around it.")
    frozen.eval()
    if frozen.training or frozen.fc.training:
        raise Wrong(
            "After eval(), the model or its head is still in training mode. Hint: "
            "train(False) is what eval() calls."
        )
    return "train() as often as it likes: the body stays where it was."


def _refuse_drift(
    model: nn.Module,
    images: Tensor,
    expected: Tensor,
    start: Mapping[str, Tensor],
    when: str,
) -> None:
    """Raise if the body computes or keeps something else than it did in eval()."""
    for _ in range(2):  # a loop calls train() in every epoch
        model.train()
        with torch.no_grad():
            found = model(images)
    now = model.state_dict()
    if any(not torch.equal(now[n], start[n]) for n in start if "running" in n):
        raise Wrong(
            f"BatchNorm's running statistics drift {when}. Hint: something must put "
            "the body back into eval() each time, on the model that is running."
        )
    if not torch.allclose(found, expected, atol=1e-4):
        raise Wrong(
            f"The statistics stay, but {when} the logits are not those of eval(). "
            "Hint: in training mode BatchNorm normalises by the batch, whatever its "
            "momentum."
        )
