"""What lies behind and before the subject of a sketch."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from course_sketches.colours import Colour, hsv, mix, paint, shade
from course_sketches.pen import SUPERSAMPLE

Rng = np.random.Generator
# How often each backdrop stands behind a subject that belongs there; the rows
# overlap, so that the backdrop alone does not give the class away.
BACKDROPS = ("sky", "grass", "sand", "snow", "sea", "street", "leaves", "room", "plain")
SETTINGS = {
    "air": (0.52, 0.06, 0.04, 0.06, 0.10, 0.06, 0.08, 0.00, 0.08),
    "land": (0.03, 0.34, 0.12, 0.10, 0.05, 0.06, 0.18, 0.02, 0.10),
    "garden": (0.14, 0.34, 0.04, 0.02, 0.03, 0.04, 0.29, 0.00, 0.10),
    "water": (0.05, 0.05, 0.06, 0.07, 0.60, 0.05, 0.04, 0.01, 0.07),
    "road": (0.03, 0.16, 0.10, 0.08, 0.07, 0.36, 0.06, 0.02, 0.12),
    "home": (0.00, 0.14, 0.05, 0.03, 0.01, 0.07, 0.10, 0.45, 0.15),
}


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


def draw_backdrop(setting: str, rng: Rng, size: int) -> np.ndarray:
    """Return what lies behind a subject, float32 (size, size, 3).

    Args:
        setting: a key of SETTINGS.
        rng: where all that varies is drawn from.
        size: side of the picture, in pixels.
    """
    kind = BACKDROPS[rng.choice(len(BACKDROPS), p=SETTINGS[setting])]
    fine = size * 2
    horizon = int(fine * rng.uniform(0.22, 0.72))
    top, bottom = _sky(rng)
    if kind in ("plain", "leaves"):
        top = _ground("grass", rng)
        if kind == "plain":
            top = mix(paint(rng), (170, 170, 172), rng.uniform(0.4, 0.9))
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
    # Far things are paler and less contrasted than near ones.
    haze = rng.uniform(0.1, 0.45)
    return picture + haze * (picture.mean(axis=(0, 1)) * 0.75 + 52 - picture)


def _furnish(draw: ImageDraw.ImageDraw, rng: Rng, size: int, floor: int) -> None:
    """Draw a floor, a skirting board and a window, picture or piece of furniture."""
    rim = 3 * size / 64
    for _ in range(rng.integers(1, 4)):
        x, y, w, h = rng.uniform((-0.1, 0, 0.2, 0.2), (0.8, 0.5, 0.6, 0.6)) * size
        frame = paint(rng)
        draw.rectangle((x, y, x + w, y + h), fill=frame)
        inner = mix(frame, (200, 220, 235), rng.random())
        draw.rectangle((x + rim, y + rim, x + w - rim, y + h - rim), fill=inner)
    wood = hsv(rng.uniform(0, 0.14), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.85))
    if rng.random() < 0.4:
        wood = paint(rng)
    draw.rectangle((0, floor, size, size), fill=wood)
    skirting = shade(wood, rng.uniform(0.4, 1.6))
    draw.rectangle((0, floor - rim, size, floor), fill=skirting)
    for x in np.arange(rng.uniform(-40, 0), 104, rng.uniform(8, 24)) * size / 64:
        line = (x, floor, x + (x - size / 2), size)
        draw.line(line, fill=shade(wood, 0.85))


def _houses(draw: ImageDraw.ImageDraw, rng: Rng, size: int, ground: int) -> None:
    unit = size / 64
    x = rng.uniform(-12, 0) * unit
    while x < size:
        width, height = rng.uniform(0.12, 0.4) * size, rng.uniform(0.15, 0.8) * ground
        wall = mix(paint(rng), (150, 145, 140), 0.6)
        draw.rectangle((x, ground - height, x + width, ground), fill=wall)
        lit = shade(wall, rng.choice([0.6, 1.4]))
        for wx in np.arange(x + 2 * unit, x + width - 3 * unit, 5 * unit):
            for wy in np.arange(
                ground - height + 2 * unit, ground - 3 * unit, 6 * unit
            ):
                draw.rectangle((wx, wy, wx + 2 * unit, wy + 2 * unit), fill=lit)
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
    unit = size / 64
    width = round(2 * unit)
    if kind == "street":
        y = rng.uniform(top, size)
        mark = shade(colour, rng.choice([0.6, 1.6]))
        draw.line((0, y, size, y + rng.uniform(-14, 14) * unit), fill=mark, width=width)
        return
    for _ in range(14):
        y = top + (size - top) * rng.random()
        x, near = rng.uniform(0, size), (y - top) / (size - top + 1) + 0.2
        length = (0.22 if kind == "sea" else 0.07) * size * near
        tone = shade(colour, rng.uniform(0.75, 1.3))
        lean = 0 if kind == "sea" else rng.uniform(-2, 2) * unit
        draw.line((x - length, y, x + length, y + lean), fill=tone, width=width)


def occlude(picture: np.ndarray, rng: Rng, size: int) -> None:
    """Put a post, a branch, a fence, grass or a leaf before the subject."""
    fine = size * SUPERSAMPLE
    unit = fine / 128
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
        for x in np.arange(rng.uniform(-10, 0) * unit, fine, fine / rng.uniform(4, 7)):
            draw.rectangle((x, fine * 0.6, x + fine // 24, fine), fill=tone)
        draw.rectangle((0, fine * 0.7, fine, fine * 0.75), fill=tone)
    elif kind == 3:
        for x in rng.uniform(0, fine, 22):
            tip = (x + rng.uniform(-16, 16) * unit, fine * rng.uniform(0.65, 0.95))
            blade = shade(tone, rng.uniform(0.6, 1.2))
            draw.polygon([(x - 4 * unit, fine), tip, (x + 4 * unit, fine)], fill=blade)
    else:
        corner = rng.choice([0.0, 1.0], 2) * fine
        for _ in range(6):
            x, y = corner + rng.normal(0, 0.13 * fine, 2)
            r = rng.uniform(0.06, 0.16, 2) * fine
            leaf = shade(tone, rng.uniform(0.6, 1.2))
            draw.ellipse((x - r[0], y - r[1], x + r[0], y + r[1]), fill=leaf)
    layer = np.asarray(image.reduce(SUPERSAMPLE), dtype=np.float32)
    picture += layer[..., 3:] / 255 * (layer[..., :3] - picture)
