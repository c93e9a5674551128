"""Images as one uint8 array, whole batches augmented at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from course_utils._engine.checks import check_at_least_one

Batch = tuple[Tensor, Tensor]


def check_images(images: np.ndarray) -> None:
    """Raise if an array does not hold images as pixels, before any normalisation."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"images has shape {images.shape} and type {images.dtype}; expected uint8 "
            "of shape (N, height, width, 3), before any normalisation."
        )


class ArrayDataset(Dataset):
    """Images in one array; a `DataLoader` fetches a whole batch in one call.

    Args:
        images: uint8 (N, H, W, 3).
        labels: int (N,).
        mean: Mean of each channel, pixel values in [0, 1].
        std: Standard deviation of each channel, likewise.
        augment: Whether to crop at random and flip, image by image.
        padding: Pixels of black border before the random crop; 0 leaves the flips.
        generator: Source of the augmentation's randomness; ``None`` is PyTorch's
            global one.
        info: What a checkpoint should remember of the data; see `ImageSplits`.
        device: Where the images lie and batches of them are made; labels stay on the
            processor, where `train` looks at them. On a GPU the loader has no workers.

    Raises:
        ValueError: If the arrays' shapes, types or lengths do not fit.

    Source: crop and flip, He et al. 2015, section 4.2.
    Taught in: lesson 03, "The same, faster".
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        augment: bool = False,
        padding: int = 4,
        generator: torch.Generator | None = None,
        info: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        check_images(images)
        if len(images) != len(labels):
            raise ValueError(
                f"{len(images)} images but {len(labels)} labels; give one label each."
            )
        self.images = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        self.labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        # Over whole rows of pixels: a (3,) mean and std would be far slower.
        width = images.shape[2]
        mean, std = torch.tensor(mean, device=device), torch.tensor(std, device=device)
        self.scale = (1 / (255 * std)).repeat(width)  # (W * 3,)
        self.shift = (-mean / std).repeat(width)
        self.augment = augment
        self.padding = padding
        self.generator = generator
        self.info = info

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        """Return one normalised image (3, H, W) and its label ()."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return float32 (B, 3, H, W), channels last in memory, and int64 (B,)."""
        index = torch.as_tensor(indices)
        chosen = index.to(self.images.device, non_blocking=True)
        images = self.images.index_select(0, chosen)  # (B, H, W, 3), uint8
        if self.augment:
            images = self._crop_and_flip(images)
        rows = images.flatten(2).float().mul_(self.scale).add_(self.shift)
        return rows.view(images.shape).permute(0, 3, 1, 2), self.labels[index]

    def _crop_and_flip(self, images: Tensor) -> Tensor:
        batch, height, width, _ = images.shape
        on = {"device": images.device}
        padded = F.pad(images, (0, 0, *[self.padding] * 4))
        drawn = [
            torch.randint(high, (batch, 1), generator=self.generator)
            for high in (2 * self.padding + 1, 2 * self.padding + 1, 2)
        ]
        down, right, flipped = torch.stack(drawn).to(**on, non_blocking=True)
        rows = down + torch.arange(height, **on)  # (B, H)
        columns = right + torch.arange(width, **on)  # (B, W)
        columns = torch.where(flipped.bool(), columns.flip(1), columns)
        first = torch.arange(batch, **on)[:, None, None] * padded[0, :, :, 0].numel()
        pixels = first + rows[:, :, None] * padded.shape[2] + columns[:, None, :]
        chosen = padded.view(-1, 3).index_select(0, pixels.flatten())
        return chosen.view(images.shape)


def already_collated(batch: Batch) -> Batch:
    """Return `batch` as it is: `__getitems__` has put it together already."""
    return batch


class LabelledImages(NamedTuple):
    """Images uint8 (N, H, W, 3) and labels int64 (N,) of one split."""

    images: np.ndarray
    labels: np.ndarray


class Loaders(NamedTuple):
    """One `DataLoader` a split; only the training one shuffles and augments."""

    train: DataLoader
    val: DataLoader
    test: DataLoader


@dataclass(frozen=True)
class ImageSplits:
    """A data set in three splits: train to fit, val to choose, test once.

    Attributes:
        name: For example ``"CIFAR-10"``.
        source: Where the images come from, in a few words.
        is_photos: False for images that were drawn by code.
        classes: Names of the classes; a label is a position in it.
        train: Images to fit on.
        val: Images to choose with.
        test: Images to report on, once.
        mean: Mean of each channel of the training images, pixels in [0, 1].
        std: Standard deviation of each channel of the training images.
    """

    name: str
    source: str
    is_photos: bool
    classes: tuple[str, ...]
    train: LabelledImages
    val: LabelledImages
    test: LabelledImages
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def describe(self) -> str:
        """Return the name, the source and the sizes of the splits."""
        sizes = " / ".join(
            str(len(s.labels)) for s in (self.train, self.val, self.test)
        )
        return f"{self.name}, {self.source}: {sizes} images"

    def info(self, train_size: int | None = None) -> dict[str, Any]:
        """Return what a checkpoint remembers of the data it was trained on."""
        return {
            "name": self.name,
            "source": self.source,
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "image_size": self.train.images.shape[1],
            "train_size": len(self.train.labels[:train_size]),
        }

    def loaders(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        train_size: int | None = None,
        device: torch.device | str = "cpu",
    ) -> Loaders:
        """Return the loaders of the three splits.

        Args:
            batch_size: Images a batch; the last batch of an epoch may be shorter.
            seed: Seed of the training order and of the augmentation.
            train_size: Use only the first `train_size` training images.
            device: Where batches are made. On a GPU that is where the network is: all
                images have to fit into its memory.

        Raises:
            ValueError: If `batch_size` or `train_size` is not positive.
        """
        check_at_least_one(batch_size, "batch_size")
        check_at_least_one(train_size, "train_size")
        generator = torch.Generator().manual_seed(seed)
        info = self.info(train_size)

        def loader(pair: LabelledImages, random: bool) -> DataLoader:
            own = generator if random else None
            data = ArrayDataset(
                *pair,
                self.mean,
                self.std,
                augment=random,
                generator=own,
                info=info,
                device=device,
            )
            return DataLoader(
                data, batch_size, random, generator=own, collate_fn=already_collated
            )

        train = LabelledImages(*(part[:train_size] for part in self.train))
        return Loaders(
            loader(train, True), loader(self.val, False), loader(self.test, False)
        )


def channel_statistics(
    images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over all pixels.

    Args:
        images: uint8 (N, H, W, 3).

    Returns:
        Two tuples of three floats, for pixel values in [0, 1].

    Taught in: lesson 03, "The right statistics".
    """
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)]
    values = np.arange(256) / 255
    mean = [float(np.average(values, weights=n)) for n in counts]
    spread = zip(counts, mean, strict=True)
    std = [float(np.average((values - m) ** 2, weights=n) ** 0.5) for n, m in spread]
    return tuple(mean), tuple(std)
