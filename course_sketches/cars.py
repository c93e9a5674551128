"""Drawings of a car and a truck; each returns the surroundings that suit it."""

from __future__ import annotations

import numpy as np

from course_sketches.colours import (
    GLASS,
    TYRE,
    WHITE,
    Colour,
    hsv,
    paint,
    shade,
)
from course_sketches.pen import Pen, box

Rng = np.random.Generator


def _wheels(pen: Pen, xs: list[float], radius: float, z: float, hub: Colour) -> None:
    for x in xs:
        pen.ellipse(x, 0.42 - radius, radius, radius, TYRE, at=z)
        pen.ellipse(x, 0.42 - radius, radius * 0.52, radius * 0.52, hub, at=z)


def _lamps(pen: Pen, x: float, y: float, z: float, colour: Colour) -> None:
    for side in (-z, z):
        pen.ellipse(side, y, 0.08, 0.05, colour, at=x, plane="zy")


def draw_automobile(pen: Pen, rng: Rng) -> str:
    """Draw a saloon, hatchback, van, sports car or open car."""
    yaw = rng.uniform(-48, 48)
    pen.pose(yaw, rng.uniform(3, 24), rng.normal(0, 3))
    body, lamp = paint(rng), (250, 240, 190)
    roof, hood, rear, front, back = (
        (-0.42, -0.06, -0.5, 0.5, -0.68),
        (-0.46, -0.08, -0.85, 0.48, -0.92),
        (-0.56, -0.1, -0.9, 0.52, -0.94),
        (-0.3, 0.0, -0.4, 0.4, -0.75),
    )[rng.choice(4, p=[0.4, 0.25, 0.15, 0.2])]
    width = rng.uniform(0.38, 0.46)
    wheels, radius = [-0.58, 0.56], rng.uniform(0.17, 0.21)
    hub = hsv(0.6, 0.05, rng.uniform(0.3, 0.85))
    _wheels(pen, wheels, radius, -width, TYRE)
    low = [[-0.95, 0.3], [-0.97, hood + 0.04], [-0.6, hood - 0.03]]
    low += [[front, hood - 0.03], [0.9, hood + 0.08], [0.97, 0.3]]
    faces = [body] + [shade(body, f) for f in (0.75, 1.12, 1.1, 1.2, 0.85, 0.4)]
    pen.prism(np.array(low), width, faces)
    nose = "-.26,.2 -.26,.08 .26,.08 .26,.2"
    if yaw > 8:
        tail = paint(rng) if rng.random() < 0.1 else (190, 30, 34)
        _lamps(pen, -0.97, hood + 0.14, width * 0.78, tail)
        pen.polygon(
            np.array([[-0.1, 0.2], [-0.1, 0.13], [0.1, 0.13], [0.1, 0.2]]),
            WHITE,
            at=-0.97,
            plane="zy",
        )
    if yaw < -8:
        pen.polygon(nose, TYRE, at=0.96, plane="zy")
        _lamps(pen, 0.95, 0.08, width * 0.78, lamp)
    inner = width * 0.86
    cabin = np.array([[back, hood], [rear, roof], [0.12, roof - 0.01], [front, hood]])
    glass = shade(GLASS, rng.uniform(0.6, 1.3))
    if rng.random() < 0.14:  # an open car: windscreen and seats
        pen.prism(box(-0.4, -0.25, hood - 0.18, hood), inner * 0.8, TYRE)
        pen.prism(np.array([[0.2, hood - 0.24], [front, hood]]), inner, glass)
    else:
        pen.prism(cabin, inner, [body, glass, shade(body, 1.25), glass, body])
        centre = np.array([[(back + front) / 2, (hood + roof) / 2]])
        window = centre + (cabin - centre) * (0.84, 0.7)
        pen.polygon(window, glass, at=inner + 0.005)
        pillar = np.array([[-0.14, roof + 0.02], [-0.14, hood]])
        pen.limb(pillar, (0.05,), body, at=inner + 0.01)
    _wheels(pen, wheels, radius, width, hub)
    return "road"


