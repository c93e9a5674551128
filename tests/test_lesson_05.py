"""Lesson 05: its functions are the package's, and its checks judge rightly."""

from types import SimpleNamespace

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest
import small_training
import torch
from ipykernel.ipkernel import IPythonKernel
from lesson_code import LESSONS, definitions
from torch import nn

from course_utils import explain, plotting
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
def test_the_lessons_directions_are_the_packages(name):
    model = network(name)
    found = LESSON["random_direction"](model, 3)
    (expected,) = explain.filter_normalised_directions(model, 3)
    assert found.keys() == expected.keys()
    for key, step in found.items():
        torch.testing.assert_close(step, expected[key])


def test_likeness_is_the_correlation_over_positions():
    one, other = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(2))
    found = LESSON["likeness"](one, other)
    for value, a, b in zip(found, one, other, strict=True):
        expected = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        torch.testing.assert_close(value, expected)
    flat = torch.ones(4, 5, 6)
    assert LESSON["likeness"](one, flat).tolist() == [0, 0, 0, 0]


def test_less_is_judged_image_by_image():
    generator = torch.Generator().manual_seed(4)
    one, noise = torch.randn(2, 100, generator=generator)
    is_less = LESSON["is_less"]
    assert is_less(one, one + 0.1 + 0.05 * noise)  # small against their spread
    assert not is_less(one + 0.1 + 0.05 * noise, one)
    assert not is_less(one - one.mean(), noise - noise.mean())  # equal means


def test_parts_of_a_filter_hold_shares_of_its_squared_weight():
    weights = torch.randn(7, 3, 3, 3, generator=torch.Generator().manual_seed(3))
    share, grey = LESSON["share"], weights.mean(1, keepdim=True)
    assert share(grey, weights) + share(weights - grey, weights) == pytest.approx(1)
    assert share(weights[:, :1], weights[:, :1].expand(-1, 3, -1, -1)) == 1


@pytest.mark.parametrize("answers", [False, True])
def test_controls_are_there_only_where_somebody_can_use_them(answers, monkeypatch):
    assert hasattr(IPythonKernel, "_allow_stdin")
    kernel = SimpleNamespace(_allow_stdin=answers)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    shown = []
    monkeypatch.setattr(
        "ipywidgets.interact", lambda f, **controls: shown.append(controls)
    )
    small, model = small_training.make_loaders().test, cifar_resnet(8, 3)
    pictures = small.dataset.images.numpy()
    none = np.zeros(len(pictures), dtype=int)
    scope = {"explain": explain, "plotting": plotting, "plt": plt, "model": model}
    scope |= {"loader": small, "last": "layer3", "rows": [4, 7], "pictures": pictures}
    scope |= {"predicted": none, "true": none}
    scope |= {"splits": SimpleNamespace(classes=["dark"])}
    cells = jupytext.read(LESSONS / f"{NAME}.py", fmt="py:percent").cells
    (cell,) = [cell for cell in cells if "def look(" in cell.source]
    exec(cell.source, scope)
    assert "image 7: dark (truly dark), layer3" in plt.gcf().get_suptitle()
    assert len(shown) == answers
    for controls in shown:
        assert controls["image"].max == len(pictures) - 1
        assert list(controls["layer"].options[-2:]) == ["layer1.0", "layer1"]
        for layer in controls["layer"].options:
            scope["look"](0, layer)


# Exercises


def sum_of_kernels(layers):
    return sum(kernel for kernel, _ in layers)


def no_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def own_stride_too(layers):
    side, apart = 1, 1
    for kernel, stride in layers:
        apart *= stride
        side += (kernel - 1) * apart
    return side


def last_stride_only(layers):
    side, apart = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * apart
        apart = stride
    return side


def from_zero(layers):
    return LESSON["field_side"](layers) if layers else 0


def nearest(features, labels, k, start=1, largest=False):
    order = torch.cdist(features, features).argsort(1, descending=largest)
    return (labels[order[:, start : start + k]] == labels[:, None]).float().mean()


def with_itself(features, labels, k):
    return nearest(features, labels, k, start=0)


def one_short(features, labels, k):
    return nearest(features, labels, k - 1)


def farthest(features, labels, k):
    return nearest(features, labels, k, start=0, largest=True)


def by_angle(features, labels, k):
    return nearest(nn.functional.normalize(features), labels, k)


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


def class_zero(maps, fc_weight, targets):
    return cam(maps, fc_weight, torch.zeros_like(targets)).relu()


def channels_kept(maps, fc_weight, targets):
    return (fc_weight[targets][:, :, None, None] * maps).relu()


def occlusion(network, images, targets, size):
    return LESSON["occlusion_map"](network, images, targets, size)


def turned_round(*arguments):
    return -occlusion(*arguments)


def what_is_left(network, images, targets, size):
    own = network(images).gather(1, targets[:, None]).detach()
    return own[:, :, None] - occlusion(network, images, targets, size)


def columns_first(*arguments):
    return occlusion(*arguments).transpose(1, 2)


def a_pixel_each(network, images, targets, size):
    return occlusion(network, images, targets, 1)


def of_probabilities(network, images, targets, size):
    return occlusion(nn.Sequential(network, nn.Softmax(1)), images, targets, size)


def of_the_prediction(network, images, targets, size):
    return occlusion(network, images, network(images).argmax(1), size)


def spoils_the_images(network, images, targets, size):
    found = occlusion(network, images, targets, size)
    images[:, :, :size, :size] = 0
    return found


def one_colour(network, images, targets, size):
    found = occlusion(network, images, targets, size)
    found[:, 0, 0] = 0
    return found


def gradient_times_image(network, images, targets, size):
    images = images.clone().requires_grad_()
    network(images).gather(1, targets[:, None]).sum().backward()
    parts = (images.grad * images.detach()).sum(1, keepdim=True)
    return nn.functional.avg_pool2d(parts, size)[:, 0] * size**2


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("field_side", sum_of_kernels, "how many new pixels"),
    ("field_side", no_strides, "which layers does a stride move apart"),
    ("field_side", own_stride_too, "its own or those after it"),
    ("field_side", last_stride_only, "where there are two"),
    ("field_side", from_zero, "a pixel sees itself"),
    ("same_class_share", with_itself, "its own nearest neighbour"),
    ("same_class_share", one_short, "took one of the places"),
    ("same_class_share", farthest, "smallest distances"),
    ("same_class_share", by_angle, "nearest by angle"),
    ("same_class_share", a_count, "a share, the mean over"),
    ("same_class_share", in_place, "work on a copy"),
    ("same_class_share", lambda *_: 1.0, "compare the labels"),
    ("class_activation", cam, "against the class is cut off"),
    ("class_activation", no_factor, "how much does one position"),
    ("class_activation", half_a_factor, "over height and width"),
    ("class_activation", cut_off_first, "after the sum"),
    ("class_activation", class_zero, "which row"),
    ("class_activation", channels_kept, "channels are added up"),
    ("occlusion_map", turned_round, "a fall is positive"),
    ("occlusion_map", what_is_left, "by how much did they fall"),
    ("occlusion_map", columns_first, "2 rows and 3 columns"),
    ("occlusion_map", a_pixel_each, "squares of 4"),
    ("occlusion_map", of_probabilities, "without softmax"),
    ("occlusion_map", of_the_prediction, "targets says which"),
    ("occlusion_map", spoils_the_images, "work on a copy"),
    ("occlusion_map", gradient_times_image, "no gradient tells"),
    ("occlusion_map", one_colour, "all three colours"),
]
