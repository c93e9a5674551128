"""Heads of rose and tulip: broad petals that form a cup."""

from __future__ import annotations

import math

import numpy as np

from course_sketches.colours import mix, shade
from course_sketches.looks import Look
from course_sketches.pen import Pen
from course_sketches.petals import Bloom, Ring

Rng = np.random.Generator


def draw_rose(pen: Pen, rng: Rng, look: Look, age: float) -> None:
    """Draw a rose: cups of broad petals one within the other, or a bud."""
    bloom = Bloom(pen, rng)
    closed = 0.35 if age < 0.2 else 0.0
    dark, deep = shade(look.petal, 0.62), shade(look.petal, 0.45)
    back = mix(shade(look.petal, 0.92), look.rim, 0.4)
    rises = ((0.5, 0.0), (0.5, 0.95), (0.55, 1.4), (0.7, 1.75), (0.8, 2.0), (0.9, 2.2))
    start = rng.uniform(0, 2 * math.pi)
    for k, (first, last) in enumerate(rises):
        if (k == 0 and (closed or age > 0.8)) or (k % 2 and not bloom.fine):
            continue
        ring = Ring(
            "broad",
            5 if k < 2 else 3,
            1.02 - 0.05 * k,
            1.7 if k < 2 else 2.5,
            (first + closed, last + closed),
            base=0.05,
            wrap=True,
            strips=4 if k < 4 else 3,
            turn=start + 2.4 * k,
            jitter=1.0,
        )
        tone = [
            (0.66, mix(look.root, deep, 0.12 * k)),
            (0.9, mix(look.petal, dark, 0.05 * k)),
            (1.0, look.rim),
        ]
        bloom.petals(ring, tone, back=mix(back, dark, 0.05 * k))
    bloom.petals(
        Ring("pointed", 5, 0.62, 0.22, (-0.1, 0.5), base=0.05, height=-0.08),
        [(1.0, look.leaf)],
    )
    bloom.calyx(look.leaf, 0.2, 0.0)
    bloom.draw()


def draw_tulip(pen: Pen, rng: Rng, look: Look, age: float) -> None:
    """Draw a tulip: six petals that form a cup, wide open with age."""
    bloom = Bloom(pen, rng)
    tip = 2.05 - 0.95 * age**1.5 + rng.normal(0, 0.05)
    first = 0.3 - 0.1 * age
    bands = [(0.22, look.root), (0.78, look.petal), (1.0, look.rim)]
    back = shade(look.petal, 0.94)
    start = rng.uniform(0, 2 * math.pi)
    for k, wide in ((0, 1.85), (1, 1.6)):
        ring = Ring(
            "egg",
            3,
            1.5 - 0.04 * k,
            wide,
            (first + 0.04 * (1 - k), tip),
            base=0.04,
            height=-0.6,
            wrap=True,
            strips=5,
            jitter=0.5,
            turn=start + k * math.pi / 3,
        )
        bloom.petals(ring, bands, back=mix(back, look.rim, 0.25 * k))
    bloom.dome(0.1, 0.5, [shade(look.leaf, 0.7), look.leaf, (226, 214, 120)], at=-0.55)
    bloom.draw()
