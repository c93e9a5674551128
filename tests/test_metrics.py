"""Metrics, against scikit-learn, SciPy and cases counted by hand."""

import weakref

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn import metrics as sk
from small_training import make_loaders
from torch import nn

from course_utils.metrics import (
    accuracy,
    collect_logits,
    compare,
    confusion_matrix,
    most_confident_mistakes,
    most_confused,
    normalise_rows,
    per_class_accuracy,
    top_k_accuracy,
    wilson_interval,
)
from course_utils.models import cifar_resnet

NAMES = ["ant", "bee", "cat"]


def random_predictions(num_images=103, num_classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, num_classes, generator=generator)
    labels = torch.randint(num_classes, (num_images,), generator=generator)
    return logits, labels


# Three images of class 0 (two hits), two of class 1 (one hit), none of class 2.
LABELS = torch.tensor([0, 0, 0, 1, 1])
PREDICTIONS = torch.tensor([0, 0, 2, 1, 0])
MATRIX = torch.tensor([[2, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_three_of_four_are_right():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, -1.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([0, 1, 0, 1])) == 0.75


def test_equals_scikit_learn():
    logits, labels = random_predictions()
    expected = sk.accuracy_score(labels, logits.argmax(1))
    assert accuracy(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_equals_scikit_learn(k):
    logits, labels = random_predictions()
    expected = sk.top_k_accuracy_score(labels, logits, k=k, labels=range(10))
    assert top_k_accuracy(logits, labels, k) == pytest.approx(expected)


def test_equal_logits_do_not_make_top_k_generous():
    logits, labels = torch.zeros(40, 4), torch.arange(40) % 4
    assert top_k_accuracy(logits, labels, 1) == accuracy(logits, labels) == 0.25
    assert top_k_accuracy(logits, labels, 3) == 0.75


@pytest.mark.parametrize("k", [0, -1, 4])
def test_top_k_beyond_the_classes_is_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}, but there are 3 classes"):
        top_k_accuracy(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), k)


def test_per_class_accuracy_is_scikit_learns_recall():
    logits, labels = random_predictions(500)
    found, correct, count = per_class_accuracy(logits, labels)
    expected = sk.recall_score(labels, logits.argmax(1), average=None)
    assert found.numpy() == pytest.approx(expected)
    assert correct.sum().item() / 500 == pytest.approx(accuracy(logits, labels))
    assert count.sum() == 500


def test_a_class_without_an_example_has_no_accuracy():
    logits = torch.eye(4)[PREDICTIONS]
    found, correct, count = per_class_accuracy(logits, LABELS)
    assert found[:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert found[2:].isnan().all()
    assert correct.tolist() == [2, 1, 0, 0]
    assert count.tolist() == [3, 2, 0, 0]


def test_mistakes_come_in_order_of_confidence():
    sure = torch.tensor([3.0, 1.0, 2.0, 0.5, 4.0, 50.0, 60.0])
    logits = torch.stack([sure, -sure], dim=1)  # all predicted as class 0
    labels = torch.tensor([0, 1, 1, 0, 0, 1, 1])
    assert most_confident_mistakes(logits, labels, 3).tolist() == [5, 6, 2]
    assert len(most_confident_mistakes(logits, labels * 0, 3)) == 0


def test_confidence_beyond_32_bits_still_has_an_order():
    logits = torch.tensor([[20.0, 0.0], [30.0, 0.0], [25.0, 0.0]])
    assert logits.softmax(1)[:, 0].eq(1).all()
    labels = torch.ones(3, dtype=torch.int64)
    assert most_confident_mistakes(logits, labels, 3).tolist() == [1, 2, 0]


def test_confusion_matrix_counted_by_hand():
    found = confusion_matrix(LABELS, PREDICTIONS, 3)
    assert torch.equal(found, MATRIX)
    shares = normalise_rows(found)
    assert shares[:2].flatten().tolist() == pytest.approx(
        [2 / 3, 0, 1 / 3, 0.5, 0.5, 0]
    )
    assert shares[2].isnan().all()


@pytest.mark.parametrize("num_images", [1, 12, 500])
def test_confusion_matrix_equals_scikit_learn(num_images):
    logits, labels = random_predictions(num_images)  # few images: classes are missing
    predictions = logits.argmax(1)
    matrix = confusion_matrix(labels, predictions, 10)
    expected = sk.confusion_matrix(labels, predictions, labels=range(10))
    assert np.array_equal(matrix, expected)


def test_most_confused_names_true_class_first_and_leaves_hits_out():
    matrix = torch.tensor([[90, 2, 7], [0, 50, 0], [9, 2, 80]])
    assert most_confused(matrix, NAMES, 3) == [
        ("cat", "ant", 9),
        ("ant", "cat", 7),
        ("ant", "bee", 2),
    ]
    assert len(most_confused(matrix, NAMES, 99)) == 4
    assert most_confused(torch.eye(3, dtype=torch.int64), NAMES) == []


@pytest.mark.parametrize(
    ("labels", "predictions", "sentence"),
    [
        ([0, 3], [0, 1], "labels go from 0 to 3, expected 0 to 2"),
        ([0, 1], [-1, 1], "predictions go from -1 to 1, expected 0 to 2"),
    ],
)
def test_confusion_matrix_refuses(labels, predictions, sentence):
    with pytest.raises(ValueError, match=sentence):
        confusion_matrix(torch.tensor(labels), torch.tensor(predictions), 3)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(0, 10), torch.zeros(0)),
        (torch.zeros(4, 10), torch.zeros(3)),
        (torch.zeros(4), torch.zeros(4)),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels):
    for function in (accuracy, per_class_accuracy):
        with pytest.raises(ValueError, match=r"expected \(B, num_classes\) and \(B,\)"):
            function(logits, labels)


