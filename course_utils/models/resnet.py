"""The ImageNet family: ResNet-18 to 152 and ResNeXt, with torchvision's names.

State-dict keys and shapes equal torchvision's, so the world's checkpoints load
with ``strict=True``.

Source: He et al. 2015 (arXiv 1512.03385), Table 1; Xie et al. 2016 (arXiv
1611.05431) for ResNeXt.
"""

from typing import Any

from torch import Tensor, nn

STEMS = ("imagenet", "cifar")


def conv3x3(
    in_channels: int, out_channels: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps height and width at stride 1."""
    return nn.Conv2d(
        in_channels, out_channels, 3, stride, padding=1, groups=groups, bias=False
    )


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 1×1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def init_convolutions(model: nn.Module) -> None:
    """Draw all convolutions' weights anew, wide enough for the ReLU behind them.

    Source: He et al. 2015 (arXiv 1502.01852), section 2.2.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: ``relu(F(x) + shortcut(x))``.

    Args:
        in_channels: Channels of the input.
        channels: Channels of both convolutions, and of the output.
        stride: Stride of the first convolution.
        downsample: Module of the shortcut; ``None`` is the identity.
        groups: Must be 1; only `Bottleneck` has grouped convolutions.
        base_width: Must be 64, as in torchvision.

    Raises:
        ValueError: If `groups` or `base_width` is not the only one possible.

    Source: He et al. 2015, section 3.3 and Figure 5 (left).
    Taught in: lesson 01, "The basic block".
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError(
                f"BasicBlock got groups={groups}, base_width={base_width}; it knows "
                "only groups=1, base_width=64: use Bottleneck for grouped convolutions."
            )
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: (B, channels, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))  # no ReLU before the addition
        return self.relu(out + identity)


class Bottleneck(nn.Module):
    """1×1 to reduce, 3×3 to work, 1×1 to restore, and a shortcut.

    The stride sits on the 3×3 convolution, as torchvision has it ("v1.5"); the
    authors' released model has it on the first 1×1.

    Args:
        in_channels: Channels of the input.
        channels: Width of the stage; the output has ``4 * channels``.
        stride: Stride of the 3×3 convolution.
        downsample: Module of the shortcut; ``None`` is the identity.
        groups: Groups of the 3×3 convolution (32 in ResNeXt).
        base_width: Channels a group has for each 64 of `channels`.

    Source: He et al. 2015, section 4.1 and Figure 5 (right).
    Taught in: lesson 01, "The bottleneck".
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
    ) -> None:
        super().__init__()
        width = channels * base_width // 64 * groups
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, channels * self.expansion)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: (B, 4 * channels, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))  # no ReLU before the addition
        return self.relu(out + identity)


def with_classes_of(network: nn.Module, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a network's arguments, but its head's own number of classes.

    So a network whose `fc` was replaced can be built again.
    """
    head = getattr(network, "fc", None)
    outputs = getattr(head, "out_features", arguments["num_classes"])
    return arguments | {"num_classes": outputs}


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, global average pooling, a classifier.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Blocks in each of the four stages, for example ``(2, 2, 2, 2)``.
        num_classes: Outputs of the classifier.
        groups: Groups of the bottleneck's 3×3 convolutions.
        width_per_group: Channels a group has in the first stage.
        stem: ``"imagenet"`` (7×7 stride 2, then max pooling) or ``"cifar"``
            (3×3 stride 1, no pooling), which keeps 32×32 images at 32×32.
        include_top: Whether to end in pooling and classifier; without them the
            output is the last feature map.

    Raises:
        ValueError: If `stem` is unknown.

    Source: He et al. 2015, Table 1.
    Taught in: lesson 02, "The whole network"; lesson 02b for the groups.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: tuple[int, int, int, int],
        num_classes: int = 1000,
        *,
        groups: int = 1,
        width_per_group: int = 64,
        stem: str = "imagenet",
        include_top: bool = True,
    ) -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f"Unknown stem {stem!r}; use one of {', '.join(STEMS)}.")
        self._arguments = {
            "family": "ResNet",
            "block": block.__name__,
            "layers": list(layers),
            "num_classes": num_classes,
            "groups": groups,
            "width_per_group": width_per_group,
            "stem": stem,
            "include_top": include_top,
        }
        self.groups = groups
        self.base_width = width_per_group
        self.in_channels = 64
        small = stem == "cifar"
        # in the order of forward: nn.Sequential(*network.children()) relies on it
        self.conv1 = conv3x3(3, 64) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2)
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2)
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2)
        self.include_top = include_top
        if include_top:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(512 * block.expansion, num_classes)
        init_convolutions(self)

    @property
    def architecture(self) -> dict[str, Any]:
        """How to build it again, with as many classes as its head has now."""
        return with_classes_of(self, self._arguments)

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        channels: int,
        num_blocks: int,
        stride: int = 1,
    ) -> nn.Sequential:
        out_channels = channels * block.expansion
        downsample = None
        if stride != 1 or self.in_channels != out_channels:  # the dashed shortcut
            downsample = nn.Sequential(
                conv1x1(self.in_channels, out_channels, stride),
                nn.BatchNorm2d(out_channels),
            )
        widths = {"groups": self.groups, "base_width": self.base_width}
        blocks = [block(self.in_channels, channels, stride, downsample, **widths)]
        self.in_channels = out_channels
        for _ in range(1, num_blocks):
            blocks.append(block(self.in_channels, channels, **widths))
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes), or features if built without a top."""
        # shapes for (B, 3, 224, 224), the ImageNet stem and basic blocks
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 64, 112, 112)
        x = self.maxpool(x)  # (B, 64, 56, 56)
        x = self.layer1(x)  # (B, 64, 56, 56)
        x = self.layer2(x)  # (B, 128, 28, 28)
        x = self.layer3(x)  # (B, 256, 14, 14)
        x = self.layer4(x)  # (B, 512, 7, 7)
        if not self.include_top:
            return x
        x = self.avgpool(x).flatten(1)  # (B, 512)
        return self.fc(x)  # (B, num_classes)


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNet-18; `options` are those of `ResNet`."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNet-34; `options` are those of `ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNet-50; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNet-101; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNet-152; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, **options)


def resnext50_32x4d(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNeXt-50 with 32 groups of width 4."""
    options = {"groups": 32, "width_per_group": 4, **options}
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)


def resnext101_32x8d(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return a ResNeXt-101 with 32 groups of width 8."""
    options = {"groups": 32, "width_per_group": 8, **options}
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, **options)
