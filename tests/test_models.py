"""The networks: torchvision's names and numbers, the paper's counts, plain errors."""

import inspect

import pytest
import torch
import torchvision
from lesson_code import wrong_shape_comments
from torch import nn

from course_utils import models
from course_utils.models.cifar import PadShortcut
from course_utils.models.compare import first_difference

FACTORIES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
)


def count(model):
    return sum(p.numel() for p in model.parameters())


def on_meta(factory, *args, **options):
    with torch.device("meta"):
        return factory(*args, **options)


def stir_norms(model, seed=0):
    """Give every norm statistics and weights as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.1, generator=generator)
            norm.running_var.uniform_(0.5, 1.5, generator=generator)
            with torch.no_grad():
                norm.weight.uniform_(0.5, 1.5, generator=generator)
                norm.bias.normal_(std=0.1, generator=generator)
    return model


@pytest.mark.parametrize("name", FACTORIES)
def test_state_dict_is_torchvisions(name):
    ours = on_meta(getattr(models, name)).state_dict()
    theirs = on_meta(getattr(torchvision.models, name)).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in ours.items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.items()
    }
    assert list(ours) == list(theirs)  # what is saved by position fits, too


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_logits_are_torchvisions(name):
    torch.manual_seed(0)
    theirs = stir_norms(getattr(torchvision.models, name)(weights=None)).eval()
    ours = getattr(models, name)().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(images)
        assert expected.std() > 0.01  # a signal arrives
        torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-5)
    assert first_difference(ours, theirs, images) is None


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("training", [True, False])
def test_the_children_stand_in_the_order_of_forward(stem, training):
    torch.manual_seed(0)
    backbone = models.resnet18(stem=stem, include_top=False).train(training)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        found = nn.Sequential(*backbone.children())(images)
        assert torch.equal(found, backbone(images))


def test_the_children_have_torchvisions_names_and_order():
    ours = on_meta(models.resnet18).named_children()
    theirs = on_meta(torchvision.models.resnet18).named_children()
    assert [name for name, _ in ours] == [name for name, _ in theirs]


def test_parameter_counts():
    assert count(on_meta(models.resnet34)) == 21_797_672
    assert count(on_meta(models.resnet18, 10, stem="cifar")) == 11_173_962


@pytest.mark.parametrize(
    ("depth", "rounded"),
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)],
)
def test_cifar_family_has_the_papers_parameters(depth, rounded):
    # Per n: two layers of each width; the first of a wider stage has half the input.
    layers = {width: 9 * width * width + 2 * width for width in (16, 32, 64)}
    n = (depth - 2) // 6
    expected = 2 * n * sum(layers.values())
    expected += 9 * 3 * 16 + 2 * 16  # stem
    expected -= 9 * (16 * 32 + 32 * 64)  # what the half inputs save
    expected += 64 * 10 + 10
    found = count(on_meta(models.cifar_resnet, depth))
    assert found == expected
    assert round(found / 1e6, 1 if depth > 100 else 2) == rounded
    assert count(on_meta(models.cifar_plain, depth)) == found  # A costs nothing
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    with_b = on_meta(models.cifar_resnet, depth, shortcut="B")
    assert count(with_b) == found + projections


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (lambda: models.resnet18(7), 224),
        (lambda: models.cifar_resnet(8, 7), 32),
        (lambda: models.cifar_resnet(8, 7, "B"), 32),
        (lambda: models.cifar_plain(8, 7), 32),
    ],
)
def test_shapes_in_forward_comments(network, size):
    network = on_meta(network).eval()
    images = torch.zeros(2, 3, size, size, device="meta")
    forward = inspect.getsource(type(network).forward)
    assert wrong_shape_comments(forward, network, images) == []
    assert network(images).shape == (2, 7)
    spoilt = forward.replace("(B, 64", "(B, 63")
    assert wrong_shape_comments(spoilt, network, images)


def test_stems_and_top():
    def shape(size, **options):
        network = on_meta(models.resnet50, **options).eval()
        return tuple(network(torch.zeros(2, 3, size, size, device="meta")).shape)

    assert shape(32, include_top=False, stem="cifar") == (2, 2048, 4, 4)
    assert shape(32, include_top=False) == (2, 2048, 1, 1)
    assert shape(96, num_classes=5) == (2, 5)
    names = on_meta(models.resnet50, include_top=False).state_dict()
    assert not any(name.startswith("fc") for name in names)


def test_where_the_dashed_blocks_fall():
    def dashed(network):
        return [
            name.removesuffix(".downsample")
            for name, module in network.named_modules()
            if name.endswith(".downsample")
        ]

    later = ["layer2.0", "layer3.0", "layer4.0"]
    assert dashed(on_meta(models.resnet34)) == later
    assert dashed(on_meta(models.resnet50)) == ["layer1.0", *later]
    assert dashed(on_meta(models.cifar_resnet, 20)) == ["layer2.0", "layer3.0"]


@pytest.mark.parametrize("block", [models.BasicBlock, models.Bottleneck])
def test_a_block_whose_branch_is_zero_is_the_identity_after_relu(block):
    branch = block(64, 64 // block.expansion).eval()
    last = branch.bn2 if block is models.BasicBlock else branch.bn3
    nn.init.zeros_(last.weight)
    x = torch.randn(2, 64, 5, 5)
    torch.testing.assert_close(branch(x), x.relu())
    nn.init.ones_(last.bias)  # negative inputs come through up to the addition
    torch.testing.assert_close(branch(x), (x + 1).relu())


def test_shortcut_a_by_hand():
    x = torch.arange(18.0).reshape(1, 2, 3, 3)
    shortcut = PadShortcut(2, 4, stride=2)
    expected = torch.zeros(1, 4, 2, 2)
    expected[0, 1] = torch.tensor([[0.0, 2], [6, 8]])
    expected[0, 2] = torch.tensor([[9.0, 11], [15, 17]])
    assert torch.equal(shortcut(x), expected)
    assert count(shortcut) == 0
    assert torch.equal(PadShortcut(2, 5)(x)[:, 1:3], x)  # odd: one more behind


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: models.cifar_resnet(18), "Depth 18 is not 6n \\+ 2; use 8, 14"),
        (lambda: models.cifar_plain(2), "Depth 2 is not 6n"),
        (lambda: models.cifar_resnet(20, shortcut="C"), "Unknown shortcut 'C'; use"),
        (lambda: models.resnet18(stem="mnist"), "Unknown stem 'mnist'; use one of im"),
        (lambda: models.resnet18(groups=32), "BasicBlock got groups=32, .* Bottleneck"),
    ],
)
def test_errors_are_sentences(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


class Pair:
    """Two equal small networks, and images."""

    def __init__(self):
        torch.manual_seed(0)
        self.reference = stir_norms(models.cifar_resnet(8, shortcut="B"))
        self.model = models.cifar_resnet(8, shortcut="B")
        self.model.load_state_dict(self.reference.state_dict())
        self.images = torch.randn(2, 3, 16, 16)

    def difference(self):
        return first_difference(self.model, self.reference, self.images)


def move_stride(model):
    block = model.layer2[0]
    block.conv1.stride, block.conv2.stride = (1, 1), (2, 2)


def change_weight(model):
    with torch.no_grad():
        model.layer3[0].conv2.weight[0, 0] += 0.1


def forget_last_relu(model):
    b = model.layer1[0]
    b.forward = lambda x: x + b.bn2(b.conv2(b.relu(b.bn1(b.conv1(x)))))


def pool_without_a_module(model):
    del model.avgpool
    model.avgpool = lambda x: x.mean((2, 3))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda model: None, None),
        (move_stride, "layer2.0.conv1: shape (2, 32, 16, 16), not (2, 32, 8, 8)"),
        (change_weight, "layer3.0.conv2: outputs differ by up to "),
        (
            lambda m: setattr(m.layer2[0].bn2, "eps", 0.1),
            "layer2.0.bn2: outputs differ",
        ),
        (lambda m: setattr(m, "fc", nn.Identity()), "fc: shape (2, 64), not (2, 10)"),
        (lambda m: setattr(m.layer3[0], "relu", nn.Identity()), "layer3.0.relu: out"),
        (forget_last_relu, "layer1.0.relu (call 2): missing in the model"),
        (pool_without_a_module, "avgpool: missing in the model"),
        (
            lambda m: nn.init.constant_(m.bn1.weight, torch.nan),
            "bn1: outputs differ by",
        ),
    ],
)
def test_first_difference_names_the_layer(damage, line):
    pair = Pair()
    damage(pair.model)
    found = pair.difference()
    assert found is None if line is None else found.startswith(line)


@pytest.mark.parametrize("training", [True, False])
def test_first_difference_leaves_everything_as_it_was(training):
    pair = Pair()
    pair.model.train(training)
    pair.model.layer2.train(not training)  # a part in a mode of its own
    pair.reference.train(not training)
    before = {k: v.clone() for k, v in pair.model.state_dict().items()}
    assert pair.difference() is None  # whatever modes the two were in
    assert (pair.model.training, pair.reference.training) == (training, not training)
    assert pair.model.layer1[0].bn1.training is training
    assert pair.model.layer2[0].bn1.training is not training
    after = pair.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    with pytest.raises(RuntimeError):
        first_difference(pair.model, pair.reference, torch.ones(1, 5, 16, 16))
    assert pair.model.training is training
    assert not any(module._forward_hooks for module in pair.model.modules())
