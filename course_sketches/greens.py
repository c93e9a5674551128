"""What goes with flowers: stems, leaves, grass, vases, and a bee now and then."""

from __future__ import annotations

import math

import numpy as np

from course_sketches.backdrops import Rng
from course_sketches.colours import (
    BLACK,
    WHITE,
    Colour,
    mix,
    paint,
    shade,
)
from course_sketches.pen import Pen

# Widths along a blade, from the stem to its tip.
BLADES = {
    "lance": (0.35, 0.8, 1.0, 0.9, 0.55, 0.0),
    "oval": (0.1, 0.8, 1.0, 0.85, 0.45, 0.0),
    "heart": (0.55, 1.0, 0.95, 0.7, 0.35, 0.0),
    "spoon": (0.15, 0.2, 0.5, 1.0, 0.8, 0.2),
    "jagged": (0.12, 0.5, 0.2, 0.7, 0.3, 0.9, 0.4, 1.0, 0.7, 0.0),
}


def curve(
    start: np.ndarray, via: np.ndarray, end: np.ndarray, count: int
) -> np.ndarray:
    """Return (count, 2) points on the curve from start to end, bent towards via."""
    t = np.arange(count)[:, None] / (count - 1)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * via + t**2 * end


def draw_blade(
    pen: Pen,
    start: np.ndarray,
    via: np.ndarray,
    end: np.ndarray,
    width: float,
    kind: str,
    colour: Colour,
) -> None:
    """Draw a leaf along a curve, one half in the light and one in the shade."""
    widths = np.array(BLADES[kind])[:, None]
    line = curve(start, via, end, len(widths))
    along = np.gradient(line, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-9
    for side, tone in ((-1, 0.84), (1, 1.08)):
        rim = line + side * width / 2 * widths * aside
        pen.polygon(np.concatenate([line, rim[::-1]]), shade(colour, tone))
    if width > 0.04:
        pen.limb(line[:-1], (width * 0.07, width * 0.03), shade(colour, 1.3))


def draw_leaf(
    pen: Pen,
    rng: Rng,
    flower: str,
    at: np.ndarray,
    way: float,
    size: float,
    colour: Colour,
) -> None:
    """Draw a leaf of the flower that starts at a point and goes the way (degrees)."""
    a = math.radians(way)
    ahead, up = np.array([math.cos(a), -math.sin(a)]), np.array([0.0, -1.0])
    colour = shade(colour, rng.uniform(0.8, 1.15))
    if flower == "roses":
        tip = at + ahead * size * 0.9
        pen.limb(np.stack([at, tip]), (0.012,), shade(colour, 0.8))
        across = np.array([-ahead[1], ahead[0]])
        for share, side in ((0.4, -1), (0.4, 1), (0.85, 0)):
            foot = at + ahead * size * share
            out = ahead * (0.5 if side else 0.75) + across * 0.45 * side
            end = foot + size * out
            draw_blade(pen, foot, (foot + end) / 2, end, size * 0.42, "oval", colour)
        return
    kind, wide, rise = {
        "tulips": ("lance", 0.16, 0.9),
        "daisy": ("spoon", 0.26, 0.2),
        "dandelion": ("jagged", 0.34, 0.3),
        "sunflowers": ("heart", 0.75, 0.1),
    }[flower]
    long = size * (1.9 if flower == "tulips" else 1.2)
    end = at + ahead * long + up * rise * size * rng.uniform(0.3, 1.0)
    via = at + ahead * long * 0.5 + up * size * rng.uniform(0, 0.5)
    draw_blade(pen, at, via, end, wide * size * rng.uniform(0.8, 1.2), kind, colour)


def draw_grass(pen: Pen, rng: Rng, ground: float, colour: Colour, count: int) -> None:
    """Draw blades of grass that grow from the lower edge up to about `ground`."""
    for x, high, lean in zip(
        rng.uniform(-0.05, 1.05, count),
        rng.uniform(0.4, 1.2, count),
        rng.normal(0, 0.07, count),
        strict=True,
    ):
        top = 1.02 - (1.02 - ground) * high
        tone = shade(colour, rng.uniform(0.55, 1.25))
        outline = [
            [x - 0.013, 1.02],
            [x + lean * 0.4, (1.02 + top) / 2],
            [x + lean, top],
            [x + 0.012 + lean * 0.4, (1.02 + top) / 2 + 0.05],
            [x + 0.015, 1.02],
        ]
        pen.polygon(np.array(outline), tone)


def draw_vase(pen: Pen, rng: Rng, x: float, top: float, width: float) -> None:
    """Draw a vase, a glass or a pot that stands below (x, top)."""
    colour = paint(rng)
    base = max(top + 0.28, rng.uniform(0.86, 1.1))
    belly, foot = rng.uniform(0.9, 1.6), rng.uniform(0.6, 1.0)
    half = width / 2
    high = np.array([0, 0.12, 0.5, 0.85, 1.0]) * (base - top) + top
    side = np.array([1.05, 0.9, belly, foot * 1.1, foot]) * half
    outline = np.concatenate(
        [np.stack([x + side, high], 1), np.stack([x - side, high], 1)[::-1]]
    )
    pen.polygon(outline, colour)
    for share, tone in ((0.75, 1.08), (0.45, 1.18), (0.12, 1.08)):
        left, right = x - side * 0.92, x - side * (0.92 - share)
        strip = np.concatenate(
            [np.stack([left, high], 1), np.stack([right, high], 1)[::-1]]
        )
        pen.polygon(strip, shade(colour, tone))
    if rng.random() < 0.4:
        y = rng.uniform(0.35, 0.6) * (base - top) + top
        band = mix(paint(rng), WHITE, 0.3)
        wide = half * (belly * 0.98)
        pen.polygon(
            np.array(
                [
                    [x - wide, y],
                    [x + wide, y],
                    [x + wide, y + 0.03],
                    [x - wide, y + 0.03],
                ]
            ),
            band,
        )
    pen.ellipse(x, top, half * 1.05, half * 0.22, shade(colour, 0.6))


def draw_bee(pen: Pen, rng: Rng, x: float, y: float) -> None:
    """Draw a bee at (x, y)."""
    r = rng.uniform(0.03, 0.05)
    turn = math.radians(rng.uniform(-50, 50))
    ahead = np.array([math.cos(turn), math.sin(turn)]) * r
    pen.ellipse(
        x - ahead[0] * 0.2, y - 1.0 * r, 0.4 * r, 0.8 * r, (226, 234, 240), turn=-25
    )
    pen.ellipse(
        x + ahead[0] * 0.5, y - 1.0 * r, 0.4 * r, 0.8 * r, (240, 244, 248), turn=20
    )
    for k in range(5):
        spot = np.array([x, y]) + ahead * (k - 2) * 0.55
        size = r * (0.5, 0.75, 0.8, 0.75, 0.55)[k]
        pen.ellipse(*spot, size * 0.7, size, BLACK if k % 2 == 0 else (240, 186, 40))
