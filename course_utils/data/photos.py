"""Photos in one folder a class: listed, decoded once, and transformed one by one."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from course_utils._engine.cache import Arrays, load_or_make
from course_utils.data.arrays import LabelledImages
from course_utils.data.images import load_image
from course_utils.data.layout import is_image

Listed = Sequence[tuple[Path, int]]  # images' paths, each with its label
Transform = Callable[[Tensor], Tensor]
# Of a photo's area; torchvision's own 0.08 often misses the flower of a small photo.
SMALLEST_CROP = (0.3, 1.0)


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, sorted.

    Hidden ones do not count, nor what macOS puts into archives.

    Raises:
        FileNotFoundError: If there are fewer than two.
    """
    entries = list(folder.iterdir()) if folder.is_dir() else []
    found = sorted(path.name for path in entries if path.is_dir())
    found = [name for name in found if name[0] != "." and name != "__MACOSX"]
    if len(found) < 2:
        raise FileNotFoundError(
            f"{folder} holds {'one' if found else 'no'} class folder; give a folder "
            "with one folder of photos for each of two or more classes."
        )
    return found


def list_images(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return every image's path with its label, sorted by class and name.

    Args:
        folder: Holds one folder a class.
        classes: Names of those folders; a label is a position in it.

    Raises:
        FileNotFoundError: If a class folder is missing or holds no image.
    """
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    if missing := [name for name in classes if name not in found]:
        others = sorted(found - set(classes))
        raise FileNotFoundError(
            f"{folder} has no folder {', '.join(missing)}"
            + (f" (but has {', '.join(others)})" if others else "")
            + f"; it needs one folder for each of {', '.join(classes)}: copy it again."
        )
    listed = []
    for label, name in enumerate(classes):
        paths = sorted(filter(is_image, (folder / name).iterdir()))
        if not paths:
            raise FileNotFoundError(
                f"The class folder {folder / name} holds no image (.jpg, .png, .webp, "
                "…); copy it again."
            )
        listed += [(path, label) for path in paths]
    return listed


def listing_key(folder: Path, listed: Listed) -> str:
    """Return a short hash of the files' names, sizes and times, for the cache."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path, label in listed:
        status = path.stat()
        line = f"{path.name}|{label}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def decode(listed: Listed, size: int) -> LabelledImages:
    """Return the listed images as one array, with their labels.

    Args:
        listed: Paths and labels, from `list_images`.
        size: Height and width that every image must have, in pixels.

    Raises:
        ValueError: If a file is no readable image, or has another size.
    """
    images = np.empty((len(listed), size, size, 3), dtype=np.uint8)
    for index, (path, _) in enumerate(listed):
        image = load_image(path)
        if image.size != (size, size):
            raise ValueError(
                f"{path} is {image.width}×{image.height} pixels; expected "
                f"{size}×{size}: is this the right data set?"
            )
        images[index] = np.asarray(image)
    labels = np.array([label for _, label in listed], dtype=np.int64)
    return LabelledImages(images, labels)


def read_photo(path: Path, short_side: int) -> np.ndarray:
    """Return a photo as it is to be seen, shrunk where it is larger than needed.

    Args:
        path: An image file.
        short_side: The shorter side of a larger photo becomes this, in pixels.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ImageError: If the file is no readable image.
    """
    image = load_image(path)
    scale = short_side / min(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


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


def pack(photos: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return photos, each uint8 (H, W, 3), as `PackedPhotos` wants them."""
    pixels, shapes = bytearray(), []  # grows in place: never two copies of all photos
    for photo in photos:
        pixels += photo.tobytes()
        shapes.append(photo.shape[:2])
    return np.frombuffer(pixels, dtype=np.uint8), np.array(shapes)


def load_photos(folder: Path, listed: Listed, short_side: int) -> PackedPhotos:
    """Return photos, all in memory, decoded once and then taken from the cache.

    Meant for some 10 000 photos: those of Flowers-102, 8 189 at 256 pixels, take about
    2 GB here and as much in the cache; at 128 pixels it is a quarter.

    Args:
        folder: Where they lie; part of their name in the cache.
        listed: Paths and labels, from `list_images`.
        short_side: The shorter side of a larger photo is shrunk to this, in pixels.

    Raises:
        ValueError: If a file is no readable image.
    """

    def decode_all() -> Arrays:
        print(f"Decoding {len(listed)} photos, once …")
        pixels, shapes = pack(read_photo(path, short_side) for path, _ in listed)
        return {"pixels": pixels, "shapes": shapes}

    key = f"photos-{short_side}-{listing_key(folder, listed)}"
    return PackedPhotos(**load_or_make(key, decode_all))


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
        photos: PackedPhotos,
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
    """
    if device.type == "cpu" and in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return min(4 if sys.platform == "linux" else 2, max(1, (cores or 1) - 1))
