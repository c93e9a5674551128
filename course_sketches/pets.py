"""Drawings of a cat and a dog; each returns the surroundings that suit it."""

from __future__ import annotations

import numpy as np

from course_sketches.colours import (
    BLACK,
    WHITE,
    Colour,
    fur,
    hsv,
    mix,
    shade,
)
from course_sketches.mammals import CAT, DOG, four_legs, profile_head
from course_sketches.pen import Pen, points

Rng = np.random.Generator


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
    hanging = who == "dog" and rng.random() < 0.8
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
    striped = rng.random() < (0.45 if who == "cat" else 0.06)
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
        pen.pose(rng.uniform(-30, 30), rng.uniform(0, 8), rng.normal(0, 4))
        build = CAT if who == "cat" else DOG
        back = 0.85 - build.leg - build.girth / 2
        rise = rng.uniform(0.1, 0.7)
        tail = np.array([[-0.55, back - 0.1], [-0.85, back - rise * 0.6]])
        tip = [[-0.85 - rng.uniform(-0.15, 0.1), back - rise * 1.2]]
        tail = np.concatenate([tail, tip]) if who == "cat" or rise > 0.4 else tail
        pen.limb(tail, (0.12, 0.1 if who == "cat" else 0.05), coat)
        skull, _ = four_legs(pen, rng, build, coat, marks)
        if striped:
            _stripes(pen, rng, back, build.girth, -0.45, 0.45, dark)
        elif rng.random() < 0.3:
            pen.ellipse(rng.uniform(-0.3, 0.2), back - 0.05, 0.24, 0.16, marks)
        if rng.random() < 0.5:
            _face(pen, rng, *skull, rng.uniform(0.27, 0.34), who, coat, marks)
        else:
            ear = shade(coat, 0.7)
            profile_head(pen, build, skull, rng.uniform(-30, 5), coat, marks)
            if who == "cat" or rng.random() < 0.25:
                for tip, tone in (
                    ("-.08,-.12 0,-.36 .12,-.14", 0.75),
                    ("-.21,-.12 -.13,-.36 -.01,-.14", 1.0),
                ):
                    pen.polygon(skull + points(tip), shade(ear, tone))
            else:
                pen.blob(skull + points("-.14,-.16 .02,-.1 0,.2 -.14,.24"), ear)
    return place


def draw_cat(pen: Pen, rng: Rng) -> str:
    """Draw a cat."""
    return _pet(pen, rng, "cat")


def draw_dog(pen: Pen, rng: Rng) -> str:
    """Draw a dog."""
    return _pet(pen, rng, "dog")
