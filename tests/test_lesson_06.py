"""Lesson 06: what it writes out is the package's, and its checks judge."""

import copy

import numpy as np
import pytest
import torch
from lesson_code import definitions
from torch import nn
from torchvision.transforms import v2

from course_classroom.checks import lesson_06 as check
from course_utils.data import photos
from course_utils.data.photo_splits import split_by_class
from course_utils.models import cifar_resnet, resnet18
from course_utils.pretrained import transfer

NAME = "06_transfer_learning"
LESSON = definitions(NAME)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def to_input():
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]


def some_photo(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = (3, height, width)
    return torch.randint(256, size, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("test", [True, False])
def test_the_lessons_split_is_the_packages(test):
    labels = np.random.default_rng(0).integers(3, size=200)
    ours = LESSON["split_by_class"](labels, seed=5, test=test)
    packaged = split_by_class(labels, seed=5, test=test)
    for a, b in zip(ours, packaged, strict=True):
        assert np.array_equal(a, b)


def test_the_lessons_views_are_the_packages():
    photo = some_photo(90, 70)
    ours = v2.Compose([LESSON["evaluation_steps"](32), *to_input()])
    packaged = photos.evaluation_transform(32, MEAN, STD)
    assert torch.equal(ours(photo), packaged(photo))
    ours = v2.Compose([LESSON["training_steps"](32), *to_input()])
    packaged = photos.training_transform(32, MEAN, STD)
    views = []
    for transform in (ours, packaged):
        torch.manual_seed(1)
        views.append([transform(photo) for _ in range(5)])
    assert all(torch.equal(a, b) for a, b in zip(*views, strict=True))


def test_the_lessons_data_set_is_the_packages():
    images = [some_photo(8, 9 + k, seed=k) for k in range(4)]
    parts = images, np.array([3, 1, 0, 2]), np.array([2, 0]), lambda photo: photo + 1
    ours, packaged = LESSON["PhotoDataset"](*parts), photos.PhotoDataset(*parts)
    assert len(ours) == len(packaged) == 2
    for index in range(2):
        (photo, label), (expected, known) = ours[index], packaged[index]
        assert torch.equal(photo, expected)
        assert label == known


@pytest.mark.parametrize("network", [cifar_resnet(8), resnet18(num_classes=3)])
def test_the_lessons_rates_are_the_packages(network):
    ours = LESSON["rates_by_depth"](network, 0.1)
    packaged = transfer.rates_by_depth(network, 0.1)
    assert [group["lr"] for group in ours] == [group["lr"] for group in packaged]
    for a, b in zip(ours, packaged, strict=True):
        assert set(map(id, a["params"])) == set(map(id, b["params"]))


@pytest.mark.parametrize("size", [(90, 90), (60, 90), (90, 60), (40, 100)])
def test_a_strip_is_never_higher_than_two_thirds_of_its_width(size):
    strip = LESSON["widened"](some_photo(*size))
    assert strip.shape[2] == size[1]
    assert strip.shape[1] == min(size[0], size[1] * 2 // 3)


def test_drift_is_measured_in_old_deviations():
    before, after = cifar_resnet(8), cifar_resnet(8)
    before.bn1.running_var.fill_(4.0)
    after.bn1.running_mean.fill_(3.0)
    moved = LESSON["drift"](before, after)
    assert moved[0] == pytest.approx(1.5)
    assert not any(moved[1:])
    assert len(moved) == len(LESSON["norms_of"](before)) == 7


# typical wrong answers


def without_buffers(model, state_dict):
    own = dict(model.named_parameters())
    buffers = {name for name, _ in model.named_buffers()}
    missing = sorted(own.keys() - state_dict.keys())
    unexpected = sorted(state_dict.keys() - own.keys() - buffers)
    common = own.keys() & state_dict.keys()
    misfits = sorted(n for n in common if own[n].shape != state_dict[n].shape)
    return missing, unexpected, misfits


def exchanged(model, state_dict):
    missing, unexpected, misfits = LESSON["loading_report"](model, state_dict)
    return unexpected, missing, misfits


def no_shapes(model, state_dict):
    return (*LESSON["loading_report"](model, state_dict)[:2], [])


def misfits_missing(model, state_dict):
    missing, unexpected, misfits = LESSON["loading_report"](model, state_dict)
    return sorted(missing + misfits), unexpected, misfits


def unsorted(model, state_dict):
    missing, *others = LESSON["loading_report"](model, state_dict)
    return missing[::-1], *others


def loads_it(model, state_dict):
    report = LESSON["loading_report"](model, state_dict)
    fitting = {n: w for n, w in state_dict.items() if n not in report[2]}
    model.load_state_dict(fitting, strict=False)
    return report


def all_names(model, state_dict):
    names = sorted(model.state_dict())
    return names, names, names


def not_stratified(labels, num_folds, seed=0):
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.array_split(order, num_folds)


def not_shuffled(labels, num_folds, seed=0):
    order = np.argsort(labels, kind="stable")
    return [order[k::num_folds] for k in range(num_folds)]


def training_parts(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [np.setdiff1d(np.arange(len(labels)), fold) for fold in folds]


def rounded_down(labels, num_folds, seed=0):
    rng = np.random.default_rng(seed)
    folds = [[] for _ in range(num_folds)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        size = len(members) // num_folds
        for number, fold in enumerate(folds):
            fold.extend(members[number * size : (number + 1) * size].tolist())
    return [np.array(fold) for fold in folds]


def masks(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [np.isin(np.arange(len(labels)), fold) for fold in folds]


def unseeded(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, num_folds, np.random.default_rng())


def one_fold_too_few(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, num_folds - 1, seed)


def gradients_only(model):
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    return model


def eval_once(model):
    return gradients_only(model).eval()


def everything_frozen(model):
    return LESSON["keep_frozen"](model).requires_grad_(False)


def statistics_only(model):
    LESSON["keep_frozen"](model)
    return model.requires_grad_(True)


def no_momentum(model):
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.0
    return gradients_only(model)


def bound_to_the_first(model):
    def train(mode=True):
        nn.Module.train(model, False)
        model.training = mode
        model.fc.train(mode)
        return model

    model.train = train
    return gradients_only(model)


def never_trains(model):
    class Still(type(model)):
        def train(self, mode=True):
            return super().train(False)

    model.__class__ = Still
    return gradients_only(model)


def always_five(labels, num_folds, seed=0):
    return LESSON["stratified_folds"](labels, 5, seed)


def in_a_wrapper(model):
    return nn.Sequential(LESSON["keep_frozen"](model))


def beyond_the_end(labels, num_folds, seed=0):
    folds = LESSON["stratified_folds"](labels, num_folds, seed)
    return [fold + len(labels) for fold in folds]


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("loading_report", without_buffers, "state_dict() has both"),
    ("loading_report", exchanged, "are exchanged"),
    ("loading_report", no_shapes, "Misfits has 0 names where 2"),
    ("loading_report", misfits_missing, "the third list only"),
    ("loading_report", unsorted, "not sorted"),
    ("loading_report", loads_it, "no loading"),
    ("loading_report", all_names, "three empty lists"),
    ("stratified_folds", not_stratified, "each class by itself"),
    ("stratified_folds", always_five, "how many does num_folds"),
    ("stratified_folds", beyond_the_end, "positions among all photos"),
    ("stratified_folds", not_shuffled, "shuffle before you cut"),
    ("stratified_folds", training_parts, "in two folds"),
    ("stratified_folds", rounded_down, "are in no fold"),
    ("stratified_folds", masks, "not a mask"),
    ("stratified_folds", unseeded, "default_rng(seed)"),
    ("stratified_folds", one_fold_too_few, "how many does num_folds"),
    ("keep_frozen", gradients_only, "drift after model.train()"),
    ("keep_frozen", in_a_wrapper, "without a wrapper"),
    ("keep_frozen", eval_once, "drift after model.train()"),
    ("keep_frozen", everything_frozen, "should still learn"),
    ("keep_frozen", statistics_only, "of the body require gradients"),
    ("keep_frozen", no_momentum, "normalises by the batch"),
    ("keep_frozen", bound_to_the_first, "in a deep copy"),
    ("keep_frozen", never_trains, "only the body is to stay"),
]


def test_a_network_of_its_own_class_is_accepted_too(capsys):
    def own_class(model):
        class Frozen(type(model)):
            def train(self, mode=True):
                super().train(False)
                self.training = mode
                self.fc.train(mode)
                return self

        model.__class__ = Frozen
        return gradients_only(model)

    assert check.keep_frozen(own_class)
    assert capsys.readouterr().out.startswith("✓")


def test_a_frozen_network_survives_the_courses_own_training_loop():
    from torch.utils.data import DataLoader, TensorDataset

    from course_utils.training import train_one_epoch

    torch.manual_seed(0)
    model = LESSON["keep_frozen"](cifar_resnet(8, num_classes=5))
    start = copy.deepcopy(model.state_dict())
    data = TensorDataset(torch.randn(12, 3, 8, 8), torch.arange(12) % 5)
    optimizer = torch.optim.SGD(model.fc.parameters(), 0.1)
    train_one_epoch(model, DataLoader(data, 4), optimizer)
    moved = {n for n, w in model.state_dict().items() if not torch.equal(w, start[n])}
    assert moved == {"fc.weight", "fc.bias"}
