"""Checks of lesson 02's exercises."""

from collections.abc import Callable

import torch
from torch import nn

from course_utils.checks.reporting import Wrong, exercise
from course_utils.models import BasicBlock, Bottleneck, ResNet, cifar_resnet

NAMES = (  # some with a name of their own, some that nobody built
    (BasicBlock, (2, 2, 2, 2), 18),
    (Bottleneck, (3, 4, 6, 3), 50),
    (BasicBlock, (1, 1, 1, 1), 10),
    (Bottleneck, (2, 5, 1, 4), 38),
)


@exercise(
    hint="count the convolutions in the branch of one block; then the blocks; then "
    "what stands before and after them"
)
def depth_in_the_name(answer: Callable[[type, tuple[int, ...]], int]) -> str:
    """Check the number of layers that a network's name counts."""
    for block, layers, expected in NAMES:
        found = answer(block, layers)
        if found == expected:
            continue
        start = f"{block.__name__} with {layers} gives {found}, which is "
        if found == expected + _projections(block):
            raise Wrong(start + "too many. Hint: the projections are not counted.")
        if found in (expected - 1, expected - 2):
            raise Wrong(
                start + "too few. Hint: which layers stand outside the four stages?"
            )
        raise Wrong(
            start + "not right. Hint: how many convolutions has the branch of "
            f"a {block.__name__}?"
        )
    return "The number in the name is right, for networks nobody has built too."


@exercise(
    hint="write a small function for one convolution with its norm, then add up the "
    "stem, three stages and the classifier"
)
def cifar_parameters(answer: Callable[..., int]) -> str:
    """Check the parameter count of the CIFAR family by arithmetic."""
    for depth, num_classes in ((20, 10), (8, 10), (62, 10), (26, 100)):
        with torch.device("meta"):
            network = cifar_resnet(depth, num_classes)
        expected = sum(p.numel() for p in network.parameters())
        found = answer(depth, num_classes)
        if found == expected:
            continue
        start = f"Depth {depth} with {num_classes} classes gives {found}; "
        raise Wrong(start + _reason(network, found - expected, num_classes))
    return "Your arithmetic agrees with the networks, for four depths and two heads."


def _reason(network: nn.Module, excess: int, num_classes: int) -> str:
    """Return what is wrong with a count that is off by `excess`, and a hint."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    in_norms = sum(p.numel() for norm in norms for p in norm.parameters())
    channels = in_norms // 2
    if excess == -in_norms:
        return "that is too few. Hint: norms have trained numbers too."
    if excess == in_norms:
        return "that is too many. Hint: running statistics are not trained."
    if excess == channels:
        return "that is too many. Hint: do these convolutions have a bias?"
    if excess == -num_classes:
        return "that is too few. Hint: what does nn.Linear have besides its weights?"
    if excess == 9 * (16 * 32 + 32 * 64):  # C channels in, not C / 2
        return (
            "that is too many. Hint: how many channels enter the first block of a "
            "wider stage?"
        )
    return (
        f"that is {abs(excess)} too {'many' if excess > 0 else 'few'}. Hint: compare "
        "stage by stage with sum(p.numel() for p in network.layer1.parameters())."
    )


def _projections(block: type) -> int:
    return 3 if block is BasicBlock else 4


@exercise(
    hint="a module of your own whose train() puts the backbone back into eval mode; "
    "run the backbone once to see how many channels it has"
)
def frozen_classifier(answer: Callable[[nn.Module, int], nn.Module]) -> str:
    """Check a classifier whose backbone stays as it was."""
    for block, channels in ((BasicBlock, 512), (Bottleneck, 2048)):
        generator = torch.Generator().manual_seed(1)
        backbone = ResNet(block, (1, 1, 1, 1), include_top=False)
        before = {name: b.clone() for name, b in backbone.named_buffers()}
        _check_shapes(answer(backbone, 7), generator)
        model = answer(backbone, 5)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if trained != 5 * channels + 5:
            raise Wrong(
                f"{trained} parameters would be trained, expected {5 * channels + 5}. "
                "Hint: requires_grad of the backbone must be off, of the head on."
            )
        if model.train() is not model:
            raise Wrong("model.train() must return the model, as nn.Module's does.")
        model(torch.randn(4, 3, 64, 64, generator=generator) + 1)
        if any(
            not torch.equal(b, before[name]) for name, b in backbone.named_buffers()
        ):
            raise Wrong(
                "The running statistics of the backbone's norms moved. Hint: in which "
                "mode is the backbone when you build the module, and after its train()?"
            )
    return "Any image size works, only the head learns, and the norms stand still."


def _check_shapes(model: nn.Module, generator: torch.Generator) -> None:
    for height, width in ((64, 64), (96, 160)):
        images = torch.randn(2, 3, height, width, generator=generator)
        try:
            shape = tuple(model(images).shape)
        except RuntimeError as error:
            raise Wrong(
                f"Images (2, 3, {height}, {width}) do not get through: {error}. Hint: "
                "how many channels does this backbone put out, and what is left of "
                "height and width?"
            ) from error
        if shape != (2, 7):
            raise Wrong(
                f"Images (2, 3, {height}, {width}) give {shape}, not (2, 7). Hint: "
                "average over height and width, then apply the linear layer."
            )
