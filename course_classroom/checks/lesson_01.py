"""Checks of lesson 01's exercises."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    module,
    refuse_slips,
    tensor,
    truth,
)
from course_utils.models import BasicBlock, Bottleneck, ResNet, cifar_resnet

SHORTCUTS = (  # in_channels, out_channels, stride, dashed?
    (64, 64, 1, False),
    (256, 256, 1, False),
    (64, 128, 2, True),
    (64, 256, 1, True),
    (48, 48, 2, True),
    (80, 80, 4, True),
    (96, 32, 1, True),
)


@exercise(hint="what does the stride do to height and width?")
def needs_projection(answer: Callable[[int, int, int], bool]) -> str:
    """Check the rule that tells dashed shortcuts from solid ones."""
    for in_channels, out_channels, stride, dashed in SHORTCUTS:
        found = truth(answer(in_channels, out_channels, stride))
        if found == dashed:
            continue
        if not dashed:
            hint = "what of the shape changes here?"
        elif stride == 1:
            hint = "stride 1 keeps height and width; what else has a shape?"
        else:
            hint = "what does the stride do to height and width?"
        raise Wrong(
            f"{in_channels} → {out_channels} channels at stride {stride} gives "
            f"{found}, which is wrong. Hint: {hint}"
        )
    return "Right for every shape: stride or channels, either one is enough."


@exercise(
    hint="tell the two kinds of block apart; which norm is the last one before the "
    "addition?"
)
def start_as_identity(answer: Callable[[nn.Module], Any]) -> str:
    """Check that the last factor of every branch is zero, and all else untouched."""
    bottlenecks = ResNet(Bottleneck, (2, 1, 1, 1), stem="cifar")
    for model in (cifar_resnet(14), cifar_resnet(8, shortcut="B"), bottlenecks):
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.1)
        right = copy.deepcopy(model)
        for norm in _last_norms(right):
            nn.init.zeros_(norm.weight)
        _answered(answer, model)
        _refuse_other_zeros(model, right.state_dict())
    return "Every last γ is zero; in a new network every block starts as its shortcut."


def _answered(answer: Callable[[nn.Module], Any], model: nn.Module) -> None:
    """Call the reader's function; say how a parameter is changed in place."""
    try:
        answer(model)
    except (RuntimeError, TypeError) as error:
        said = str(error).rstrip(".")
        if "in-place" in said or "cannot assign" in said:
            raise Wrong(
                f"PyTorch refuses this change of a parameter: {said}. Hint: "
                "nn.init.zeros_(parameter) fills a parameter with zeros."
            ) from None
        raise


