"""Heads of daisy, sunflower and dandelion: many petals round a button."""

from __future__ import annotations

import math

import numpy as np

from course_sketches.colours import mix, shade
from course_sketches.looks import Look
from course_sketches.pen import Pen
from course_sketches.petals import HALF_PI, Bloom, Ring

Rng = np.random.Generator


def draw_daisy(pen: Pen, rng: Rng, look: Look, age: float) -> None:
    """Draw a daisy: a button within straps; a bud's straps stand upright."""
    bloom = Bloom(pen, rng)
    count = 13 + int(10 * look.variety)
    lift = rng.normal(0.1, 0.22) + (1.1 if age < 0.12 else 0)
    wide = rng.uniform(2.6, 3.8) / count
    bands = [
        (0.3, look.root if look.variety > 0.7 else shade(look.petal, 0.88)),
        (0.8, look.petal),
        (1.0, look.rim),
    ]
    for k in range(2 if look.variety > 0.35 else 1):
        ring = Ring(
            "strap",
            count,
            0.72 - 0.05 * k,
            wide,
            (lift + 0.12 * k, lift - 0.15),
            base=0.26,
            height=0.04 * k,
            strips=1,
        )
        bloom.petals(ring, bands)
    bloom.calyx(look.leaf, 0.24, -0.02)
    heart = look.heart
    size = rng.uniform(0.25, 0.34)
    bloom.dome(
        size, 0.17, [shade(heart, t) for t in (0.62, 0.82, 0.94, 1.05, 1.15)], at=0.03
    )
    if bloom.fine:
        bloom.dots(38, (0.02, size * 0.93), (0.21, 0.07), 0.02, shade(heart, 0.72))
    bloom.draw()


def draw_sunflower(pen: Pen, rng: Rng, look: Look, age: float) -> None:
    """Draw a sunflower: a wide plate of seeds within pointed flames."""
    bloom = Bloom(pen, rng)
    plate = rng.uniform(0.4, 0.54)
    count = 14 + int(8 * look.variety)
    droop = rng.normal(0.15, 0.2) + (0.9 if age < 0.1 else 0)
    bands = [(0.35, look.root), (1.0, look.petal)]
    for k in range(2):
        ring = Ring(
            "pointed",
            count,
            1.04 - plate - 0.06 * k,
            0.24,
            (droop + 0.2 * k, droop - 0.1),
            base=plate * 0.92,
            height=0.02 * k,
            strips=2,
            jitter=1.6,
        )
        bloom.petals(ring, bands if k else [(1.0, shade(look.petal, 0.92))])
    green = Ring(
        "pointed",
        11,
        0.75 - plate * 0.5,
        0.26,
        (-0.1, 0.2),
        base=plate * 0.6,
        height=-0.09,
    )
    bloom.petals(green, [(1.0, look.leaf)])
    bloom.calyx(look.leaf, plate * 0.8, -0.05)
    heart = look.heart
    bloom.dome(
        plate, 0.1, [shade(heart, 0.7), shade(heart, 0.95), shade(heart, 1.15)], at=0.02
    )
    middle = mix(heart, look.leaf, 0.6) if look.variety < 0.5 else shade(heart, 0.5)
    bloom.dome(plate * 0.52, 0.03, [shade(middle, 0.85), middle], at=0.11)
    if bloom.fine:
        bloom.dots(
            70,
            (0.03, plate * 0.96),
            (0.15, 0.07),
            0.024,
            mix(shade(heart, 1.1), look.petal, 0.35),
        )
    bloom.draw()


def draw_dandelion(pen: Pen, rng: Rng, look: Look, age: float) -> None:
    """Draw a dandelion: a cushion of rays, or the clock of seeds that follows it."""
    if age > 0.55:
        _clock(pen, rng, look)
        return
    bloom = Bloom(pen, rng)
    shut = 0.75 if age < 0.1 else rng.uniform(0, 0.25)
    for k, (count, length) in enumerate(
        ((24, 0.98), (22, 0.86), (17, 0.68), (12, 0.5), (7, 0.34))
    ):
        if not bloom.fine:
            if k % 2:
                continue
            count = count * 2 // 3
        rise = shut + (1 - shut / HALF_PI) * (0.08 + 0.3 * k)
        tone = mix(look.petal, look.root, 0.11 * k)
        ring = Ring(
            "ray",
            count,
            length,
            0.13 if bloom.fine else 0.19,
            (rise + 0.15, rise - 0.12),
            base=0.04,
            height=0.02 * k,
            jitter=1.5,
        )
        bands = [(0.5, shade(tone, 0.84)), (1.0, tone)]
        bloom.petals(ring, bands if bloom.fine else bands[1:])
    green = Ring(
        "pointed", 10, 0.5, 0.14, (0.5, rng.uniform(-1.2, 1.2)), base=0.1, height=-0.15
    )
    bloom.petals(green, [(1.0, look.leaf)])
    bloom.calyx(look.leaf, 0.22, -0.02)
    bloom.draw()


def _clock(pen: Pen, rng: Rng, look: Look) -> None:
    """Draw a ball of seeds with their parachutes; some may have flown."""
    count = 90 if pen.scale > 44 else 32
    k = np.arange(count) + 0.5
    high, turn = 1 - 2 * k / count, k * 2.39996 + rng.uniform(0, 6.3)
    flat = np.sqrt(1 - high**2)
    seeds = np.stack([flat * np.cos(turn), flat * np.sin(turn), high], axis=1)
    seeds *= rng.uniform(0.92, 1.06, (count, 1))
    blown = seeds @ rng.normal(size=3) > rng.choice([0.2, 1.0, 9.0], p=[0.2, 0.2, 0.6])
    seeds = seeds[~blown]
    white = shade((238, 240, 240), rng.uniform(0.88, 1.04))
    if not blown.any():
        pen.ellipse(0, 0, 0.94, 0.94, (*mix(white, look.leaf, 0.15), 110))
        pen.ellipse(0, 0, 0.6, 0.6, (*mix(white, look.leaf, 0.3), 130))
    bloom = Bloom(pen, rng)
    across = np.cross(seeds, rng.normal(size=3))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    over = np.cross(seeds, across)
    thin = 0.014 if bloom.fine else 0.03
    order = seeds @ pen.depth
    tone = 0.8 + 0.2 * np.clip(seeds @ bloom.lamp, -0.5, 1)[:, None]
    stalk = np.stack(
        [seeds * 0.1, seeds * 0.8 + across * thin, seeds * 0.8 - across * thin], axis=1
    )
    bloom.groups.append(
        (
            stalk,
            np.clip(tone * np.array(mix(white, look.leaf, 0.35)), 0, 255).astype(int),
            order - 0.5,
        )
    )
    for angle in np.arange(5) * 0.628 + 0.2:
        arm = (math.cos(angle) * across + math.sin(angle) * over) * 0.17
        lift = seeds * (1.0 - 0.05)
        side = np.cross(arm, seeds) * thin / 0.17
        hair = np.stack([lift + arm, lift + side, lift - arm, lift - side], axis=1)
        bloom.groups.append(
            (hair, np.clip(tone * np.array(white), 0, 255).astype(int), order)
        )
    bloom.dome(0.15, 0.12, [(96, 84, 60), (128, 112, 80)], at=-0.05)
    bloom.draw()
