"""Find where two networks that should agree begin to differ."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_utils.models.modes import in_mode


def first_difference(
    model: nn.Module, reference: nn.Module, images: Tensor, tolerance: float = 1e-5
) -> str | None:
    """Return the first layer of `model` whose output differs from `reference`'s.

    Both networks run on the same images in evaluation mode; their layers are
    paired by name, in the order in which the reference runs them.

    Args:
        model: The network under test.
        reference: The network to agree with, on the same device.
        images: float (B, C, H, W), on that device.
        tolerance: Largest difference that passes, relative to the reference's
            largest magnitude in that layer (or absolute, where that is below 1).

    Returns:
        A line that names the layer and says how it differs, or ``None`` if every
        shared layer agrees.

    Taught in: lesson 02, "Against torchvision".
    """
    ours, theirs = _layer_outputs(model, images), _layer_outputs(reference, images)
    for name, expected in theirs.items():
        if name not in ours:
            return f"{name}: missing in the model"
        found = ours[name]
        if found.shape != expected.shape:
            return f"{name}: shape {tuple(found.shape)}, not {tuple(expected.shape)}"
        difference = (found - expected).abs().max().item()
        if not difference <= tolerance * max(1.0, expected.abs().max().item()):
            return f"{name}: outputs differ by up to {difference:.2g}"
    return None


def _layer_outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return each call's output by its layer's name, in the order in which they end.

    A layer that runs again, as the ReLU of a block does, is ``relu (call 2)`` then.
    """
    outputs: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            calls[name] += 1
            key = name if calls[name] == 1 else f"{name} (call {calls[name]})"
            outputs[key] = output.detach().clone()  # clone: ReLU works in place

        return hook

    hooks = [
        module.register_forward_hook(keep(name or "output"))
        for name, module in model.named_modules()
    ]
    try:
        with in_mode(model, training=False), torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs
