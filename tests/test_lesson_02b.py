"""Lesson 02b: its ResNeXt block is the package's, its counts are torchinfo's."""

import pytest
import torch
import torchinfo
from lesson_code import definitions
from torch import nn

from course_utils import models
from course_utils.models.compare import first_difference

LESSON = definitions("02b_cost_and_first_weights")
GROUPED = {"groups": 32, "width_per_group": 4}


def test_the_lessons_resnext_is_the_packages():
    torch.manual_seed(0)
    taught = models.ResNet(LESSON["ResNeXtBlock"], (1, 1, 2, 1), 5, **GROUPED)
    packaged = models.ResNet(models.Bottleneck, (1, 1, 2, 1), 5, **GROUPED)
    assert list(taught.state_dict()) == list(packaged.state_dict())
    packaged.load_state_dict(taught.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64)
    assert first_difference(taught, packaged, images, tolerance=0) is None


@pytest.mark.parametrize("factory", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_counted_multiply_adds_are_torchinfos(factory):
    with torch.device("meta"):
        model = getattr(models, factory)(stem="cifar").eval()
    counts = LESSON["multiply_adds_by_side"](model, 32)
    theirs = torchinfo.summary(model, (1, 3, 32, 32), verbose=0, device="meta")
    rest = model.fc.bias.numel()  # torchinfo counts biases and norms as well
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            rest += norm.weight.numel() + norm.bias.numel()
    assert sum(counts.values()) == theirs.total_mult_adds - rest
    assert set(counts) == {32, 16, 8, 4, 1}
    assert not any(layer._forward_hooks for layer in model.modules())


def test_weights_of_no_power_lose_the_signal():
    forward, backward = LESSON["gains"](lambda weight: None, 0)
    assert forward < 1e-6
    assert backward < 1e-6
