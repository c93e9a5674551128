"""Drawings of CIFAR-10's animals; each returns the surroundings that suit it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from course_utils.data.sketch_pen import (
    BLACK,
    CLEAR,
    WHITE,
    Colour,
    Pen,
    fur,
    hsv,
    mix,
    points,
    shade,
)

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


CAT = Build(0.44, 0.44, 0.13, 0.2, (20, 70), 0.24, 0.23, 0.1, 0.2)
DOG = Build(0.46, 0.52, 0.14, 0.27, (20, 75), 0.24, 0.2, 0.24, 0.18)
DEER = Build(0.4, 0.72, 0.09, 0.46, (35, 85), 0.15, 0.13, 0.2, 0.13)
HORSE = Build(0.46, 0.66, 0.12, 0.46, (15, 65), 0.24, 0.15, 0.28, 0.17)


def _along(x: float, y: float, angle: float, length: float) -> np.ndarray:
    """Return the point at `length` from (x, y); 0 degrees is ahead, 90 is up."""
    a = math.radians(angle)
    return np.array([x + length * math.cos(a), y - length * math.sin(a)])


def _four_legs(
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
            pen.limb(line[2:] + [[0.03, 0]], (thick,), shade(foot, tone), at=z)
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
    if build.neck > 0.4 and rng.random() < 0.2:
        angle = rng.uniform(-50, -20)  # grazing
    withers = np.array([0.48, back - girth * 0.15])
    skull = _along(*withers, angle, build.neck + 0.1)
    widths = (build.neck_width * 1.6, build.neck_width)
    pen.limb(np.stack([withers, skull]), widths, coat)
    return skull, angle


def _head(
    pen: Pen, build: Build, skull: np.ndarray, nod: float, coat: Colour, marks: Colour
) -> np.ndarray:
    """Draw skull, muzzle, nose and eye in profile; return the nose's place."""
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
    return nose


def _face(
    pen: Pen,
    rng: Rng,
    x: float,
    y: float,
    r: float,
    who: str,
    coat: Colour,
    marks: Colour,
) -> None:
    """Draw the head of a cat or dog that looks at the viewer."""
    c = np.array([x, y])
    inner = mix(shade(coat, 0.8), (226, 150, 150), 0.6)
    hanging = who == "dog" and rng.random() < 0.7
    ear = shade(coat, rng.uniform(0.5, 0.95))
    if not hanging:
        high = rng.uniform(1.2, 1.5) if who == "cat" else rng.uniform(1.25, 1.6)
        for side in (-1, 1):
            tri = np.array([[0.95, -0.1], [0.85, -high], [0.2, -0.75]]) * (side, 1)
            pen.polygon(c + r * tri, ear)
            pen.polygon(c + r * (tri * 0.6 + tri.mean(0) * 0.4), inner)
    if who == "cat":
        pen.ellipse(x, y, r * 1.08, r * 0.92, coat)
    else:
        pen.ellipse(x, y - r * 0.12, r * 0.88, r * 0.86, coat)
    if rng.random() < 0.5:
        pen.polygon(c + r * points("-.18,-.8 .18,-.8 .1,.2 -.1,.2"), marks)
    if hanging:
        for side in (-1, 1):
            drop = points(".55,-.8 1,-.55 1.12,.2 .95,.62 .75,.2") * (side, 1)
            pen.blob(c + r * drop, ear)
    snout = (0.42, 0.28, 0.4) if who == "cat" else (0.46, 0.5, 0.45)
    pen.ellipse(x, y + r * snout[2], r * snout[0], r * snout[1], marks)
    iris = hsv(rng.uniform(0.1, 0.45), 0.7, 0.85) if who == "cat" else (70, 44, 26)
    for side in (-1, 1):
        ex, ey = x + side * r * 0.42, y - r * 0.12
        size = 0.21 if who == "cat" else 0.16
        pen.ellipse(ex, ey, r * size, r * size, iris)
        pen.ellipse(ex, ey, r * size * 0.5, r * size * 0.9, BLACK)
        pen.ellipse(ex - r * 0.06, ey - r * 0.08, r * 0.06, r * 0.06, WHITE)
    if who == "cat":
        pen.polygon(c + r * points("-.13,.2 .13,.2 0,.36"), (206, 116, 116))
        for lift in (0.3, 0.5):
            for side in (-1, 1):
                hair = np.array([[0.3 * side, 0.42], [1.25 * side, lift]])
                pen.limb(c + r * hair, (0.02,), WHITE)
    else:
        pen.ellipse(x, y + r * 0.28, r * 0.2, r * 0.15, BLACK)
        if rng.random() < 0.45:
            pen.ellipse(x, y + r * 0.95, r * 0.17, r * 0.24, (222, 96, 108))
        else:
            pen.limb(c + r * points("-.2,.68 0,.6 .2,.68"), (0.03,), BLACK)


