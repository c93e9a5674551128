"""Lesson 02: its network is the package's, its counts are right, its checks judge."""

import pytest
import torch
import torchinfo
from lesson_code import definitions, forward_source, wrong_shape_comments
from torch import nn

from course_utils import models
from course_utils.models.compare import first_difference

LESSON = definitions("02_full_network")
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


def two_a_block(block, layers):
    return sum(layers) * 2 + 2


def only_the_branches(block, layers):
    return sum(layers) * (2 if block is models.BasicBlock else 3)


def with_projections(block, layers):
    projections = len(layers) - (block is models.BasicBlock)
    return only_the_branches(block, layers) + 2 + projections


def four_stages(block, layers):
    first, second, third, fourth = layers
    return LESSON["depth_in_the_name"](block, (first, second, third, fourth))


def parameters(depth, num_classes=10, *, norm=2, bias=0, halved=True, head_bias=True):
    def layer(in_channels, channels):
        return (9 * in_channels + bias + norm) * channels

    total, n = layer(3, 16), (depth - 2) // 6
    for channels in (16, 32, 64):
        first = channels // 2 if halved and channels > 16 else channels
        total += layer(first, channels) + (2 * n - 1) * layer(channels, channels)
    return total + (64 + head_bias) * num_classes


def test_the_counts_below_differ_by_their_mistakes_alone():
    assert parameters(20) == LESSON["cifar_parameters"](20) == 269_722


def counted(**mistake):
    return lambda depth, num_classes: parameters(depth, num_classes, **mistake)


def built(depth, num_classes):
    network = models.cifar_resnet(depth, num_classes)
    return sum(p.numel() for p in network.parameters())


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


class Frozen(LESSON["FrozenClassifier"]):
    """The solution, to be spoilt."""


class HighestFeature(Frozen):
    def forward(self, images):
        return self.fc(self.backbone(images).amax(dim=(2, 3)))


class NoGradient(Frozen):
    @torch.no_grad()
    def forward(self, images):
        return super().forward(images)


class ReturnsNothing(Frozen):
    def train(self, mode=True):
        super().train(mode)


def headed(**mistake):
    return lambda backbone, num_classes: Head(backbone, num_classes, **mistake)


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("depth_in_the_name", only_the_branches, "outside the stages"),
    ("depth_in_the_name", two_a_block, "branch of a Bottleneck"),
    ("depth_in_the_name", with_projections, "projections are not counted"),
    ("depth_in_the_name", four_stages, "first, second, third, fourth = layers"),
    ("cifar_parameters", counted(norm=0), "norms have trained numbers"),
    ("cifar_parameters", counted(norm=4), "running statistics"),
    ("cifar_parameters", counted(bias=1), "have a bias"),
    ("cifar_parameters", counted(head_bias=False), "nn.Linear have besides"),
    ("cifar_parameters", counted(halved=False), "how many channels enter"),
    ("cifar_parameters", counted(norm=7), "stage by stage"),
    ("cifar_parameters", built, "places in its kernel"),
    ("frozen_classifier", headed(frozen=False), "requires a gradient"),
    ("frozen_classifier", headed(), "in which mode is the backbone"),
    ("frozen_classifier", headed(channels=100), "how many channels"),
    ("frozen_classifier", headed(pool=False), "height and width"),
    ("frozen_classifier", HighestFeature, "the mean over height"),
    ("frozen_classifier", NoGradient, "what does it enclose"),
    ("frozen_classifier", ReturnsNothing, "nn.Module's own does"),
]
