"""Checks of the exercises of lesson 06."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import left_alone, list_of, refused, several
from course_utils.models import cifar_resnet

Names = Sequence[str]
NO_BUFFERS = (
    "The report does not treat buffers as it treats parameters. Hint: BatchNorm's "
    "running statistics are loaded as well; state_dict() has both."
)


@exercise(hint="the last step compares two shapes; a tensor has its own in .shape.")
def loading_report(
    answer: Callable[[nn.Module, Mapping[str, Tensor]], tuple[Names, Names, Names]],
) -> str:
    """Return a sentence if `answer` names what is missing, unexpected or misfits."""
    model = cifar_resnet(8, num_classes=5)
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    parts = _three_lists(answer(model, dict(model.state_dict())))
    found = {name for part in parts for name in part}
    if found and found <= {name for name, _ in model.named_buffers()}:
        raise Wrong(NO_BUFFERS)
    if found:
        raise Wrong(
            "For a model and its own state dict it does not give three empty lists. "
            "Hint: then every name is on both sides, in the same shape."
        )
    for name in ("layer2.0.bn1.running_mean", "fc.bias", "bn1.weight"):
        weights[f"module.{name}"] = weights.pop(name)
    weights["fc.weight"] = torch.zeros(64, 5)  # as many numbers, in another shape
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
        raise Wrong(NO_BUFFERS)
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


ONE_ARRAY = "np.concatenate makes one array of several."


@exercise(hint="np.array_split makes the parts of one class, np.concatenate each fold.")
def stratified_folds(
    answer: Callable[[np.ndarray, int, int], Sequence[np.ndarray]],
) -> str:
    """Return a sentence if `answer` spreads every class evenly over the folds."""
    labels = np.random.default_rng(4).permutation(np.repeat([0, 2, 5], [40, 26, 15]))
    folds = _folds(answer(labels, 4, 0), len(labels))
    together = np.concatenate(folds)
    if any(len(fold) > len(np.unique(fold)) for fold in folds):
        raise Wrong(
            "A fold holds a number twice. Hint: it holds photos' positions, not their "
            "labels."
        )
    if all(len(fold) == len(labels) for fold in folds):
        raise Wrong(
            "Each fold holds all photos. Hint: the first step cuts a class into parts, "
            "one for each fold."
        )
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
            "cut each class by itself, into parts as equal as np.array_split makes."
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
    hint = "how many does num_folds ask for?"
    folds = several(found, 4, "a list of 4 folds", hint)
    for fold in folds:
        if not isinstance(fold, np.ndarray) or fold.ndim != 1:
            raise refused(fold, "an array of positions in each fold", ONE_ARRAY)
        if fold.dtype.kind not in "iu":
            raise Wrong("A fold holds no whole numbers. Hint: positions, not a mask.")
        if min(fold) < 0 or max(fold) >= images:
            raise Wrong(
                f"A fold reaches from {min(fold)} to {max(fold)}; positions from 0 to "
                f"{images - 1} were expected. Hint: positions among all photos."
            )
    return folds


@exercise(hint="walk through named_children(), and stop where `name` is reached.")
def freeze_before(answer: Callable[[nn.Module, str], nn.Module]) -> str:
    """Return a sentence if `answer` freezes what stands before a part, and no more."""
    order = ("conv1", "bn1", "relu", "layer1", "layer2", "layer3", "avgpool", "fc")
    for name in ("fc", "layer3", "conv1"):
        model = cifar_resnet(8, num_classes=5)
        for _ in range(2):  # as a loop calls it at each epoch
            found = answer(model.train(), name)
            if found is not model:
                raise refused(found, "the model that it was given")
            _refuse_the_wrong_parts(model, name, order[order.index(name) :])
    return "No gradients and still statistics before that part, and only there."


def _refuse_the_wrong_parts(model: nn.Module, name: str, learning: Names) -> None:
    """Raise if a part is frozen that should learn, or the other way round."""
    for part_name, part in model.named_children():
        needed = {p.requires_grad for p in part.parameters()}
        learns = part_name in learning
        if needed - {learns}:
            raise Wrong(
                f'With name="{name}" {part_name} has parameters that '
                f"{'need no gradient.' if learns else 'still need gradients.'} Hint: "
                "requires_grad_(False) for what stands before `name`, only."
            )
        norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
        if any(norm.training is not learns for norm in norms):
            raise Wrong(
                f'With name="{name}" the norms of {part_name} are in '
                f"{'eval() mode.' if learns else 'training mode, and drift.'} Hint: "
                "eval() for what stands before `name`, only."
            )
