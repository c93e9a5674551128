"""What the course can fetch, and how much of it lies in a folder; needs no PyTorch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from course_utils.data.layout import (
    CIFAR10_BATCHES,
    CIFAR10_CLASSES,
    CIFAR10_FOLDERS,
    FLOWERS102_FOLDER,
    FLOWERS_FOLDER,
    NUM_FLOWERS102,
    RESNET34_FILE,
    count_images,
    flowers_there,
)

BATCH_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BATCH_BYTES = 10_000 * (3 * 32 * 32 + 1)  # the least: pixels and a label each
RESNET34_BYTES = 83 * 2**20  # the least


@dataclass(frozen=True)
class Found:
    """What of a set lies in a folder.

    Attributes:
        text: The layout and the number of images, in a few words.
        missing: What is not there; empty where the set is whole.
    """

    text: str
    missing: str = ""


@dataclass(frozen=True)
class Downloadable:
    """A set that `prepare` fetches; by its name in `course_utils.data.layout.STORED`.

    Attributes:
        size_mib: How much is downloaded.
        prepare: The function that fetches it or finds it whole, "module:name".
        look: Says what of it lies in a data folder; None for nothing.
    """

    size_mib: int
    prepare: str
    look: Callable[[Path], Found | None]


def look_for_cifar10(data_dir: Path) -> Found | None:
    """Return what of CIFAR-10 lies in `data_dir`."""
    batches, folders = data_dir / CIFAR10_BATCHES, data_dir / CIFAR10_FOLDERS
    if batches.is_dir():
        sizes = {path.name: path.stat().st_size for path in batches.iterdir()}
        missing = [name for name in BATCH_NAMES if sizes.get(name, 0) < BATCH_BYTES]
        missing += [name for name in ("batches.meta",) if not sizes.get(name)]
        return Found("the archive's batches", ", ".join(missing))
    if folders.is_dir():
        splits = (folders / split for split in ("train", "test"))
        total, empty = count_images(
            s / name for s in splits for name in CIFAR10_CLASSES
        )
        return Found(f"{total} images in folders", ", ".join(empty))
    return None


def look_for_flowers(data_dir: Path) -> Found | None:
    """Return what of the flower photos lies in `data_dir`."""
    folder = data_dir / FLOWERS_FOLDER
    if not folder.is_dir():
        return None
    total, missing = flowers_there(folder)
    return Found(f"{total} photos in folders", missing)


def look_for_flowers102(data_dir: Path) -> Found | None:
    """Return what of Flowers-102 lies in `data_dir`."""
    folder = data_dir / FLOWERS102_FOLDER
    if not folder.is_dir():
        return None
    total, _ = count_images([folder / "jpg"])
    names = ("imagelabels.mat", "setid.mat")
    missing = [name for name in names if not (folder / name).is_file()]
    if total < NUM_FLOWERS102:
        missing.append(f"{NUM_FLOWERS102 - total} of {NUM_FLOWERS102} photos")
    return Found(f"{total} photos as torchvision lays them out", ", ".join(missing))


def look_for_resnet34(data_dir: Path) -> Found | None:
    """Return what of ResNet-34's ImageNet weights lies in `data_dir`."""
    path = data_dir / RESNET34_FILE
    if not path.is_file():
        return None
    whole = path.stat().st_size >= RESNET34_BYTES
    return Found("the weights", "" if whole else "a part of the file")


CATALOGUE = {
    "cifar10": Downloadable(
        163, "course_utils.data.cifar10:prepare_cifar10", look_for_cifar10
    ),
    "flowers": Downloadable(
        218, "course_utils.data.flowers:prepare_flowers", look_for_flowers
    ),
    "flowers102": Downloadable(
        329, "course_utils.data.flowers102:prepare_flowers102", look_for_flowers102
    ),
    "resnet34": Downloadable(
        83, "course_utils.pretrained.backbones:prepare_resnet34", look_for_resnet34
    ),
}


def sizes(names: Iterable[str]) -> str:
    """Return sets with their sizes, for messages."""
    return ", ".join(f"{name} ({CATALOGUE[name].size_mib} MiB)" for name in names)
