"""Deep dive 05b: its slices are the package's, its squares are right, checks judge."""

import numpy as np
import pytest
import torch
from lesson_code import definitions

from course_utils import explain
from course_utils.models import cifar_plain, cifar_resnet

NAME = "05b_receptive_field_and_loss"
DIVE = definitions(NAME)
EVERY = pytest.mark.parametrize("make", [cifar_resnet, cifar_plain])


def network(make):
    torch.manual_seed(0)
    return make(8, 5).eval()


def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@EVERY
def test_the_dives_slices_are_the_packages(make):
    model = network(make)
    found = DIVE["random_direction"](model, 3)
    (expected,) = explain.filter_normalised_directions(model, 3)
    assert found.keys() == expected.keys()
    for key, step in found.items():
        torch.testing.assert_close(step, expected[key])
    batch = images(), torch.tensor([4, 0, 2])
    DIVE["images"], DIVE["labels"] = batch
    losses = DIVE["loss_slice"](model, found, [-0.5, 0, 1])
    packaged = explain.loss_slice(model, batch, expected, [-0.5, 0, 1])
    assert losses == pytest.approx(packaged.tolist(), rel=1e-4)


@EVERY
def test_no_pixel_outside_the_field_has_an_influence(make):
    model = network(make)
    field = explain.receptive_field(model, 16)["layer1"]
    found = DIVE["influence_on_middle"](model, images(), "layer1")
    low, high = field.span(field.positions // 2)
    pixels = np.arange(16)
    inside = (pixels >= low) & (pixels <= high)
    assert found.shape == (16, 16)
    assert found[8, 8] > 0
    assert not found[~inside].any()
    assert not found[:, ~inside].any()


def test_a_square_holds_nine_tenths_of_an_influence():
    side_of_most, alone = DIVE["side_of_most"], np.zeros((9, 9))
    alone[4, 4] = 1
    assert side_of_most(alone, 4) == 1
    assert side_of_most(np.ones((9, 9)), 4) == 9  # 7 × 7 are 60 %
    alone[0, 4] = 0.05
    assert side_of_most(alone, 4) == 1


def field_side(layers):
    side, apart = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * apart
        apart *= stride
    return side


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
    return field_side(layers) if layers else 0


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("field_side", sum_of_kernels, "how many new pixels"),
    ("field_side", no_strides, "which layers does a stride move apart"),
    ("field_side", own_stride_too, "its own or those after it"),
    ("field_side", last_stride_only, "where there are two"),
    ("field_side", from_zero, "a pixel sees itself"),
]