def _last_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the norm that nothing but the addition follows, of each block."""
    blocks = [m for m in model.modules() if isinstance(m, BasicBlock | Bottleneck)]
    return [b.bn2 if isinstance(b, BasicBlock) else b.bn3 for b in blocks]


def _refuse_other_zeros(model: nn.Module, right: dict[str, Tensor]) -> None:
    """Raise `Wrong` unless the last factors, and they alone, became zero."""
    for name, value in model.state_dict().items():
        if "downsample" in name and not torch.equal(value, right[name]):
            raise Wrong(
                f"{name} was changed. Hint: that layer stands on the shortcut. Which "
                "norm is the last of the branch?"
            )
    for name, value in model.state_dict().items():
        if "conv" in name and not torch.equal(value, right[name]):
            raise Wrong(
                f"{name} was changed, a convolution. Hint: no kernel has to change; "
                "the factor γ of a norm becomes zero."
            )
    loud = [norm for norm in _last_norms(model) if norm.weight.any()]
    if loud and not all(norm.bias.any() for norm in loud):
        raise Wrong(
            "A last norm has its shift β at zero, not its factor γ. Hint: right norm, "
            "wrong parameter; the text says which of the two is γ."
        )
    if loud:
        raise Wrong(
            f"In {len(loud)} blocks of kind {type(model.layer1[0]).__name__} the "
            "branch still speaks. Hint: how many norms has this branch, and which is "
            "the last?"
        )
    for name, value in model.state_dict().items():
        if not torch.equal(value, right[name]):
            raise Wrong(
                f"{name} was changed as well. Hint: in each block only one factor γ "
                "becomes zero, the one that nothing but the addition follows."
            )
    if not all(parameter.requires_grad for parameter in model.parameters()):
        raise Wrong(
            "Some parameters are frozen now; all were to be trained. Hint: γ only "
            "starts at zero."
        )
    if not all(part.training for part in model.modules()):
        raise Wrong(
            "The network was in train() and is in eval() now. Hint: it is not run here."
        )


@exercise(
    hint="in forward go through the formula from the inside out, and leave x as it is."
)
def pre_activation(answer: Callable[[int], nn.Module]) -> str:
    """Check a pre-activation block of equal channels and stride 1."""
    block = module(answer(12))
    _check_layers(block)
    for norm in (block.bn1, block.bn2):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    x = torch.randn(3, 12, 6, 5)
    given = x.clone()
    with torch.no_grad():
        found = block(x)
    if not torch.equal(x, given):
        raise Wrong(
            "The block changes its own input. Hint: an in-place ReLU or += writes into "
            "a tensor that the shortcut, or the caller, still needs."
        )
    _check_values(block, x, tensor(found, x.shape, "stride 1, and what padding?"))
    _check_gradient(block, x)
    return "Right values, and with a silent branch the identity for every input."


def _check_layers(block: nn.Module) -> None:
    for name, kind in (
        ("bn1", nn.BatchNorm2d),
        ("conv1", nn.Conv2d),
        ("bn2", nn.BatchNorm2d),
        ("conv2", nn.Conv2d),
    ):
        if not isinstance(getattr(block, name, None), kind):
            raise Wrong(
                f"The block has no {kind.__name__} named {name}. Hint: leave the "
                "four layers as they are given."
            )
    for conv in (block.conv1, block.conv2):
        if conv.kernel_size == (3, 3) and conv.padding not in ((1, 1), "same"):
            raise Wrong(
                f"A 3×3 convolution has padding {conv.padding}; 6×5 positions were "
                "expected to stay 6×5. Hint: how many does a 3×3 kernel lose at an "
                "edge?"
            )
    found, expected = (sum(p.numel() for p in block.parameters()), 2 * 9 * 144 + 4 * 12)
    if found != expected:
        raise Wrong(
            f"{found} parameters for 12 channels, expected {expected}. Hint: leave "
            "the four layers as they are given: 3×3 kernels, no bias."
        )


def _check_values(block: nn.Module, x: Tensor, found: Tensor) -> None:
    """Raise `Wrong` unless the block computes what the 2016 paper says."""
    bn1, conv1, bn2, conv2 = block.bn1, block.conv1, block.bn2, block.conv2
    with torch.no_grad():
        right = _formula(block, x)
        slips = {
            "a ReLU follows the addition; where do negative numbers go?": right.relu(),
            "is the input still added?": right - x,
            "the norms stand after the convolutions, as in BasicBlock.": F.relu(
                x + bn2(conv2(F.relu(bn1(conv1(x)))))
            ),
            "the norms belong before the convolutions, bn1 first.": (
                x + bn2(conv2(F.relu(bn1(conv1(x)))))
            ),
            "norm first, then ReLU, then convolution.": (
                x + conv2(bn2(F.relu(conv1(bn1(F.relu(x))))))
            ),
            "the formula has two ReLUs; none is here.": (x + conv2(bn2(conv1(bn1(x))))),
            "the formula has two ReLUs; where is the first?": (
                x + conv2(F.relu(bn2(conv1(bn1(x)))))
            ),
            "the formula has two ReLUs; where is the second?": (
                x + conv2(bn2(conv1(F.relu(bn1(x)))))
            ),
            "bn1 stands before conv1, and bn2 before conv2.": (
                x + conv2(F.relu(bn1(conv1(F.relu(bn2(x))))))
            ),
            "bn1 is used twice, bn2 never.": (
                x + conv2(F.relu(bn1(conv1(F.relu(bn1(x))))))
            ),
            "conv1 is used twice, conv2 never.": (
                x + conv1(F.relu(bn2(conv1(F.relu(bn1(x))))))
            ),
            "nothing stands between conv2 and the addition; a ReLU does here.": (
                x + (right - x).relu()
            ),
            "the shortcut starts at x itself, before norm and ReLU.": (
                right - x + F.relu(bn1(x))
            ),
        }
    if not close(found, right):
        start = "The values are not right. Hint: "
        refuse_slips(found, slips, start)
        raise Wrong(start + "go through the formula from the inside out.")


def _formula(block: nn.Module, x: Tensor) -> Tensor:
    out = block.conv1(F.relu(block.bn1(x)))
    return x + block.conv2(F.relu(block.bn2(out)))


def _check_gradient(block: nn.Module, x: Tensor) -> None:
    """Raise `Wrong` unless the gradient takes both ways through the block."""
    leaf = x.clone().requires_grad_()
    weights = [leaf, block.conv1.weight, block.conv2.weight]
    right, found = (
        torch.autograd.grad(out.square().sum(), weights, materialize_grads=True)
        if out.requires_grad
        else [torch.zeros_like(weight) for weight in weights]
        for out in (_formula(block, leaf), block(leaf * 1))
    )
    if not all(
        close(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(found, right, strict=True)
    ):
        raise Wrong(
            "The values are right, the gradients are not. Hint: stay with tensors, "
            "without detach(), .data or no_grad()."
        )
