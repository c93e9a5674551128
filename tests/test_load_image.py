"""`load_image`: hostile files and bytes, each with its picture or its sentence."""

import io
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_server import file_of, png_header
from PIL import ExifTags, Image, ImageFile
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngInfo

from course_utils.data.images import source_name
from course_utils.prediction import ImageError, load_image, sample_photos

# Red left of blue, on top of a green half: every turn of it looks different.
UPRIGHT = np.zeros((32, 48, 3), np.uint8)
UPRIGHT[:16, :24], UPRIGHT[:16, 24:], UPRIGHT[16:] = (
    (250, 0, 0),
    (0, 0, 250),
    (0, 250, 0),
)
PHOTO = Image.fromarray(UPRIGHT)
# How a camera stored it when it wrote that orientation.
STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def close_to(image, expected, levels=12):
    """On average no further away than JPEG's rounding takes it; a turn is 80 levels."""
    found = np.asarray(image).astype(int)
    assert image.mode == "RGB"
    assert found.shape == np.shape(expected)
    assert np.abs(found - expected).mean() < levels


def turned(orientation, format="JPEG"):
    method = STORED[orientation]
    stored = PHOTO if method is None else PHOTO.transpose(method)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    return file_of(stored, format, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(orientation, format):
    image = load_image(turned(orientation, format))
    close_to(image, UPRIGHT)
    close_to(load_image(image), UPRIGHT)  # not turned a second time


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("data", [b"II*\0\xff\xff\xff\x7fgarbage", b"what is this?"])
def test_broken_exif_data_do_not_cost_the_photo(data):
    close_to(load_image(file_of(PHOTO, "PNG", exif=b"Exif\0\0" + data)), UPRIGHT)


def half_transparent(mode):
    """Black, the left half of it wholly transparent: white once it is shown."""
    alpha = np.full((4, 8), 255, np.uint8)
    alpha[:, :4] = 0
    image = Image.new("RGBA", (8, 4))
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def transparent_palette():
    image = Image.new("P", (8, 4), 1)
    image.putpalette([10, 20, 30, 0, 0, 0])
    image.paste(0, (0, 0, 4, 4))
    return image


def transparent_grey():
    image = Image.new("L", (8, 4), 0)
    image.paste(77, (0, 0, 4, 4))
    return image


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(file_of(half_transparent("RGBA")), id="RGBA"),
        pytest.param(file_of(half_transparent("LA")), id="LA"),
        pytest.param(
            file_of(half_transparent("RGBA"), "WEBP", lossless=True), id="WebP"
        ),
        pytest.param(file_of(transparent_palette(), transparency=0), id="palette"),
        pytest.param(
            file_of(transparent_palette(), transparency=b"\0\xff"), id="palette-bytes"
        ),
        pytest.param(file_of(transparent_palette(), "GIF", transparency=0), id="GIF"),
        pytest.param(file_of(transparent_grey(), transparency=77), id="grey-tRNS"),
    ],
)
def test_transparency_is_laid_over_white(data):
    expected = np.zeros((4, 8, 3), np.uint8)
    expected[:, :4] = 255
    assert np.array_equal(load_image(data), expected)


DEEP = [[0, 257 * 10, 257 * 128, 65535]]


