"""How much of the image one position of a feature map can see."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class ReceptiveField(NamedTuple):
    """What the positions of a feature map see, along one side of the image.

    Attributes:
        size: Pixels that one position sees, border padding included.
        stride: Pixels between two neighbours' fields.
        start: Centre of the first position's field; 0 is the centre of pixel 0.
        positions: Positions along one side of the map.
    """

    size: int
    stride: int
    start: float
    positions: int

    def span(self, position: int) -> tuple[float, float]:
        """Return the first and the last pixel that a position sees.

        They may lie outside the image, in the padding.
        """
        centre = self.start + position * self.stride
        return centre - (self.size - 1) / 2, centre + (self.size - 1) / 2

    def after(self, kernel: int, stride: int, padding: int) -> ReceptiveField:
        """Return the field after one more convolution or pooling."""
        return ReceptiveField(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.start + ((kernel - 1) / 2 - padding) * self.stride,
            (self.positions + 2 * padding - kernel) // stride + 1,
        )


def receptive_field(model: nn.Module, input_size: int) -> dict[str, ReceptiveField]:
    """Return the receptive field at the end of the stem and of each stage.

    The longest path counts: through every block's branch, never its shortcut.

    Args:
        model: A network of the course, whose layers stand in the order in which they
            run.
        input_size: Height and width of the images, in pixels.

    Returns:
        By name (``"stem"``, ``"layer1"``, …), in running order.

    Source: Dumoulin and Visin 2016 (arXiv 1603.07285) for the sizes; size and start
    add up kernel by kernel as in Araujo et al. 2019 (distill.pub), section "Single-path
    networks".
    Taught in: lesson 05b, "The receptive field".
    """
    field = ReceptiveField(size=1, stride=1, start=0.0, positions=input_size)
    fields: dict[str, ReceptiveField] = {}
    for name, layer in model.named_modules():
        on_branch = ".downsample" not in name
        if on_branch and isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            sizes = (layer.kernel_size, layer.stride, layer.padding)
            field = field.after(*map(_side, sizes))
            top = name.split(".")[0]
            fields[top if top.startswith("layer") else "stem"] = field
    return fields


def _side(value: int | tuple[int, int]) -> int:
    """Return the number for one side: kernels of the course are square."""
    return value if isinstance(value, int) else value[0]
