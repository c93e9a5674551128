"""Two parts of the fast recipe: a stem that is not learnt, and a test of two views."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_VARIANCE = 0.01  # of a normalised patch, so that noise is not blown up


@torch.no_grad()
def whiten_stem(model: nn.Module, images: Tensor) -> None:
    """Give the first convolution the filters that whiten patches, and freeze it.

    Neighbouring pixels are nearly equal, so nearly all that a new network sees is
    brightness. Each filter takes one principal direction of the patches and divides
    by its standard deviation; a second one has the opposite sign, since ReLU keeps one.

    Args:
        model: Its ``conv1`` has an even number of outputs, at most twice as many as a
            patch has values.
        images: float32 (B, 3, H, W), normalised as for training; 100 are enough.

    Raises:
        ValueError: If the convolution has more outputs than there are directions.

    Source: Jordan 2024 (arXiv 2404.00498), section 3.1, after Page 2019.
    Taught in: lesson 03b, "A recipe for minutes".
    """
    conv = model.conv1
    size, number = conv.kernel_size, conv.out_channels // 2
    patches = F.unfold(images, size, stride=size).transpose(1, 2).flatten(0, 1)
    if number > patches.shape[1]:
        raise ValueError(
            f"conv1 has {2 * number} outputs, but its patches have "
            f"{patches.shape[1]} directions; use a stem of at most "
            f"{2 * patches.shape[1]} outputs, or a larger kernel."
        )
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (directions / (variances + SMALLEST_VARIANCE).sqrt()).T.flip(0)[:number]
    conv.weight.copy_(torch.cat([filters, -filters]).view_as(conv.weight))
    conv.weight.requires_grad_(False)


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
