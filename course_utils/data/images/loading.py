"""Any source of an image, made an upright RGB image."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.Image import Transpose

from course_utils.data.images.errors import ImageError, printable
from course_utils.data.images.sources import (
    Source,
    is_address,
    read_file,
    read_path,
    source_name,
)

MAX_MEGAPIXELS = 64  # decoded, 192 MB
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
EXPECTED = "expected a photo as JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF"
# What the orientation in a photo's EXIF data asks for; 1 is upright.
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# What often lies behind a name that promises a photo, by how it begins.
OTHERS = (
    (rb"(<\?xml|<!--|<!doctype svg).*<svg|<svg", "an SVG drawing"),
    (rb"(<!--.*)?(<!doctype html|<html|<head|<body)", "an HTML page"),
    (rb"%pdf", "a PDF document"),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC photo"),
    (rb".{4}ftyp", "a video"),
    (rb"pk\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"[{\[]", "JSON text"),
    (rb"\xff\xd8|\x89png|gif8|riff", "an image file damaged at its beginning"),
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

    Taught in: lesson 07, "Any photo, made the same".
    """
    name = source_name(source)
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source), name)
    if isinstance(source, Image.Image):
        return _decode(source, name, min_side=None)
    if is_address(source):
        from course_utils._engine.web import fetch_image_bytes  # httpx: 0.1 s

        data = fetch_image_bytes(source, allow_private=allow_private)
    elif isinstance(source, str | Path):
        data = read_path(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = read_file(source, name)
    else:
        raise TypeError(
            f"A {type(source).__name__} is no source of an image; give a path, an "
            "address, bytes, a file opened with 'rb', a PIL image or an array."
        )
    return _decode(_open(data, name), name, min_side)


def _open(data: bytes, name: str) -> Image.Image:
    """Return the image in a file's bytes, its header read, its pixels not decoded."""
    if not data:
        raise ImageError(f"{name} is empty (0 bytes), {EXPECTED}: copy it again.")
    Image.init()
    formats = [one for one in FORMATS if one in Image.OPEN]  # AVIF is not everywhere
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_too_many_pixels(name)) from None
    except Exception:  # a decoder that meets hostile bytes may raise anything
        found = _recognised(data)
    advice = "export it as JPEG" if "HEIC" in found else "give the photo itself"
    raise ImageError(f"{name} is {found}, {EXPECTED}: {advice}.")


def _recognised(data: bytes) -> str:
    head = data[:2048].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for pattern, what in OTHERS:
        if re.match(pattern, head, re.DOTALL):
            return what
    return "text" if head[:512].isascii() and b"\0" not in head else "no known image"


def _decode(image: Image.Image, name: str, min_side: int | None) -> Image.Image:
    """Return an image as upright RGB; of too many pixels, none is decoded."""
    if image.width * image.height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(_too_many_pixels(name, image.size))
    try:
        if min_side is not None:
            image.draft(None, (min_side, min_side))  # JPEG alone can do it
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        return _to_rgb(image.transpose(turn) if turn is not None else image, name)
    except ImageError:
        raise
    except Exception as error:  # see above
        raise ImageError(
            f"{name} is damaged or cut off ({printable(str(error))}): copy or download "
            "it again."
        ) from error


def _orientation(image: Image.Image) -> object:
    # after load(): Pillow turns a TIFF itself, and then says 1 here
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a photo is worth having though its EXIF data are broken
        return 1


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
    image = image.convert("RGB")
    image.info.clear()  # it is upright now: nothing shall turn it a second time
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    shape, kind = array.shape, array.dtype
    right = array.ndim == 2 or (array.ndim == 3 and shape[2] in (3, 4))
    if not right or not array.size or (kind != np.uint8 and kind.kind != "f"):
        turned = array.ndim == 3 and shape[0] in (1, 3, 4)
        hint = (
            "array.transpose(1, 2, 0) puts the channels last"
            if turned
            else "convert it"
        )
        raise ImageError(
            f"The array has shape {shape} and type {kind}; expected (H, W), (H, W, 3) "
            f"or (H, W, 4) of uint8, or of float in [0, 1]: {hint}."
        )
    if kind.kind == "f":
        low, high = array.min(), array.max()
        if not 0 <= low <= high <= 1:  # also where there is a NaN
            raise ImageError(
                f"The array's values go from {low:.3g} to {high:.3g}; expected floats "
                "in [0, 1], or uint8: undo the normalisation first."
            )
        array = np.round(array * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def _too_many_pixels(name: str, size: tuple[int, int] | None = None) -> str:
    found = f"{size[0]}×{size[1]} pixels" if size else "far too many pixels"
    return (
        f"{name} has {found}, more than {MAX_MEGAPIXELS} megapixels, and was not "
        "decoded: save it smaller."
    )