def _stripes(
    pen: Pen, rng: Rng, y: float, height: float, x0: float, x1: float, dark: Colour
) -> None:
    for x in np.arange(x0, x1, 0.17):
        lean = rng.uniform(-0.06, 0.06)
        line = np.array([[x, y - height / 2], [x + lean, y + height * 0.1]])
        pen.limb(line, (0.06, 0.03), dark, at=0.05)


def _pet(pen: Pen, rng: Rng, who: str) -> str:
    """Draw a cat or a dog: its face, sitting, lying or on its feet."""
    coat = fur(rng)
    marks = WHITE if rng.random() < 0.5 else mix(coat, WHITE, 0.45)
    dark = shade(coat, 0.55)
    striped = rng.random() < (0.45 if who == "cat" else 0.12)
    view = rng.choice(["face", "sits", "lies", "stands"], p=[0.28, 0.24, 0.16, 0.32])
    place = "home" if rng.random() < (0.65 if who == "cat" else 0.4) else "land"
    if view == "face":
        pen.pose(0, 0, rng.normal(0, 12))
        pen.blob("-.6,1.5 -.5,.5 0,.3 .5,.5 .6,1.5", shade(coat, 0.8))
        _face(pen, rng, 0, 0.0, rng.uniform(0.62, 0.78), who, coat, marks)
    elif view == "sits":
        pen.pose(rng.uniform(-25, 25), 0, rng.normal(0, 5))
        tail = (
            points(".3,.75 .65,.75 .8,.5 .75,.2")
            if who == "cat"
            else points(".3,.7 .55,.65 .7,.45")
        )
        pen.limb(tail, (0.12, 0.08), shade(coat, 0.75))
        wide = rng.uniform(0.36, 0.46)
        body = np.array([[-0.2, -0.25], [0.2, -0.25], [wide, 0.4], [wide, 0.82]])
        pen.blob(np.concatenate([body, body[1:][::-1] * (-1, 1)]), coat)
        pen.ellipse(0, 0.2, 0.16, 0.36, mix(coat, marks, 0.7))
        if striped:
            _stripes(pen, rng, 0.3, 0.3, -0.3, 0.34, dark)
        for side in (-1, 1):
            leg = np.array([[side * 0.13, 0.2], [side * 0.15, 0.84]])
            pen.limb(leg, (0.17, 0.14), shade(coat, 0.9), at=0.1)
            pen.ellipse(side * 0.16, 0.86, 0.11, 0.07, marks, at=0.1)
        _face(pen, rng, 0, -0.4, rng.uniform(0.36, 0.44), who, coat, marks)
    elif view == "lies":
        pen.pose(rng.uniform(-35, 35), 0, rng.normal(0, 5))
        pen.limb("-.6,.5 -.95,.5 -1,.3", (0.14, 0.08), shade(coat, 0.8))
        pen.blob("-.8,.5 -.6,.12 -.1,.02 .4,.1 .6,.5 .3,.62 -.5,.64", coat)
        if striped:
            _stripes(pen, rng, 0.25, 0.4, -0.5, 0.3, dark)
        pen.limb(".2,.56 .75,.58", (0.15, 0.13), marks, at=0.1)
        pen.limb("-.6,.56 -.2,.6", (0.2, 0.12), shade(coat, 0.85), at=0.1)
        _face(pen, rng, 0.5, -0.05, rng.uniform(0.34, 0.42), who, coat, marks)
    else:
        pen.pose(rng.uniform(-40, 40), rng.uniform(0, 8), rng.normal(0, 5))
        build = CAT if who == "cat" else DOG
        back = 0.85 - build.leg - build.girth / 2
        rise = rng.uniform(0.1, 0.7)
        tail = np.array([[-0.55, back - 0.1], [-0.85, back - rise * 0.6]])
        tip = [[-0.85 - rng.uniform(-0.15, 0.1), back - rise * 1.2]]
        tail = np.concatenate([tail, tip]) if who == "cat" or rise > 0.4 else tail
        pen.limb(tail, (0.12, 0.1 if who == "cat" else 0.05), coat)
        skull, _ = _four_legs(pen, rng, build, coat, marks)
        if striped:
            _stripes(pen, rng, back, build.girth, -0.45, 0.45, dark)
        elif rng.random() < 0.3:
            pen.ellipse(rng.uniform(-0.3, 0.2), back - 0.05, 0.24, 0.16, marks)
        if rng.random() < 0.45:
            _face(pen, rng, *skull, rng.uniform(0.27, 0.34), who, coat, marks)
        else:
            ear = shade(coat, 0.7)
            _head(pen, build, skull, rng.uniform(-30, 5), coat, marks)
            if who == "cat" or rng.random() < 0.4:
                for x, tone in ((-0.02, 0.75), (-0.15, 1.0)):
                    tri = skull + (x, 0) + points("-.06,-.12 .02,-.36 .14,-.14")
                    pen.polygon(tri, shade(ear, tone))
            else:
                pen.blob(skull + points("-.14,-.16 .02,-.1 0,.2 -.14,.24"), ear)
    return place


def draw_cat(pen: Pen, rng: Rng) -> str:
    """Draw a cat."""
    return _pet(pen, rng, "cat")


