"""Whether a network that is 80 % sure is right in 80 % of such cases."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.metrics.classification import accuracy, refuse_misfits


class Reliability(NamedTuple):
    """For each bin of confidence: both means (NaN if empty) and images; (num_bins,)."""

    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def reliability(
    probabilities: Tensor, labels: Tensor, num_bins: int = 15
) -> Reliability:
    """Return, for predictions of about the same confidence, how many are right.

    The confidence is the highest probability. Bin m of M holds the images whose
    confidence is above (m - 1)/M and at most m/M.

    Args:
        probabilities: float (N, num_classes), each row with sum 1:
            ``logits.softmax(1)``.
        labels: int64 (N,), 0 to num_classes - 1.
        num_bins: At least 1.

    Returns:
        Mean confidence and accuracy float64, images int64, each (num_bins,). The means
        of a bin without an image are NaN.

    Raises:
        ValueError: If the rows are not probabilities, a label is outside the classes,
            or the shapes do not fit.

    Source: Guo et al. 2017 (arXiv 1706.04599), section 2.
    Taught in: lesson 04, "Can its confidence be believed?".
    """
    refuse_misfits(probabilities, labels)
    _refuse_not_probabilities(probabilities)
    confidences, predictions = probabilities.double().max(1)
    hits = (predictions == labels).double()
    inner_edges = torch.linspace(0, 1, num_bins + 1, dtype=torch.float64)[1:-1]
    bins = torch.bucketize(confidences, inner_edges)
    count = torch.bincount(bins, minlength=num_bins)
    sums = [torch.bincount(bins, v, minlength=num_bins) for v in (confidences, hits)]
    return Reliability(sums[0] / count, sums[1] / count, count)


def expected_calibration_error(
    probabilities: Tensor, labels: Tensor, num_bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy, over bins of confidence.

    Args:
        probabilities: float (N, num_classes), each row with sum 1:
            ``logits.softmax(1)``.
        labels: int64 (N,), 0 to num_classes - 1.
        num_bins: At least 1.

    Returns:
        A fraction between 0 (well calibrated) and 1.

    Raises:
        ValueError: As `reliability`.

    Source: Guo et al. 2017 (arXiv 1706.04599), equation 3.
    Taught in: lesson 04, "Can its confidence be believed?".
    """
    confidence, right, count = reliability(probabilities, labels, num_bins)
    gaps = (right - confidence).abs()
    return ((gaps * count).nansum() / count.sum()).item()  # an empty bin's gap is NaN


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T for which ``softmax(logits / T)`` fits the labels best.

    Best means: lowest cross-entropy. Dividing all logits of an image by one number
    above 0 leaves their order, and so every prediction, as it was.

    Args:
        logits: float (N, num_classes) of the validation images, never the test's.
        labels: int64 (N,), 0 to num_classes - 1.

    Returns:
        A number above 0; above 1 where the network was too sure of itself.

    Raises:
        ValueError: If no temperature is best (all images right, or logits that tell
            nothing of the labels), a label is outside the classes, or the shapes do
            not fit.

    Source: Guo et al. 2017 (arXiv 1706.04599), section 4.2.
    Taught in: lesson 04, "One number to repair it".
    """
    refuse_misfits(logits, labels)
    logits = logits.detach().double()
    if accuracy(logits, labels) == 1:
        raise ValueError(
            f"All {len(labels)} predictions are right, so the lower the temperature "
            "the better, without end; fit it on more images."
        )
    lead = logits.gather(1, labels[:, None]).mean() - logits.mean()
    if lead <= 1e-9 * logits.abs().max():  # 0, but for rounding
        raise ValueError(
            "The right class's logit is not above the others on average, so the higher "
            "the temperature the better, without end; check that the labels belong to "
            "these logits."
        )
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)  # T = exp > 0
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return log_t.exp().item()


def _refuse_not_probabilities(values: Tensor) -> None:
    """Raise if a row is not a distribution over the classes."""
    sums = values.double().sum(1)
    wrong = (values < 0).any(1) | ~((sums - 1).abs() <= 1e-3)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"Row {row} has sum {sums[row]:.3f} and lowest value "
            f"{values[row].min():.3f}; expected probabilities, at least 0 and with sum "
            "1. From logits: logits.softmax(1)."
        )
