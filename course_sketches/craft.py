"""Drawings of an airplane and a ship; each returns the surroundings that suit it."""

from __future__ import annotations

import numpy as np

from course_sketches.colours import (
    BLACK,
    CLEAR,
    GLASS,
    TYRE,
    hsv,
    mix,
    paint,
    shade,
)
from course_sketches.pen import Pen, box, points

Rng = np.random.Generator


def draw_airplane(pen: Pen, rng: Rng) -> str:
    """Draw an airliner, a propeller plane or a jet fighter, from any side."""
    kind = rng.choice(["airliner", "propeller", "fighter"], p=[0.55, 0.25, 0.2])
    on_ground = rng.random() < 0.2
    pitch = rng.uniform(10, 25) if on_ground else rng.uniform(16, 60)
    if not on_ground and rng.random() < 0.4:
        pitch = -0.7 * pitch  # seen from below
    tilt = 0 if on_ground else rng.normal(-6, 10)
    pen.pose(rng.uniform(-40, 40), pitch, tilt)
    body = hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.55, 0.97))
    if rng.random() < 0.3:
        body = paint(rng)
    wing, accent = shade(body, rng.uniform(0.6, 0.85)), paint(rng)
    if kind == "airliner":
        outline, root, rear = ".3,.1 -.1,.1 -.5,1 -.32,1", 0.05, ".28"
        widths = (0.06, 0.17, 0.21, 0.21, 0.19, 0.08)
    elif kind == "propeller":
        outline, root, rear = ".42,.08 .08,.08 .12,1 .36,1", -0.12, ".4"
        widths = (0.05, 0.1, 0.18, 0.26, 0.26, 0.14)
    else:
        outline, root, rear = ".35,.06 -.7,.06 -.72,.62 -.5,.62", 0.0, ".36"
        widths = (0.14, 0.2, 0.2, 0.18, 0.1, 0.02)
    stretch = (1.0, rng.uniform(0.8, 1.05))
    wings = [points(outline) * stretch, points(outline) * stretch * (1, -1)]
    stabiliser = points(f"-.72,.05 -.92,.05 -1.02,{rear} -.9,{rear}")
    sides = wings if pen.depth[2] < 0 else wings[::-1]
    fin = "-.62,-.05 -.95,-.48 -1.06,-.48 -.95,-.03"

    def wing_with_engine(side: np.ndarray) -> None:
        pen.polygon(side, wing, at=root, plane="xz")
        if kind == "airliner":
            z = side[:, 1].mean() * 0.75
            pod = np.array([[-0.08, 0.13], [0.14, 0.13]])
            pen.limb(pod, (0.1, 0.11), shade(wing, 0.8), at=z)

    low_wing = (root > 0) == (pen.depth[1] < 0)
    wing_with_engine(sides[0])
    if low_wing:
        wing_with_engine(sides[1])
    if pen.depth[1] > 0:
        pen.polygon(fin, accent)
    pen.polygon(stabiliser * (1, -1), wing, plane="xz")
    pen.polygon(stabiliser, wing, plane="xz")
    pen.limb("-1,-.06 -.6,0 -.2,.02 .3,.02 .7,.02 1,.05", widths, body)
    if pen.depth[1] <= 0:
        pen.polygon(fin, accent)
    if kind == "airliner":
        pen.limb("-.55,-.02 .68,-.01", (0.035,), mix(GLASS, accent, rng.random()), 0.1)
    pen.limb(
        "-.1,-.1 .2,-.1" if kind == "fighter" else ".66,-.04 .8,-.01",
        (0.09, 0.07),
        GLASS,
    )
    if not low_wing:
        wing_with_engine(sides[1])
    if kind == "propeller":
        blade = rng.uniform(0, 180)
        pen.ellipse(0, 0.05, 0.34, 0.04, TYRE, blade, at=1.03, plane="zy")
    if on_ground:
        for x, z in ((0.7, 0.0), (-0.1, 0.2), (-0.1, -0.2)):
            leg = np.array([[x, 0.1], [x, 0.3]])
            pen.limb(leg, (0.03, 0.08), TYRE, at=z)
    return "road" if on_ground else "air"


