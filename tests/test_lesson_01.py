"""Lesson 01: its blocks are the package's, its norm is PyTorch's, its checks judge."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lesson_code import definitions, forward_source
from torch import nn

from course_utils import models
from course_utils.models import cifar, resnet

ROOT = Path(__file__).parents[1]
NAME = "01_residual_blocks"
LESSON = definitions(NAME)


def projection(in_channels, channels, stride):
    return nn.Sequential(
        resnet.conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels)
    )


@pytest.mark.parametrize(
    ("name", "packaged_class", "sizes", "out_channels"),
    [
        ("PlainBlock", cifar.PlainBlock, (8, 12, 2), None),
        ("BasicBlock", models.BasicBlock, (8, 8, 1), None),
        ("BasicBlock", models.BasicBlock, (8, 12, 2), 12),
        ("Bottleneck", models.Bottleneck, (16, 4, 1), None),
        ("Bottleneck", models.Bottleneck, (8, 4, 1), 16),
        ("Bottleneck", models.Bottleneck, (16, 8, 2), 32),
    ],
)
def test_the_lessons_blocks_are_the_packages(name, packaged_class, sizes, out_channels):
    torch.manual_seed(0)
    in_channels, _, stride = sizes
    blocks = []
    for block_class in (LESSON[name], packaged_class):
        extra = {}
        if out_channels:
            extra["downsample"] = projection(in_channels, out_channels, stride)
        blocks.append(block_class(*sizes, **extra))
    taught, packaged = blocks
    for norm in taught.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    packaged.load_state_dict(taught.state_dict(), strict=True)
    names = [[name for name, _ in block.named_parameters()] for block in blocks]
    assert names[0] == names[1]
    x = torch.randn(2, in_channels, 6, 6)
    for training in (True, False):
        outputs = [block.train(training)(x.clone()) for block in blocks]
        assert torch.equal(*outputs)


def test_the_lessons_zero_padding_is_the_packages():
    x = torch.randn(2, 64, 6, 6)
    code = "F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 32, 32))"
    assert code in (ROOT / f"lessons/{NAME}.py").read_text()
    padded = eval(code, {"F": F, "x": x})
    assert torch.equal(padded, cifar.PadShortcut(64, 128, 2)(x))


@pytest.mark.parametrize(
    ("name", "sizes", "lines"),
    [("BasicBlock", (64, 64), 3), ("Bottleneck", (256, 64), 4)],
)
def test_shapes_in_the_lessons_forward(name, sizes, lines):
    block, found = LESSON[name](*sizes), 0
    x = torch.zeros(2, sizes[0], 32, 32)
    scope = {"self": block, "x": x, "identity": x}
    for line in forward_source(NAME, name).splitlines():
        code, _, comment = line.strip().removeprefix("return ").partition("  # (B, ")
        if comment:
            code = code if code.startswith("out =") else f"out = {code}"
            exec(code, scope)
            shape = eval("(2, " + comment.partition(")")[0] + ")")
            assert tuple(scope["out"].shape) == shape, line
            found += 1
    assert found == lines


def test_the_lessons_norm_is_pytorchs():
    torch.manual_seed(0)
    taught, theirs = LESSON["BatchNorm2d"](6), nn.BatchNorm2d(6)
    nn.init.normal_(taught.weight)
    nn.init.normal_(taught.bias)
    theirs.load_state_dict(taught.state_dict(), strict=False)  # counts its batches
    for training in (True, True, False):
        x = 3 * torch.randn(2, 6, 2, 3) - 1
        outputs = [norm.train(training)(x) for norm in (taught, theirs)]
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(taught.running_mean, theirs.running_mean)
        torch.testing.assert_close(taught.running_var, theirs.running_var)
    assert not torch.equal(theirs.running_var, torch.ones(6))


def test_a_shortcut_that_is_kept_whole_is_the_basic_blocks():
    other = definitions("01b_why_plain_networks_fail")["OtherShortcut"]
    block, x = models.BasicBlock(8, 8).eval(), torch.randn(2, 8, 6, 6)
    assert torch.equal(other(block, lambda x: 1)(x), block(x))


def zero_every_norm(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


def zero_bn2(model):
    for name, module in model.named_modules():
        if name.endswith("bn2"):
            nn.init.zeros_(module.weight)


def zero_branch_weights(model):
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.zeros_(module.conv2.weight)


def zero_gamma_and_beta(model):
    LESSON["start_as_identity"](model)
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.ones_(module.bn1.bias)


def zero_last_beta(model):
    LESSON["start_as_identity"](model)
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.zeros_(module.bn2.bias)


def zero_only_beta(model):
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            nn.init.zeros_(module.bn2.bias)


def frozen_at_zero(model):
    LESSON["start_as_identity"](model)
    model.requires_grad_(False)


def in_eval(model):
    LESSON["start_as_identity"](model)
    model.eval()


def zero_in_place(model):
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            module.bn2.weight.zero_()


def assign_zero(model):
    for module in model.modules():
        if isinstance(module, models.BasicBlock):
            module.bn2.weight = 0


def zero_the_last_of_modules(model):
    for block in model.modules():
        if isinstance(block, models.BasicBlock | models.Bottleneck):
            norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)


def branch(block, x):
    return block.conv2(F.relu(block.bn2(block.conv1(F.relu(block.bn1(x))))))


def post_activation(block, x):
    out = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    return F.relu(out + x)


def block_with(forward=None, **layers):
    """Return the lesson's pre-activation block with another forward or layers."""

    class Block(LESSON["PreActBlock"]):
        def __init__(self, channels):
            super().__init__(channels)
            for name, layer in layers.items():
                setattr(self, name, layer)

    if forward:
        Block.forward = forward
    return Block