@pytest.mark.parametrize("function", [accuracy, per_class_accuracy])
def test_one_class_only_is_refused(function):
    with pytest.raises(ValueError, match="There is 1 class to choose from"):
        function(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))


def test_labels_outside_the_classes_are_refused():
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 3])
    for function in (per_class_accuracy, lambda *pair: top_k_accuracy(*pair, 1)):
        with pytest.raises(ValueError, match="from 0 to 3, but the network has 3"):
            function(logits, labels)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_interval_equals_scipy(confidence):
    correct = np.array([[0, 1, 587], [999, 1000, 7]])
    count = np.array([[1, 10, 1000], [1000, 1000, 7]])
    lower, upper = wilson_interval(correct, count, confidence)
    for index in np.ndindex(correct.shape):
        test = binomtest(correct[index], count[index])
        wanted = test.proportion_ci(confidence, method="wilson")
        assert (lower[index], upper[index]) == pytest.approx(tuple(wanted))


def test_wilson_interval_by_hand():
    # z = 1.96, 8 of 10: (8 + 1.92 ± 1.96 sqrt(1.6 + 0.96)) / 13.84
    lower, upper = wilson_interval(8, 10)
    assert (lower, upper) == pytest.approx((0.490, 0.943), abs=5e-4)
    assert wilson_interval(torch.tensor([0]), torch.tensor([0])) == ([0.0], [1.0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((11, 10), "0 <= correct <= count"),
        ((-1, 10), "0 <= correct <= count"),
        ((5, 10, 95), "must be in the range"),
    ],
)
def test_wilson_interval_refuses(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        wilson_interval(*arguments)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (3, 12), (700, 600)])
def test_compare_tests_by_the_binomial_distribution(b, c):
    first = torch.tensor([1] * b + [0] * c + [1] * 20 + [2] * 10)
    second = torch.tensor([0] * b + [1] * c + [1] * 20 + [0] * 10)
    labels = torch.ones_like(first)
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    found = compare(labels, first, second)
    assert (found.first_only, found.second_only) == (b, c)
    assert found.p_value == pytest.approx(expected)
    assert found.lead == pytest.approx((b - c) / (b + c + 30))
    assert found.low < found.lead < found.high or b == c
    other = compare(labels, second, first)
    assert other[1:3] == pytest.approx((-found.high, -found.low))
    assert compare(labels, first, second, 3).p_value == min(1, 3 * found.p_value)


