"""The built-in data: drawn images of the ten classes of CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from course_utils.data import sketch_animals as animals
from course_utils.data import sketch_vehicles as vehicles
from course_utils.data.sketch_pen import Colour, Pen, hsv, mix, paint, shade

Rng = np.random.Generator
Drawing = Callable[[Pen, Rng], str]

CIFAR10_DRAWINGS: tuple[Drawing, ...] = (
    vehicles.draw_airplane,
    vehicles.draw_automobile,
    animals.draw_bird,
    animals.draw_cat,
    animals.draw_deer,
    animals.draw_dog,
    animals.draw_frog,
    animals.draw_horse,
    vehicles.draw_ship,
    vehicles.draw_truck,
)
SUPERSAMPLE = 4
# How often each backdrop stands behind a subject that belongs there; the rows
# overlap, so that the backdrop alone does not give the class away.
BACKDROPS = ("sky", "grass", "sand", "snow", "sea", "street", "leaves", "room", "plain")
SETTINGS = {
    "air": (0.52, 0.06, 0.04, 0.06, 0.10, 0.06, 0.08, 0.00, 0.08),
    "land": (0.03, 0.34, 0.12, 0.10, 0.05, 0.06, 0.18, 0.02, 0.10),
    "water": (0.05, 0.05, 0.06, 0.07, 0.60, 0.05, 0.04, 0.01, 0.07),
    "road": (0.03, 0.16, 0.10, 0.08, 0.07, 0.36, 0.06, 0.02, 0.12),
    "home": (0.00, 0.14, 0.05, 0.03, 0.01, 0.07, 0.10, 0.45, 0.15),
}


def draw_cifar10_sketches(
    num_images: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn images of CIFAR-10's ten classes, shuffled, with their labels.

    Image i of a seed is always the same, however many are drawn; every run of ten
    images that starts at a multiple of ten holds each class once.

    Args:
        num_images: how many images to draw, at least 1.
        seed: a non-negative number that chooses the images.

    Returns:
        images: uint8 (num_images, 32, 32, 3), RGB.
        labels: int64 (num_images,), 0 to 9 in CIFAR-10's order.

    Raises:
        ValueError: if num_images is below 1 or seed is negative.

    Taught in: lesson 03, "Look at the data".
    """
    if num_images < 1:
        raise ValueError(
            f"num_images is {num_images}, but at least 1 image can be drawn; "
            "pass a positive number."
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}, but seeds start at 0; pass 0 or more.")
    images = np.empty((num_images, 32, 32, 3), dtype=np.uint8)
    labels = np.empty(num_images, dtype=np.int64)
    for i in range(num_images):
        if i % 10 == 0:
            order = np.random.default_rng((seed, 0, i // 10)).permutation(10)
        labels[i] = order[i % 10]
        rng = np.random.default_rng((seed, 1, i))
        images[i] = draw_scene(CIFAR10_DRAWINGS[labels[i]], rng, size=32)
    return images, labels


def draw_scene(drawing: Drawing, rng: Rng, size: int) -> np.ndarray:
    """Return a picture of a subject before a backdrop, uint8 (size, size, 3).

    Args:
        drawing: draws the subject with a pen and returns a key of SETTINGS.
        rng: where all that varies is drawn from.
        size: side of the picture, in pixels.
    """
    fine = size * SUPERSAMPLE
    x, y = fine * (0.5 + rng.normal(0, 0.06, 2))
    pen = Pen(fine, (x, y), fine * rng.uniform(0.3, 0.48), rng.random() < 0.5)
    setting = drawing(pen, rng)
    layer = np.asarray(pen.image.reduce(SUPERSAMPLE), dtype=np.float32)
    alpha = layer[..., 3:] / 255
    subject = _lit(layer[..., :3], alpha, rng)
    picture = _backdrop(setting, rng, size)
    if setting in ("land", "road", "home"):
        picture *= _shadow(alpha[..., 0], rng)
    picture += alpha * (subject - picture)
    if rng.random() < 0.35:
        _occlude(picture, rng, size)
    return _photograph(picture, rng, size)


def _lit(colours: np.ndarray, alpha: np.ndarray, rng: Rng) -> np.ndarray:
    """Return the subject with a bright and a dark side, as if it were round."""
    size = len(colours)
    mask = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
    soft = np.asarray(mask.filter(ImageFilter.BoxBlur(size / 12)), np.float32) / 255
    down, right = np.gradient(soft)
    angle = rng.uniform(-0.2, 1.2) * math.pi
    relief = down * math.sin(angle) + right * math.cos(angle)
    gain = 1 + rng.uniform(0.8, 2.6) * size / 32 * relief
    return colours * np.clip(gain, 0.5, 1.45)[..., None]


def _shadow(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """Return the darkening of the ground under the subject, (size, size, 1)."""
    size = len(mask)
    rows = np.flatnonzero(mask.max(axis=1) > 0.5)
    if len(rows) == 0:
        return np.ones((size, size, 1), dtype=np.float32)
    weight = mask[rows[0] : rows[-1] + 1].sum(axis=0) + 1e-6
    middle = float((weight * np.arange(size)).sum() / weight.sum())
    x = (np.arange(size) - middle - rng.uniform(-0.1, 0.1) * size) / (0.36 * size)
    y = (np.arange(size) - rows[-1]) / (0.08 * size)
    dark = np.exp(-(x[None, :] ** 2) - y[:, None] ** 2)
    return (1 - rng.uniform(0.2, 0.6) * dark)[..., None].astype(np.float32)


def _clouds(rng: Rng, size: int, cells: tuple[int, int]) -> np.ndarray:
    """Return smooth random values around 0, (size, size, 1)."""
    coarse = Image.fromarray(rng.normal(size=cells).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))[..., None]


def _gradient(top: Colour, bottom: Colour, size: int) -> Image.Image:
    column = np.linspace(top, bottom, size).astype(np.uint8)[:, None]
    return Image.fromarray(column).resize((size, size))


def _sky(rng: Rng) -> tuple[Colour, Colour]:
    kind = rng.random()
    if kind < 0.55:
        top = hsv(rng.uniform(0.53, 0.62), rng.uniform(0.25, 0.7), rng.uniform(0.6, 1))
        return top, mix(top, (240, 244, 248), rng.uniform(0.3, 0.9))
    if kind < 0.8:
        grey = hsv(0.6, rng.uniform(0, 0.12), rng.uniform(0.5, 0.95))
        return grey, mix(grey, (250, 250, 250), rng.uniform(0, 0.6))
    top = hsv(rng.uniform(0.55, 0.8), 0.5, rng.uniform(0.25, 0.7))
    return top, hsv(rng.uniform(0.02, 0.13), rng.uniform(0.3, 0.7), 0.95)


def _ground(kind: str, rng: Rng) -> Colour:
    if kind == "grass":
        return hsv(
            rng.uniform(0.16, 0.38), rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.75)
        )
    if kind == "sand":
        return hsv(
            rng.uniform(0.06, 0.14), rng.uniform(0.15, 0.5), rng.uniform(0.45, 0.9)
        )
    if kind == "snow":
        return hsv(0.6, rng.uniform(0, 0.12), rng.uniform(0.8, 0.98))
    if kind == "sea":
        return hsv(
            rng.uniform(0.45, 0.64), rng.uniform(0.2, 0.75), rng.uniform(0.3, 0.8)
        )
    return hsv(rng.random(), rng.uniform(0, 0.1), rng.uniform(0.3, 0.65))


def _backdrop(setting: str, rng: Rng, size: int) -> np.ndarray:
    """Return what lies behind the subject, float32 (size, size, 3)."""
    kind = BACKDROPS[rng.choice(len(BACKDROPS), p=SETTINGS[setting])]
    fine = size * 2
    horizon = int(fine * rng.uniform(0.22, 0.72))
    top, bottom = _sky(rng)
    if kind in ("plain", "leaves"):
        top = paint(rng) if kind == "plain" else _ground("grass", rng)
        bottom = shade(top, rng.uniform(0.5, 1.3))
    elif kind == "room":
        top = hsv(rng.random(), rng.uniform(0, 0.45), rng.uniform(0.35, 0.95))
        bottom = shade(top, rng.uniform(0.75, 1.0))
    image = _gradient(top, bottom, fine)
    draw = ImageDraw.Draw(image)
    texture = rng.uniform(3, 12)
    cells = (5, 4)
    if kind == "sky":
        cells, texture = (7, 4), rng.uniform(4, 24)
    elif kind == "leaves":
        cells, texture = (8, 8), rng.uniform(10, 26)
        for _ in range(12):
            x, y = rng.uniform(0, fine, 2)
            r = rng.uniform(0.05, 0.16, 2) * fine
            leaf = mix(shade(top, rng.uniform(0.5, 1.3)), paint(rng), 0.12)
            draw.ellipse((x - r[0], y - r[1], x + r[0], y + r[1]), fill=leaf)
    elif kind == "room":
        _furnish(draw, rng, fine, horizon)
    elif kind != "plain":
        ground = _ground(kind, rng)
        if kind == "street" and rng.random() < 0.75:
            _houses(draw, rng, fine, horizon)
        elif rng.random() < 0.6:
            _hills(draw, rng, fine, horizon, ground)
        draw.rectangle((0, horizon, fine, fine), fill=ground)
        _strew(draw, rng, fine, horizon, ground, kind)
    picture = np.array(image.reduce(2), dtype=np.float32)
    picture += texture * _clouds(rng, size, cells)
    return picture


def _furnish(draw: ImageDraw.ImageDraw, rng: Rng, size: int, floor: int) -> None:
    """Draw a floor, a skirting board and a window, picture or piece of furniture."""
    for _ in range(rng.integers(1, 4)):
        x, y, w, h = rng.uniform((-0.1, 0, 0.2, 0.2), (0.8, 0.5, 0.6, 0.6)) * size
        frame = paint(rng)
        draw.rectangle((x, y, x + w, y + h), fill=frame)
        inner = mix(frame, (200, 220, 235), rng.random())
        draw.rectangle((x + 3, y + 3, x + w - 3, y + h - 3), fill=inner)
    wood = hsv(rng.uniform(0, 0.14), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.85))
    if rng.random() < 0.4:
        wood = paint(rng)
    draw.rectangle((0, floor, size, size), fill=wood)
    draw.rectangle((0, floor - 3, size, floor), fill=shade(wood, rng.uniform(0.4, 1.6)))
    for x in np.arange(rng.uniform(-40, 0), size + 40, rng.uniform(8, 24)):
        line = (x, floor, x + (x - size / 2), size)
        draw.line(line, fill=shade(wood, 0.85))


