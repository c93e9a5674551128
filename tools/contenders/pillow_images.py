"""The usual data set: one Pillow image at a time, through torchvision's transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms

from course_utils.data.arrays import LabelledImages

Transform = Callable[[Image.Image], Tensor]


def usual_transform(mean: Sequence[float], std: Sequence[float]) -> Transform:
    """Return random crop and flip, tensor, normalisation, as most scripts have them.

    `ToTensor` is what they use; torchvision's newer v2 is slower here.
    """
    return transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


class PillowImages(Dataset):
    """What torchvision's own CIFAR-10 data set returns, of arrays."""

    def __init__(self, split: LabelledImages, transform: Transform) -> None:
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(Image.fromarray(self.split.images[index]))
        return image, int(self.split.labels[index])