def test_the_interval_of_a_comparison_by_hand():
    # 10 images, of which 4 only the first gets right and 1 only the second. With half
    # an image more a cell: 4.5 and 1.5 of 12, so a difference of 3/12 = 0.25 with
    # standard deviation sqrt(6 - 3**2 / 12) / 12 = 0.1909; 1.96 of them are 0.3743
    labels = [1] * 10
    first, second = [1] * 9 + [0], [0] * 4 + [1] * 6
    found = compare(labels, first, second)
    assert found[:4] == pytest.approx((0.3, -0.1243, 0.6243, 0.375), abs=1e-4)
    assert (
        str(found) == "+30.0 points (95 % interval -12.4 to +62.4), p = 0.38"
    )  # 12 of 32 ways to toss five coins are at least as uneven as 4 and 1
    # 2.3940 standard deviations hold all but 0.05 / 3 of a normal distribution
    low, high = compare(labels, first, second, comparisons=3)[1:3]
    assert (low, high) == pytest.approx((0.25 - 0.4571, 0.25 + 0.4571), abs=1e-4)
    text = str(compare(labels, first, second, comparisons=3))
    assert text.endswith("p = 1 (corrected for 3)")


def test_the_interval_of_a_comparison_covers_what_it_says():
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.15, 0.10, 0.25])  # both right, only one, only the other, none
    kinds = rng.choice(4, (400, 60), p=p)
    found = [compare(np.ones(60), k < 2, (k == 0) | (k == 2)) for k in kinds]
    covered = np.mean([one.low <= 0.05 <= one.high for one in found])
    assert 0.93 < covered < 0.98


def test_compare_refuses_predictions_for_other_images():
    with pytest.raises(
        ValueError, match=r"\[\(3,\), \(3,\), \(2,\)\]; expected \(N,\)"
    ):
        compare(torch.zeros(3), torch.zeros(3), torch.zeros(2))


def test_collected_logits_are_those_of_the_model_in_evaluation_mode():
    torch.manual_seed(0)
    model, loader = cifar_resnet(8, num_classes=3), make_loaders().test  # 16 and 4
    model.train()
    model.bn1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits, labels = collect_logits(model, loader)
    assert model.training
    assert model.layer1.training
    assert not model.bn1.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert (logits.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert not logits.requires_grad
    model.eval()
    images, expected_labels = map(torch.cat, zip(*loader, strict=True))
    assert torch.equal(labels, expected_labels)
    assert torch.allclose(logits, model(images), atol=1e-5)
    assert len(labels) == 20


def test_collected_logits_can_be_trained_on():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    logits, _ = collect_logits(model, make_loaders().test)
    scale = torch.ones((), requires_grad=True)
    (logits * scale).sum().backward()
    assert scale.grad is not None


def test_no_more_than_one_batch_of_activations_is_held():
    alive = []

    class Watch(nn.Module):
        def forward(self, images):
            features = images.flatten(1).repeat(1, 4)
            alive.append(weakref.ref(features))
            assert sum(ref() is not None for ref in alive) <= 1
            return features[:, :3].contiguous()

    logits, _ = collect_logits(Watch(), make_loaders().train)
    assert len(alive) == 3
    assert logits.shape == (44, 3)


def test_an_error_leaves_the_mode_as_it_was():
    model = cifar_resnet(8, num_classes=2).train()  # the labels go to 2
    with pytest.raises(ValueError, match="from 0 to 2, but the network has 2 classes"):
        collect_logits(model, make_loaders().test)
    assert model.training


def test_collect_logits_refuses_an_empty_loader_and_odd_outputs():
    with pytest.raises(ValueError, match="The loader yields no batch"):
        collect_logits(cifar_resnet(8), [])
    with pytest.raises(ValueError, match=r"expected \(B, num_classes\)"):
        collect_logits(nn.Identity(), make_loaders().test)
