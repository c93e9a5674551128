"""Lesson 01: its classes are the package's, its checks judge."""

import pytest
import torch
import torch.nn.functional as F
from lesson_code import definitions
from torch import nn

from course_utils import models
from course_utils.checks import lesson_01 as check
from course_utils.models import cifar

LESSON = definitions("01_residual_blocks")
STUBS = definitions("01_residual_blocks", skip=("solution",))


@pytest.mark.parametrize(
    ("name", "sizes", "shortcut"),
    [
        ("BasicBlock", (16, 16, 1), None),
        ("BasicBlock", (16, 32, 2), "projection"),
        ("BasicBlock", (16, 32, 2), "PadShortcut"),
        ("Bottleneck", (16, 4, 1), None),
        ("Bottleneck", (16, 8, 2), "projection"),
    ],
)
def test_the_lessons_blocks_are_the_packages(name, sizes, shortcut):
    torch.manual_seed(0)
    in_channels, channels, stride = sizes
    packaged_class = getattr(models, name)
    wide = channels * packaged_class.expansion
    make = LESSON[shortcut] if shortcut else None
    taught = LESSON[name](*sizes, make and make(in_channels, wide, stride))
    packaged = packaged_class(*sizes, make and make(in_channels, wide, stride))
    packaged.load_state_dict(taught.state_dict(), strict=True)
    x = torch.randn(2, in_channels, 8, 8)
    for training in (True, False):
        outputs = [m.train(training)(x) for m in (taught, packaged)]
        assert torch.equal(*outputs)
    assert outputs[0].shape == (2, wide, 8 // stride, 8 // stride)


def test_the_shapes_in_the_comments():
    x = torch.randn(2, 64, 32, 32)
    assert LESSON["BasicBlock"](64, 64)(x).shape == (2, 64, 32, 32)
    bottleneck = LESSON["Bottleneck"](64, 64, 1, LESSON["projection"](64, 256))
    assert bottleneck(x).shape == (2, 256, 32, 32)
    assert bottleneck.conv2(bottleneck.conv1(x)).shape == (2, 64, 32, 32)


def test_the_lessons_plain_block_and_padding_are_the_packages():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 7)
    taught, packaged = LESSON["PlainBlock"](5, 8, 2), cifar.PlainBlock(5, 8, 2)
    packaged.load_state_dict(taught.state_dict(), strict=True)
    assert torch.equal(taught(x), packaged(x))
    pairs = [kind(5, 8, 2)(x) for kind in (LESSON["PadShortcut"], cifar.PadShortcut)]
    assert torch.equal(*pairs)


def test_the_lessons_batch_norm_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = LESSON["BatchNorm2d"](4), nn.BatchNorm2d(4)
    assert ours.state_dict().keys() <= theirs.state_dict().keys()
    for _ in range(3):
        x = 2 * torch.randn(6, 4, 3, 3) - 1
        torch.testing.assert_close(ours(x), theirs(x))
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(ours.get_buffer(name), theirs.get_buffer(name))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


ANSWERS = {
    "needs_projection": "needs_projection",
    "start_as_identity": "start_as_identity",
    "pre_activation": "PreActBlock",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_solutions_pass_and_stubs_are_not_solved_yet(capsys, name):
    assert not getattr(check, name)(STUBS[ANSWERS[name]])
    assert "Not solved yet. Hint:" in capsys.readouterr().out
    assert getattr(check, name)(LESSON[ANSWERS[name]])
    assert "✓" in capsys.readouterr().out


def zero_every_norm(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


def zero_bn2(model):
    for module in model.modules():
        if hasattr(module, "bn2"):
            nn.init.zeros_(module.bn2.weight)


class ReluLast(LESSON["PreActBlock"]):
    def forward(self, x):
        return F.relu(super().forward(x))


class NoShortcut(LESSON["PreActBlock"]):
    def forward(self, x):
        return super().forward(x) - x


class PostActivation(LESSON["PreActBlock"]):
    def forward(self, x):
        return x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class InPlace(LESSON["PreActBlock"]):
    def forward(self, x):
        x.relu_()
        return super().forward(x)


class WithBias(LESSON["PreActBlock"]):
    def __init__(self, channels):
        super().__init__(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("needs_projection", lambda i, o, s: s != 1, "what else has a shape?"),
        ("needs_projection", lambda i, o, s: i != o, "what does the stride do"),
        ("needs_projection", lambda i, o, s: True, "what of the shape changes here?"),
        ("needs_projection", lambda i, o, s: "dashed", "True or False"),
        ("start_as_identity", lambda model: None, "the branch still speaks"),
        ("start_as_identity", zero_every_norm, "was changed as well"),
        ("start_as_identity", zero_bn2, "kind Bottleneck the branch still speaks"),
        ("pre_activation", ReluLast, "a ReLU follows the addition"),
        ("pre_activation", NoShortcut, "is the input still added?"),
        ("pre_activation", PostActivation, "the norms belong before"),
        ("pre_activation", InPlace, "changed its own input"),
        ("pre_activation", WithBias, "what does a bias do before a norm?"),
        ("pre_activation", lambda channels: nn.ReLU(), "no BatchNorm2d named bn1"),
    ],
)
def test_wrong_answers_get_their_hint(capsys, name, answer, hint):
    assert not getattr(check, name)(answer)
    said = capsys.readouterr().out
    assert said.startswith("✗")
    assert hint in said
