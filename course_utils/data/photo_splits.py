"""Photos in one folder a class, split by seed into training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from course_utils._engine.checks import check_at_least_one
from course_utils.data.arrays import Loaders
from course_utils.data.photos import (
    PackedPhotos,
    PhotoDataset,
    Transform,
    class_folders,
    evaluation_transform,
    list_images,
    load_photos,
    resize_for,
    suggested_workers,
    training_transform,
)


class Split(NamedTuple):
    """Positions of the images of each part, int64, shuffled."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_by_class(labels: np.ndarray, *, seed: int = 0, test: bool = True) -> Split:
    """Return positions of the parts: a tenth of each class to validate, and to test.

    A tenth is rounded down. Without a test part, as many tutorials have it, that
    tenth stays in the training part; the validation part is the same either way.

    Args:
        labels: int (N,), the classes 0 to the highest.
        seed: Seed of the choice.
        test: Whether to take out a test part.

    Taught in: lesson 06, "An index, not a copy".
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for label, count in enumerate(np.bincount(labels)):
        members = rng.permutation(np.flatnonzero(labels == label))
        tenth = count // 10
        first = 2 * tenth if test else tenth
        parts[0].append(members[first:])
        parts[1].append(members[:tenth])
        parts[2].append(members[tenth:first])
    return Split(*(rng.permutation(np.concatenate(part)) for part in parts))


def first_of_each_class(
    order: np.ndarray, labels: np.ndarray, counts: Sequence[int]
) -> np.ndarray:
    """Return the first positions in `order` of each class, `counts[label]` at most."""
    members = (order[labels[order] == label] for label in range(len(counts)))
    return np.concatenate([m[:n] for m, n in zip(members, counts, strict=True)])


@dataclass(frozen=True)
class PhotoSplits:
    """Photos in three parts: train to fit, val to choose, test once.

    Attributes:
        name: For example ``"flower photos"``.
        source: Where the images come from, in a few words.
        is_photos: False for images that were drawn by code.
        classes: Names of the classes; a label is a position in it.
        photos: All images, uint8 (3, H, W) each.
        labels: int64 (N,), their classes.
        split: Which belong to which part.
    """

    name: str
    source: str
    is_photos: bool
    classes: tuple[str, ...]
    photos: PackedPhotos
    labels: np.ndarray
    split: Split

    def describe(self) -> str:
        """Return the name, the source and the sizes of the parts."""
        sizes = " / ".join(str(len(part)) for part in self.split)
        return f"{self.name}, {self.source}: {sizes} images"

    def few_per_class(self, per_class: int | None, *, seed: int = 0) -> np.ndarray:
        """Return positions of `per_class` training images of each class.

        Args:
            per_class: How many of each, or all there are; ``None`` for all.
            seed: Seed of the choice.

        Raises:
            ValueError: If `per_class` is below 1.
        """
        check_at_least_one(per_class, "per_class")
        if per_class is None:
            return self.split.train
        order = np.random.default_rng(seed).permutation(self.split.train)
        counts = [per_class] * len(self.classes)
        return np.sort(first_of_each_class(order, self.labels, counts))

    def loaders(
        self,
        batch_size: int,
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int = 0,
        per_class: int | None = None,
        augment: Transform | None = None,
        device: torch.device | None = None,
    ) -> Loaders:
        """Return the loaders of the three parts; only the training one is random.

        Args:
            batch_size: Images a batch; the last batch of an epoch may be shorter.
            image_size: Height and width of what the network sees, in pixels.
            mean: Mean of each channel: the one that the network was trained with.
            std: Standard deviation of each channel, likewise.
            seed: Seed of the training order, and of the choice of `per_class` images.
            per_class: Use only so many training images of each class.
            augment: Transform of training images; default `training_transform`.
            device: Where the network is; decides on worker processes.

        Raises:
            ValueError: If `batch_size` or `per_class` is below 1.
        """
        check_at_least_one(batch_size, "batch_size")
        workers = suggested_workers(device or torch.device("cpu"), in_memory=True)
        train = self.few_per_class(per_class, seed=seed)
        info = self.info(image_size, mean, std) | {"train_size": len(train)}
        evaluation = evaluation_transform(image_size, mean, std)
        generator = torch.Generator().manual_seed(seed)

        def loader(indices: np.ndarray, transform: Transform, **options: Any):
            data = PhotoDataset(self.photos, self.labels, indices, transform, info)
            return DataLoader(
                data,
                batch_size,
                num_workers=workers,
                persistent_workers=workers > 0,
                **options,
            )

        augment = augment or training_transform(image_size, mean, std)
        return Loaders(
            loader(train, augment, shuffle=True, generator=generator),
            loader(self.split.val, evaluation),
            loader(self.split.test, evaluation),
        )

    def info(
        self, image_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> dict[str, Any]:
        """Return what a checkpoint remembers of the data and of its transform."""
        return {
            "name": self.name,
            "source": self.source,
            "classes": list(self.classes),
            "mean": list(mean),
            "std": list(std),
            "image_size": image_size,
            "resize": resize_for(image_size),
        }


def load_photo_folder(
    folders: Path | Sequence[Path],
    *,
    short_side: int,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    seed: int = 0,
) -> PhotoSplits:
    """Return the photos of one folder a class, split by seed.

    Larger photos are shrunk, all are decoded once and for all and kept in memory: good
    for some 10 000 photos at 256 pixels (about 2.6 GB), or four times as many at 128.

    Args:
        folders: Holds one folder a class; several are read as one.
        short_side: Shorter side to which larger photos are shrunk, in pixels.
        classes: Names of the class folders; default all there are, by name.
        name: What to call the data; default the folder's name.
        seed: Seed of the split.

    Raises:
        FileNotFoundError: If a class folder is missing or empty.
        ValueError: If a file is damaged, or a class has fewer than ten images.

    Taught in: lesson 06, "Your own photos".
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    if classes is None:
        classes = class_folders(folders[0])
    listed = [entry for folder in folders for entry in list_images(folder, classes)]
    labels = np.array([label for _, label in listed], dtype=np.int64)
    for class_name, count in zip(classes, np.bincount(labels), strict=True):
        if count < 10:
            raise ValueError(
                f"The class {class_name} has {count} images; a tenth of each class is "
                "held out, so give it at least 10."
            )
    return PhotoSplits(
        name=name or folders[0].name,
        source="photos from folders",
        is_photos=True,
        classes=tuple(classes),
        photos=load_photos(folders[0], listed, short_side),
        labels=labels,
        split=split_by_class(labels, seed=seed),
    )