def draw_ship(pen: Pen, rng: Rng) -> str:
    """Draw a cargo ship, liner, sailing boat, warship or motor boat."""
    pen.pose(rng.uniform(-40, 40), rng.uniform(2, 18), rng.normal(0, 4))
    kind = rng.choice(5, p=[0.25, 0.22, 0.25, 0.13, 0.15])
    hull, trim = paint(rng), paint(rng)
    upper = hsv(rng.random(), 0.06, rng.uniform(0.7, 0.97))
    if kind == 3:
        hull = upper = hsv(0.6, rng.uniform(0, 0.15), rng.uniform(0.4, 0.7))
    wide = rng.uniform(0.14, 0.24)
    edge = 0.12 if kind != 4 else 0.2
    z = np.array([wide, wide, 0.0, 0.0, wide])
    side = points(f"-.92,{edge} .4,{edge} 1,{edge - 0.14} .84,.5 -.86,.5")
    pen.polygon(side, shade(hull, 0.7), at=-z)
    deck = np.array([[-0.92, wide], [0.4, wide], [1, 0], [0.4, -wide], [-0.92, -wide]])
    pen.polygon(deck, mix(trim, (190, 160, 120), 0.7), at=edge - 0.02, plane="xz")
    stern = np.array([[-wide, edge], [wide, edge], [wide, 0.5], [-wide, 0.5]])
    if pen.depth[0] < 0:
        pen.polygon(stern, shade(hull, 0.8), at=-0.92, plane="zy")

    def block(x0: float, x1: float, top: float, bottom: float, share: float) -> None:
        pen.prism(box(x0, x1, top, bottom), wide * share, upper)
        level = (top + bottom) / 2
        panes = np.array([[x0 + 0.04, level], [x1 - 0.04, level]])
        pen.limb(panes, (0.05,), GLASS, at=wide * share + 0.01)

    def mast(x: float, top: float, width: float = 0.035) -> None:
        pen.limb(np.array([[x, top], [x, edge]]), (width,), shade(trim, 0.6))

    if kind == 0:
        stacks = rng.integers(0, 3, 5)
        for i, height in enumerate(stacks.tolist()):
            for level in range(height + 1):
                x, y = -0.42 + 0.22 * i, edge - 0.13 * level
                pen.prism(box(x, x + 0.2, y - 0.12, y), wide * 0.85, paint(rng))
        block(-0.86, -0.55, -0.5, edge, 0.8)
    elif kind == 1:
        block(-0.8, 0.55, -0.06, edge, 0.85)
        block(-0.7, 0.42, -0.23, -0.06, 0.75)
        if rng.random() < 0.6:
            block(-0.5, 0.3, -0.38, -0.23, 0.65)
        for x in (-0.3, 0.0)[: rng.integers(1, 3)]:
            pen.limb(np.array([[x, -0.4], [x - 0.06, -0.58]]), (0.13,), trim)
    elif kind == 2:
        x, top = rng.uniform(-0.1, 0.2), rng.uniform(-1.1, -0.85)
        cloth = upper if rng.random() < 0.65 else trim
        belly = rng.uniform(0.02, 0.14)
        main = [[x - 0.03, top], [x - 0.03, edge - 0.1], [x - 0.75, edge - 0.1]]
        jib = [[x + 0.04, top + 0.15], [x + 0.04, edge - 0.08], [0.9, edge - 0.1]]
        pen.blob(np.array([*main, [x - 0.42 - belly, -0.35]]), cloth)
        pen.polygon(np.array(jib), shade(cloth, 0.85))
        mast(x, top - 0.05)
    elif kind == 3:
        block(-0.5, 0.2, -0.1, edge, 0.8)
        block(-0.25, 0.1, -0.32, -0.1, 0.6)
        mast(-0.1, -0.72)
        pen.limb(points(f".42,{edge - 0.1} .78,{edge - 0.18}"), (0.1, 0.03), TYRE)
    else:
        block(-0.45, 0.2, -0.18, edge, 0.75)
        mast(-0.3, -0.5)
    pen.polygon(side, hull, at=z)
    band = points(
        f"-.9,{edge} .4,{edge} 1,{edge - 0.14} .98,{edge - 0.06} "
        f".4,{edge + 0.08} -.9,{edge + 0.08}"
    )
    pen.polygon(band, trim, at=np.array([wide, wide, 0, 0, wide, wide]) + 0.002)
    pen.polygon(
        points("-.87,.36 .88,.36 .84,.5 -.86,.5"),
        mix(BLACK, trim, 0.3),
        at=np.array([wide, 0, 0, wide]),
    )
    x = np.linspace(-1.3, 1.3, 14)
    wave = 0.4 + 0.025 * np.sin(x * rng.uniform(8, 14) + rng.uniform(0, 6))
    under = np.stack([np.append(x, [1.3, -1.3]), np.append(wave, [1.2, 1.2])], axis=1)
    pen.pose(0, 0, 0)
    pen.polygon(under, CLEAR)
    return "water"