def _houses(draw: ImageDraw.ImageDraw, rng: Rng, size: int, ground: int) -> None:
    x = rng.uniform(-12, 0)
    while x < size:
        width, height = rng.uniform(0.12, 0.4) * size, rng.uniform(0.15, 0.8) * ground
        wall = mix(paint(rng), (150, 145, 140), 0.6)
        draw.rectangle((x, ground - height, x + width, ground), fill=wall)
        lit = shade(wall, rng.choice([0.6, 1.4]))
        for wx in np.arange(x + 2, x + width - 3, 5):
            for wy in np.arange(ground - height + 2, ground - 3, 6):
                draw.rectangle((wx, wy, wx + 2, wy + 2), fill=lit)
        x += width + rng.uniform(0, 0.1) * size


def _hills(
    draw: ImageDraw.ImageDraw, rng: Rng, size: int, ground: int, colour: Colour
) -> None:
    xs = np.linspace(-2, size + 2, 9)
    far = mix(shade(colour, rng.uniform(0.5, 0.9)), paint(rng), 0.15)
    heights = ground - np.abs(rng.normal(0, 0.09 * size, 9)) - 1
    ridge = list(zip(xs.tolist(), heights.tolist(), strict=True))
    draw.polygon([(-2, ground), *ridge, (size + 2, ground)], fill=far)
    if rng.random() < 0.4:
        for x in rng.uniform(0, size, 6).tolist():
            r = rng.uniform(0.04, 0.12) * size
            draw.ellipse((x - r, ground - 2 * r, x + r, ground), fill=shade(far, 0.7))


