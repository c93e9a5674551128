"""Parts of the fast recipe: gradients by patches, a test of two views."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.grad import conv2d_input


class _Convolution(Function):
    """`F.conv2d`, but the gradient of the kernel is one product over all patches."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, kernel: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(images, kernel)
        ctx.steps = stride, padding
        return F.conv2d(images, kernel, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, kernel = ctx.saved_tensors
        stride, padding = ctx.steps
        outputs, channels, size, _ = kernel.shape
        pixels = gradient.permute(0, 2, 3, 1).flatten(0, 2)  # (B·H·W, outputs)
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, *[padding] * 4))
        patches = padded.unfold(1, size, stride).unfold(2, size, stride)
        patches = patches.permute(0, 1, 2, 4, 5, 3).reshape(len(pixels), -1)
        of_kernel = (pixels.T @ patches).view(outputs, size, size, channels)
        of_images = conv2d_input(images.shape, kernel, gradient, stride, padding)
        return of_images, of_kernel.permute(0, 3, 1, 2), None, None


class PatchConv2d(nn.Conv2d):
    """A convolution for small maps on a processor: fast in its backward pass.

    The gradient of a kernel is a sum over all patches of the batch: one large matrix
    product. At 4×4 pixels, in bfloat16 on an Intel Xeon, it takes about a fifth of the
    time of `nn.Conv2d`'s; from 8×8 pixels on, copying the patches costs what is won.

    Args:
        conv: The square convolution that it replaces; it takes over its kernel.

    Taught in: lesson 03b, "A recipe for minutes".
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        channels = conv.in_channels, conv.out_channels
        square = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        super().__init__(*channels, *square, bias=False)
        self.weight = conv.weight

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, out_channels, H / stride, W / stride)."""
        kernel = self.weight.to(images.dtype)
        return _Convolution.apply(images, kernel, self.stride[0], self.padding[0])


def use_patches(stage: nn.Sequential) -> None:
    """Replace the 3×3 convolutions of the stage's blocks by `PatchConv2d`."""
    for block in stage:
        block.conv1, block.conv2 = PatchConv2d(block.conv1), PatchConv2d(block.conv2)


class BothViews(nn.Module):
    """The mean of what a network says of an image and of its mirror image.

    Args:
        network: Maps images (B, C, H, W) to logits (B, num_classes).

    Taught in: lesson 03b, "A recipe for minutes".
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (B, num_classes)."""
        straight, mirrored = self.network(images), self.network(images.flip(3))
        return (straight.softmax(1) + mirrored.softmax(1)) / 2
