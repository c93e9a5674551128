"""Checks of lesson 02's exercises."""

import copy
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    module,
    moved,
    number,
    refuse_slips,
    tensor,
)
from course_utils.models import BasicBlock, Bottleneck, ResNet, cifar_resnet

NAMES = (  # some with a name of their own, some that nobody built
    (BasicBlock, (2, 2, 2, 2), 18),
    (Bottleneck, (3, 4, 6, 3), 50),
    (BasicBlock, (1, 1, 1, 1), 10),
    (Bottleneck, (2, 5, 1, 4), 38),
    (BasicBlock, (3, 3, 3), 20),
)


@exercise(
    hint="which convolution stands before the blocks, and which layer after them?"
)
def depth_in_the_name(answer: Callable[[type, tuple[int, ...]], int]) -> str:
    """Check the number of layers that a network's name counts."""
    for block, layers, expected in NAMES:
        found = _whole(answer(block, layers))
        if found == expected:
            continue
        hint = f"how many convolutions has the branch of a {block.__name__}?"
        if abs(found - expected) <= 2:
            hint = "which layers stand outside the stages, and how many are they?"
        elif found - expected in (len(layers), len(layers) - (block is BasicBlock)):
            hint = "the projections are not counted."
        raise Wrong(
            f"{block.__name__} with {layers} gives {found}; that is wrong. Hint: {hint}"
        )
    return "The number in the name is right, for networks nobody has built too."


@exercise(
    hint="what has each of the other convolutions of a stage, together with its norm, "
    "and what does the classifier have besides weights?"
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
            found = _whole(answer(depth, num_classes))
        if found != expected:
            raise Wrong(
                f"Depth {depth} with {num_classes} classes gives {found}; that is "
                f"{_reason(network, found - expected, num_classes)}"
            )
    return "Your arithmetic agrees with the networks, for four depths and two heads."


def _whole(found: object) -> int:
    """Return a count, which is a whole number by its type as well."""
    count = number(found)
    if isinstance(count, float):
        raise Wrong(
            f"It gives {count}; a whole number was expected. Hint: in Python, / gives "
            "a float and // a whole number."
        )
    return count


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
        -464: "too few. Hint: does the stem still count?",
        -num_classes: "too few. Hint: what does nn.Linear have besides its weights?",
        64 - num_classes: "too many. Hint: a bias has one number for each class.",
        -65 * num_classes: "too few. Hint: does the classifier still count?",
        65 * (10 - num_classes): "wrong. Hint: the classifier has num_classes outputs; "
        "they are not always 10.",
        wider: "too many. Hint: how many channels enter a wider stage's first block?",
    }
    return reasons.get(
        excess,
        f"{abs(excess)} too {'many' if excess > 0 else 'few'}. Hint: compare stage by "
        "stage: sum(p.numel() for p in models.cifar_resnet(20).layer1.parameters()).",
    )


