"""How flowers stand in a picture: alone, in a field, in a bunch or in a vase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_sketches import blooms, cups
from course_sketches.colours import mix, paint, shade
from course_sketches.greens import (
    curve,
    draw_bee,
    draw_grass,
    draw_leaf,
    draw_vase,
)
from course_sketches.looks import Look
from course_sketches.pen import Pen

Rng = np.random.Generator
BLOOMS: dict[str, Callable[[Pen, Rng, Look, float], None]] = {
    "daisy": blooms.draw_daisy,
    "dandelion": blooms.draw_dandelion,
    "roses": cups.draw_rose,
    "sunflowers": blooms.draw_sunflower,
    "tulips": cups.draw_tulip,
}
ARRANGEMENTS = ("close", "stem", "few", "field", "bunch", "vase")
# How often each is drawn, and how far the heads turn from the viewer, in degrees.
HABITS = {
    "daisy": ((0.24, 0.16, 0.2, 0.2, 0.1, 0.1), (-72, 20)),
    "dandelion": ((0.26, 0.22, 0.22, 0.2, 0.06, 0.04), (-72, 10)),
    "roses": ((0.28, 0.2, 0.16, 0.06, 0.16, 0.14), (-78, 5)),
    "sunflowers": ((0.26, 0.2, 0.18, 0.16, 0.1, 0.1), (-62, 25)),
    "tulips": ((0.16, 0.18, 0.2, 0.18, 0.14, 0.14), (-100, -45)),
}
STEMS = {  # how thick, in radii of the head
    "daisy": 0.09,
    "dandelion": 0.09,
    "roses": 0.13,
    "sunflowers": 0.15,
    "tulips": 0.15,
}


@dataclass(frozen=True)
class Stand:
    """One flower of a picture: head at (x, y), radius r, in shares of the picture."""

    x: float
    y: float
    r: float
    foot: tuple[float, float]


def draw_arrangement(pen: Pen, rng: Rng, flower: str, look: Look, kind: str) -> None:
    """Draw the flowers of one picture, the far ones first."""
    size = pen.image.width
    stands = _choose_stands(rng, kind)
    if kind in ("few", "field") or (kind in ("close", "stem") and rng.random() < 0.45):
        pen.place(0, 0, size)
        draw_grass(pen, rng, rng.uniform(0.5, 0.9), look.leaf, 16)
    leaves = {"close": 2, "stem": 4, "few": 2}.get(kind, 1)
    for stand in stands:
        draw_flower(pen, rng, flower, look, stand, leaves)
    pen.place(0, 0, size)
    x, y = stands[0].foot
    if kind == "vase":
        draw_vase(pen, rng, x, y - 0.06, rng.uniform(0.16, 0.3))
    elif kind == "bunch":
        _wrap(pen, rng, x, y)
    if rng.random() < 0.09:
        last = stands[-1]
        draw_bee(pen, rng, last.x + rng.normal(0, 0.12), last.y - rng.uniform(0, 0.2))


def _choose_stands(rng: Rng, kind: str) -> list[Stand]:
    """Return where the flowers of an arrangement stand, the far ones first."""
    stands: list[Stand] = []
    if kind == "close":
        (x, y), r = rng.uniform(0.32, 0.68, 2), rng.uniform(0.3, 0.52)
        stands.append(Stand(x, y, r, (x + rng.normal(0, 0.2), 1.3)))
    elif kind == "stem":
        x, y, r = rng.uniform((0.25, 0.2, 0.14), (0.75, 0.45, 0.27))
        stands.append(Stand(x, y, r, (x + rng.normal(0, 0.12), 1.05)))
    elif kind == "few":
        for _ in range(rng.integers(2, 5)):
            x, y, r = rng.uniform((0.1, 0.15, 0.14), (0.9, 0.7, 0.26))
            stands.append(Stand(x, y, r, (x + rng.normal(0, 0.1), 1.1)))
    elif kind == "field":
        horizon = rng.uniform(0.15, 0.5)
        for near in np.sort(rng.random(rng.integers(5, 10))).tolist():
            x, y = rng.uniform(-0.02, 1.02), horizon + (0.85 - horizon) * near
            r = 0.06 + 0.11 * near
            stands.append(Stand(x, y, r, (x + rng.normal(0, 0.04), y + 6 * r)))
    else:
        x, y, spread = rng.uniform((0.4, 0.3, 0.1), (0.6, 0.45, 0.26))
        foot = (x, y + rng.uniform(0.32, 0.45))
        for _ in range(rng.integers(1, 6) if kind == "vase" else rng.integers(4, 8)):
            dx, dy = rng.normal(0, 1, 2) * spread * (1, 0.6)
            stands.append(Stand(x + dx, y + dy, rng.uniform(0.12, 0.19), foot))
    return stands


def _wrap(pen: Pen, rng: Rng, x: float, y: float) -> None:
    """Draw the paper of a bunch that is held together at (x, y)."""
    paper = mix(paint(rng), (240, 236, 228), rng.uniform(0.2, 0.9))
    half = rng.uniform(0.14, 0.24)
    middle, foot = [x, y - 0.12], [[x + 0.06, 1.05], [x - 0.06, 1.05]]
    right = [x + half, y - 0.22]
    pen.polygon(np.array([[x - half, y - 0.2], middle, right, *foot]), paper)
    fold = np.array([middle, right, foot[0], [x, 1.05]])
    pen.polygon(fold, shade(paper, 0.86))


def draw_flower(
    pen: Pen, rng: Rng, flower: str, look: Look, stand: Stand, leaves: int
) -> None:
    """Draw one flower on the pen's picture: its stem, its leaves and its head."""
    size = pen.image.width
    low, high = HABITS[flower][1]
    pitch = rng.uniform(low, high)
    if flower == "tulips" and rng.random() < 0.2:
        pitch = rng.uniform(-50, -10)
    turn = rng.normal(0, 18), pitch, rng.normal(0, 14)
    pen.place(stand.x * size, stand.y * size, stand.r * size)
    pen.pose(*turn)
    away = (pen.project(np.zeros((1, 2)), -0.55)[0] - pen.centre) / size
    head, foot = np.array([stand.x, stand.y]), np.array(stand.foot)
    start = head + away * 0.4
    span = float(np.hypot(*(foot - start)))
    via = start + away / (np.hypot(*away) + 1e-6) * span * 0.3 + (0, 0.15 * span)
    line = curve(start, via, foot, 7)
    thick = STEMS[flower] * stand.r
    pen.place(0, 0, size)
    stem = shade(look.leaf, rng.uniform(0.8, 1.1))
    pen.limb(line, (thick, thick * 1.2), shade(stem, 0.75))
    pen.limb(line - (thick * 0.15, 0), (thick * 0.5, thick * 0.6), shade(stem, 1.1))
    basal = flower in ("dandelion", "daisy", "tulips")
    for k in range(leaves):
        share = rng.uniform(0.75, 1.0) if basal else rng.uniform(0.3, 0.9)
        at = line[round(share * 6)]
        way = (20 if k % 2 else 160) + rng.normal(0, 22)
        if flower == "tulips":
            way = 90 + (way - 90) * 0.4
        draw_leaf(
            pen, rng, flower, at, way, stand.r * rng.uniform(0.75, 1.3), look.leaf
        )
    pen.place(stand.x * size, stand.y * size, stand.r * size)
    pen.pose(*turn)
    BLOOMS[flower](pen, rng, look, float(rng.random()))
