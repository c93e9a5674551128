"""Checks of lesson 02's exercises."""

import copy
from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import close, module, moved, number, tensor
from course_utils.models import BasicBlock, Bottleneck, ResNet, cifar_resnet

NAMES = (  # some with a name of their own, some that nobody built
    (BasicBlock, (2, 2, 2, 2), 18),
    (Bottleneck, (3, 4, 6, 3), 50),
    (BasicBlock, (1, 1, 1, 1), 10),
    (Bottleneck, (2, 5, 1, 4), 38),
    (BasicBlock, (3, 3, 3), 20),
)


@exercise(
    hint="count the convolutions in the branch of one block; then the blocks; then "
    "what stands before and after them."
)
def depth_in_the_name(answer: Callable[[type, tuple[int, ...]], int]) -> str:
    """Check the number of layers that a network's name counts."""
    for block, layers, expected in NAMES:
        found = number(answer(block, layers))
        if found == expected:
            continue
        hint = f"how many convolutions has the branch of a {block.__name__}?"
        if found == expected + len(layers) - (block is BasicBlock):
            hint = "the projections are not counted."
        if found in (expected - 1, expected - 2):
            hint = "which layers stand outside the stages?"
        raise Wrong(
            f"{block.__name__} with {layers} gives {found}; that is wrong. Hint: {hint}"
        )
    return "The number in the name is right, for networks nobody has built too."


@exercise(
    hint="write a small function for one convolution with its norm, then add up the "
    "stem, three stages and the classifier."
)
def cifar_parameters(answer: Callable[..., int]) -> str:
    """Check the parameter count of the CIFAR family by arithmetic."""
    builds = Wrong(
        "Your function builds a network; it was expected to calculate. Hint: a "
        "convolution has places in its kernel times channels in times channels out."
    )
    for depth, num_classes in ((20, 10), (8, 10), (62, 10), (26, 100)):
        with torch.device("meta"):
            network = cifar_resnet(depth, num_classes)
        expected = sum(p.numel() for p in network.parameters())
        with mock.patch.object(nn.Conv2d, "__init__", side_effect=builds):
            found = number(answer(depth, num_classes))
        if found != expected:
            raise Wrong(
                f"Depth {depth} with {num_classes} classes gives {found}; that is "
                + _reason(network, found - expected, num_classes)
            )
    return "Your arithmetic agrees with the networks, for four depths and two heads."


def _reason(network: nn.Module, excess: int, num_classes: int) -> str:
    """Return what is wrong with a count that is off by `excess`, and a hint."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    in_norms = sum(p.numel() for norm in norms for p in norm.parameters())
    wider = 9 * (
        16 * 32 + 32 * 64
    )  # in a stage's first block, C channels in, not C / 2
    reasons = {
        -in_norms: "too few. Hint: norms have trained numbers too.",
        in_norms: "too many. Hint: running statistics are not trained.",
        in_norms // 2: "too many. Hint: do these convolutions have a bias?",
        -num_classes: "too few. Hint: what does nn.Linear have besides its weights?",
        wider: "too many. Hint: how many channels enter a wider stage's first block?",
    }
    return reasons.get(
        excess,
        f"{abs(excess)} too {'many' if excess > 0 else 'few'}. Hint: compare stage by "
        "stage with sum(p.numel() for p in network.layer1.parameters()).",
    )


@exercise(
    hint="write a module of your own; which of its methods does a training loop call "
    "before each epoch? To count channels, run the backbone once."
)
def frozen_classifier(answer: Callable[[nn.Module, int], nn.Module]) -> str:
    """Check a classifier whose backbone stays as it was."""
    for block, channels in ((BasicBlock, 512), (Bottleneck, 2048)):
        backbone = ResNet(block, (1, 1, 1, 1), include_top=False)
        before = copy.deepcopy(backbone).eval()
        model = module(answer(backbone, 5))
        for height, width in ((48, 48), (33, 80)):
            _check_shape(model, height, width)
        trained = [p for p in model.parameters() if p.requires_grad]
        count = sum(p.numel() for p in trained)
        if count != 5 * channels + 5:
            raise Wrong(
                f"{count} parameters would be trained, expected {5 * channels + 5}. "
                "Hint: what of the backbone, and what of the head, requires a gradient?"
            )
        if model.train() is not model:
            raise Wrong(
                "model.train() does not return the model. Hint: nn.Module's own does, "
                "and training loops rely on it."
            )
        images = torch.randn(4, 3, 40, 40) + 1
        logits = model(images)
        if moved(backbone, before.state_dict()):
            raise Wrong(
                "The running statistics of the backbone's norms moved. Hint: in which "
                "mode is the backbone when you build the module, and after its train()?"
            )
        with torch.no_grad():
            features = before(images).mean((2, 3))
        _check_head(logits, features, trained)
    return "Any image size works, only the head learns, and the norms stand still."


def _check_shape(model: nn.Module, height: int, width: int) -> None:
    try:
        found = model(torch.randn(2, 3, height, width))
    except RuntimeError as error:
        raise Wrong(
            f"Images (2, 3, {height}, {width}) do not get through: {error}. Hint: "
            "how many channels does this backbone put out, and what is left of "
            "height and width?"
        ) from error
    tensor(found, (2, 5), "one row an image, whatever its height and width.")


def _check_head(logits: Tensor, features: Tensor, trained: list[nn.Parameter]) -> None:
    """Raise `Wrong` unless the logits are a linear layer's, and it learns."""
    weight, bias = sorted(trained, key=lambda p: -p.ndim)
    if not close(logits, F.linear(features, weight.flatten(1), bias), atol=1e-4):
        raise Wrong(
            "The shape is right, the values are not. Hint: the mean over height and "
            "width, then one linear layer, with nothing before, between or after."
        )
    if not logits.requires_grad:
        raise Wrong(
            "No gradient reaches the head. Hint: if there is a no_grad(), what does it "
            "enclose?"
        )