def draw_truck(pen: Pen, rng: Rng) -> str:
    """Draw a lorry, pickup, dump truck, tanker or fire engine."""
    yaw = rng.uniform(-48, 48)
    pen.pose(yaw, rng.uniform(2, 22), rng.normal(0, 3))
    cab, load = paint(rng), paint(rng)
    kind = rng.choice(5, p=[0.38, 0.24, 0.15, 0.11, 0.12])
    width = rng.uniform(0.32, 0.4)
    if kind == 1:
        load = cab
    if kind == 4:
        cab = load = hsv(rng.uniform(-0.02, 0.03) % 1, 0.85, rng.uniform(0.6, 0.9))
    top = -0.42 if kind == 1 else rng.uniform(-0.55, -0.4)
    split = rng.uniform(0.3, 0.45) if kind != 1 else 0.0
    glass = shade(GLASS, rng.uniform(0.6, 1.3))

    def cabin() -> None:
        hood = 0.62 if kind == 1 or (kind == 0 and rng.random() < 0.4) else 0.9
        bottom = 0.24
        shape = [[split, bottom], [split, top], [hood - 0.14, top], [hood, -0.08]]
        shape += [[0.95, -0.04], [0.97, bottom]]
        sides = (0.75, 1.0, 1.25, 0.0, 1.15, 0.85, 0.4)
        colours = [cab] + [shade(cab, f) for f in sides[1:]]
        colours[3] = glass
        pen.prism(np.array(shape), width, colours)
        pane = [[split + 0.08, -0.1], [split + 0.08, top + 0.07]]
        pane += [[hood - 0.16, top + 0.07], [hood - 0.05, -0.1]]
        pen.polygon(np.array(pane), glass, at=width + 0.005)
        if yaw < -8:
            pen.polygon("-.2,.18 -.2,.02 .2,.02 .2,.18", TYRE, at=0.97, plane="zy")
            _lamps(pen, 0.97, 0.1, width * 0.78, (250, 240, 190))

    def cargo() -> None:
        roof = top - rng.uniform(0.0, 0.25)
        if kind == 0:
            pen.prism(box(-1.0, split - 0.04, roof, 0.2), width, load)
            if rng.random() < 0.5:
                stripe = box(-0.95, split - 0.1, -0.22, -0.1)
                pen.polygon(stripe, paint(rng), at=width + 0.005)
        elif kind == 1:
            pen.prism(box(-1.0, split, -0.1, 0.24), width, load)
            bed = [[-0.95, -0.8 * width], [-0.95, 0.8 * width]]
            bed += [[split, 0.8 * width], [split, -0.8 * width]]
            pen.polygon(np.array(bed), shade(load, 0.4), at=-0.1, plane="xz")
        elif kind == 2:
            lift = rng.uniform(0, 0.35)
            tub = [[-0.85, 0.15], [-1.0, -0.3 - lift * 0.3]]
            tub += [[split - 0.02, -0.4 - lift], [split - 0.1, 0.1 - lift]]
            pen.prism(np.array(tub), width, load)
        elif kind == 3:
            tank = np.array([[-0.85, -0.14], [split - 0.18, -0.14]])
            pen.limb(tank, (0.56,), shade(load, 0.85))
            pen.limb(tank - (0, 0.1), (0.2,), shade(load, 1.3), at=width / 2)
        else:
            pen.prism(box(-1.0, split, -0.32, 0.22), width, load)
            rungs = box(-0.95, 0.5, -0.44, -0.37)
            pen.prism(rungs, width * 0.4, hsv(0.6, 0.05, 0.75))
            pen.polygon(box(-0.9, split, 0.0, 0.06), WHITE, at=width + 0.005)
        if yaw > 12 and kind != 3:
            _lamps(pen, -1.0, 0.12, width * 0.8, (190, 30, 34))

    wheels = [-0.62, 0.62] if kind in (1, 4) else [-0.78, -0.42, 0.62]
    radius, hub = rng.uniform(0.17, 0.2), hsv(0.6, 0.05, rng.uniform(0.3, 0.85))
    _wheels(pen, wheels, radius, -width, TYRE)
    pen.prism(box(-0.95, 0.9, 0.15, 0.28), width * 0.9, TYRE)
    for part in (cargo, cabin) if yaw < 0 else (cabin, cargo):
        part()
    _wheels(pen, wheels, radius, width, hub)
    return "road"
