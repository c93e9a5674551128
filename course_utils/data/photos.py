"""Photos of varied size: kept in memory or read when asked for, and transformed."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from course_utils._engine.cache import Arrays, load_or_make
from course_utils.data.folders import listing_key, read_photo

Transform = Callable[[Tensor], Tensor]
MEMORY_SHARE = 0.25  # of the free memory, that photos may fill
# Of a photo's area; torchvision's own 0.08 often misses the flower of a small photo.
SMALLEST_CROP = (0.3, 1.0)


class Photos(Protocol):
    """Photos by position, each uint8 (3, H, W) of its own height and width."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


class PackedPhotos:
    """Photos in memory, one after the other in a single array.

    A tensor, not a list of arrays: worker processes share its memory.

    Args:
        pixels: uint8 (sum of H * W * 3,), each photo as (H, W, 3).
        shapes: int (N, 2), each photo's height and width.
    """

    def __init__(self, pixels: np.ndarray, shapes: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels)
        self.shapes = torch.from_numpy(np.asarray(shapes, dtype=np.int64))
        self.ends = (self.shapes.prod(1) * 3).cumsum(0)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> Tensor:
        """Return one photo, uint8 (3, H, W)."""
        height, width = self.shapes[index].tolist()
        end = int(self.ends[index])
        photo = self.pixels[end - height * width * 3 : end]
        return photo.view(height, width, 3).permute(2, 0, 1)


class PhotoFiles:
    """Photos that stay in their files, where memory does not hold them all.

    Args:
        paths: Image files.
        short_side: The shorter side of a larger photo is shrunk to this, in pixels.
    """

    def __init__(self, paths: Sequence[Path], short_side: int) -> None:
        self.paths = list(paths)
        self.short_side = short_side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Return one photo, uint8 (3, H, W)."""
        photo = read_photo(self.paths[index], self.short_side)
        return torch.from_numpy(photo).permute(2, 0, 1)


def pack(photos: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return photos, each uint8 (H, W, 3), as `PackedPhotos` wants them."""
    shapes = np.array([photo.shape[:2] for photo in photos], dtype=np.int64)
    return np.concatenate([photo.ravel() for photo in photos]), shapes


def fits_in_memory(num_photos: int, short_side: int) -> bool:
    """Return whether so many photos, a third wider than high, may be kept in memory."""
    size_bytes = num_photos * short_side**2 * 4 / 3 * 3
    return size_bytes < MEMORY_SHARE * psutil.virtual_memory().available


def load_photos(
    folder: Path, listed: Sequence[tuple[Path, int]], short_side: int
) -> Photos:
    """Return photos, decoded once and for all where memory holds them.

    Args:
        folder: Where they lie; part of their name in the cache.
        listed: Paths and labels, from `list_images`.
        short_side: The shorter side of a larger photo is shrunk to this, in pixels.

    Raises:
        ValueError: If a file is no readable image, and memory holds them all; else
            the photo is refused when it is asked for.
    """
    paths = [path for path, _ in listed]
    if not fits_in_memory(len(paths), short_side):
        return PhotoFiles(paths, short_side)

    def decode() -> Arrays:
        print(f"Decoding {len(paths)} photos, once …")
        pixels, shapes = pack([read_photo(path, short_side) for path in paths])
        return {"pixels": pixels, "shapes": shapes}

    key = f"photos-{short_side}-{listing_key(folder, listed)}"
    return PackedPhotos(**load_or_make(key, decode))


class PhotoDataset(Dataset):
    """Photos with labels; each photo is transformed when it is fetched.

    What torchvision's `ImageFolder` does for one folder, this does for a choice of
    photos: a split is an index, not a second copy.

    Args:
        photos: All photos of the data set.
        labels: int (N,), one for each of them.
        indices: Positions of those that belong to this split.
        transform: From uint8 (3, H, W) to what the network takes.
        info: What a checkpoint should remember of the data.

    Taught in: lesson 06, "From a photo to a batch".
    """

    def __init__(
        self,
        photos: Photos,
        labels: np.ndarray,
        indices: np.ndarray,
        transform: Transform,
        info: dict[str, Any] | None = None,
    ) -> None:
        self.photos = photos
        self.labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        self.indices = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        self.transform = transform
        self.info = info

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one transformed photo, float32 (3, size, size), and its label."""
        position = int(self.indices[index])
        return self.transform(self.photos[position]), int(self.labels[position])


def resize_for(image_size: int) -> int:
    """Return the shorter side before a centre crop: 256 for 224, likewise for others.

    Source: He et al. 2015, section 3.4 (10-crop testing on a shorter side of 256).
    """
    return round(image_size * 8 / 7)


def training_transform(
    image_size: int, mean: Sequence[float], std: Sequence[float]
) -> v2.Compose:
    """Return a random crop of random size and shape, flipped half the time.

    Args:
        image_size: Height and width of the result, in pixels.
        mean: Mean of each channel, pixel values in [0, 1].
        std: Standard deviation of each channel, likewise.

    Source: Szegedy et al. 2014 (arXiv 1409.4842), section 6, for the crop.
    Taught in: lesson 06, "From a photo to a batch".
    """
    return v2.Compose(
        [
            v2.RandomResizedCrop(image_size, scale=SMALLEST_CROP, antialias=True),
            v2.RandomHorizontalFlip(),
            *_to_input(mean, std),
        ]
    )


def evaluation_transform(
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    resize: int | None = None,
) -> v2.Compose:
    """Return the transform that shows the middle of a photo, always the same.

    Args:
        image_size: Height and width of the result, in pixels.
        mean: Mean of each channel, pixel values in [0, 1].
        std: Standard deviation of each channel, likewise.
        resize: Shorter side before the crop; default `resize_for` the size.

    Taught in: lesson 06, "From a photo to a batch".
    """
    return v2.Compose(
        [
            v2.Resize(resize or resize_for(image_size), antialias=True),
            v2.CenterCrop(image_size),
            *_to_input(mean, std),
        ]
    )


def _to_input(mean: Sequence[float], std: Sequence[float]) -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]


def suggested_workers(device: torch.device, *, in_memory: bool) -> int:
    """Return how many processes should prepare batches.

    None where the network itself needs the processor's cores, and photos in memory
    cost little beside it. Else one a core, four at most; two on Windows and macOS,
    where each starts a new Python.

    Args:
        device: Where the network is.
        in_memory: Whether the photos are decoded already.

    Taught in: lesson 06, "From a photo to a batch".
    """
    if device.type == "cpu" and in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return min(4 if sys.platform == "linux" else 2, max(1, (cores or 1) - 1))
