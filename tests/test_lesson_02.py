"""Lesson 02: its network is the package's, its counts are right, its checks judge."""

import pytest
import torch
import torchinfo
from lesson_code import definitions, forward_source, wrong_shape_comments
from torch import nn

from course_utils import models
from course_utils.checks import lesson_02 as check
from course_utils.models.compare import first_difference

LESSON = definitions("02_full_network")
STUBS = definitions("02_full_network", skip=("solution",))
RESNEXT = {"groups": 32, "width_per_group": 4}


@pytest.mark.parametrize(
    ("block", "layers", "options"),
    [
        (models.BasicBlock, (2, 1, 1, 1), {}),
        (models.BasicBlock, (1, 2, 1, 1), {"stem": "cifar", "num_classes": 10}),
        (models.Bottleneck, (1, 1, 2, 1), RESNEXT),
        (models.Bottleneck, (1, 1, 1, 2), {"include_top": False}),
    ],
)
def test_the_lessons_network_is_the_packages(block, layers, options):
    torch.manual_seed(0)
    taught = LESSON["ResNet"](block, layers, **options)
    packaged = models.ResNet(block, layers, **options)
    LESSON["stir_norms"](taught)
    packaged.load_state_dict(taught.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64)
    assert first_difference(taught, packaged, images, tolerance=0) is None
    with torch.no_grad():
        assert torch.equal(taught.eval()(images), packaged.eval()(images))


def test_shapes_in_the_lessons_forward():
    with torch.device("meta"):
        network = LESSON["ResNet"](models.BasicBlock, (1, 1, 1, 1), 7).eval()
        images = torch.zeros(2, 3, 224, 224)
    forward = forward_source("02_full_network", "ResNet")
    assert wrong_shape_comments(forward, network, images) == []


def test_the_lessons_network_starts_like_the_packages():
    torch.manual_seed(0)
    taught = LESSON["ResNet"](models.BasicBlock, (1, 1, 1, 1))
    torch.manual_seed(0)
    packaged = models.ResNet(models.BasicBlock, (1, 1, 1, 1))
    for name in ("conv1.weight", "layer4.0.conv2.weight"):
        spread = [n.get_parameter(name).std().item() for n in (taught, packaged)]
        assert spread[0] == pytest.approx(spread[1], rel=0.03)


@pytest.mark.parametrize("factory", ["resnet18", "resnet50"])
def test_counted_multiply_adds_are_torchinfos(factory):
    model = getattr(models, factory)(stem="cifar")
    counts = LESSON["count_multiply_adds"](model, 16)
    theirs = torchinfo.summary(model, (1, 3, 16, 16), verbose=0, device="cpu")
    rest = model.fc.bias.numel()  # torchinfo counts biases and norms as well
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            rest += norm.weight.numel() + norm.bias.numel()
    assert sum(counts.values()) == theirs.total_mult_adds - rest
    assert model.training


def test_receptive_field():
    stack = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.Conv2d(4, 4, 5))
    assert LESSON["receptive_field"](stack) == 3 + 4 * 2


def test_stride_on_the_first_1x1_gives_the_papers_count():
    with torch.device("meta"):
        network = models.resnet50()
    LESSON["stride_on_the_first_1x1"](network)
    strides = [block.conv1.stride for block in (network.layer1[0], network.layer2[0])]
    assert strides == [(1, 1), (2, 2)]
    assert sum(LESSON["count_multiply_adds"](network).values()) / 1e9 < 3.9


def said(capsys, verdict, expected, words):
    assert verdict == expected
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["depth_in_the_name", "cifar_parameters", "frozen_classifier"]
)
def test_solutions_pass_and_stubs_are_not_solved_yet(capsys, name):
    said(capsys, getattr(check, name)(STUBS[name]), False, "Not solved yet. Hint:")
    said(capsys, getattr(check, name)(LESSON[name]), True, "✓ ")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda b, n: sum(n) * (2 if b is models.BasicBlock else 3),
            "outside the four",
        ),
        (lambda b, n: sum(n) * 2 + 2, "branch of a Bottleneck"),
        (
            lambda b, n: (
                sum(n) * (3 if b.expansion == 4 else 2) + 5 + (b.expansion == 4)
            ),
            "projections",
        ),
    ],
)
def test_wrong_depths(capsys, answer, hint):
    said(capsys, check.depth_in_the_name(answer), False, hint)


def parameters(depth, num_classes=10, *, norm=2, bias=0, halved=True, head_bias=True):
    def layer(in_channels, channels):
        return (9 * in_channels + bias + norm) * channels

    total, n = layer(3, 16), (depth - 2) // 6
    for channels in (16, 32, 64):
        first = channels // 2 if halved and channels > 16 else channels
        total += layer(first, channels) + (2 * n - 1) * layer(channels, channels)
    return total + (64 + head_bias) * num_classes


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"norm": 0}, "norms have trained numbers"),
        ({"norm": 4}, "running statistics"),
        ({"bias": 1}, "have a bias"),
        ({"head_bias": False}, "nn.Linear have besides"),
        ({"halved": False}, "how many channels enter"),
        ({"norm": 7}, "stage by stage"),
    ],
)
def test_wrong_parameter_counts(capsys, mistake, hint):
    assert parameters(20) == 269_722
    wrong = check.cifar_parameters(lambda *a: parameters(*a, **mistake))
    said(capsys, wrong, False, hint)


class Head(nn.Module):
    """A classifier with the mistakes that one can make."""

    def __init__(self, backbone, num_classes, frozen=True, channels=None, pool=True):
        super().__init__()
        self.backbone = backbone.requires_grad_(not frozen)
        with torch.no_grad():
            measured = backbone.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
        self.fc = nn.Linear(channels or measured, num_classes)
        self.pool = pool

    def forward(self, images):
        features = self.backbone(images)
        return self.fc(features.mean((2, 3)) if self.pool else features.flatten(1))


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"frozen": False}, "requires_grad"),
        ({}, "statistics"),  # frozen, but train() reaches the norms
        ({"channels": 100}, "how many channels"),
        ({"pool": False}, "height and width"),
    ],
)
def test_wrong_classifiers(capsys, mistake, hint):
    wrong = check.frozen_classifier(lambda b, n: Head(b, n, **mistake))
    said(capsys, wrong, False, hint)
