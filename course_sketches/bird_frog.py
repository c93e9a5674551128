"""Drawings of a bird and a frog; each returns the surroundings that suit it."""

from __future__ import annotations

import math

import numpy as np

from course_sketches.colours import BLACK, CLEAR, WHITE, fur, hsv, mix, shade
from course_sketches.pen import Pen, points

Rng = np.random.Generator


def draw_bird(pen: Pen, rng: Rng) -> str:
    """Draw a bird that perches, flies, swims or wades."""
    view = rng.choice(["perches", "flies", "swims", "wades"], p=[0.36, 0.3, 0.16, 0.18])
    if rng.random() < 0.5:
        coat = fur(rng)
    else:
        coat = hsv(rng.random(), rng.uniform(0.3, 0.85), rng.uniform(0.4, 0.9))
    belly = mix(coat, WHITE, rng.uniform(0.1, 0.9))
    wing = shade(coat, rng.uniform(0.45, 0.85))
    beak = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.95))

    def head(x: float, y: float, r: float, bill: float, droop: float) -> None:
        tip = np.array([[x + r * 0.6, y - r * 0.4], [x + r + bill, y + droop]])
        pen.polygon(np.concatenate([tip, [[x + r * 0.6, y + r * 0.5]]]), beak)
        pen.ellipse(x, y, r, r * 0.95, coat)
        pen.ellipse(x + r * 0.4, y - r * 0.2, r * 0.24, r * 0.24, BLACK)

    if view == "perches":
        pen.pose(rng.uniform(-30, 30), 0, rng.uniform(-25, 10))
        pen.limb("-.05,.4 -.1,.8", (0.05,), beak, at=-0.08)
        pen.limb(".1,.4 .08,.8", (0.05,), beak, at=0.08)
        length = rng.uniform(0.95, 1.3)
        tail = np.array([[-0.4, 0], [-length, 0.3], [-length, 0.5], [-0.35, 0.35]])
        pen.polygon(tail, wing)
        plump = rng.uniform(0.42, 0.62)
        pen.blob(
            np.array(
                [
                    [-0.6, 0.3],
                    [-0.2, -0.2],
                    [0.3, -0.4],
                    [0.6, -0.1],
                    [0.4, plump - 0.1],
                    [0, plump],
                ]
            ),
            coat,
        )
        pen.ellipse(0.26, 0.16, 0.26, 0.3, belly, 30)
        pen.blob("-.75,.35 -.4,0 .1,-.12 .2,.1 -.1,.28", wing)
        head(0.42, -0.42, rng.uniform(0.27, 0.34), rng.uniform(0.14, 0.35), 0.02)
        if rng.random() < 0.5:
            pen.limb("-1.6,.86 1.6,.78", (0.12,), (98, 74, 52))
            return "air" if rng.random() < 0.35 else "land"
        return "land"
    if view == "flies":
        pitch = rng.uniform(25, 65) * rng.choice([-1, 1])
        pen.pose(rng.uniform(-40, 40), pitch, rng.normal(-5, 12))
        flap, sweep = rng.uniform(-0.3, 0.7), rng.uniform(-0.5, 0.15)
        span = rng.uniform(0.85, 1.15)
        pen.polygon("-.35,-.05 -.85,-.26 -.95,0 -.85,.26 -.35,.05", wing, plane="xz")
        for side in (-1, 1) if pen.depth[2] > 0 else (1, -1):
            shape = [[0.32, 0.05], [0.28, 0.5], [sweep, span], [-0.2 + sweep, 0.8]]
            shape = np.array([*shape, [-0.2, 0.45], [-0.3, 0.05]]) * (1, side * span)
            lift = -flap * np.abs(shape[:, 1]) ** 1.3
            pen.blob(shape, wing if side > 0 else shade(wing, 0.8), lift, "xz")
            if side * pen.depth[2] < 0:
                pen.limb("-.5,0 0,.02 .4,0", (0.14, 0.36, 0.28), coat)
        pen.limb("-.3,.06 .2,.08", (0.1, 0.16), belly)
        head(0.5, -0.03, 0.18, rng.uniform(0.1, 0.25), 0.03)
        return "air"
    if view == "swims":
        pen.pose(rng.uniform(-45, 45), 0, rng.normal(0, 4))
        high = rng.uniform(-0.75, -0.25)
        pen.blob("-.95,.02 -.5,.06 .3,.02 .62,.25 .3,.55 -.5,.55", coat)
        pen.blob("-.8,.12 -.2,.06 .25,.2 -.1,.4 -.5,.4", wing)
        neck = np.array([[0.5, 0.28], [0.6, high * 0.4], [0.5, high]])
        pen.limb(neck, (0.32, 0.17, 0.17), mix(coat, belly, rng.random()))
        head(0.53, high, 0.17, 0.24, 0.08)
        pen.polygon("-1.3,.42 1.3,.42 1.3,1 -1.3,1", CLEAR)
        return "water"
    pen.pose(rng.uniform(-40, 40), 0, rng.normal(0, 5))
    step = rng.uniform(-0.15, 0.25)
    pen.limb([[0, 0.2], [0.05 + step, 0.55], [step, 0.92]], (0.07, 0.05), beak)
    pen.limb([[0, 0.2], [-step, 0.55], [-step * 1.2, 0.92]], (0.07, 0.05), beak)
    pen.blob("-.75,.1 -.3,-.18 .25,-.15 .4,.05 .1,.32 -.3,.3", coat)
    pen.blob("-.85,.14 -.3,-.1 .1,0 -.1,.2 -.5,.24", wing)
    bend = rng.uniform(-0.1, 0.2)
    neck = [[0.28, 0], [0.5, -0.2], [0.35 + bend, -0.5], [0.45 + bend, -0.8]]
    pen.limb(neck, (0.2, 0.1), coat)
    head(0.47 + bend, -0.82, 0.13, rng.uniform(0.15, 0.4), 0.08)
    return "land" if rng.random() < 0.6 else "water"


