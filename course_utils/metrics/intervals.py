"""How sure a measured accuracy is, and a difference between two."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


def wilson_interval(
    correct: ArrayLike, count: ArrayLike, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of accuracies that hits among a number of images allow.

    The ends are the accuracies that a two-sided test (normal approximation) would just
    not reject. Unlike ``p ± 1.96 sqrt(p (1 - p) / n)``, the range stays within 0 to 1
    and does not shrink to a point when all images are right.

    Args:
        correct: Hits, a number or an array.
        count: Images, likewise.
        confidence: Share of such ranges that hold the true accuracy, in (0, 1).

    Returns:
        Lower and upper ends, float64, of the arguments' shape. Without an image they
        are 0 and 1: nothing is known.

    Raises:
        ValueError: If there are more hits than images, a number is negative, or
            `confidence` is not between 0 and 1 (Python's own
            `statistics.StatisticsError`, which is one).

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical
        inference", Journal of the American Statistical Association 22, 209-212.
    Taught in: lesson 04, "An interval for an accuracy".
    """
    hits, images = np.asarray(correct, float), np.asarray(count, float)
    if (hits < 0).any() or (hits > images).any():
        raise ValueError(
            f"correct is {correct} and count {count}; expected numbers of images with "
            "0 <= correct <= count (not fractions or per cent)."
        )
    z = _quantile(confidence)
    misses = images - hits
    half = z * np.sqrt(hits * misses / np.maximum(images, 1) + z**2 / 4)
    middle = hits + z**2 / 2
    ends = np.clip([middle - half, middle + half] / (images + z**2), 0, 1)
    return ends[0], ends[1]


class Comparison(NamedTuple):
    """Two models on the same images: how far the first leads, and how sure that is.

    Attributes:
        lead: Accuracy of the first minus that of the second.
        low: Lower end of the lead's interval.
        high: Upper end.
        p_value: How often models that are equally good would differ at least as much.
        first_only: Images that only the first model gets right.
        second_only: Images that only the second does.
        comparisons: How many comparisons the interval and the p-value allow for.
    """

    lead: float
    low: float
    high: float
    p_value: float
    first_only: int
    second_only: int
    comparisons: int

    def __str__(self) -> str:
        """Return lead, interval and p-value in one line, without a verdict."""
        lead, low, high = (f"{100 * part:+.1f}" for part in self[:3])
        text = f"{lead} points (95 % interval {low} to {high}), p = {self.p_value:.2g}"
        if self.comparisons > 1:
            text += f" (corrected for {self.comparisons})"
        return text


def compare(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, comparisons: int = 1
) -> Comparison:
    """Return how far one model leads another, judged on the same images.

    Images that both get right, or both wrong, say nothing about the difference. If the
    models were equally good, each of the others would be a fair coin's toss.

    Args:
        labels: int64 (N,).
        first: Predictions of one model, int64 (N,).
        second: Predictions of the other, int64 (N,).
        comparisons: How many such comparisons are made together, for example 6 for the
            pairs of four models. Each is then held to a stricter bar (Bonferroni): the
            interval has confidence 1 - 0.05 / comparisons, and the p-value (exact,
            two-sided) is multiplied by their number, 1 at most.

    Raises:
        ValueError: If the three do not have one shape (N,), or there is no image.

    Source: McNemar 1947, "Note on the sampling error of the difference between
        correlated proportions or percentages", Psychometrika 12, 153-157, for the
        test, here with the binomial distribution in place of its approximation; Agresti
        and Min 2005, "Simple improved confidence intervals for comparing matched
        proportions", Statistics in Medicine 24, 729-740, for the interval.
    Taught in: lesson 04, "Two networks on the same images".
    """
    from scipy.stats import binomtest  # takes a second to load

    labels, first, second = map(np.asarray, (labels, first, second))
    shapes = [values.shape for values in (labels, first, second)]
    if len(set(shapes)) > 1 or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"labels and the two models' predictions have shapes {shapes}; expected "
            "(N,) three times, for the same images, at least one."
        )
    first_only = int(((first == labels) & (second != labels)).sum())
    second_only = int(((first != labels) & (second == labels)).sum())
    lead, differ = first_only - second_only, first_only + second_only
    p_value = binomtest(first_only, differ).pvalue if differ else 1.0
    # half an image more in each of the four cells: both right, one, the other, neither
    images = len(labels) + 2
    half = _quantile(1 - 0.05 / comparisons) * np.sqrt(differ + 1 - lead**2 / images)
    low, high = np.clip([lead - half, lead + half] / np.float64(images), -1, 1).tolist()
    return Comparison(
        lead / len(labels),
        low,
        high,
        min(1.0, comparisons * float(p_value)),
        first_only,
        second_only,
        comparisons,
    )


def _quantile(confidence: float) -> float:
    """Return how many standard deviations either side hold a share of a normal."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