def draw_dog(pen: Pen, rng: Rng) -> str:
    """Draw a dog."""
    return _pet(pen, rng, "dog")


def draw_deer(pen: Pen, rng: Rng) -> str:
    """Draw a stag, a doe or a fawn."""
    pen.pose(rng.uniform(-50, 50), rng.uniform(0, 8), rng.normal(0, 4))
    coat = mix(fur(rng), (150, 96, 54), rng.uniform(0.2, 0.9))
    marks = mix(coat, WHITE, rng.uniform(0.4, 0.9))
    back = 0.85 - DEER.leg - DEER.girth / 2
    pen.limb([[-0.6, back - 0.1], [-0.72, back + 0.05]], (0.12, 0.08), marks)
    skull, _ = _four_legs(pen, rng, DEER, coat, marks)
    if rng.random() < 0.3:
        for _ in range(9):
            x, y = rng.uniform(-0.5, 0.4), back + rng.uniform(-0.14, 0.06)
            pen.ellipse(x, y, 0.035, 0.035, marks, at=0.05)
    bone = mix((196, 170, 130), coat, rng.uniform(0, 0.6))
    antlers = rng.random() < 0.6
    for z, tone in ((-0.12, 0.75), (0.12, 1.0)):
        root = skull + (-0.02, -0.1)
        if antlers:
            size = rng.uniform(0.75, 1.15)
            stem = root + size * points("0,0 -.14,-.2 -.08,-.42 .02,-.55")
            pen.limb(stem, (0.06, 0.04), shade(bone, tone), at=z * 2)
            for i, tine in ((1, (0.12, -0.16)), (2, (0.16, -0.1))):
                branch = np.stack([stem[i], stem[i] + size * np.array(tine)])
                pen.limb(branch, (0.05, 0.03), shade(bone, tone), at=z * 2)
        ear = root + points("-.02,.06 -.1,-.1 -.3,-.16 -.16,.06")
        pen.blob(ear, shade(coat, tone * 0.9), at=z)
    _head(pen, DEER, skull, rng.uniform(-45, -5), coat, marks)
    return "land"


def draw_horse(pen: Pen, rng: Rng) -> str:
    """Draw a horse or a foal."""
    pen.pose(rng.uniform(-50, 50), rng.uniform(0, 8), rng.normal(0, 4))
    coat = mix(fur(rng), (120, 74, 44), rng.uniform(0, 0.6))
    marks = mix(coat, WHITE, rng.uniform(0.1, 0.9))
    hair = shade(coat, 0.4) if rng.random() < 0.7 else mix(coat, WHITE, 0.6)
    back = 0.85 - HORSE.leg - HORSE.girth / 2
    out = rng.uniform(0.1, 0.4)
    tail = [[-0.6, back - 0.12], [-0.68 - out * 0.6, back], [-0.66 - out, back + 0.5]]
    pen.limb(tail, (0.08, 0.17, 0.07), hair)
    skull, angle = _four_legs(pen, rng, HORSE, coat, marks)
    if rng.random() < 0.15:
        pen.ellipse(rng.uniform(-0.3, 0.2), back, 0.3, 0.16, marks, at=0.05)
    crest = _along(*skull, angle + 90, 0.1)
    base = _along(0.42, back - 0.12, angle + 90, 0.16)
    pen.limb(np.stack([crest, (crest + base) / 2, base]), (0.1, 0.16, 0.1), hair)
    _head(pen, HORSE, skull, angle - rng.uniform(75, 105), coat, marks)
    for z, tone in ((-0.06, 0.7), (0.06, 0.95)):
        ear = skull + points("-.08,-.06 -.02,-.28 .06,-.06")
        pen.polygon(ear, shade(coat, tone), at=z)
    return "land"


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
        pen.pose(rng.uniform(-40, 40), 0, rng.uniform(-35, 15))
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
        pen.pose(rng.uniform(-55, 55), rng.uniform(-65, 65), rng.normal(-5, 18))
        flap, sweep = rng.uniform(-0.5, 0.8), rng.uniform(-0.5, 0.15)
        span = rng.uniform(0.85, 1.15)
        pen.polygon("-.35,-.05 -.85,-.26 -.95,0 -.85,.26 -.35,.05", wing, plane="xz")
        for side in (-1, 1) if pen.depth[2] > 0 else (1, -1):
            shape = [[0.32, 0.05], [0.28, 0.5], [sweep, span], [-0.2 + sweep, 0.8]]
            shape = np.array(shape + [[-0.2, 0.45], [-0.3, 0.05]]) * (1, side * span)
            lift = -flap * np.abs(shape[:, 1]) ** 1.3
            pen.blob(shape, wing if side > 0 else shade(wing, 0.8), lift, "xz")
            if side * pen.depth[2] < 0:
                pen.limb("-.5,0 0,.02 .4,0", (0.12, 0.3, 0.22), coat)
        pen.limb("-.3,.06 .2,.08", (0.1, 0.16), belly)
        head(0.5, -0.03, 0.15, rng.uniform(0.1, 0.25), 0.03)
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