def _strew(
    draw: ImageDraw.ImageDraw, rng: Rng, size: int, top: int, colour: Colour, kind: str
) -> None:
    """Draw what lies on the ground: waves, tufts, stones, lane marks."""
    if kind == "street":
        y = rng.uniform(top, size)
        mark = shade(colour, rng.choice([0.6, 1.6]))
        draw.line((0, y, size, y + rng.uniform(-14, 14)), fill=mark, width=2)
        return
    for _ in range(14):
        y = top + (size - top) * rng.random()
        x, near = rng.uniform(0, size), (y - top) / (size - top + 1) + 0.2
        length = (0.22 if kind == "sea" else 0.07) * size * near
        tone = shade(colour, rng.uniform(0.75, 1.3))
        lean = 0 if kind == "sea" else rng.uniform(-2, 2)
        draw.line((x - length, y, x + length, y + lean), fill=tone, width=2)


def _occlude(picture: np.ndarray, rng: Rng, size: int) -> None:
    """Put a post, a branch, a fence, grass or a leaf before the subject."""
    fine = size * SUPERSAMPLE
    image = Image.new("RGBA", (fine, fine))
    draw = ImageDraw.Draw(image)
    tone = mix(_ground("grass", rng), paint(rng), rng.random())
    kind = rng.integers(5)
    if kind == 0:
        x, width = rng.uniform(0, fine), rng.uniform(0.04, 0.14) * fine
        draw.rectangle((x, 0, x + width, fine), fill=tone)
    elif kind == 1:
        ends = rng.uniform(0, fine, 2)
        draw.line((-5, ends[0], fine + 5, ends[1]), fill=tone, width=fine // 14)
    elif kind == 2:
        for x in np.arange(rng.uniform(-10, 0), fine, fine / rng.uniform(4, 7)):
            draw.rectangle((x, fine * 0.6, x + fine // 24, fine), fill=tone)
        draw.rectangle((0, fine * 0.7, fine, fine * 0.75), fill=tone)
    elif kind == 3:
        for x in rng.uniform(0, fine, 22):
            tip = (x + rng.uniform(-16, 16), fine * rng.uniform(0.65, 0.95))
            blade = shade(tone, rng.uniform(0.6, 1.2))
            draw.polygon([(x - 4, fine), tip, (x + 4, fine)], fill=blade)
    else:
        corner = rng.choice([0.0, 1.0], 2) * fine
        for _ in range(6):
            x, y = corner + rng.normal(0, 0.13 * fine, 2)
            r = rng.uniform(0.06, 0.16, 2) * fine
            leaf = shade(tone, rng.uniform(0.6, 1.2))
            draw.ellipse((x - r[0], y - r[1], x + r[0], y + r[1]), fill=leaf)
    layer = np.asarray(image.reduce(SUPERSAMPLE), dtype=np.float32)
    picture += layer[..., 3:] / 255 * (layer[..., :3] - picture)


def _photograph(picture: np.ndarray, rng: Rng, size: int) -> np.ndarray:
    """Return the picture as a camera sees it: light, contrast, blur and noise."""
    slope = rng.normal(0, 0.14, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth])
    middle = picture.mean()
    picture = middle + (picture - middle) * rng.uniform(0.6, 1.15)
    picture = picture * (light[..., None] * tint * rng.uniform(0.7, 1.2))
    if rng.random() < 0.12:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.3:
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * size / 32)
        picture = np.asarray(image.filter(blur), dtype=np.float32)
    picture = picture + rng.uniform(1, 11) * rng.standard_normal(picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
