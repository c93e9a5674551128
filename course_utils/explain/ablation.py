"""Inside the residual: what each block adds, and what is left without it."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from course_utils.explain.observing import near_matches, observed
from course_utils.models import BasicBlock, Bottleneck
from course_utils.models.cifar import PlainBlock
from course_utils.models.modes import device_of, in_mode

RESIDUAL = (BasicBlock, Bottleneck)


class BranchStatistics(NamedTuple):
    """Mean norm, over images, of the two terms of a block's sum."""

    shortcut: float
    branch: float

    @property
    def ratio(self) -> float:
        """How large F(x) is against the shortcut; near 0: x hardly changes."""
        return self.branch / self.shortcut


@torch.no_grad()
def branch_statistics(model: nn.Module, images: Tensor) -> dict[str, BranchStatistics]:
    """Return, for every residual block, the size of F(x) against that of x.

    Args:
        model: A network with residual blocks.
        images: float (B, C, H, W), normalised.

    Returns:
        By block name, in running order: the norm of what the shortcut carries (x
        itself, or its projection) and of what the branch adds, F(x), both before the
        addition, each the mean over the images.

    Raises:
        ValueError: If the network has no residual block.

    Source: He et al. 2015 (arXiv 1512.03385), section 4.2, "Analysis of Layer
    Responses", which has the same for standard deviations.
    Taught in: lesson 01b, "How much does a trained block change?".
    """
    blocks = {n: b for n, b in _blocks(model).items() if isinstance(b, RESIDUAL)}
    if not blocks:
        raise ValueError(
            "The network has no residual block, so no F(x) beside an x; give a "
            "residual network, not a plain one."
        )
    branches: dict[str, float] = {}
    statistics: dict[str, BranchStatistics] = {}

    def at_norm(name: str) -> Callable:
        def hook(norm: nn.Module, inputs: tuple, output: Tensor) -> None:
            branches[name] = _mean_norm(output)

        return hook

    def at_block(name: str) -> Callable:
        def hook(block: nn.Module, inputs: tuple, output: Tensor) -> None:
            (x,) = inputs
            shortcut = x if block.downsample is None else block.downsample(x)
            statistics[name] = BranchStatistics(_mean_norm(shortcut), branches[name])

        return hook

    # hooks, as they keep numbers: feature extraction would hold every block's maps
    with observed(model), ExitStack() as hooks:
        for name, block in blocks.items():
            last_norm = [p for p in block.children() if isinstance(p, nn.BatchNorm2d)]
            hooks.enter_context(last_norm[-1].register_forward_hook(at_norm(name)))
            hooks.enter_context(block.register_forward_hook(at_block(name)))
        model(images.to(device_of(model)))
    return statistics


def block_names(model: nn.Module) -> list[str]:
    """Return the names of the blocks that can be deleted, in running order.

    Those are all residual blocks, and the plain ones that put out the shape they take.

    Raises:
        ValueError: If there is none.

    Taught in: lesson 05, "Deleting a block".
    """
    names = [name for name, block in _blocks(model).items() if _can_go(block)]
    if not names:
        raise ValueError(
            f"{type(model).__name__} has no block that can be deleted; expected a "
            "network of course_utils.models."
        )
    return names


@contextmanager
def block_deleted(model: nn.Module, name: str) -> Iterator[None]:
    """Take one block out of the network, inside the ``with``.

    A residual block becomes its shortcut alone, as if F(x) were 0; a plain block is
    skipped. The block is back at the end, also after an error.

    Args:
        model: A network of the course.
        name: One of `block_names`.

    Raises:
        ValueError: If there is no such block, or it is plain and changes the shape.

    Source: Veit et al. 2016 (arXiv 1605.06431), section 4.1.
    Taught in: lesson 05, "Deleting a block".
    """
    block = _block(model, name)
    if not _can_go(block):
        raise ValueError(
            f"Block {name!r} changes the shape and has no shortcut that would do so in "
            f"its place; choose one of {', '.join(block_names(model))}."
        )
    rest: nn.Module = nn.Identity()
    if isinstance(block, RESIDUAL):
        rest = nn.Sequential(block.downsample or nn.Identity(), nn.ReLU())
    with _replaced(model, {name: rest}):
        yield


def renormalised(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> nn.Module:
    """Return a copy of the model with BatchNorm's statistics estimated anew.

    Without a block, the norms behind it receive another mean and variance than in
    training. The accuracy of ``renormalised(model, train_loader)`` inside a ``with
    block_deleted(model, name)`` tells that harm from the loss of the block itself.

    Args:
        model: The network; it stays as it is.
        batches: Training images, normalised and augmented as in training, with labels,
            which are not looked at; usually a loader. Every batch counts alike.

    Returns:
        The copy, on the same device and in the same mode.

    Taught in: lesson 05, "Deleting a block".
    """
    twin = copy.deepcopy(model)
    with in_mode(twin, training=True):
        update_bn(batches, twin, device_of(twin))
    return twin


@contextmanager
def _replaced(model: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    originals = {name: model.get_submodule(name) for name in modules}
    try:
        for name, module in modules.items():
            model.set_submodule(name, module)
        yield
    finally:
        for name, original in originals.items():
            model.set_submodule(name, original)


def _mean_norm(values: Tensor) -> float:
    """Return the mean over the images of the Euclidean norm."""
    return values.flatten(1).norm(dim=1).mean().item()


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    kinds = (*RESIDUAL, PlainBlock)
    return {n: part for n, part in model.named_modules() if isinstance(part, kinds)}


def _block(model: nn.Module, name: str) -> nn.Module:
    blocks = _blocks(model)
    if name not in blocks:
        raise ValueError(
            f"There is no block {name!r} in this network; {near_matches(name, blocks)}"
        )
    return blocks[name]


def _shapes(block: nn.Module) -> tuple[int, int, int]:
    """Return the channels that a block takes and puts out, and its stride."""
    convs = [part for part in block.children() if isinstance(part, nn.Conv2d)]
    stride = math.prod(conv.stride[0] for conv in convs)
    return convs[0].in_channels, convs[-1].out_channels, stride


def _can_go(block: nn.Module) -> bool:
    in_channels, out_channels, stride = _shapes(block)
    keeps_shape = in_channels == out_channels and stride == 1
    return isinstance(block, RESIDUAL) or keeps_shape