@exercise(
    hint="go through the modules of a copy; for which of them is getattr(module, "
    "'downsample', None) not None, and which stride has its first layer?"
)
def averaged_shortcuts(answer: Callable[[nn.Module], nn.Module]) -> str:
    """Check a copy of a network whose dashed shortcuts average before they project."""
    for block in (BasicBlock, Bottleneck):
        network = _stirred(ResNet(block, (1, 2, 1, 1), 5).eval())
        right, slips = _averaged(network), _slips(network)
        layers, state = str(network), copy.deepcopy(network.state_dict())
        try:
            changed = module(answer(network))
        except TypeError as error:
            if "NoneType" not in str(error):
                raise
            raise Wrong(
                f"Your code raised TypeError: {error}. Hint: the downsample of a solid "
                "block is None."
            ) from error
        except AttributeError as error:
            if "no attribute 'downsample'" not in str(error):
                raise
            raise Wrong(
                f"Your code raised AttributeError: {error}. Hint: not every module has "
                "one; getattr(module, 'downsample', None) gives None for the others."
            ) from error
        if str(network) != layers or moved(network, state):
            raise Wrong(
                "The network that your function was given has changed; a changed copy "
                "was expected. Hint: begin with copy.deepcopy(network)."
            )
        sizes = [sum(p.numel() for p in net.parameters()) for net in (changed, network)]
        if sizes[0] != sizes[1]:
            raise Wrong(
                f"The copy has {sizes[0]} parameters, the network has {sizes[1]}. "
                "Hint: the same 1×1 and the same norm go into the new shortcut."
            )
        if not _kept(changed, network):
            raise Wrong(
                "The copy has other weights than the network. Hint: the old 1×1 "
                "and the old norm themselves go into the new shortcut."
            )
        for size in (64, 72):
            images = torch.randn(2, 3, size, size)
            found = _logits(changed.eval(), images, block)
            refuse_slips(found, {hint: net(images) for hint, net in slips.items()})
            if not close(found, right(images), atol=1e-4):
                raise Wrong(
                    "The shapes are right, the logits are not. Hint: the mean over "
                    "2 × 2 positions, then the 1×1, then the norm, with their weights."
                )
        both = [net.train()(images) for net in (changed, right)]
        if not close(*both, atol=1e-3):
            raise Wrong(
                "In evaluation mode the logits are right, in training mode they are "
                "not. Hint: the norm comes last, behind the mean and the 1×1."
            )
        if _pointwise_inputs(changed, images) > _pointwise_inputs(right, images):
            raise Wrong(
                "The logits are right, but a 1×1 still works on the large map. Hint: "
                "the mean comes first, so that a quarter of the positions is left."
            )
    return "Each projection sees every position, at any size; the weights are the same."


def _stirred(network: nn.Module) -> nn.Module:
    """Return the network, its norms as if they had been trained."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return network.requires_grad_(False)


def _kept(changed: nn.Module, network: nn.Module) -> bool:
    """Return whether each parameter of the network is found in the copy."""
    copied = list(changed.parameters())
    return all(
        any(torch.equal(old, new) for new in copied) for old in network.parameters()
    )


def _pointwise_inputs(network: nn.Module, images: Tensor) -> int:
    """Return how many numbers go into the network's 1×1 convolutions."""
    sizes: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _, given, __: sizes.append(given[0].numel()))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
    ]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    return sum(sizes)


def _averaged(network: nn.Module, pool: type[nn.Module] = nn.AvgPool2d) -> nn.Module:
    """Return a copy whose shortcuts with stride 2 pool, and then project."""
    changed = copy.deepcopy(network)
    for block in changed.modules():
        shortcut = getattr(block, "downsample", None)
        if shortcut is not None and shortcut[0].stride == (2, 2):
            shortcut[0].stride = (1, 1)
            block.downsample = nn.Sequential(pool(2, ceil_mode=True), *shortcut)
    return changed


def _slips(network: nn.Module) -> dict[str, nn.Module]:
    """Return networks with typical mistakes, by the sentence that tells them."""
    return {
        "The copy computes what the network does. Hint: a stride is a pair, (2, 2); "
        "and does the block get its new shortcut?": network,
        "The logits are those of the largest of 2 × 2 positions. Hint: their mean was "
        "asked for.": _averaged(network, nn.MaxPool2d),
    }


def _logits(network: nn.Module, images: Tensor, block: type) -> Tensor:
    """Return logits, or raise `Wrong` where the shapes in the network do not fit."""
    try:
        found = network(images)
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:100]
        hint = (
            "how many positions leave a 3×3 with stride 2, and how many your shortcut?"
        )
        if images.shape[-1] == 64:
            hint = (
                "who has the stride now, the mean or the 1×1, and did the block get "
                "its new shortcut?"
            )
            if block is Bottleneck:
                hint = "is there a dashed shortcut with stride 1, too?"
        if "running_mean" in reason:
            hint = "the 1×1 changes the channels; does the norm stand behind it?"
        raise Wrong(
            f"Images {tuple(images.shape)} do not get through: {reason}. Hint: {hint}"
        ) from error
    return tensor(found, (len(images), 5), "a copy of the network gives logits.")
