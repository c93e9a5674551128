"""Flowers-102, as torchvision lays it out, in its official protocol and a swapped one.

Source: M.-E. Nilsback and A. Zisserman, "Automated Flower Classification over a Large
Number of Classes", 2008.
"""

from pathlib import Path

import numpy as np
from torchvision.datasets import Flowers102

from course_utils._engine.download import DownloadError, download, extract
from course_utils.data.layout import FLOWERS102_FOLDER as FOLDER
from course_utils.data.layout import FLOWERS102_MD5, count_images
from course_utils.data.layout import NUM_FLOWERS102 as NUM_IMAGES
from course_utils.data.photo_splits import PhotoSplits, Split
from course_utils.data.photos import load_photos

# The second is Baidu's copy, of the same checksums.
MIRRORS = (
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
    "https://paddlemodels.bj.bcebos.com/flowers",
)
# name: size in bytes, MD5 checksum
FILES = {
    "102flowers.tgz": (344_862_509, FLOWERS102_MD5),
    "imagelabels.mat": (502, "e0620be6f572b9609742df49c70aed4d"),
    "setid.mat": (14_989, "a5357ecc9cb78c4bef273ce3793fc85c"),
}
# Which of torchvision's parts is the training, the validation and the test part.
PROTOCOLS = {
    "official": ("train", "val", "test"),
    "swapped": ("test", "val", "train"),
}


def load_flowers102(
    data_dir: Path | None, *, protocol: str = "official", short_side: int = 256
) -> PhotoSplits:
    """Return 8 189 photos of 102 kinds of flowers in three parts.

    Looks for ``flowers-102/`` in `data_dir`, and downloads it where that is allowed.

    Args:
        data_dir: Folder of data sets (`session.data_dir`).
        protocol: ``"official"``: 1 020 / 1 020 / 6 149 images. ``"swapped"``, as some
            tutorials have it: 6 149 / 1 020 / 1 020, six times as many to train on. An
            accuracy of the one says nothing about the other.
        short_side: Shorter side to which larger photos are shrunk, in pixels.

    Raises:
        DownloadError: If the photos are neither there nor to be had.
        ValueError: If there is no such protocol, or a file is damaged.

    Taught in: lesson 06b, "Flowers-102, and what may be compared".
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"There is no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}."
        )
    if data_dir is None:
        raise DownloadError(
            "Flowers-102 has no drawn images, and COURSE_DATA says to use those; name "
            "a folder with COURSE_DATA=DIR."
        )
    prepare_flowers102(data_dir)
    # With Path for its loader, an entry is a path and a label.
    parts = [list(Flowers102(data_dir, s, loader=Path)) for s in PROTOCOLS[protocol]]
    listed = [entry for part in parts for entry in part]
    rng, ends = np.random.default_rng(0), np.cumsum([len(part) for part in parts])
    return PhotoSplits(
        name="Flowers-102",
        source=f"photos, {protocol} protocol",
        is_photos=True,
        classes=tuple(Flowers102.classes),
        photos=load_photos(data_dir / FOLDER, listed, short_side),
        labels=np.array([label for _, label in listed], dtype=np.int64),
        split=Split(*map(rng.permutation, np.split(np.arange(ends[2]), ends[:2]))),
    )


def prepare_flowers102(folder: Path) -> Path:
    """Return ``flowers-102/`` in `folder`, made whole if need be.

    Raises:
        DownloadError: If no mirror delivered it, or it cannot be saved.
    """
    target = folder / FOLDER
    for name, (size_bytes, md5) in FILES.items():
        is_archive = name.endswith(".tgz")
        if is_archive and count_images([target / "jpg"])[0] >= NUM_IMAGES:
            continue
        title, urls = f"Flowers-102's {name}", [f"{one}/{name}" for one in MIRRORS]
        path = download(title, urls, target / name, size_bytes=size_bytes, checksum=md5)
        if is_archive:
            extract(path, target)
    return target
