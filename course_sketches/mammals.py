"""Drawings of a deer and a horse, and what all four-legged animals share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from course_sketches.colours import BLACK, WHITE, Colour, fur, mix, shade
from course_sketches.pen import Pen, points

Rng = np.random.Generator


@dataclass(frozen=True)
class Build:
    """How a four-legged animal is made; lengths in units of half a picture."""

    girth: float
    leg: float
    leg_width: float
    neck: float
    neck_angle: tuple[float, float]
    neck_width: float
    skull: float
    muzzle: float
    muzzle_width: float


CAT = Build(0.42, 0.42, 0.13, 0.2, (20, 70), 0.24, 0.23, 0.1, 0.2)
DOG = Build(0.48, 0.54, 0.14, 0.27, (20, 75), 0.24, 0.2, 0.24, 0.18)
DEER = Build(0.4, 0.72, 0.09, 0.46, (35, 85), 0.15, 0.13, 0.2, 0.13)
HORSE = Build(0.46, 0.66, 0.12, 0.46, (15, 65), 0.24, 0.15, 0.28, 0.17)


def _along(x: float, y: float, angle: float, length: float) -> np.ndarray:
    """Return the point at `length` from (x, y); 0 degrees is ahead, 90 is up."""
    a = math.radians(angle)
    return np.array([x + length * math.cos(a), y - length * math.sin(a)])


def four_legs(
    pen: Pen, rng: Rng, build: Build, coat: Colour, marks: Colour
) -> tuple[np.ndarray, float]:
    """Draw trunk, legs and neck; return the skull's centre and the neck's angle."""
    girth, half = build.girth, 0.13
    back = 0.85 - build.leg - girth / 2
    stride = rng.uniform(0, 26)
    foot = marks if rng.random() < 0.3 else shade(coat, 0.7)
    for z, tone in ((-half, 0.62), (half, 0.95)):
        for hip, bend in ((-0.5, -8), (0.45, 6)):
            swing = -90 + rng.uniform(-1, 1) * stride
            start = np.array([hip, back + girth * 0.2])
            length = (build.leg + girth * 0.3) / 2
            knee = _along(*start, swing - bend, length)
            ankle = _along(*knee, swing + bend, length)
            thick = build.leg_width
            line = np.stack([start, knee, ankle])
            pen.limb(line, (thick * 1.9, thick, thick * 0.8), shade(coat, tone), at=z)
            pen.ellipse(
                ankle[0] + 0.03, ankle[1], thick / 2, thick / 2, shade(foot, tone), at=z
            )
        if z < 0:
            sag = rng.uniform(0.42, 0.56) * girth
            trunk = [[-0.62, back - girth * 0.3], [-0.3, back - girth * 0.5]]
            trunk += [[0.2, back - girth * 0.46], [0.56, back - girth * 0.4]]
            trunk += [[0.62, back + girth * 0.2], [0.3, back + sag]]
            trunk += [[-0.2, back + sag * 0.85], [-0.58, back + girth * 0.35]]
            pen.blob(np.array(trunk), coat)
            belly = [[-0.4, back + sag * 0.6], [0.4, back + sag * 0.7]]
            pen.limb(np.array(belly), (girth * 0.2,), mix(coat, marks, 0.5))
    angle = rng.uniform(*build.neck_angle)
    if build.neck > 0.4 and rng.random() < 0.15:
        angle = rng.uniform(-50, -20)  # grazing
    withers = np.array([0.48, back - girth * 0.15])
    skull = _along(*withers, angle, build.neck + 0.1)
    widths = (build.neck_width * 1.6, build.neck_width)
    pen.limb(np.stack([withers, skull]), widths, coat)
    return skull, angle


def profile_head(
    pen: Pen, build: Build, skull: np.ndarray, nod: float, coat: Colour, marks: Colour
) -> None:
    """Draw skull, muzzle, nose and eye in profile."""
    nose = _along(*skull, nod, build.skull * 0.6 + build.muzzle)
    widths = (build.skull * 1.5, build.muzzle_width, build.muzzle_width * 0.8)
    middle = skull + (nose - skull) * 0.5
    pen.ellipse(*skull, build.skull, build.skull * 0.92, coat)
    pen.limb(np.stack([skull, middle, nose]), widths, coat)
    pen.limb(np.stack([middle, nose]), widths[1:], mix(coat, marks, 0.45))
    tip = _along(*nose, nod, build.muzzle_width * 0.35)
    pen.ellipse(*tip, 0.05, 0.05, BLACK)
    eye = _along(*skull, nod + 50, build.skull * 0.5)
    pen.ellipse(*eye, 0.045, 0.045, BLACK)


def draw_deer(pen: Pen, rng: Rng) -> str:
    """Draw a stag, a doe or a fawn."""
    pen.shrink(0.82, 0.2)
    pen.pose(rng.uniform(-35, 35), rng.uniform(0, 8), rng.normal(0, 4))
    coat = mix(fur(rng), (150, 96, 54), rng.uniform(0.2, 0.9))
    marks = mix(coat, WHITE, rng.uniform(0.4, 0.9))
    back = 0.85 - DEER.leg - DEER.girth / 2
    pen.limb([[-0.6, back - 0.1], [-0.72, back + 0.05]], (0.12, 0.08), marks)
    skull, _ = four_legs(pen, rng, DEER, coat, marks)
    if rng.random() < 0.3:
        for _ in range(9):
            x, y = rng.uniform(-0.5, 0.4), back + rng.uniform(-0.14, 0.06)
            pen.ellipse(x, y, 0.035, 0.035, marks, at=0.05)
    bone = mix((196, 170, 130), coat, rng.uniform(0, 0.6))
    antlers = rng.random() < 0.7
    for z, tone in ((-0.12, 0.75), (0.12, 1.0)):
        root = skull - (0.02, 0.1)
        if antlers:
            size = rng.uniform(0.75, 1.15)
            stem = root + size * points("0,0 -.14,-.2 -.08,-.42 .02,-.55")
            pen.limb(stem, (0.06, 0.04), shade(bone, tone), at=z * 2)
            for i, tine in ((1, (0.12, -0.16)), (2, (0.16, -0.1))):
                branch = np.stack([stem[i], stem[i] + size * np.array(tine)])
                pen.limb(branch, (0.05, 0.03), shade(bone, tone), at=z * 2)
        ear = root + points("-.02,.06 -.1,-.1 -.3,-.16 -.16,.06")
        pen.blob(ear, shade(coat, tone * 0.9), at=z)
    profile_head(pen, DEER, skull, rng.uniform(-45, -5), coat, marks)
    return "land"


def draw_horse(pen: Pen, rng: Rng) -> str:
    """Draw a horse or a foal."""
    pen.shrink(0.86, 0.1)
    pen.pose(rng.uniform(-35, 35), rng.uniform(0, 8), rng.normal(0, 4))
    coat = mix(fur(rng), (120, 74, 44), rng.uniform(0, 0.6))
    marks = mix(coat, WHITE, rng.uniform(0.1, 0.9))
    hair = shade(coat, 0.4) if rng.random() < 0.7 else mix(coat, WHITE, 0.6)
    back = 0.85 - HORSE.leg - HORSE.girth / 2
    out = rng.uniform(0.1, 0.4)
    tail = [[-0.6, back - 0.12], [-0.68 - out * 0.6, back], [-0.66 - out, back + 0.5]]
    pen.limb(tail, (0.08, 0.17, 0.07), hair)
    skull, angle = four_legs(pen, rng, HORSE, coat, marks)
    if rng.random() < 0.15:
        pen.ellipse(rng.uniform(-0.3, 0.2), back, 0.3, 0.16, marks, at=0.05)
    crest = _along(*skull, angle + 90, 0.1)
    base = _along(0.42, back - 0.12, angle + 90, 0.16)
    pen.limb(np.stack([crest, (crest + base) / 2, base]), (0.1, 0.16, 0.1), hair)
    profile_head(pen, HORSE, skull, angle - rng.uniform(75, 105), coat, marks)
    for z, tone in ((-0.06, 0.7), (0.06, 0.95)):
        ear = skull + points("-.08,-.06 -.02,-.28 .06,-.06")
        pen.polygon(ear, shade(coat, tone), at=z)
    return "land"