def draw_frog(pen: Pen, rng: Rng) -> str:
    """Draw a frog or toad from the side, from the front or from above."""
    if rng.random() < 0.6:
        coat = hsv(
            rng.uniform(0.16, 0.42), rng.uniform(0.3, 0.85), rng.uniform(0.3, 0.8)
        )
    else:
        coat = fur(rng) if rng.random() < 0.6 else hsv(rng.random(), 0.7, 0.75)
    belly, dark = mix(coat, (240, 232, 190), rng.uniform(0.3, 0.8)), shade(coat, 0.72)
    iris = hsv(rng.uniform(0.02, 0.2), 0.8, 0.9)
    spotted, tone = rng.random() < 0.5, shade(coat, rng.choice([0.5, 1.35]))

    def eye(x: float, y: float, r: float) -> None:
        pen.ellipse(x, y, r * 1.3, r * 1.3, shade(coat, 1.15))
        pen.ellipse(x, y, r, r, iris)
        pen.ellipse(x, y, r * 0.75, r * 0.4, BLACK)

    def spots(x: float, y: float, rx: float, ry: float) -> None:
        for _ in range(7 * spotted):
            r, a = math.sqrt(rng.random()), rng.uniform(0, 6.3)
            size = rng.uniform(0.04, 0.1)
            sx, sy = x + rx * r * math.cos(a), y + ry * r * math.sin(a)
            pen.ellipse(sx, sy, size, size, tone)

    view = rng.choice(["side", "front", "above"], p=[0.45, 0.3, 0.25])
    if view == "side":
        pen.pose(rng.uniform(-40, 40), 0, rng.normal(0, 9))
        pen.limb("-.4,.55 .1,.75 -.2,.8", (0.2, 0.1), shade(dark, 0.7), at=-0.25)
        pen.limb(".4,.4 .5,.78 .72,.8", (0.18, 0.09), shade(dark, 0.7), at=-0.25)
        pen.blob("-.85,.6 -.6,.2 -.1,-.25 .4,-.4 .9,-.15 .8,.15 .5,.5 -.2,.72", coat)
        pen.blob(".1,.5 .5,.1 .86,.05 .8,.2 .5,.55 0,.7", belly)
        spots(-0.15, 0.12, 0.45, 0.2)
        pen.limb(".45,.02 .7,.04 .92,-.06", (0.04,), shade(coat, 0.4))
        pen.limb("-.7,.62 -.05,.35 -.5,.78 .1,.82", (0.34, 0.3, 0.2, 0.09), dark, 0.2)
        pen.limb(".3,.3 .35,.72 .6,.82", (0.22, 0.14, 0.1), dark, at=0.2)
        eye(0.42, -0.38, rng.uniform(0.13, 0.18))
    elif view == "front":
        pen.pose(rng.uniform(-30, 30), 0, rng.normal(0, 8))
        for side in (-1, 1):
            leg = points(".45,.5 .95,.3 .75,.75 1,.8") * (side, 1)
            pen.limb(leg, (0.36, 0.3, 0.16, 0.1), dark)
        pen.blob("-.6,.2 0,-.1 .6,.2 .65,.7 0,.85 -.65,.7", coat)
        pen.ellipse(0, 0.5, 0.42, 0.32, belly)
        for side in (-1, 1):
            pen.limb(points(".38,.35 .42,.75 .55,.88") * (side, 1), (0.18, 0.1), coat)
        pen.blob("-.62,.1 -.5,-.32 0,-.42 .5,-.32 .62,.1 0,.32", coat)
        spots(0, -0.15, 0.35, 0.15)
        pen.limb("-.52,.06 -.2,.16 .2,.16 .52,.06", (0.04,), shade(coat, 0.4))
        size = rng.uniform(0.13, 0.19)
        eye(-0.42, -0.36, size)
        eye(0.42, -0.36, size)
    else:
        pen.pose(0, 0, rng.uniform(-180, 180))
        reach = rng.uniform(0.6, 1.0)
        for side in (-1, 1):
            hind = points("-.45,.3 -.1,.72 -.6,.6 -.95,.85") * (1, side * reach)
            pen.limb(hind, (0.3, 0.22, 0.16, 0.1), dark)
            fore = points(".25,.3 .3,.65 .6,.75") * (1, side * reach)
            pen.limb(fore, (0.18, 0.12, 0.1), dark)
        pen.blob("-.65,0 -.4,.32 .1,.42 .5,.32 .8,0 .5,-.32 .1,-.42 -.4,-.32", coat)
        if rng.random() < 0.5:
            pen.limb("-.55,0 .6,0", (0.06, 0.1), belly)
        spots(-0.1, 0, 0.4, 0.3)
        eye(0.42, 0.28, 0.12)
        eye(0.42, -0.28, 0.12)
    return "land" if rng.random() < 0.75 else "water"