WRONG = [  # exercise, answer, part of the hint: test_exercises.py
    ("needs_projection", lambda i, o, s: s != 1, "stride 1 keeps height"),
    ("needs_projection", lambda i, o, s: i != o, "what does the stride do"),
    ("needs_projection", lambda i, o, s: i != o or s == 2, "what does the stride do"),
    ("needs_projection", lambda i, o, s: i < o or s > 1, "what else has a"),
    ("needs_projection", lambda i, o, s: True, "what of the shape changes"),
    ("needs_projection", lambda i, o, s: "dashed", "True or False"),
    ("start_as_identity", zero_every_norm, "only one factor"),
    ("start_as_identity", zero_bn2, "kind Bottleneck the branch still"),
    ("start_as_identity", zero_branch_weights, "no kernel has to change"),
    ("start_as_identity", zero_gamma_and_beta, "bn1.bias was changed"),
    ("start_as_identity", zero_last_beta, "bn2.bias was changed"),
    ("start_as_identity", zero_only_beta, "right norm, wrong parameter"),
    ("start_as_identity", frozen_at_zero, "γ only starts at zero"),
    ("start_as_identity", in_eval, "is in eval() now"),
    ("start_as_identity", zero_in_place, "nn.init.zeros_"),
    ("start_as_identity", assign_zero, "nn.init.zeros_"),
    ("start_as_identity", zero_the_last_of_modules, "stands on the shortcut"),
    (
        "pre_activation",
        block_with(lambda block, x: F.relu(x + branch(block, x))),
        "a ReLU follows the addition",
    ),
    ("pre_activation", block_with(branch), "is the input still added"),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv2(b.bn2(b.conv1(b.bn1(x))))),
        "two ReLUs; none",
    ),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv2(F.relu(b.bn2(b.conv1(b.bn1(x)))))),
        "where is the first",
    ),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv2(b.bn2(b.conv1(F.relu(b.bn1(x)))))),
        "where is the second",
    ),
    ("pre_activation", block_with(post_activation), "as in BasicBlock"),
    (
        "pre_activation",
        block_with(lambda block, x: F.relu(block.bn1(x)) + branch(block, x)),
        "starts at x",
    ),
    (
        "pre_activation",
        block_with(lambda block, x: x.add_(branch(block, x))),
        "an in-place ReLU or +=",
    ),
    (
        "pre_activation",
        block_with(lambda block, x: x + 2 * branch(block, x)),
        "from the inside out",
    ),
    (
        "pre_activation",
        block_with(lambda block, x: x + branch(block, x).detach()),
        "without detach()",
    ),
    (
        "pre_activation",
        block_with(conv1=nn.Conv2d(12, 12, 3, padding=1)),
        "3×3 kernels, no bias",
    ),
    (
        "pre_activation",
        block_with(conv2=nn.Conv2d(12, 12, 3, padding=1)),
        "3×3 kernels, no bias",
    ),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv2(F.relu(b.bn1(b.conv1(F.relu(b.bn2(x))))))),
        "bn1 stands before conv1",
    ),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv2(F.relu(b.bn1(b.conv1(F.relu(b.bn1(x))))))),
        "bn1 is used twice",
    ),
    (
        "pre_activation",
        block_with(lambda b, x: x + b.conv1(F.relu(b.bn2(b.conv1(F.relu(b.bn1(x))))))),
        "conv1 is used twice",
    ),
    (
        "pre_activation",
        block_with(lambda block, x: x + branch(block, x).relu()),
        "between conv2 and the addition",
    ),
    (
        "pre_activation",
        block_with(conv2=nn.Conv2d(12, 12, 3, bias=False)),
        "how many does a 3×3 kernel lose",
    ),
    ("pre_activation", block_with(bn2=nn.Identity()), "leave the four layers"),
]
