"""Accuracy, against scikit-learn and a case counted by hand."""

import pytest
import torch
from sklearn.metrics import accuracy_score

from course_utils.metrics import accuracy


def test_three_of_four_are_right():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, -1.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([0, 1, 0, 1])) == 0.75


def test_equals_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(103, 10, generator=generator)
    labels = torch.randint(10, (103,), generator=generator)
    expected = accuracy_score(labels, logits.argmax(1))
    assert accuracy(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(0, 10), torch.zeros(0)),
        (torch.zeros(4, 10), torch.zeros(3)),
        (torch.zeros(4), torch.zeros(4)),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels):
    with pytest.raises(ValueError, match=r"expected \(B, num_classes\) and \(B,\)"):
        accuracy(logits, labels)
