"""Any source of an image, made an upright RGB image.

Training reads its photos with the same function as prediction; lessons import it from
`course_utils.prediction`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from course_utils._engine.errors import ImageError, printable, shown

Source = str | Path | bytes | IO[bytes] | Image.Image | np.ndarray

ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # C: is a drive
MAX_MEGAPIXELS = 64  # decoded, 192 MB
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
# What often lies behind a name that promises a photo, by how it begins.
OTHERS = (
    (rb"\Z", "empty (0 bytes)"),
    (rb"(<\?xml|<!--|<!doctype svg).*<svg|<svg", "an SVG drawing"),
    (rb"(<!--.*)?(<!doctype html|<html|<head|<body)", "an HTML page"),
    (rb"%pdf", "a PDF document"),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC photo"),
    (rb".{4}ftyp", "a video"),
    (rb"pk\x03\x04|\x1f\x8b", "an archive"),
    (rb"\xff\xd8|\x89png|gif8|riff", "an image file with a damaged or overlong start"),
    (rb"[\s -~]*\Z", "text"),
    (rb"", "no known image"),
)
# Photos that installed packages bring; scikit-learn comes with the course.
SAMPLES = (
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
    ("skimage", "data", ("chelsea.png", "coffee.png", "rocket.jpg")),
)


def load_image(
    source: Source, *, allow_private: bool = False, min_side: int | None = None
) -> Image.Image:
    """Return any source of an image as an upright image of mode RGB.

    What the file is decides its content, never its name or the server's word. The
    EXIF orientation is applied, transparency is laid over white, 16 bits a channel are
    scaled to 8, and of an animation the first frame is taken. Colour profiles are not
    applied. Nothing of Pillow is changed for others, so threads may call this.

    Args:
        source: A path; an address (http or https); the bytes of a file; a file opened
            with "rb", read from where it stands; a PIL image; or an array, uint8 or
            float in [0, 1], of shape (H, W), (H, W, 3) or (H, W, 4).
        allow_private: Whether addresses of this machine and of its own network may
            be asked for a photo.
        min_side: If given, a much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its
            size, which is several times faster; its shorter side keeps at least this
            many pixels.

    Raises:
        ImageError: If the source gives no image: it is missing, damaged, something
            else, or larger than 64 megapixels. `WebError`, if an address failed.
        TypeError: If the source is of none of these kinds.

    Taught in: lesson 07b, "What may be in the file".
    """
    name = source_name(source)
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source), name)
    if isinstance(source, Image.Image):
        return _decode(source, name, min_side=None)
    if _is_address(source):
        from course_utils._engine.web import fetch_image_bytes  # httpx: 0.1 s

        source = fetch_image_bytes(source.strip(), allow_private=allow_private)
    if isinstance(source, bytes):
        file = io.BytesIO(source)
    elif isinstance(source, str | Path):
        file = _open_path(source, name)
    elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        file = io.BytesIO(source.read())
    else:
        raise TypeError(
            f"A {type(source).__name__} is no source of an image; give a path, an "
            "address, bytes, a file opened with 'rb', a PIL image or an array."
        )
    with file:
        return _decode(_open(file, name), name, min_side)


def missing_file(source: str | Path) -> str:
    """Return the sentence on a path that leads nowhere; "" for any other source."""
    if _is_address(source):
        return ""
    try:
        os.stat(os.path.expanduser(source))
    except FileNotFoundError:
        return (
            f"There is no file {source_name(source)}: check the spelling, and the "
            f"folder, which is {os.getcwd()}."
        )
    except (OSError, ValueError):  # there is something: load_image says what is wrong
        pass
    return ""


def source_name(source: Source) -> str:
    """Return what to call a source in messages and tables."""
    if _is_address(source):
        return shown(source.strip())
    if isinstance(source, str | Path):
        return printable(str(source))
    own = getattr(source, "filename", "") or getattr(source, "name", "")
    return printable(str(own)) or "the image"


def sample_photos() -> dict[str, Path]:
    """Return the photos that installed packages bring: name → path.

    scikit-learn brings a temple (``china``) and a dahlia (``flower``); scikit-image,
    where it is installed, a cat (``chelsea``) and more. Nothing is imported.

    Taught in: lesson 07, "Two networks, the same photos".
    """
    found = {}
    for package, folder, files in SAMPLES:
        spec = find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            paths = [Path(root, folder, file) for file in files]
            found |= {path.stem: path for path in paths if path.is_file()}
    return found


def _is_address(source: object) -> bool:
    return isinstance(source, str) and ADDRESS.match(source) is not None


def _open_path(source: str | Path, name: str) -> IO[bytes]:
    """Return a photo's file, opened; no pipe, which would be waited for."""
    if text := missing_file(source):
        raise ImageError(text)
    path = os.path.expanduser(source)
    if os.path.isdir(path):
        raise ImageError(
            f"{name} is a folder, expected one photo: name a file in it, or use "
            "predict_folder."
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageError(
            f"{name} is a device or a pipe, expected a file: name the photo's file."
        )
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name} cannot be read ({reason}): try a copy.") from None


