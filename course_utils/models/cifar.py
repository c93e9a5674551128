"""The paper's CIFAR-10 family: depths 6n + 2, three stages of 16, 32, 64 channels.

Source: He et al. 2015 (arXiv 1512.03385), section 4.2.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.resnet import (
    BasicBlock,
    conv1x1,
    conv3x3,
    init_convolutions,
    with_classes_of,
)


class PadShortcut(nn.Module):
    """Shortcut A: every `stride`-th pixel, new channels filled with zeros.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; at least `in_channels`.
        stride: Step between the pixels that are kept.

    Source: He et al. 2015, section 3.3, option A.
    Taught in: lesson 01, "Solid and dashed shortcuts".
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.extra = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H / stride, W / stride), without parameters."""
        x = x[:, :, :: self.stride, :: self.stride]
        front = self.extra // 2
        return F.pad(x, (0, 0, 0, 0, front, self.extra - front))


class PlainBlock(nn.Module):
    """The two convolutions of a `BasicBlock` without its shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of both convolutions, and of the output.
        stride: Stride of the first convolution.

    Source: He et al. 2015, section 4.2, "plain".
    Taught in: lesson 01, "The degradation problem".
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, H / stride, W / stride)."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


def _shortcut(
    kind: str | None, in_channels: int, channels: int, stride: int
) -> nn.Module | None:
    if stride == 1 and in_channels == channels:
        return None
    if kind == "A":
        return PadShortcut(in_channels, channels, stride)
    return nn.Sequential(
        conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels)
    )


class CifarResNet(nn.Module):
    """A 3×3 stem, three stages of n blocks, average pooling, a classifier.

    Args:
        depth: Weighted layers, 6n + 2: 8, 14, 20, 32, 44, 56, 110 …
        num_classes: Outputs of the classifier.
        shortcut: ``"A"`` (parameter-free padding, the paper's choice), ``"B"``
            (1×1 projection), or ``None`` for a plain network.
        width: Channels of the first stage; the next have two and four times as many.
        stem_stride: Stride of the first convolution: 2 halves larger images.
        stem_kernel: Height and width of its kernel: 3, or 4 with a stride of 2.

    Raises:
        ValueError: If `depth` is not 6n + 2, or `shortcut` is unknown.

    Source: He et al. 2015, section 4.2.
    Taught in: lesson 02, "The CIFAR family".
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        shortcut: str | None = "A",
        *,
        width: int = 16,
        stem_stride: int = 1,
        stem_kernel: int = 3,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(
                f"Depth {depth} is not 6n + 2; use 8, 14, 20, 32, 44, 56, 110 …"
            )
        if shortcut not in ("A", "B", None):
            raise ValueError(f"Unknown shortcut {shortcut!r}; use 'A', 'B' or None.")
        self._arguments = {
            "family": "CifarResNet",
            "depth": depth,
            "num_classes": num_classes,
            "shortcut": shortcut,
            "width": width,
            "stem_stride": stem_stride,
            "stem_kernel": stem_kernel,
        }
        num_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(
            3, width, stem_kernel, stem_stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._make_layer(width, width, num_blocks, 1, shortcut)
        self.layer2 = self._make_layer(width, 2 * width, num_blocks, 2, shortcut)
        self.layer3 = self._make_layer(2 * width, 4 * width, num_blocks, 2, shortcut)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(4 * width, num_classes)
        init_convolutions(self)

    @property
    def architecture(self) -> dict[str, Any]:
        """How to build it again, with as many classes as its head has now."""
        return with_classes_of(self, self._arguments)

    @staticmethod
    def _make_layer(
        in_channels: int, channels: int, num_blocks: int, stride: int, kind: str | None
    ) -> nn.Sequential:
        blocks: list[nn.Module] = []
        for index in range(num_blocks):
            first = (in_channels, channels, stride)
            sizes = first if index == 0 else (channels, channels, 1)
            if kind is None:
                blocks.append(PlainBlock(*sizes))
            else:
                shortcut = _shortcut(kind, *sizes)
                blocks.append(BasicBlock(*sizes, downsample=shortcut))
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for images (B, 3, H, W)."""
        # shapes for (B, 3, 32, 32)
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 16, 32, 32)
        x = self.layer1(x)  # (B, 16, 32, 32)
        x = self.layer2(x)  # (B, 32, 16, 16)
        x = self.layer3(x)  # (B, 64, 8, 8)
        x = self.avgpool(x).flatten(1)  # (B, 64)
        return self.fc(x)  # (B, num_classes)


def cifar_resnet(depth: int, num_classes: int = 10, shortcut: str = "A") -> CifarResNet:
    """Return the paper's residual CIFAR network of `depth` layers."""
    return CifarResNet(depth, num_classes, shortcut)


def cifar_plain(depth: int, num_classes: int = 10) -> CifarResNet:
    """Return the plain twin of `cifar_resnet`: the same layers, no shortcuts."""
    return CifarResNet(depth, num_classes, shortcut=None)
