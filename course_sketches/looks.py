"""The varieties of the five flowers: which colours a plant has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from course_sketches.colours import Colour, hsv, mix, shade

Rng = np.random.Generator


@dataclass(frozen=True)
class Look:
    """What the blooms of one picture share."""

    petal: Colour
    root: Colour
    rim: Colour
    heart: Colour
    leaf: Colour
    variety: float


def _colour(rng: Rng, hue: float, saturation: float, value: float) -> Colour:
    return hsv(
        (hue + rng.normal(0, 0.012)) % 1,
        float(np.clip(saturation + rng.normal(0, 0.06), 0, 1)),
        float(np.clip(value + rng.normal(0, 0.04), 0, 1)),
    )


# Petal, root, rim and heart of the varieties, as hue, saturation and value, with how
# often each is drawn; the classes share most colours.
WHITE, CREAM, YELLOW, GOLD = (
    (0.12, 0.03, 0.97),
    (0.13, 0.2, 0.97),
    (0.15, 0.8, 0.97),
    (0.125, 0.9, 0.97),
)
ORANGE, RED, CRIMSON, PINK = (
    (0.07, 0.8, 0.96),
    (0.99, 0.82, 0.82),
    (0.97, 0.85, 0.6),
    (0.93, 0.42, 0.95),
)
ROSE, LILAC, PURPLE, BROWN = (
    (0.94, 0.65, 0.9),
    (0.8, 0.3, 0.88),
    (0.8, 0.6, 0.6),
    (0.06, 0.7, 0.3),
)
GREEN = (0.25, 0.5, 0.6)
VARIETIES = {
    "daisy": [(WHITE, 0.5), (PINK, 0.16), (YELLOW, 0.12), (LILAC, 0.12), (ROSE, 0.1)],
    "dandelion": [(YELLOW, 0.45), (GOLD, 0.55)],
    "roses": [
        (RED, 0.22),
        (CRIMSON, 0.08),
        (PINK, 0.18),
        (WHITE, 0.14),
        (CREAM, 0.08),
        (YELLOW, 0.16),
        (ORANGE, 0.08),
        (ROSE, 0.06),
    ],
    "sunflowers": [
        (GOLD, 0.42),
        (YELLOW, 0.28),
        (ORANGE, 0.12),
        (CREAM, 0.1),
        (RED, 0.08),
    ],
    "tulips": [
        (RED, 0.22),
        (YELLOW, 0.2),
        (PINK, 0.16),
        (WHITE, 0.12),
        (ORANGE, 0.1),
        (PURPLE, 0.1),
        (ROSE, 0.1),
    ],
}


def choose_look(flower: str, rng: Rng) -> Look:
    """Return a variety of the flower."""
    tones, chances = zip(*VARIETIES[flower], strict=True)
    tone = tones[rng.choice(len(tones), p=chances)]
    petal = _colour(rng, *tone)
    root, rim = (
        shade(petal, rng.uniform(0.62, 0.85)),
        shade(petal, rng.uniform(1.05, 1.3)),
    )
    heart = _colour(rng, *GOLD)
    kind = rng.random()
    if flower == "daisy" and kind < 0.25:
        rim = mix(petal, _colour(rng, *ROSE), rng.uniform(0.2, 0.7))
    elif flower == "sunflowers":
        heart = _colour(rng, *(BROWN if kind < 0.8 else GREEN))
        root = mix(petal, _colour(rng, *ORANGE), rng.uniform(0.1, 0.9))
    elif flower == "tulips":
        root = (
            _colour(rng, *(YELLOW, WHITE, PURPLE)[rng.integers(3)])
            if kind < 0.3
            else root
        )
        if kind > 0.75:
            rim = _colour(rng, *(YELLOW, WHITE, PINK)[rng.integers(3)])
    elif flower == "roses" and kind < 0.3:
        rim = mix(petal, _colour(rng, *(PINK, WHITE, CREAM)[rng.integers(3)]), 0.6)
    leaf = hsv(rng.uniform(0.22, 0.4), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.65))
    return Look(petal, root, rim, heart, leaf, rng.random())
