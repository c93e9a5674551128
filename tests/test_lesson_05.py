"""Lesson 05: its functions are the package's, and its checks judge rightly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lesson_code import definitions
from torch import nn

from course_utils import explain
from course_utils.models import (
    BasicBlock,
    Bottleneck,
    ResNet,
    cifar_plain,
    cifar_resnet,
)

NAME = "05_visualisation"
LESSON = definitions(NAME)
NETWORKS = {
    "residual": lambda: cifar_resnet(14, 5),
    "plain": lambda: cifar_plain(14, 5),
    "basic": lambda: ResNet(BasicBlock, (1, 2, 1, 1), 5, stem="cifar"),
    "bottleneck": lambda: ResNet(Bottleneck, (1, 2, 1, 1), 5),
}
EVERY = pytest.mark.parametrize("name", NETWORKS)


def network(name):
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@EVERY
def test_the_lessons_grad_cam_is_the_packages(name):
    model, targets = network(name), torch.tensor([4, 0, 2])
    for layer in ("layer1", "layer3"):
        found = LESSON["grad_cam"](model, images(), layer, targets)
        expected = explain.grad_cam(model, images(), layer, targets)
        assert expected.max() > 0
        torch.testing.assert_close(found, expected)


@EVERY
@torch.no_grad()
def test_the_lessons_deletion_is_the_packages(name):
    model = network(name)
    for block in explain.block_names(model):
        found = LESSON["without_block"](model, block)(images())
        with explain.block_deleted(model, block):
            expected = model(images())
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, model(images()))  # all blocks are back


@EVERY
def test_the_lessons_statistics_are_the_packages(name):
    model, batches = network(name), [(images(), None), (2 * images(), None)]
    LESSON["session"] = SimpleNamespace(device=torch.device("cpu"))
    found = LESSON["renormalised"](model, batches).state_dict()
    for key, value in explain.renormalised(model, batches).state_dict().items():
        torch.testing.assert_close(found[key], value)


@EVERY
def test_the_lessons_features_are_the_packages(name):
    model = network(name)
    LESSON["images"] = images()
    expected, _ = explain.penultimate_features(model, [(images(), torch.zeros(3))])
    np.testing.assert_allclose(LESSON["features_of"](model), expected, rtol=1e-4)


def test_likeness_is_the_correlation_over_positions():
    one, other = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(2))
    found = LESSON["likeness"](one, other)
    for value, a, b in zip(found, one, other, strict=True):
        expected = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        torch.testing.assert_close(value, expected)
    flat = torch.ones(4, 5, 6)
    assert LESSON["likeness"](one, flat).tolist() == [0, 0, 0, 0]


def test_a_quarter_is_hidden_where_the_map_is_highest():
    LESSON["session"] = SimpleNamespace(device=torch.device("cpu"))
    LESSON["images"] = torch.ones(2, 3, 32, 32)
    centre = torch.zeros(32, 32)
    centre[8:24, 8:24] = 1
    found = LESSON["hide_quarter"](torch.stack([centre, torch.rand(32, 32)]))
    torch.testing.assert_close(found[0], (1 - centre).expand(3, 32, 32))
    assert (found[1] == 0).sum() == 3 * 256


# Exercises


def nearest(features, labels, k, start=1, largest=False):
    order = torch.cdist(features, features).argsort(1, descending=largest)
    same = labels[order[:, start : start + k]] == labels[:, None]
    return same.float().mean().item()


def with_itself(features, labels, k):
    return nearest(features, labels, k, start=0)


def one_short(features, labels, k):
    return nearest(features, labels, k - 1)


def farthest(features, labels, k):
    return nearest(features, labels, k, start=0, largest=True)


def farthest_and_itself(features, labels, k):
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(float("inf"))
    return (labels[distances.topk(k).indices] == labels[:, None]).float().mean().item()


def by_angle(features, labels, k):
    return nearest(nn.functional.normalize(features), labels, k)


def row_of_labels(features, labels, k):
    distances = torch.cdist(features, features)
    return (labels[distances.argsort(1)[:, :k]] == labels).float().mean().item()


def of_booleans(features, labels, k):
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(float("inf"))
    nearest = distances.argsort(1)[:, :k]
    return (labels[nearest] == labels[:, None]).mean().item()


def a_tensor(features, labels, k):
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(float("inf"))
    nearest = distances.argsort(1)[:, :k]
    return (labels[nearest] == labels[:, None]).float().mean()


def always_three(features, labels, k):
    return nearest(features, labels, 3)


def a_count(features, labels, k):
    return k * nearest(features, labels, k)


def in_place(features, labels, k):
    found = nearest(features, labels, k)
    features -= features.mean(0)
    return found


def cam(maps, fc_weight, targets):
    return (fc_weight[targets][:, :, None, None] * maps).sum(1) / maps[0, 0].numel()


def no_factor(maps, fc_weight, targets):
    return cam(maps, fc_weight, targets).relu() * maps[0, 0].numel()


def half_a_factor(maps, fc_weight, targets):
    return cam(maps, fc_weight, targets).relu() * maps.shape[3]


def cut_off_first(maps, fc_weight, targets):
    return cam(maps, fc_weight.relu(), targets)


def mean_of_channels(maps, fc_weight, targets):
    return cam(maps, fc_weight, targets).relu() / maps.shape[1]


def class_zero(maps, fc_weight, targets):
    return cam(maps, fc_weight, torch.zeros_like(targets)).relu()


def no_new_dimensions(maps, fc_weight, targets):
    return (fc_weight[targets] * maps).sum(1).relu()


def channels_kept(maps, fc_weight, targets):
    return (fc_weight[targets][:, :, None, None] * maps).relu()


def fall(*arguments):
    return LESSON["fall_without"](*arguments)


def turned_round(*arguments):
    return -fall(*arguments)


def without_a_sign(*arguments):
    return fall(*arguments).abs()


def cut_off_at_zero(*arguments):
    return fall(*arguments).relu()


def what_is_left(network, images, targets, *square):
    own = network(images).gather(1, targets[:, None])[:, 0]
    return own - fall(network, images, targets, *square)


def nothing_covered(network, images, targets, *square):
    return fall(network, images, targets, 0, 0, 0)


def columns_first(network, images, targets, top, left, size):
    return fall(network, images, targets, left, top, size)


def of_all_classes(network, images, targets, *square):
    falls = [
        fall(network, images, torch.full_like(targets, k), *square) for k in (0, 1)
    ]
    return torch.stack(falls, 1)


def of_probabilities(network, *arguments):
    return fall(nn.Sequential(network, nn.Softmax(1)), *arguments)


def of_the_prediction(network, images, targets, *square):
    return fall(network, images, network(images).argmax(1), *square)


def spoils_the_images(network, images, targets, top, left, size):
    found = fall(network, images, targets, top, left, size)
    images[:, :, top : top + size, left : left + size] = 0
    return found


def one_colour(network, images, targets, top, left, size):
    covered = images.clone()
    covered[:, 0, top : top + size, left : left + size] = 0
    return (network(images) - network(covered)).gather(1, targets[:, None])[:, 0]


def ends_at_size(network, images, targets, top, left, size):
    covered = images.clone()
    covered[:, :, top:size, left : left + size] = 0
    return (network(images) - network(covered)).gather(1, targets[:, None])[:, 0]


def of_the_largest(network, images, targets, *square):
    class Largest(nn.Module):
        def forward(self, inputs):
            return network(inputs).amax(1, keepdim=True)

    return fall(Largest(), images, torch.zeros_like(targets), *square)


def covered_with_one(network, images, *rest):
    shifted = lambda inputs: network(inputs + 1)  # noqa: E731
    return fall(shifted, images - 1, *rest)


def squares_of_four(network, images, targets, top, left, size):
    return fall(network, images, targets, top, left, 4)


def gradient_times_image(network, images, targets, top, left, size):
    images = images.clone().requires_grad_()
    network(images).gather(1, targets[:, None]).sum().backward()
    parts = (images.grad * images.detach()).sum(1)  # (B, H, W)
    return parts[:, top : top + size, left : left + size].sum((1, 2))


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("same_class_share", with_itself, "its own nearest neighbour"),
    ("same_class_share", one_short, "took one of the places"),
    ("same_class_share", farthest, "smallest distances"),
    ("same_class_share", farthest_and_itself, "smallest distances"),
    ("same_class_share", by_angle, "nearest by angle"),
    ("same_class_share", a_count, "a share, the mean over"),
    ("same_class_share", in_place, "work on a copy"),
    ("same_class_share", lambda *_: 1.0, "compare the labels"),
    ("same_class_share", row_of_labels, "compared with each of its columns"),
    ("same_class_share", of_booleans, ".float() makes"),
    ("same_class_share", a_tensor, ".item() makes"),
    ("same_class_share", always_three, "is `k` used"),
    ("class_activation", cam, "against the class is cut off"),
    ("class_activation", no_factor, "how much does one position"),
    ("class_activation", half_a_factor, "over height and width"),
    ("class_activation", cut_off_first, "after the sum"),
    ("class_activation", mean_of_channels, "not averaged"),
    ("class_activation", class_zero, "which row"),
    ("class_activation", channels_kept, "channels are added up"),
    ("class_activation", no_new_dimensions, "weights[:, :, None, None]"),
    ("fall_without", turned_round, "a fall is positive"),
    ("fall_without", without_a_sign, "All signs are lost"),
    ("fall_without", cut_off_at_zero, "keep the sign"),
    ("fall_without", what_is_left, "by how much did they fall"),
    ("fall_without", nothing_covered, "is the square covered"),
    ("fall_without", columns_first, "rows come first"),
    ("fall_without", of_all_classes, "one number an image"),
    ("fall_without", of_probabilities, "without softmax"),
    ("fall_without", of_the_prediction, "targets says which"),
    ("fall_without", spoils_the_images, "work on a copy"),
    ("fall_without", gradient_times_image, "no gradient tells"),
    ("fall_without", one_colour, "all three colours"),
    ("fall_without", ends_at_size, "ends before top + size"),
    ("fall_without", of_the_largest, "with and without the square"),
    ("fall_without", covered_with_one, "cover it with 0"),
    ("fall_without", squares_of_four, "is `size` used"),
]
