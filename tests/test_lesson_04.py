"""Lessons 04 and 04b: what they write out is the package's, and their checks judge."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lesson_code import definitions
from sklearn.metrics import precision_recall_fscore_support
from torch.utils.data import DataLoader, TensorDataset

from course_classroom.checks import lesson_04 as check
from course_utils import metrics
from course_utils.models import cifar_resnet

LESSON = definitions("04_per_class_evaluation")
DIVE = definitions("04b_how_many_images")


def some_logits(images=300, num_classes=6, seed=0):
    """Return logits and labels of a network that is right about half the time."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (images,), generator=generator)
    logits = torch.randn(images, num_classes, generator=generator)
    logits[torch.arange(images), labels] += 1.2
    return 2 * logits, labels


def test_the_lessons_logits_are_the_packages():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(21, 3, 8, 8), torch.arange(21) % 10)
    loader, model = DataLoader(data, 8), cifar_resnet(8)
    for ours, packaged in zip(
        LESSON["collect_logits"](model, loader),
        metrics.collect_logits(model, loader),
        strict=True,
    ):
        assert torch.equal(ours, packaged)
    assert model.training  # as it was found


def test_the_lessons_scores_are_the_packages():
    logits, labels = some_logits()
    pairs = zip(
        LESSON["per_class_accuracy"](logits, labels),
        metrics.per_class_accuracy(logits, labels),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    matrix = LESSON["confusion_matrix"](labels, logits.argmax(1), 6)
    assert torch.equal(matrix, metrics.confusion_matrix(labels, logits.argmax(1), 6))
    expected = precision_recall_fscore_support(
        labels, logits.argmax(1), labels=range(6), zero_division=np.nan
    )
    for found, wanted in zip(
        LESSON["precision_and_recall"](matrix), expected, strict=False
    ):
        assert found.numpy() == pytest.approx(wanted, nan_ok=True)


def test_the_lessons_intervals_and_the_dives_test_are_the_packages():
    for correct, count in ((0, 20), (18, 20), (20, 20), (900, 1000)):
        ours = LESSON["wilson_interval"](correct, count)  # tries steps of 1e-5
        packaged = metrics.wilson_interval(correct, count)
        assert np.allclose(ours, packaged, atol=2e-5)
    logits, labels = some_logits()
    other, _ = some_logits(seed=1)
    models = logits.argmax(1), other.argmax(1)
    packaged = metrics.compare(labels, *models)
    only_first, only_second, p_value = DIVE["mcnemar"](labels, *models)
    assert (only_first, only_second) == (packaged.first_only, packaged.second_only)
    assert p_value == pytest.approx(packaged.p_value)


def test_the_lessons_calibration_is_the_packages():
    logits, labels = some_logits()
    probabilities = logits.double().softmax(1)
    for num_bins in (1, 4, 15):
        ours = LESSON["expected_calibration_error"](probabilities, labels, num_bins)
        packaged = metrics.expected_calibration_error(probabilities, labels, num_bins)
        assert ours == pytest.approx(packaged)
    ours = LESSON["fit_temperature"](logits, labels)
    assert ours == pytest.approx(metrics.fit_temperature(logits, labels), rel=0.01)


def test_the_range_of_equal_classes_is_that_of_many_drawings():
    correct, count = torch.tensor([190, 180]), torch.tensor([200, 200])
    luck = LESSON["range_by_luck"](correct, count)
    # by hand: the mean of |difference| of two equal normals
    expected = np.sqrt(2 * 0.925 * 0.075 / 200) * np.sqrt(2 / np.pi)
    assert luck.mean() == pytest.approx(expected, rel=0.03)
    assert np.ptp(luck) > 0
    assert np.array_equal(luck, LESSON["range_by_luck"](correct, count))  # own seed


def test_the_change_of_the_loss_has_its_interval():
    logits, labels = some_logits()
    (before, after), (low, high) = LESSON["loss_change"](logits, labels, 2.0)
    assert before == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert after == pytest.approx(F.cross_entropy(logits / 2, labels).item(), rel=1e-5)
    assert low < after - before < high


def test_the_formulas_for_images_hold_by_hand():
    # help(power.prop.test) of R: p1 = .50, p2 = .60 gives n = 387.3
    assert DIVE["images_to_tell_apart"](0.5, 0.6) == pytest.approx(388, abs=1)
    # ((1.96 + 0.84) * 0.3 / 0.01) ** 2 = 7056, but for gap ** 2
    assert DIVE["images_for_a_lead"](0.01, 0.09) == pytest.approx(7056, rel=0.001)


def test_without_a_choice_there_is_no_flattery():
    rng = np.random.default_rng(0)
    DIVE["rng"] = rng
    found = DIVE["flattery_of"](rng.random((8, 1000)) < 0.6, group=200)
    assert abs(found[0]) < 0.01
    assert found[-1] > 0.02
    assert (np.diff(found) > -0.005).all()


def overall(matrix):
    return (matrix.trace() / matrix.sum()).item()


def mean_precision(matrix):
    return (matrix.diag() / matrix.sum(0)).mean().item()


def sum_of_recalls(matrix):
    return (matrix.diag() / matrix.sum(1)).sum().item()


def with_the_empty_class(matrix):
    return (matrix.diag() / matrix.sum(1)).mean().item()


def empty_counts_as_zero(matrix):
    return (matrix.diag() / matrix.sum(1).clamp(min=1)).mean().item()


def only_with_hits(matrix):
    accuracies = matrix.diag() / matrix.sum(1)
    return accuracies[accuracies > 0].mean().item()


def only_if_ever_predicted(matrix):
    seen = matrix.sum(0) > 0
    return (matrix.diag() / matrix.sum(1))[seen].mean().item()


def least_sure(probabilities, labels, coverage):
    confidence, predictions = probabilities.max(1)
    chosen = confidence.argsort()[: round(coverage * len(labels))]
    return (predictions[chosen] == labels[chosen]).float().mean().item()


def sorted_hits(probabilities, labels, coverage):
    confidence, predictions = probabilities.max(1)
    hits = (predictions == labels).double()[confidence.argsort(descending=True)]
    return hits, round(coverage * len(labels))


def the_last_hits(probabilities, labels, coverage):
    hits, kept = sorted_hits(probabilities, labels, coverage)
    return hits[-kept:].mean().item()


def the_other_hits(probabilities, labels, coverage):
    hits, kept = sorted_hits(probabilities, labels, coverage)
    return hits[kept:].mean().item()


def as_threshold(probabilities, labels, coverage):
    confidence, predictions = probabilities.max(1)
    chosen = (confidence >= coverage) | (coverage == 1)
    return (predictions[chosen] == labels[chosen]).float().mean().item()


def over_all_images(probabilities, labels, coverage):
    confidence, predictions = probabilities.max(1)
    chosen = confidence.argsort(descending=True)[: round(coverage * len(labels))]
    return (predictions[chosen] == labels[chosen]).sum().item() / len(labels)


def by_the_right_class(probabilities, labels, coverage):
    known = probabilities[torch.arange(len(labels)), labels]
    chosen = known.argsort(descending=True)[: round(coverage * len(labels))]
    return (probabilities.argmax(1)[chosen] == labels[chosen]).float().mean().item()


def ignores_coverage(probabilities, labels, coverage):
    return (probabilities.argmax(1) == labels).float().mean().item()


def unpaired(first, second, rng, draws=2000):
    shape = draws, len(first)
    leads = first[rng.integers(len(first), size=shape)].mean(1)
    leads -= second[rng.integers(len(first), size=shape)].mean(1)
    return tuple(np.quantile(leads, [0.025, 0.975]))


def second_minus_first(first, second, rng, draws=2000):
    return DIVE["lead_interval"](second, first, rng, draws)


def in_points(first, second, rng, draws=2000):
    low, high = DIVE["lead_interval"](first, second, rng, draws)
    return 100 * low, 100 * high


def without_repetition(first, second, rng, draws=50):
    gained = first.astype(float) - second
    leads = [rng.permutation(gained).mean() for _ in range(draws)]
    return tuple(np.quantile(leads, [0.025, 0.975]))


def lowest_and_highest(first, second, rng, draws=2000):
    gained = first.astype(float) - second
    leads = gained[rng.integers(len(gained), size=(draws, len(gained)))].mean(1)
    return leads.min(), leads.max()


def upper_end_first(first, second, rng, draws=2000):
    return DIVE["lead_interval"](first, second, rng, draws)[::-1]


def excess_of(probabilities, labels):
    confidence, predictions = probabilities.max(1)
    return confidence, confidence - (predictions == labels).double()


def of_quantiles(low, high, size=1.0):
    def answer(first, second, rng, draws=2000):
        gained = first.astype(float) - second
        shape = draws, int(size * len(gained))
        leads = gained[rng.integers(len(gained), size=shape)].mean(1)
        return tuple(np.quantile(leads, [low, high]))

    return answer


def bell_curve(first, second, rng, draws=2000):
    gained = first.astype(float) - second
    leads = gained[rng.integers(len(gained), size=(draws, len(gained)))].mean(1)
    return leads.mean() - 1.96 * leads.std(), leads.mean() + 1.96 * leads.std()


def over_groups(probabilities, labels, num_bins, score, cut=torch.tensor_split):
    confidence, excess = excess_of(probabilities, labels)
    return float(score(cut(excess[confidence.argsort()], num_bins), len(labels)))


def shares_of(groups, images):
    return sum(abs(group.sum()) for group in groups) / images


def chunked(probabilities, labels, num_bins):
    return over_groups(probabilities, labels, num_bins, shares_of, torch.chunk)


def without_abs(probabilities, labels, num_bins):
    return over_groups(
        *(probabilities, labels, num_bins), lambda gs, n: sum(g.sum() for g in gs) / n
    )


def image_by_image(probabilities, labels, num_bins):
    return over_groups(
        *(probabilities, labels, num_bins),
        lambda gs, n: sum(g.abs().sum() for g in gs) / n,
    )


def same_weight(probabilities, labels, num_bins):
    return over_groups(
        *(probabilities, labels, num_bins),
        lambda gs, n: sum(abs(g.mean()) for g in gs) / len(gs),
    )


def added_up(probabilities, labels, num_bins):
    return over_groups(
        *(probabilities, labels, num_bins),
        lambda gs, n: sum(abs(g.mean()) for g in gs),
    )


def weighs_with_image_numbers(probabilities, labels, num_bins):
    confidence, excess = excess_of(probabilities, labels)
    error = 0.0
    for group in confidence.argsort().tensor_split(num_bins):
        error += abs(excess[group].mean()) * group.sum() / len(labels)
    return error.item()


def sorts_confidences_only(descending):
    def answer(probabilities, labels, num_bins):
        confidence, predictions = probabilities.max(1)
        excess = confidence.sort(descending=descending).values
        excess = excess - (predictions == labels).double()
        return shares_of(excess.tensor_split(num_bins), len(labels)).item()

    return answer


def not_divided(probabilities, labels, num_bins):
    return over_groups(
        *(probabilities, labels, num_bins),
        lambda gs, n: sum(abs(g.sum()) for g in gs),
    )


def test_bins_may_begin_with_the_surest(capsys):
    def surest_first(probabilities, labels, num_bins):
        confidence, excess = excess_of(probabilities, labels)
        groups = excess[confidence.argsort(descending=True)].tensor_split(num_bins)
        return shares_of(groups, len(labels)).item()

    assert check.equal_size_calibration_error(surest_first), capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_another_drawing_of_the_images_passes(seed, capsys):
    def by_choice(first, second, rng, draws=2000):
        rng.random(seed)
        gained = first.astype(float) - second
        leads = [rng.choice(gained, len(gained)).mean() for _ in range(draws)]
        return np.quantile(leads, 0.025), np.quantile(leads, 0.975)

    assert check.lead_interval(by_choice), capsys.readouterr().out


def equal_width(probabilities, labels, num_bins):
    return metrics.expected_calibration_error(probabilities, labels, num_bins)


def signed(probabilities, labels, num_bins):
    confidence, excess = excess_of(probabilities, labels)
    groups = excess[confidence.argsort()].tensor_split(num_bins)
    return abs(sum(group.sum().item() for group in groups)) / len(labels)


def unsorted(probabilities, labels, num_bins):
    _, excess = excess_of(probabilities, labels)
    groups = excess.tensor_split(num_bins)
    return sum(abs(group.sum().item()) for group in groups) / len(labels)


def drops_the_rest(probabilities, labels, num_bins):
    confidence, excess = excess_of(probabilities, labels)
    size = len(labels) // num_bins
    groups = excess[confidence.argsort()][: size * num_bins].view(num_bins, size)
    return groups.mean(1).abs().mean().item()


def of_the_right_class(probabilities, labels, num_bins):
    known = probabilities[torch.arange(len(labels)), labels]
    return abs((known - (probabilities.argmax(1) == labels).double()).mean().item())


def strictly_as_threshold(probabilities, labels, coverage):
    confidence, predictions = probabilities.max(1)
    chosen = confidence >= coverage
    return (predictions[chosen] == labels[chosen]).float().mean().item()


def cut_up(probabilities, labels, coverage):
    coverage = int(np.ceil(coverage * len(labels))) / len(labels)
    return LESSON["accuracy_when_sure"](probabilities, labels, coverage)


def cut_off(probabilities, labels, coverage):
    coverage = int(coverage * len(labels)) / len(labels)
    return LESSON["accuracy_when_sure"](probabilities, labels, coverage)


def normal(first, second, rng, draws=2000):
    gained = first.astype(float) - second
    half = 1.96 * gained.std() / len(gained) ** 0.5
    return gained.mean() - half, gained.mean() + half


def own_drawing(first, second, rng, draws=2000):
    return DIVE["lead_interval"](first, second, np.random.default_rng(), draws)


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("balanced_accuracy", overall, "the overall accuracy"),
    ("balanced_accuracy", mean_precision, "true classes are in rows"),
    ("balanced_accuracy", sum_of_recalls, "how many classes"),
    ("balanced_accuracy", with_the_empty_class, "a class without images out"),
    ("balanced_accuracy", empty_counts_as_zero, "neither 0 nor 1"),
    ("balanced_accuracy", only_with_hits, "no hit counts"),
    ("balanced_accuracy", only_if_ever_predicted, "no hit counts"),
    ("accuracy_when_sure", strictly_as_threshold, "a share of the images"),
    ("accuracy_when_sure", cut_up, "nearest whole number"),
    ("accuracy_when_sure", least_sure, "the surest come first"),
    ("accuracy_when_sure", the_last_hits, "network is least sure"),
    ("accuracy_when_sure", the_other_hits, "leaves to a person"),
    ("accuracy_when_sure", as_threshold, "a share of the images"),
    ("accuracy_when_sure", over_all_images, "by how many answers"),
    ("accuracy_when_sure", by_the_right_class, "which nobody knows"),
    ("accuracy_when_sure", ignores_coverage, "on all images"),
    ("accuracy_when_sure", cut_off, "rounded to whole images"),
    ("lead_interval", own_drawing, "the generator that is handed over"),
    ("lead_interval", normal, "a bootstrap draws images"),
    ("lead_interval", unpaired, "only on the same ones"),
    ("lead_interval", second_minus_first, "whose lead"),
    ("lead_interval", in_points, "neither points nor numbers"),
    ("lead_interval", without_repetition, "draw with repetition"),
    ("lead_interval", lowest_and_highest, "2.5 % at each end"),
    ("lead_interval", upper_end_first, "lower end first"),
    ("lead_interval", of_quantiles(0.025, 0.95), "2.5 % at each end"),
    ("lead_interval", of_quantiles(0.04, 0.99), "2.5 % at each end"),
    ("lead_interval", of_quantiles(0.025, 0.975, size=0.5), "for half the images"),
    ("lead_interval", bell_curve, "sort the leads"),
    ("equal_size_calibration_error", chunked, "bins of 9 and 8"),
    ("equal_size_calibration_error", without_abs, "It is negative"),
    ("equal_size_calibration_error", image_by_image, "image by image"),
    ("equal_size_calibration_error", same_weight, "a larger bin weighs"),
    ("equal_size_calibration_error", added_up, "The gaps are added up"),
    ("equal_size_calibration_error", weighs_with_image_numbers, "how many are in it"),
    ("equal_size_calibration_error", sorts_confidences_only(True), "one order for"),
    ("equal_size_calibration_error", sorts_confidences_only(False), "one order for"),
    ("equal_size_calibration_error", not_divided, "a sum over the images"),
    ("equal_size_calibration_error", equal_width, "not the range from 0 to 1"),
    ("equal_size_calibration_error", signed, "absolute value of each"),
    ("equal_size_calibration_error", unsorted, "sort by confidence first"),
    ("equal_size_calibration_error", drops_the_rest, "no image is left out"),
    ("equal_size_calibration_error", of_the_right_class, "highest probability"),
]
