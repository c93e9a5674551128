"""Drawings of CIFAR-10's vehicles; each returns the surroundings that suit it."""

from __future__ import annotations

import numpy as np

from course_utils.data.sketch_pen import (
    BLACK,
    CLEAR,
    GLASS,
    TYRE,
    WHITE,
    Pen,
    hsv,
    mix,
    paint,
    points,
    shade,
)

Rng = np.random.Generator


def _box(x0: float, x1: float, top: float, bottom: float) -> np.ndarray:
    return np.array([[x0, bottom], [x0, top], [x1, top], [x1, bottom]])


def draw_airplane(pen: Pen, rng: Rng) -> str:
    """Draw an airliner, a propeller plane or a jet fighter, from any side."""
    kind = rng.choice(["airliner", "propeller", "fighter"], p=[0.55, 0.25, 0.2])
    on_ground = rng.random() < 0.2
    pitch = rng.uniform(4, 25) if on_ground else rng.uniform(-45, 70)
    tilt = 0 if on_ground else rng.normal(-6, 16)
    pen.pose(rng.uniform(-65, 65), pitch, tilt)
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


def _wheels(pen: Pen, rng: Rng, xs: list[float], radius: float, z: float) -> None:
    hub = hsv(0.6, 0.05, rng.uniform(0.3, 0.85))
    y = 0.42 - radius
    for x in xs:
        pen.ellipse(x, y, radius, radius, TYRE, at=-z)
        pen.ellipse(x, y, radius, radius, TYRE, at=z)
        pen.ellipse(x, y, radius * 0.52, radius * 0.52, hub, at=z + 0.005)


def _lamps(pen: Pen, x: float, y: float, z: float, colour: tuple[int, ...]) -> None:
    for side in (-z, z):
        pen.ellipse(side, y, 0.08, 0.05, colour, at=x, plane="zy")


def draw_automobile(pen: Pen, rng: Rng) -> str:
    """Draw a saloon, hatchback, van, sports car or open car."""
    yaw = rng.uniform(-70, 70)
    pen.pose(yaw, rng.uniform(3, 24), rng.normal(0, 3))
    body, lamp = paint(rng), (250, 240, 190)
    roof, hood, rear, front, back = (
        (-0.42, -0.06, -0.5, 0.5, -0.68),
        (-0.46, -0.08, -0.85, 0.48, -0.92),
        (-0.56, -0.1, -0.9, 0.52, -0.94),
        (-0.3, 0.0, -0.4, 0.4, -0.75),
    )[rng.choice(4, p=[0.4, 0.25, 0.15, 0.2])]
    width = rng.uniform(0.38, 0.46)
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
        pen.prism(_box(-0.4, -0.25, hood - 0.18, hood), inner * 0.8, TYRE)
        pen.prism(np.array([[0.2, hood - 0.24], [front, hood]]), inner, glass)
    else:
        pen.prism(cabin, inner, [body, glass, shade(body, 1.25), glass, body])
        centre = np.array([[(back + front) / 2, (hood + roof) / 2]])
        window = centre + (cabin - centre) * (0.84, 0.7)
        pen.polygon(window, glass, at=inner + 0.005)
        pillar = np.array([[-0.14, roof + 0.02], [-0.14, hood]])
        pen.limb(pillar, (0.05,), body, at=inner + 0.01)
    _wheels(pen, rng, [-0.58, 0.56], rng.uniform(0.17, 0.22), width)
    return "road"


def draw_truck(pen: Pen, rng: Rng) -> str:
    """Draw a lorry, pickup, dump truck, tanker or fire engine."""
    yaw = rng.uniform(-70, 70)
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
            pen.prism(_box(-1.0, split - 0.04, roof, 0.2), width, load)
            if rng.random() < 0.5:
                stripe = _box(-0.95, split - 0.1, -0.22, -0.1)
                pen.polygon(stripe, paint(rng), at=width + 0.005)
        elif kind == 1:
            pen.prism(_box(-1.0, split, -0.1, 0.24), width, load)
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
            pen.prism(_box(-1.0, split, -0.32, 0.22), width, load)
            rungs = _box(-0.95, 0.5, -0.44, -0.37)
            pen.prism(rungs, width * 0.4, hsv(0.6, 0.05, 0.75))
            pen.polygon(_box(-0.9, split, 0.0, 0.06), WHITE, at=width + 0.005)
        if yaw > 12 and kind != 3:
            _lamps(pen, -1.0, 0.12, width * 0.8, (190, 30, 34))

    pen.prism(_box(-0.95, 0.9, 0.15, 0.28), width * 0.9, TYRE)
    for part in (cargo, cabin) if yaw < 0 else (cabin, cargo):
        part()
    xs = [-0.62, 0.62] if kind in (1, 4) else [-0.78, -0.42, 0.62]
    _wheels(pen, rng, xs, rng.uniform(0.17, 0.21), width)
    return "road"


def draw_ship(pen: Pen, rng: Rng) -> str:
    """Draw a cargo ship, liner, sailing boat, warship or motor boat."""
    pen.pose(rng.uniform(-48, 48), rng.uniform(2, 20), rng.normal(0, 4))
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
        pen.prism(_box(x0, x1, top, bottom), wide * share, upper)
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
                pen.prism(_box(x, x + 0.2, y - 0.12, y), wide * 0.85, paint(rng))
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
        pen.blob(np.array(main + [[x - 0.42 - belly, -0.35]]), cloth)
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
