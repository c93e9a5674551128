"""Calibration, against cases computed by hand and temperatures known beforehand."""

import pytest
import torch

from course_utils.metrics import (
    expected_calibration_error,
    fit_temperature,
    reliability,
)

# Confidences 0.5, 0.6 | 0.7, 0.75 | 0.9, 1.0 in bins up to 0.25, 0.5, 0.75 and 1.
CONFIDENCES = torch.tensor([0.5, 0.6, 0.7, 0.75, 0.9, 1.0])
PROBABILITIES = torch.stack([CONFIDENCES, 1 - CONFIDENCES], dim=1)
LABELS = torch.tensor([1, 0, 0, 1, 0, 1])  # wrong, right, right, wrong, right, wrong


def sampled(temperature, num_images=4000, num_classes=5):
    """Logits too large by `temperature`, labels drawn from the right softmax."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(num_images, num_classes, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits * temperature, labels


def test_bins_counted_by_hand():
    confidence, accuracy, count = reliability(PROBABILITIES, LABELS, 4)
    assert count.tolist() == [0, 1, 3, 2]  # an upper edge belongs to its bin
    assert confidence[1:].tolist() == pytest.approx([0.5, 2.05 / 3, 0.95])
    assert accuracy[1:].tolist() == pytest.approx([0, 2 / 3, 1 / 2])
    assert confidence[0].isnan()
    assert accuracy[0].isnan()


def test_error_computed_by_hand():
    # |0 - 0.5| of 1 image, |2 - 2.05| summed over 3, |1 - 1.9| summed over 2
    expected = (0.5 + 0.05 + 0.9) / 6
    found = expected_calibration_error(PROBABILITIES, LABELS, 4)
    assert found == pytest.approx(expected)
    assert expected_calibration_error(PROBABILITIES, LABELS, 1) == pytest.approx(
        4.45 / 6 - 0.5
    )


def test_sure_and_right_has_no_error_and_sure_and_wrong_all_of_it():
    certain, labels = torch.eye(3), torch.arange(3)
    assert expected_calibration_error(certain, labels) == 0
    assert expected_calibration_error(certain, labels.roll(1)) == 1


def test_all_images_are_in_a_bin_in_half_precision_too():
    logits, labels = sampled(3.0)
    probabilities = logits.softmax(1).half()
    assert reliability(probabilities, labels).count.sum() == len(labels)


@pytest.mark.parametrize("temperature", [1e-3, 0.3, 1.0, 2.5, 1e3])
def test_a_known_temperature_is_found(temperature):
    logits, labels = sampled(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)


def test_the_temperature_found_is_the_best_one():
    logits, labels = sampled(2.5)
    found = fit_temperature(logits, labels)

    def loss(temperature):
        return torch.nn.functional.cross_entropy(logits.double() / temperature, labels)

    assert loss(found) < min(loss(0.99 * found), loss(1.01 * found))


def test_temperature_calibrates_and_changes_no_prediction():
    logits, labels = sampled(2.5)
    cooled = logits / fit_temperature(logits, labels)
    assert torch.equal(cooled.argmax(1), logits.argmax(1))
    before, after = (
        expected_calibration_error(z.softmax(1), labels) for z in (logits, cooled)
    )
    assert before > 0.1
    assert after < 0.03


def test_temperature_is_fitted_under_no_grad_and_leaves_the_logits_alone():
    logits, labels = sampled(2.5)
    logits.requires_grad_()
    copy = logits.detach().clone()
    with torch.no_grad():
        assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)
    assert logits.grad is None
    assert torch.equal(logits, copy)


def test_temperatures_without_end_are_refused():
    labels = torch.arange(3)
    with pytest.raises(ValueError, match="All 3 predictions are right"):
        fit_temperature(torch.eye(3), labels)
    with pytest.raises(ValueError, match="not above the others on average"):
        fit_temperature(torch.full((3, 3), 0.1), labels)
    with pytest.raises(ValueError, match="not above the others on average"):
        fit_temperature(torch.eye(3), labels.roll(1))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[0.2, 0.8], [2.0, -1.0]], "Row 1 has sum 1.000 and lowest value -1.000"),
        ([[3.0, 0.5], [0.5, 0.5]], r"Row 0 has sum 3.500 .* logits.softmax\(1\)"),
        ([[0.5, 0.5], [float("nan"), 1.0]], "Row 1 has sum nan"),
    ],
)
@pytest.mark.parametrize("function", [reliability, expected_calibration_error])
def test_what_is_no_probability_is_refused(function, rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        function(torch.tensor(rows), torch.tensor([0, 1]))


@pytest.mark.parametrize("function", [reliability, fit_temperature])
def test_what_does_not_fit_is_refused(function):
    with pytest.raises(ValueError, match="but the network has 2 classes"):
        function(PROBABILITIES, LABELS + 1)
    with pytest.raises(ValueError, match=r"expected \(B, num_classes\)"):
        function(PROBABILITIES[:3], LABELS)
    with pytest.raises(ValueError, match="There is 1 class"):
        function(torch.ones(3, 1), LABELS[:3] * 0)
