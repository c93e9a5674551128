"""Checks of the exercises of lesson 07."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    moved,
    number,
    refuse_slips,
    refused,
    several,
    tensor,
)


@exercise(hint="look each index up in class_indices; of which type are JSON's keys?")
def top_names(
    answer: Callable[[Tensor, dict[str, str], int], list[tuple[str, float]]],
) -> str:
    """Return a sentence if `answer` finds the most probable names by their keys."""
    names = {str(index): f"class {index}" for index in range(12)}
    in_order_of_text = {key: names[key] for key in sorted(names)}  # 0, 1, 10, 11, 2 …
    chosen = [(11, 0.4), (2, 0.3), (7, 0.2), (0, 0.06)]
    probabilities = torch.full((12,), 0.005)
    for index, value in chosen:
        probabilities[index] = value
    try:
        found = answer(probabilities, in_order_of_text, 4)
    except KeyError as error:
        raise Wrong(
            f"There is no key {error}. Hint: JSON's keys are strings, '2' and not 2."
        ) from error
    found = several(found, 4, "a list of k = 4 pairs", "only the best k.")
    for pair in found:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise refused(pair, "a pair (name, probability) in each place")
    if all(isinstance(name, int | float | Tensor) for name, _ in found):
        raise Wrong("The pairs begin with a number. Hint: first the name.")
    words = [name for name, _ in found]
    right = [names[str(index)] for index, _ in chosen]
    if words == [list(in_order_of_text.values())[index] for index, _ in chosen]:
        raise Wrong(
            "The names were taken by their place in the file. Hint: look them up by "
            "key; '10' may come before '2'."
        )
    if words == right[::-1]:
        raise Wrong("The best is last. Hint: the highest probability first.")
    if words != right:
        raise Wrong(
            f"It names {', '.join(map(str, words))}. Hint: which indices have the "
            "highest probabilities?"
        )
    values = [number(value) for _, value in found]
    if any(isinstance(value, Tensor) for _, value in found):
        raise Wrong("The values are tensors, not floats. Hint: tolist() or item().")
    if not close(torch.tensor(values), torch.tensor([p for _, p in chosen]), atol=1e-4):
        raise Wrong(
            "The names are right, the numbers beside them are not. Hint: the "
            "probabilities as they were given; they need no softmax."
        )
    return "The right names, whatever the order of the file."


@exercise(hint="section 5 has the energy; below which value lies a share `keep`?")
def refused_by_energy(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """Return a sentence if `answer` refuses what lies above validation's threshold."""
    generator = torch.Generator().manual_seed(3)
    val = 3 + 2 * torch.randn(200, 5, dtype=torch.float64, generator=generator)
    other = 1 + 2 * torch.randn(80, 5, dtype=torch.float64, generator=generator)
    other[:20] += 6  # some that are surely known

    energy, val_energy = -other.logsumexp(1), -val.logsumexp(1)
    keep = 0.9
    found = _mask(answer(val, other, keep), 80)
    right = energy > val_energy.quantile(keep)
    unsure, val_unsure = (1 - scores.softmax(1).amax(1) for scores in (other, val))
    slips = {
        "These are the answered ones. Hint: True stands for refused.": ~right,
        "The threshold keeps a share of 1 - keep. Hint: is what lies below the "
        "threshold answered or refused?": energy > val_energy.quantile(1 - keep),
        "The sign is missing: known images were refused. Hint: the energy is minus "
        "the logsumexp.": -energy > (-val_energy).quantile(keep),
        "The threshold comes from the logits that are to be judged. Hint: it is "
        "chosen on validation.": energy > energy.quantile(keep),
        "The energy was compared with `keep` itself. Hint: keep is a share of images; "
        "which energy is the threshold that this share of validation lies "
        "below?": energy > keep,
        "This is minus the largest logit, only roughly the energy. Hint: section 5's "
        "function sums over all logits.": -other.amax(1)
        > (-val.amax(1)).quantile(keep),
        "This is the confidence, not the energy. Hint: no softmax here; how high all "
        "the logits are counts, too.": unsure > val_unsure.quantile(keep),
    }
    if not torch.equal(found, right):
        refuse_slips(found, slips)
        raise Wrong(
            f"It refuses {int(found.sum())} of 80, expected {int(right.sum())}. Hint: "
            "which threshold was used? A share keep of validation's energies lies "
            "below it; above it is refused."
        )
    everything = _mask(answer(val, val, 1.0), 200)
    if everything.any():
        raise Wrong(
            f"With keep = 1 it refuses {int(everything.sum())} of validation's own "
            "images. Hint: refused lies above the threshold, not on it."
        )
    return "Chosen on validation, and known images are answered."


def _mask(found: Tensor, rows: int) -> Tensor:
    """Return one bool a row."""
    hint = f"one answer a row; there are {rows} rows of logits."
    if tensor(found, (rows,), hint).dtype != torch.bool:
        raise refused(found, "a tensor of type bool", "refused, or not?")
    return found


@exercise(hint="which axis runs from left to right? And what is averaged?")
def mirrored_too(answer: Callable[[nn.Module, Tensor], Tensor]) -> str:
    """Return a sentence if `answer` is the mean of two views' probabilities."""
    model, images = _lopsided(), torch.randn(6, 3, 8, 8)  # no mirror maps it to itself
    state = copy.deepcopy(model.state_dict())
    found = tensor(
        answer(model, images), (6, 4), "one row an image, one column a class."
    )
    if moved(model, state):
        raise Wrong(
            "The network's parameters or running statistics have changed. Hint: eval() "
            "before the first view."
        )
    if found.requires_grad:
        raise Wrong("The result carries a gradient. Hint: torch.no_grad().")
    model.eval()
    with torch.no_grad():
        one, mirror = model(images), model(images.flip(3))
        order, colours, turned = (
            (one.softmax(1) + model(images.flip(axis)).softmax(1)) / 2
            for axis in range(3)
        )
    right = (one.softmax(1) + mirror.softmax(1)) / 2
    if close(found, right):
        return "Two views, and their mean."
    mean = (one + mirror) / 2
    slips = {
        "These are the logits' means, not probabilities. Hint: softmax.": mean,
        "The mean was taken of the logits. Hint: softmax each view "
        "first.": mean.softmax(1),
        "These are sums of two probabilities. Hint: the mean of two.": 2 * right,
        "The second view is upside down. Hint: left and right are the last "
        "axis.": turned,
        "The second view is the batch in reverse order. Hint: axis 0 counts the "
        "images; left and right are the last axis.": order,
        "The second view has red and blue swapped. Hint: axis 1 is colour; left and "
        "right are the last axis.": colours,
        "Only one view counts. Hint: the mean of both.": one.softmax(1),
        "Only the mirror image counts. Hint: the mean of both.": mirror.softmax(1),
        "A softmax was applied to probabilities. Hint: once is enough.": right.softmax(
            1
        ),
    }
    refuse_slips(found, slips)
    raise Wrong(
        "The shape is right, the values are not. Hint: look at one view alone, then at "
        "the other; each row adds up to 1."
    )


def _lopsided() -> nn.Module:
    """Return a small network with BatchNorm, to which left and right differ."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4)
    )
    model[1].running_mean.fill_(0.5)
    return model.train()