def _open(file: IO[bytes], name: str) -> Image.Image:
    """Return the image in a file, its header read, its pixels not decoded."""
    Image.init()
    formats = [one for one in FORMATS if one in Image.OPEN]  # AVIF is not everywhere
    try:
        return Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        raise ImageError(_too_many_pixels(name, "far more")) from None
    except Exception:  # a decoder that meets hostile bytes may raise anything
        file.seek(0)
        head = file.read(2048).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = next(what for how, what in OTHERS if re.match(how, head, re.DOTALL))
    raise ImageError(
        f"{name} is {found}, expected a photo as JPEG, PNG, GIF, WebP, BMP, TIFF or "
        "AVIF: give the photo itself, saved as JPEG."
    )


def _decode(image: Image.Image, name: str, min_side: int | None) -> Image.Image:
    """Return an image as upright RGB; of too many pixels, none is decoded."""
    if image.width * image.height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(_too_many_pixels(name, f"{image.width}×{image.height}, more"))
    try:
        if min_side is not None:
            image.draft(None, (min_side, min_side))  # JPEG alone can do it
        image.load()
        with contextlib.suppress(Exception):  # broken EXIF data do not cost the photo
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image, name)
    except ImageError:
        raise
    except Exception as error:  # see above
        raise ImageError(
            f"{name} is damaged or cut off ({printable(str(error))}): copy or download "
            "it again."
        ) from error


def _too_many_pixels(name: str, found: str) -> str:
    return (
        f"{name} has too many pixels ({found} than {MAX_MEGAPIXELS} megapixels), and "
        "was not decoded: save it smaller."
    )


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and max(image.getextrema()) > 65535):
        raise ImageError(
            f"{name} has pixels of 32 bits, whose range is not known, expected 8 or "
            "16: save it with 8 bits a channel."
        )
    if image.mode.startswith("I"):  # 16 bits: the upper half, not clipped to 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    shape, kind = array.shape, array.dtype
    right = array.ndim == 2 or (array.ndim == 3 and shape[2] in (3, 4))
    if not right or not array.size or (kind != np.uint8 and kind.kind != "f"):
        raise ImageError(
            f"The array has shape {shape} and type {kind}; expected (H, W), (H, W, 3) "
            "or (H, W, 4) of uint8, or of float in [0, 1]. Where the channels come "
            "first, array.transpose(1, 2, 0) puts them last."
        )
    if kind.kind == "f":
        low, high = array.min(), array.max()
        if not 0 <= low <= high <= 1:  # also where there is a NaN
            raise ImageError(
                f"The array's values go from {low:.3g} to {high:.3g}; expected floats "
                "in [0, 1], or uint8: undo the normalisation first."
            )
        array = np.round(array * 255).astype(np.uint8)
    return Image.fromarray(array)
