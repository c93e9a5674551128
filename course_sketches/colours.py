"""Colours of the drawings, as 8-bit RGB triples, and how to change and pick them."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[int, ...]
BLACK, WHITE, CLEAR = (24, 22, 26), (244, 244, 240), (0, 0, 0, 0)
GLASS, TYRE = (70, 88, 108), (32, 32, 36)
FURS = (
    (122, 82, 48),
    (160, 112, 66),
    (196, 152, 100),
    (92, 60, 40),
    (58, 48, 46),
    (36, 34, 38),
    (128, 124, 122),
    (176, 172, 166),
    (224, 214, 198),
    (190, 108, 50),
)


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker (factor < 1) or lighter (factor > 1)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour)
    return tuple(int(255 - (255 - c) * max(0.0, 2 - factor)) for c in colour)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour that is `share` of the way from a to b."""
    return tuple(int(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the 8-bit RGB colour of hue, saturation and value in [0, 1]."""
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))


def paint(rng: np.random.Generator) -> Colour:
    """Return a random colour of varnish: often white, grey or black."""
    if rng.random() < 0.4:
        return hsv(rng.random(), 0.08, rng.choice([0.2, 0.5, 0.75, 0.92]))
    return hsv(rng.random(), rng.uniform(0.45, 0.9), rng.uniform(0.4, 0.95))


def fur(rng: np.random.Generator) -> Colour:
    """Return a random colour of fur."""
    colour = FURS[rng.integers(len(FURS))]
    light = rng.normal(0, 12) + rng.normal(0, 3, 3)
    return tuple(int(c) for c in np.clip(colour + light, 12, 246))
