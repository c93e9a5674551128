"""Lesson 02: its network is the package's, its counts are right, its checks judge."""

import copy

import pytest
import torch
from lesson_code import definitions, forward_source, wrong_shape_comments
from torch import nn

from course_utils import models
from course_utils.models.compare import first_difference

LESSON = definitions("02_full_network")


@pytest.mark.parametrize(
    ("block", "layers", "options"),
    [
        (models.BasicBlock, (2, 1, 1, 1), {}),
        (models.BasicBlock, (1, 2, 1, 1), {"stem": "cifar", "num_classes": 10}),
        (models.Bottleneck, (1, 1, 2, 1), {}),
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


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_the_children_stand_in_the_order_of_forward(stem):
    options = {"stem": stem, "include_top": False}
    backbone = LESSON["ResNet"](models.BasicBlock, (1, 1, 1, 1), **options).train()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        found = nn.Sequential(*backbone.children())(images)
        assert torch.equal(found, backbone(images))


def test_size_and_cost_leaves_a_network_where_it_is():
    with torch.device("meta"):
        network = models.resnet34()
    size, cost = LESSON["size_and_cost"](network)
    assert size == 21_797_672
    assert cost / 1e9 == pytest.approx(3.66, abs=0.005)
    assert {p.device.type for p in network.parameters()} == {"meta"}


def test_stride_on_the_first_1x1_gives_the_papers_count():
    with torch.device("meta"):
        network = models.resnet50()
    LESSON["stride_on_the_first_1x1"](network)
    strides = [block.conv1.stride for block in (network.layer1[0], network.layer2[0])]
    assert strides == [(1, 1), (2, 2)]
    assert LESSON["size_and_cost"](network)[1] / 1e9 == pytest.approx(3.86, abs=0.005)


def two_a_block(block, layers):
    return sum(layers) * 2 + 2


def only_the_branches(block, layers):
    return sum(layers) * (2 if block is models.BasicBlock else 3)


def with_projections(block, layers):
    projections = len(layers) - (block is models.BasicBlock)
    return only_the_branches(block, layers) + 2 + projections


def one_a_stage(block, layers):
    return only_the_branches(block, layers) + len(layers)


def three_more(block, layers):
    return only_the_branches(block, layers) + 3


def halved(block, layers):
    return LESSON["depth_in_the_name"](block, layers) / 1


def four_stages(block, layers):
    first, second, third, fourth = layers
    return LESSON["depth_in_the_name"](block, (first, second, third, fourth))


def parameters(
    depth,
    num_classes=10,
    *,
    norm=2,
    bias=0,
    halved=True,
    head_bias=True,
    stem=True,
    head=True,
):
    def layer(in_channels, channels):
        return (9 * in_channels + bias + norm) * channels

    total, n = layer(3, 16) * stem, (depth - 2) // 6
    for channels in (16, 32, 64):
        first = channels // 2 if halved and channels > 16 else channels
        total += layer(first, channels) + (2 * n - 1) * layer(channels, channels)
    return total + (64 + head_bias) * num_classes * head


def test_the_counts_below_differ_by_their_mistakes_alone():
    assert parameters(20) == LESSON["cifar_parameters"](20) == 269_722


def counted(**mistake):
    return lambda depth, num_classes: parameters(depth, num_classes, **mistake)


def ten_classes(depth, num_classes):
    return parameters(depth)


def bias_of_the_features(depth, num_classes):
    return parameters(depth, num_classes) - num_classes + 64


def divided(depth, num_classes):
    return float(parameters(depth, num_classes))


def built(depth, num_classes):
    network = models.cifar_resnet(depth, num_classes)
    return sum(p.numel() for p in network.parameters())


def averaged(
    *,
    in_place=False,
    always=False,
    ceil_mode=True,
    stride=1,
    new=None,
    order=("pool", "conv", "norm"),
):
    """The exercise's solution, with one of the mistakes that one can make."""

    def answer(network):
        changed = network if in_place else copy.deepcopy(network)
        for block in changed.modules():
            shortcut = getattr(block, "downsample", None)
            if shortcut is None or (shortcut[0].stride == (1, 1) and not always):
                continue
            conv, norm = shortcut
            if new is not None:
                conv = nn.Conv2d(conv.in_channels, conv.out_channels, 1, **new)
            conv.stride = (stride, stride)
            pool = nn.AvgPool2d(2, ceil_mode=ceil_mode)
            parts = {"pool": pool, "conv": conv, "norm": norm}
            block.downsample = nn.Sequential(*(parts[name] for name in order))
        return changed

    return answer


def stride_as_a_number(network):
    changed = copy.deepcopy(network)
    for block in changed.modules():
        shortcut = getattr(block, "downsample", None)
        if shortcut is not None and shortcut[0].stride == 2:  # never: it is a pair
            block.downsample = nn.Sequential(nn.AvgPool2d(2), *shortcut)
    return changed


def without_none(network):
    for module in network.modules():
        if hasattr(module, "downsample"):
            _conv, _norm = module.downsample


def without_getattr(network):
    changed = copy.deepcopy(network)
    for module in changed.modules():
        if module.downsample is not None:
            module.downsample[0].stride = (1, 1)
    return changed


def largest(network):
    changed = averaged()(network)
    for block in changed.modules():
        if isinstance(getattr(block, "downsample", None), nn.Sequential):
            parts = list(block.downsample)
            if isinstance(parts[0], nn.AvgPool2d):
                parts[0] = nn.MaxPool2d(2, ceil_mode=True)
            block.downsample = nn.Sequential(*parts)
    return changed


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("depth_in_the_name", only_the_branches, "outside the stages"),
    ("depth_in_the_name", two_a_block, "branch of a Bottleneck"),
    ("depth_in_the_name", with_projections, "projections are not counted"),
    ("depth_in_the_name", one_a_stage, "outside the stages"),
    ("depth_in_the_name", three_more, "outside the stages"),
    ("depth_in_the_name", halved, "// a whole number"),
    ("depth_in_the_name", four_stages, "first, second, third, fourth = layers"),
    ("cifar_parameters", counted(norm=0), "norms have trained numbers"),
    ("cifar_parameters", counted(norm=4), "running statistics"),
    ("cifar_parameters", counted(bias=1), "have a bias"),
    ("cifar_parameters", counted(head_bias=False), "nn.Linear have besides"),
    ("cifar_parameters", counted(halved=False), "how many channels enter"),
    ("cifar_parameters", counted(norm=7), "stage by stage"),
    ("cifar_parameters", counted(head=False), "does the classifier"),
    ("cifar_parameters", ten_classes, "not always 10"),
    ("cifar_parameters", bias_of_the_features, "one number for each class"),
    ("cifar_parameters", divided, "// a whole number"),
    ("cifar_parameters", counted(stem=False), "does the stem"),
    ("cifar_parameters", built, "places in its kernel"),
    ("averaged_shortcuts", copy.deepcopy, "does the block get its new shortcut"),
    ("averaged_shortcuts", averaged(in_place=True), "copy.deepcopy"),
    ("averaged_shortcuts", averaged(always=True), "with stride 1, too"),
    ("averaged_shortcuts", averaged(stride=2), "who has the stride"),
    ("averaged_shortcuts", averaged(ceil_mode=False), "how many positions"),
    ("averaged_shortcuts", averaged(new={}), "the same 1×1"),
    ("averaged_shortcuts", averaged(new={"bias": False}), "the old 1×1"),
    (
        "averaged_shortcuts",
        averaged(order=("conv", "pool", "norm")),
        "mean comes first",
    ),
    (
        "averaged_shortcuts",
        averaged(order=("conv", "norm", "pool")),
        "norm comes last",
    ),
    ("averaged_shortcuts", averaged(order=("pool", "norm", "conv")), "behind it"),
    ("averaged_shortcuts", stride_as_a_number, "a stride is a pair"),
    ("averaged_shortcuts", without_getattr, "getattr"),
    ("averaged_shortcuts", without_none, "solid block is None"),
    ("averaged_shortcuts", largest, "mean was asked for"),
]
