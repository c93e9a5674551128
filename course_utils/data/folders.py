"""Images in one folder a class: listed, checked and decoded."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from course_utils.data.arrays import LabelledImages
from course_utils.data.images import load_image
from course_utils.data.layout import is_image


def list_images(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return every image's path with its label, sorted by class and name.

    Args:
        folder: Holds one folder a class.
        classes: Names of those folders; a label is a position in it.

    Raises:
        FileNotFoundError: If a class folder is missing or holds no image.
    """
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    missing = [name for name in classes if name not in found]
    if missing:
        others = sorted(found - set(classes))
        raise FileNotFoundError(
            f"{folder} has no folder {', '.join(missing)}"
            + (f" (but has {', '.join(others)})" if others else "")
            + f"; it needs one folder for each of {', '.join(classes)}: copy it again."
        )
    listed = []
    for label, name in enumerate(classes):
        paths = sorted(path for path in (folder / name).iterdir() if is_image(path))
        if not paths:
            raise FileNotFoundError(
                f"The class folder {folder / name} holds no .jpg or .png image; copy "
                "it again."
            )
        listed += [(path, label) for path in paths]
    return listed


def unusable(error: Exception) -> str:
    """Return a sentence for photos that could not be read: our own, or the system's."""
    if isinstance(error, OSError) and error.strerror:
        what = error.filename or "A file of the data set"
        return f"{what} cannot be read ({error.strerror}): copy the data again."
    return str(error)


def listing_key(folder: Path, listed: Sequence[tuple[Path, int]]) -> str:
    """Return a short hash of the files' names, sizes and times, for the cache."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path, label in listed:
        status = path.stat()
        line = f"{path.name}|{label}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def decode(listed: Sequence[tuple[Path, int]], size: int) -> LabelledImages:
    """Return the listed images as one array, with their labels.

    Args:
        listed: Paths and labels, from `list_images`.
        size: Height and width that every image must have, in pixels.

    Raises:
        ValueError: If a file is no readable image, or has another size.
    """
    images = np.empty((len(listed), size, size, 3), dtype=np.uint8)
    for index, (path, _) in enumerate(listed):
        try:
            with Image.open(path) as image:
                if image.size != (size, size):
                    raise ValueError(
                        f"{path} is {image.width}×{image.height} pixels; expected "
                        f"{size}×{size}: is this the right data set?"
                    )
                images[index] = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise ValueError(
                f"{path} cannot be read as an image ({error}); copy it again or "
                "delete it."
            ) from error
    return LabelledImages(
        images, np.array([label for _, label in listed], dtype=np.int64)
    )


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
    return np.array(image)  # a copy: PyTorch warns of arrays that are read-only