@pytest.mark.parametrize(
    ("kind", "format"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")]
)
def test_16_bits_are_scaled_not_clipped(kind, format):
    found = np.asarray(load_image(file_of(Image.fromarray(kind(DEEP)), format)))
    assert found[0].tolist() == [[v] * 3 for v in (0, 10, 128, 255)]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted(format):
    close_to(load_image(file_of(PHOTO.convert("CMYK"), format)), UPRIGHT)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_of(
        frames[0], format, save_all=True, append_images=frames[1:], **options
    )
    close_to(load_image(data), np.full((8, 8, 3), (255, 0, 0)))


@pytest.mark.parametrize(
    "format", ["JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "AVIF"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".txt"])
def test_what_the_file_holds_counts_not_its_name(tmp_path, format, suffix):
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format}")
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(file_of(PHOTO, format))
    close_to(load_image(path), UPRIGHT)


SVG = b"<?xml version='1.0'?>\n<!-- drawn --><svg xmlns='http://www.w3.org/2000/svg'/>"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
JPEG = file_of(Image.effect_noise((64, 64), 50), "JPEG")
PNG = file_of(Image.effect_noise((64, 64), 50))
TEXT = PngInfo()
TEXT.add_text("history", "a" * (2**20 + 1), zip=True)  # Pillow unpacks 1 MiB at most
LONG_TEXT = file_of(Image.new("L", (4, 4)), pnginfo=TEXT)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "is empty", id="zero-bytes"),
        pytest.param(SVG, "is an SVG drawing, expected a photo", id="svg"),
        pytest.param(b"\xef\xbb\xbf\n<!DOCTYPE html><p>", "is an HTML page", id="html"),
        pytest.param(b"<html><svg/></html>", "is an HTML page", id="html-with-svg"),
        pytest.param(b"%PDF-1.7", "is a PDF document", id="pdf"),
        pytest.param(HEIC, "is a HEIC photo.*saved as JPEG", id="heic"),
        pytest.param(b"\0\0\0\x18ftypisom", "is a video", id="video"),
        pytest.param(b"PK\3\4....", "is an archive", id="zip"),
        pytest.param(b"Rate limit", "is text, expected", id="text"),
        pytest.param(b"\1\2\0\3" * 99, "is no known image", id="noise"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "expected a photo", id="postscript"),
        pytest.param(JPEG[:30], "a damaged or overlong start", id="jpeg-header-only"),
        pytest.param(LONG_TEXT, "a damaged or overlong start", id="png-long-text"),
        pytest.param(JPEG[: len(JPEG) // 2], "is damaged or cut off", id="jpeg-half"),
        pytest.param(JPEG[:-20], "is damaged or cut off", id="jpeg-end-missing"),
        pytest.param(PNG[: len(PNG) // 2], "is damaged or cut off", id="png-half"),
        pytest.param(PNG[:400] + b"!!" + PNG[402:], "is damaged", id="png-flipped"),
        pytest.param(png_header(8, 2000), "is damaged or cut off", id="png-short"),
        pytest.param(png_header(20_000, 20_000), "far more than 64", id="bomb-400"),
        pytest.param(png_header(10_000, 10_000), "10000×10000, more", id="bomb-100"),
        pytest.param(png_header(8_001, 8_000), "8001×8000, more", id="bomb-64"),
        pytest.param(png_header(1, 64_000_001), "1×64000001, more", id="bomb-slim"),
        pytest.param(
            file_of(Image.new("F", (4, 4), 0.5), "TIFF"), "of 32 bits", id="float"
        ),
        pytest.param(
            file_of(Image.new("I", (4, 4), 70_000), "TIFF"), "of 32 bits", id="int"
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_photo_is_refused_in_one_sentence(data, sentence):
    with pytest.raises(ImageError, match=sentence) as refused:
        load_image(data)
    text = str(refused.value)
    assert text.startswith("the image ")
    assert re.fullmatch(r"[^\n]*: [^\n]+\.", text)  # and what to do


def test_a_bomb_is_refused_before_anything_is_decoded(monkeypatch):
    loaded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: loaded.append(self))
    with pytest.raises(ImageError, match="not decoded"):
        load_image(png_header(9_000, 9_000))
    assert loaded == []


def test_a_much_larger_jpeg_comes_reduced_when_asked_for():
    data = file_of(PHOTO.resize((960, 640)), "JPEG", quality=95)
    assert load_image(data).size == (960, 640)
    reduced = {side: load_image(data, min_side=side).size for side in (640, 320, 70, 1)}
    assert reduced == {640: (960, 640), 320: (480, 320), 70: (120, 80), 1: (120, 80)}
    expected = np.asarray(PHOTO.resize((120, 80)))
    close_to(load_image(data, min_side=80), expected)


def test_sources_of_every_kind_give_the_same_image(tmp_path):
    path = tmp_path / "two words – Blüte 花.png"
    path.write_bytes(file_of(PHOTO))
    data = path.read_bytes()
    with open(path, "rb") as file, Image.open(path) as image:
        sources = [path, str(path), data]
        skipped = io.BytesIO(b"skip" + data)
        skipped.seek(4)  # a file is read from where it stands
        for source in [*sources, file, skipped, image, UPRIGHT]:
            assert np.array_equal(load_image(source), UPRIGHT)
    assert np.array_equal(load_image(UPRIGHT / np.float32(255)), UPRIGHT)


def test_the_given_image_stays_as_it_was():
    image = Image.open(io.BytesIO(turned(6)))
    found = load_image(image)
    assert (image.size, found.size) == ((32, 48), (48, 32))
    image.load()  # still open
    same = load_image(PHOTO)
    same.putpixel((0, 0), (1, 2, 3))
    assert PHOTO.getpixel((0, 0)) == (250, 0, 0)


@pytest.mark.parametrize(
    ("array", "channels"),
    [
        (np.full((3, 5), 7, np.uint8), [7, 7, 7]),
        (np.full((3, 5, 4), (9, 8, 7, 255), np.uint8), [9, 8, 7]),
        (np.full((3, 5, 4), 0, np.uint8), [255, 255, 255]),
        (np.full((3, 5), 0.5), [128, 128, 128]),
        (np.full((5, 6, 3), 7, np.uint8)[::2, ::-1][:, :5], [7, 7, 7]),
    ],
    ids=["grey", "RGBA", "transparent", "float", "not-contiguous"],
)
def test_arrays(array, channels):
    found = np.asarray(load_image(array))
    assert found.shape == (3, 5, 3)
    assert (found == channels).all()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 8, 8), np.float32), r"\(3, 8, 8\).*transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 2), np.uint8), r"\(8, 8, 2\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"\(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (np.zeros((8, 8), np.int64), "type int64"),
        (np.full((8, 8, 3), -2.1), "go from -2.1 to -2.1.*undo the normalisation"),
        (np.full((8, 8, 3), 255.0), "go from 255"),
        (np.full((8, 8, 3), np.nan), "go from nan"),
    ],
    ids=["channels-first", "2-channels", "batch", "none", "int", "low", "high", "nan"],
)
def test_other_arrays_are_refused(array, sentence):
    with pytest.raises(ImageError, match=sentence):
        load_image(array)


def test_nothing_of_pillow_is_changed_and_threads_agree():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    sources = [turned(6), JPEG[:-20], file_of(half_transparent("RGBA"))] * 20

    def load(source):
        try:
            return np.asarray(load_image(source)).tobytes()
        except ImageError as error:
            return str(error)

    alone = [load(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(load, sources)) == alone
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert after == before


def test_other_objects_are_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="A list is no source"):
        load_image([1, 2])
    (tmp_path / "a.txt").write_text("words")
    with open(tmp_path / "a.txt") as file, pytest.raises(TypeError, match="'rb'"):
        load_image(file)


def test_paths_without_a_photo_are_refused(tmp_path, monkeypatch):
    expected = {
        tmp_path: "is a folder",
        tmp_path / "missing.jpg": "There is no file .*missing.jpg",
        "~/missing.jpg": "There is no file ~",
        "a\0b.jpg": r"a\\x00b.jpg cannot be read",
        "a" * 5000: "cannot be read|There is no file",
    }
    if sys.platform != "win32":  # which has no named pipes; waiting for one hangs
        os.mkfifo(tmp_path / "pipe.jpg")
        expected[tmp_path / "pipe.jpg"] = "a device or a pipe"
    for path, sentence in expected.items():
        with pytest.raises(ImageError, match=sentence):
            load_image(path)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"cannot be read \(Permission denied\)"):
        load_image(tmp_path / "a.jpg")


def test_names_in_messages():
    names = {
        "https://me:secret@host/a.jpg?q=1": "https://host/a.jpg?q=1",
        " HTTP://host/\x1b[31m": r"HTTP://host/\x1b[31m",
        "http://host/" + "a" * 200: "http://host/" + "a" * 107 + "…",
        "a\nb.jpg": r"a\nb.jpg",
        r"C:\photos\a.jpg": r"C:\photos\a.jpg",
    }
    assert {source: source_name(source) for source in names} == names
    file = io.BytesIO()
    file.name = "x.png"
    found = [source_name(s) for s in (b"", UPRIGHT, PHOTO, io.BytesIO(), file)]
    assert found == [*["the image"] * 4, "x.png"]


def test_sample_photos_are_real_photos():
    photos = sample_photos()
    assert {"china", "flower"} <= set(photos)
    for path in photos.values():
        assert min(load_image(path).size) > 200
