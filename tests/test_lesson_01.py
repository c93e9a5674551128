"""Lesson 01: its classes are the package's, its checks judge."""

import pytest
import torch
import torch.nn.functional as F
from lesson_code import definitions
from torch import nn

from course_utils import models
from course_utils.checks import lesson_01 as check
from course_utils.models.cifar import PadShortcut

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
    taught_class, packaged_class = LESSON[name], getattr(models, name)
    wide = channels * packaged_class.expansion
    make = LESSON[shortcut] if shortcut else None
    taught = taught_class(*sizes, make and make(in_channels, wide, stride))
    packaged = packaged_class(*sizes, make and make(in_channels, wide, stride))
    packaged.load_state_dict(taught.state_dict(), strict=True)
    x = torch.randn(2, in_channels, 8, 8)
    for training in (True, False):
        outputs = [m.train(training)(x) for m in (taught, packaged)]
        assert torch.equal(*outputs)
    assert outputs[0].shape == (2, wide, 8 // stride, 8 // stride)


def test_the_lessons_padding_is_the_packages():
    x = torch.randn(2, 5, 7, 7)
    pairs = [cls(5, 8, 2)(x) for cls in (LESSON["PadShortcut"], PadShortcut)]
    assert torch.equal(*pairs)


def test_the_lessons_batch_norm_is_pytorchs():
    ours, theirs = LESSON["BatchNorm"](4), nn.BatchNorm2d(4)
    for _ in range(3):
        x = 2 * torch.randn(6, 4, 3, 3) - 1
        torch.testing.assert_close(ours(x), theirs(x))
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(ours.get_buffer(name), theirs.get_buffer(name))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_removing_the_norms_removes_them_all():
    network = LESSON["without_norms"](models.cifar_resnet(8, shortcut="B"))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert network(torch.randn(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    "name", ["residual_forward", "shortcut_kind", "start_at_identity"]
)
def test_solutions_pass_and_stubs_are_not_solved_yet(capsys, name):
    assert not getattr(check, name)(STUBS[name])
    assert "Not solved yet. Hint:" in capsys.readouterr().out
    assert getattr(check, name)(LESSON[name])
    assert "✓" in capsys.readouterr().out


def zero_a_convolution(block):
    nn.init.zeros_(next(iter(block.children())).weight)


def zero_the_first_norm(block):
    nn.init.zeros_(block.bn1.weight)


def freeze(block):
    LESSON["start_at_identity"](block)
    block.requires_grad_(False)
    block.conv1.weight.requires_grad_(True)


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("residual_forward", lambda x, f, s: f(x) + s(x), "ReLU is missing"),
        ("residual_forward", lambda x, f, s: F.relu(f(x)) + s(x), "too early"),
        ("residual_forward", lambda x, f, s: F.relu(F.relu(f(x)) + s(x)), "too many"),
        ("residual_forward", lambda x, f, s: F.relu(f(x) + x), "shortcut is not used"),
        ("residual_forward", lambda x, f, s: F.relu(f(x) - s(x)), "values differ"),
        ("residual_forward", lambda x, f, s: 3, "returns int"),
        (
            "shortcut_kind",
            lambda i, c, e, s: "solid" if s == 1 else "dashed",
            "a bottleneck puts out more",
        ),
        (
            "shortcut_kind",
            lambda i, c, e, s: "solid" if i == c * e else "dashed",
            "stride 2 alone",
        ),
        ("shortcut_kind", lambda i, c, e, s: i == c, 'return "solid" or "dashed"'),
        ("start_at_identity", zero_a_convolution, "A convolution of the BasicBlock"),
        ("start_at_identity", zero_the_first_norm, "cannot learn any more"),
        ("start_at_identity", lambda block: None, "changes its input"),
        ("start_at_identity", freeze, "cannot learn any more"),
    ],
)
def test_wrong_answers_get_their_hint(capsys, name, answer, hint):
    assert not getattr(check, name)(answer)
    said = capsys.readouterr().out
    assert said.startswith("✗")
    assert hint in said
