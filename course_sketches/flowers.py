"""The built-in flowers: drawn images of the five classes of the flower photos."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from course_sketches.backdrops import draw_backdrop, occlude
from course_sketches.colours import hsv
from course_sketches.looks import choose_look
from course_sketches.pen import Pen
from course_sketches.scene import draw_balanced, light, photograph
from course_sketches.stands import (
    ARRANGEMENTS,
    BLOOMS,
    HABITS,
    Stand,
    draw_arrangement,
    draw_flower,
)

Rng = np.random.Generator
FINE = 3  # pixels drawn for one pixel of the picture, each way


def draw_flower_sketches(
    num_images: int, seed: int = 0, size: int = 96
) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn images of five flowers, shuffled, with their labels.

    Image i of a seed is always the same, however many are drawn; every run of five
    images that starts at a multiple of five holds each class once.

    Args:
        num_images: how many images to draw, at least 1.
        seed: a non-negative number that chooses the images.
        size: side of an image, in pixels, at least 16.

    Returns:
        The images, uint8 (num_images, size, size, 3), RGB, and the labels, int64
        (num_images,): 0 daisy, 1 dandelion, 2 roses, 3 sunflowers, 4 tulips.

    Raises:
        ValueError: if num_images is below 1.

    Taught in: lesson 06, "Look at the data".
    """
    flowers = tuple(BLOOMS)

    def draw(label: int, rng: Rng) -> np.ndarray:
        return _draw_picture(flowers[label], rng, size)

    return draw_balanced(draw, len(flowers), num_images, seed, size)


def _draw_picture(flower: str, rng: Rng, size: int) -> np.ndarray:
    """Return a picture of the flower, uint8 (size, size, 3)."""
    look = choose_look(flower, rng)
    kind = ARRANGEMENTS[rng.choice(len(ARRANGEMENTS), p=HABITS[flower][0])]
    picture = _backdrop(kind, rng, size)
    if (kind in ("few", "field") and rng.random() < 0.5) or rng.random() < 0.1:
        pen = Pen(size, (0, 0), size, False)
        for _ in range(rng.integers(2, 5)):
            x, y, r = rng.uniform((0, 0.1, 0.06), (1, 0.7, 0.14))
            draw_flower(pen, rng, flower, look, Stand(x, y, r, (x, 1.1)), leaves=0)
        _lay(picture, pen, rng, size, blur=rng.uniform(0.5, 1.6) * size / 96)
    pen = Pen(size * FINE, (0, 0), size * FINE, False)
    draw_arrangement(pen, rng, flower, look, kind)
    _lay(picture, pen, rng, size, blur=0.0)
    if rng.random() < 0.1:
        occlude(picture, rng, size)
    return photograph(picture, rng, size, shake=0.6)


def _backdrop(kind: str, rng: Rng, size: int) -> np.ndarray:
    """Return what lies behind, often out of focus, float32 (size, size, 3)."""
    settings, chances = ("garden", "air", "home"), (0.72, 0.13, 0.15)
    if kind in ("vase", "bunch"):
        chances = (0.25, 0.05, 0.7)
    picture = draw_backdrop(settings[rng.choice(3, p=chances)], rng, size)
    picture += rng.uniform(-15, 40)
    focus = rng.random()
    if focus > 0.65:
        return picture
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    if focus < 0.4:  # lights and blossoms too near or too far for the lens
        draw = ImageDraw.Draw(image, "RGBA")
        hue, spread = rng.random(), rng.uniform(0.03, 0.4)
        for _ in range(rng.integers(4, 13)):
            (x, y), r = rng.uniform(0, size, 2), rng.uniform(0.03, 0.11) * size
            tone = hsv(
                (hue + rng.normal(0, spread)) % 1,
                rng.uniform(0.1, 0.7),
                rng.uniform(0.5, 1),
            )
            draw.ellipse(
                (x - r, y - r, x + r, y + r), fill=(*tone, int(rng.integers(50, 190)))
            )
    blur = rng.uniform(0.01, 0.045) * size
    return np.asarray(image.filter(ImageFilter.BoxBlur(blur)), dtype=np.float32).copy()


def _lay(picture: np.ndarray, pen: Pen, rng: Rng, size: int, blur: float) -> None:
    """Lay what the pen drew onto the picture, with a soft shade round it."""
    image = pen.image.reduce(pen.image.width // size)
    layer = np.asarray(image, dtype=np.float32)
    if blur:
        solid = layer.copy()
        solid[..., :3] *= layer[..., 3:] / 255
        image = Image.fromarray(solid.astype(np.uint8))
        layer = np.asarray(image.filter(ImageFilter.BoxBlur(blur)), dtype=np.float32)
        picture *= 1 - layer[..., 3:] / 255
        picture += layer[..., :3]
        return
    alpha = layer[..., 3:] / 255
    mask = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
    soft = np.asarray(mask.filter(ImageFilter.BoxBlur(size / 16)), np.float32) / 255
    subject = light(layer[..., :3], soft, rng)
    picture *= 1 - rng.uniform(0, 0.45) * soft[..., None]
    picture += alpha * (subject - picture)
