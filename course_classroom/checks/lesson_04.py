"""Checks of the exercises of lessons 04 and 04b."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import close, number, refuse_slips, several


@exercise(hint="the mean of a list is its sum over its length.")
def balanced_accuracy(answer: Callable[[Tensor], float]) -> str:
    """Return a sentence if `answer` is the mean of the classes' accuracies."""
    matrix = torch.tensor([[45, 5, 0], [2, 6, 2], [1, 0, 1]])
    right = (0.9 + 0.6 + 0.5) / 3
    found = number(answer(matrix))
    slips = {
        "This is the overall accuracy: the class with most images decides. Hint: "
        "divide each class's hits by its own images first.": 52 / 62,
        "This is the mean precision: the columns were added up. Hint: true classes "
        "are in rows.": (45 / 48 + 6 / 11 + 1 / 3) / 3,
    }
    refuse_slips(found, slips, rtol=1e-4)
    if not math.isclose(found, right, rel_tol=1e-4):
        raise Wrong(
            f"For accuracies of 0.9, 0.6 and 0.5 it gives {found:.4g}. Hint: how many "
            "classes are there to average over?"
        )
    unknown = torch.tensor([[8, 2, 0], [1, 3, 0], [2, 2, 0]])
    found = number(answer(unknown))
    if not math.isclose(found, (0.8 + 0.75 + 0) / 3, rel_tol=1e-4):
        raise Wrong(
            f"For accuracies of 0.8, 0.75 and 0 it gives {found:.4g}. Hint: a class "
            "that has images and no hit counts; only one without images is left out."
        )
    empty = torch.tensor([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    leave_out = "0/0 is neither 0 nor 1; leave a class without images out."
    found = number(answer(empty), leave_out)
    if not math.isclose(found, (0.8 + 0.75) / 2, rel_tol=1e-4):
        raise Wrong(
            "Right while each class has images; with a class that has none it gives "
            f"{found:.4g}. Hint: {leave_out}"
        )
    return "Every class counts the same, and one without an example not at all."


@exercise(hint="a share of the images, rounded: how many of the sorted hits is that?")
def accuracy_when_sure(answer: Callable[[Tensor, Tensor, float], float]) -> str:
    """Return a sentence if `answer` is the accuracy on the most confident images."""
    probabilities, labels = _misjudging(images=40)
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    by_confidence = hits[confidence.argsort(descending=True)]
    share = "the coverage is a share of the images, no threshold of the confidence."
    for coverage in (0.7, 0.5, 0.25, 0.34, 0.44, 0.31, 0.18):
        kept = round(coverage * len(labels))
        found = number(answer(probabilities, labels, coverage), share)
        if close(found, by_confidence[:kept].mean()):
            continue
        fewer, more = int(coverage * len(labels)), math.ceil(coverage * len(labels))
        slips = {
            "This is the accuracy on all images, whatever the coverage. Hint: how many "
            "of the sorted hits count?": hits.mean(),
            "These are the images of which the network is least sure. Hint: sorted as "
            "given, the surest come first.": by_confidence[-kept:].mean(),
            "These are the images that it leaves to a person. Hint: the surest come "
            "first: keep the row's beginning.": by_confidence[kept:].mean(),
            "The hits are right, but they are divided by all images. Hint: by how many "
            "answers?": by_confidence[:kept].sum() / len(labels),
            f"A share of {coverage} of {len(labels)} images gives an accuracy on too "
            "few. Hint: rounded to whole images; int() cuts "
            "off.": by_confidence[:fewer].mean(),
            f"A share of {coverage} of {len(labels)} images gives an accuracy on too "
            "many. Hint: round() goes to the nearest whole "
            "number.": by_confidence[:more].mean(),
            "Here the coverage serves as a threshold of the confidence. Hint: it is a "
            "share of the images, whatever their confidences.": hits[
                confidence >= coverage
            ].mean(),
        }
        refuse_slips(found, slips)
        raise Wrong(
            f"With a coverage of {coverage} of {len(labels)} images it gives "
            f"{found:.4g}, not the accuracy on the {kept} surest. Hint: the "
            "confidence is the highest probability, not that of the right class, "
            "which nobody knows."
        )
    whole = number(answer(probabilities, labels, 1.0), "then every image is answered.")
    if not close(whole, hits.mean()):
        raise Wrong(
            f"With a coverage of 1 it gives {whole:.4g}, not the accuracy "
            f"{hits.mean():.4g}. Hint: then every image is answered."
        )
    return "It answers where it is surest, and only that counts."


@exercise(hint="one drawing of image numbers serves both models.")
def lead_interval(
    answer: Callable[
        [np.ndarray, np.ndarray, np.random.Generator], tuple[float, float]
    ],
) -> str:
    """Return a sentence if `answer` is a paired bootstrap interval of the lead."""
    images = np.arange(2400)
    first, second = images < 2160, images < 2064
    second[2160:2184] = True  # 96 only the first gets right, 24 only the second
    shuffled = np.random.default_rng(8).permutation(images)
    first, second = first[shuffled], second[shuffled]
    rng = np.random.default_rng(0)
    untouched = rng.bit_generator.state
    ends = several(answer(first, second, rng), 2, "both ends")
    low, high = (number(end) for end in ends)
    if rng.bit_generator.state == untouched:
        raise Wrong(
            "rng was not used, so nobody can draw the same again. Hint: a bootstrap "
            "draws images, with the generator that is handed over."
        )
    lead = float(first.mean() - second.mean())
    difference = first.astype(float) - second
    width = 2 * 1.96 * difference.std() / math.sqrt(len(first))
    middle = (low + high) / 2
    if abs(middle) > 1:
        raise Wrong(
            f"It gives {low:.4g} to {high:.4g}. Hint: fractions of the images, neither "
            "points nor numbers of images."
        )
    if abs(middle + lead) < width / 8:
        raise Wrong("This is second minus first. Hint: whose lead was asked for?")
    if not low < high:
        raise Wrong(
            f"It gives {low:.4g} to {high:.4g}, which is no interval. Hint: draw with "
            "repetition, and return the lower end first."
        )
    if abs(middle - lead) > width / 2:
        raise Wrong(
            f"The interval's middle is {middle:.4f}, the lead {lead:.4f}. Hint: the "
            "lead is a difference of two shares of hits."
        )
    if (high - low) < 0.2 * width:
        raise Wrong(
            f"The interval is {high - low:.4f} wide, far too narrow. Hint: each draw "
            "has as many images as there are, and the single leads are what counts."
        )
    two = 2 * 1.96 * math.sqrt((first.var() + second.var()) / len(first))
    if abs(high - low - two) < 0.1 * two:
        raise Wrong(
            "The interval is too wide: the two models were drawn different images. "
            "Hint: the shared luck cancels only on the same ones."
        )
    if abs(high - low - width * math.sqrt(2)) < 0.1 * width:
        raise Wrong(
            "The interval is as wide as for half the images. Hint: each draw has as "
            "many images as there are."
        )
    # in 2000 draws an end scatters by 0.06 deviations, each a quarter of the width
    tails = "the middle 95 % leave out 2.5 % at each end."
    if max(abs(low - lead + width / 2), abs(high - lead - width / 2)) > width / 16:
        raise Wrong(
            f"It gives {low:.4f} to {high:.4f}, expected about {lead - width / 2:.4f} "
            f"to {lead + width / 2:.4f}. Hint: {tails}"
        )
    second = np.ones(400, bool)
    second[::80] = False  # 5 only the first gets right: the leads are skewed
    ends = several(answer(np.ones(400, bool), second, rng), 2, "both ends")
    if abs(400 * number(ends[0]) - 1) > 0.2:
        raise Wrong(
            "Right where the leads form a bell curve; where few images differ they do "
            f"not. Hint: sort the leads; {tails}"
        )
    return "Paired, in fractions, with the right width."


@exercise(hint="sort by confidence, then tensor_split; the rest is section 5's loop.")
def equal_size_calibration_error(
    answer: Callable[[Tensor, Tensor, int], float],
) -> str:
    """Return a sentence if `answer` takes bins of equally many images."""
    probabilities, labels = _in_turns()
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()
    excess = confidence - hits
    right_class = probabilities[torch.arange(len(labels)), labels]
    cancel = "The gaps cancel one another. Hint: absolute value of each bin's gap."
    each = "The gap is taken image by image. Hint: first the means over a bin."
    hint = "each bin's |mean confidence - share of hits|, times its share of images."
    places = torch.arange(len(labels), dtype=excess.dtype)
    one = number(answer(probabilities, labels, 1))
    slips = {
        "It is negative. Hint: absolute value of each bin's gap.": excess.mean(),
        each: excess.abs().mean(),
        "This is a sum over the images. Hint: each bin's gap is weighted by its share "
        "of the images.": excess.sum().abs(),
        "The weight is wrong. Hint: a group holds the numbers of images, not True and "
        "False; how many are in it?": excess.mean().abs() * places.mean(),
        "The right class's probability was taken. Hint: the confidence is the highest "
        "probability.": abs(right_class.mean() - hits.mean()),
    }
    refuse_slips(one, slips)
    if not close(one, abs(excess.mean())):
        raise Wrong(
            f"With one bin it gives {one:.4f}, not |mean confidence - accuracy|, which "
            f"is {abs(excess.mean()):.4f}. Hint: {hint}"
        )
    down, up = confidence.argsort(descending=True), confidence.argsort()
    for num_bins in (6, 7):
        found = number(answer(probabilities, labels, num_bins))
        allowed = [_over_groups(excess[order], num_bins) for order in (up, down)]
        if any(close(found, right) for right in allowed):
            continue
        gaps = [
            [g.mean().abs() for g in excess[o].tensor_split(num_bins)]
            for o in (up, down)
        ]
        slips = {
            "These are bins of equal width, as the ECE has them. Hint: cut the sorted "
            "images, not the range from 0 to 1.": _equal_width(
                confidence, excess, num_bins
            ),
            cancel: abs(excess.mean()),
            each: excess.abs().mean(),
            "The images were cut as they came. Hint: sort by confidence "
            "first.": _over_groups(excess, num_bins),
        }
        refuse_slips(found, slips)
        for order in (up, down):
            for mixed in (confidence[order] - hits, confidence - hits[order]):
                refuse_slips(
                    found,
                    {
                        "Confidences and hits of different images were paired. Hint: "
                        "one order for both.": _over_groups(mixed, num_bins)
                    },
                )
        for means in map(torch.stack, gaps):
            refuse_slips(
                found,
                {
                    "The gaps are added up. Hint: each is weighted by its bin's share "
                    "of the images.": means.sum(),
                    "Every bin weighs the same. Hint: a larger bin weighs "
                    "more.": means.mean(),
                },
            )
        if num_bins == 6:
            raise Wrong(f"With 6 bins of 10 images it gives {found:.4f}. Hint: {hint}")
        raise Wrong(
            "Right where the images divide evenly; with 60 images in 7 bins it gives "
            f"{found:.4f}. Hint: no image is left out, and tensor_split makes bins of "
            "9 and 8."
        )
    return "Equally many images in every bin, and all of them counted."


def _in_turns() -> tuple[Tensor, Tensor]:
    """Return probabilities (60, 4) and labels: by turns too modest and too sure."""
    generator = torch.Generator().manual_seed(11)
    logits = 2 * torch.randn(60, 4, dtype=torch.float64, generator=generator)
    confidence, predictions = logits.softmax(1).max(1)
    rank = confidence.argsort().argsort()
    right = (rank + 8) % 23 >= 7  # three stretches of mistakes
    return logits.softmax(1), torch.where(right, predictions, (predictions + 1) % 4)


def _misjudging(images: int) -> tuple[Tensor, Tensor]:
    """Return probabilities (images, 4) and labels: too sure at the top only."""
    generator = torch.Generator().manual_seed(11)
    logits = 2 * torch.randn(images, 4, dtype=torch.float64, generator=generator)
    confidence, predictions = logits.softmax(1).max(1)
    drawn = torch.rand(images, generator=generator)
    right = drawn < torch.where(confidence > confidence.median(), 0.6, 0.85)
    return logits.softmax(1), torch.where(right, predictions, (predictions + 1) % 4)


def _over_groups(excess: Tensor, num_bins: int) -> float:
    groups = excess.tensor_split(num_bins)
    return sum(abs(g.sum().item()) for g in groups) / len(excess)


def _equal_width(confidence: Tensor, excess: Tensor, num_bins: int) -> float:
    bins = (confidence * num_bins).ceil().long() - 1
    sums = torch.zeros(num_bins, dtype=excess.dtype).index_add(0, bins, excess)
    return sums.abs().sum().item() / len(excess)
