"""Flower photos of five classes: found in either layout, downloaded, or drawn.

Source: The TensorFlow Team, "Flowers", 2019; photos under Creative Commons licences,
their authors named in the archive's LICENSE.txt.
"""

from pathlib import Path

import numpy as np

from course_utils._engine.cache import Arrays, load_or_make
from course_utils._engine.download import download, extract
from course_utils.data.fallback import photos_or_sketches
from course_utils.data.layout import FLOWER_CLASSES, flower_parts, flowers_there
from course_utils.data.layout import FLOWERS_FOLDER as FOLDER
from course_utils.data.layout import FLOWERS_MD5 as MD5
from course_utils.data.photo_splits import (
    PhotoSplits,
    load_photo_folder,
    split_by_class,
)
from course_utils.data.photos import PackedPhotos, pack

ARCHIVE = "flower_photos.tgz"
SIZE_BYTES = 228_813_984
URLS = (
    f"https://storage.googleapis.com/download.tensorflow.org/example_images/{ARCHIVE}",
    f"https://download.tensorflow.org/example_images/{ARCHIVE}",
)
NUM_SKETCHES = 2000


def load_flowers(
    data_dir: Path | None, *, short_side: int = 128, seed: int = 0
) -> PhotoSplits:
    """Return the flower photos in three parts, or their sketches.

    Looks into `data_dir` for ``flower_photos/<class>/``, or for
    ``flower_photos/{train,val}/<class>/``, whose two parts are read as one; downloads
    the archive where that is allowed. Where there are no photos, or they cannot be
    used, one sentence says so, and it draws.

    Args:
        data_dir: Folder of data sets (`session.data_dir`); ``None`` for the sketches.
        short_side: Shorter side to which larger photos are shrunk, in pixels.
        seed: Seed of the split.

    Taught in: lesson 06, "Look at the data".
    """

    def read(data_dir: Path) -> PhotoSplits:
        return load_photo_folder(
            flower_parts(data_dir / FOLDER),
            classes=FLOWER_CLASSES,
            name="flower photos",
            short_side=short_side,
            seed=seed,
        )

    return photos_or_sketches(
        "flowers",
        data_dir,
        prepare=prepare_flowers,
        read=read,
        draw=lambda: _sketches(seed),
    )


def prepare_flowers(folder: Path) -> Path:
    """Return the folder of the photos in `folder`, filled first if it is not whole.

    Raises:
        DownloadError: If no mirror delivered it, or it cannot be saved.
    """
    if not (folder / FOLDER).is_dir() or flowers_there(folder / FOLDER)[1]:
        archive = download(
            "flower photos", URLS, folder / ARCHIVE, size_bytes=SIZE_BYTES, checksum=MD5
        )
        extract(archive, folder)
    return folder / FOLDER


def _sketches(seed: int) -> PhotoSplits:
    import course_sketches as sketches

    def draw() -> Arrays:
        print(f"Drawing {NUM_SKETCHES} sketches, once …")
        images, labels = sketches.draw_flower_sketches(NUM_SKETCHES)
        pixels, shapes = pack(images)
        return {"pixels": pixels, "shapes": shapes, "labels": labels}

    key = f"flower-sketches-{NUM_SKETCHES}-{sketches.drawing_code_key()}"
    arrays = load_or_make(key, draw)
    labels = arrays["labels"].astype(np.int64)
    return PhotoSplits(
        name="flowers",
        source="built-in sketches",
        is_photos=False,
        classes=FLOWER_CLASSES,
        photos=PackedPhotos(arrays["pixels"], arrays["shapes"]),
        labels=labels,
        split=split_by_class(labels, seed=seed),
    )
