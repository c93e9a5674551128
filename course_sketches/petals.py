"""Flower heads as solids: rings of curved petals and domes, lit from one side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from course_sketches.colours import Colour, shade
from course_sketches.pen import Pen

Rng = np.random.Generator
# Widths of petals from root to tip: u**a * (1 - u**b)**c.
SHAPES = {
    "strap": (0.45, 9.0, 0.5),
    "pointed": (0.55, 2.2, 0.9),
    "ray": (0.3, 14.0, 0.45),
    "broad": (0.5, 4.5, 0.5),
    "egg": (0.42, 3.0, 0.6),
}
HALF_PI = math.pi / 2
LAMP = np.array([-0.42, -0.62, 0.66])  # to the right, down and to the viewer


@dataclass(frozen=True)
class Ring:
    """A ring of petals; lengths in radii of the flower, angles in radians.

    `rise` is how steep a petal is at its root and at its tip: 0 lies flat, pi / 2
    stands. With `wrap` the petals bend round the axis and `width` is an angle.
    """

    shape: str
    count: int
    length: float
    width: float
    rise: tuple[float, float]
    base: float = 0.0
    height: float = 0.0
    wrap: bool = False
    strips: int = 1
    jitter: float = 1.0
    turn: float | None = None


@cache
def _outline(
    shape: str, marks: tuple[float, ...], fine: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of a petal's length, the marks among them, and its widths there."""
    grid = np.sin(np.linspace(0, HALF_PI, 9 if fine else 6))  # close near the tip
    u = np.unique(np.round(np.concatenate([grid, marks]), 6))
    a, b, c = SHAPES[shape]
    across = u**a * (1 - u**b) ** c
    return u, across / across.max()


@cache
def _circle(corners: int) -> np.ndarray:
    """Return the corners (corners, 3) of the unit circle round the axis."""
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)


class Bloom:
    """Collects the faces of one flower head in the pen's frame, z along its axis."""

    def __init__(self, pen: Pen, rng: Rng) -> None:
        self.pen, self.rng = pen, rng
        self.fine = bool(pen.scale > 44)  # large enough on the picture to show detail
        side, down = pen.matrix / pen.scale
        self.lamp = LAMP @ np.stack([side, down, pen.depth])
        self.groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def petals(
        self, ring: Ring, bands: list[tuple[float, Colour]], back: Colour | None = None
    ) -> None:
        """Add a ring of petals.

        Args:
            ring: their form.
            bands: up to which share of the length each colour reaches, from the root.
            back: colour of the underside; by default the last band's, darker.
        """
        if not self.fine:
            bands = bands[-2:]
        u, across = _outline(ring.shape, tuple(end for end, _ in bands[:-1]), self.fine)
        skin = self._skin(ring, u, across * ring.width / 2)
        middle = len(u) // 2
        along = skin[:, :-1, -2] - skin[:, :-1, 1]
        aside = skin[:, 1:, middle] - skin[:, :-1, middle]
        # The cross product, in a third of the time of np.cross.
        one, two = [1, 2, 0], [2, 0, 1]
        normal = along[..., one] * aside[..., two] - along[..., two] * aside[..., one]
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        seen = normal @ self.pen.depth  # > 0: the upper side
        glow = np.clip(normal @ self.lamp * np.sign(seen), 0, 1)
        tone = (0.76 + 0.32 * glow) * (1 + self._vary(ring, 0.08))
        under = np.array(back or tuple(int(0.82 * k) for k in bands[-1][1]))
        petal = skin.mean(axis=(1, 2)) @ self.pen.depth
        order = petal[:, None] + 1e-3 * (skin[:, :-1].mean(axis=2) @ self.pen.depth)
        start = 0.0
        for end, colour in bands:
            part = (u >= start - 1e-6) & (u <= end + 1e-6)
            near, far = skin[:, :-1, part], skin[:, 1:, part][:, :, ::-1]
            corners = np.concatenate([near, far], axis=2)
            colours = np.where(seen[..., None] > 0, colour, under) * tone[..., None]
            self._add(corners, colours, order)
            start = end

    def _skin(self, ring: Ring, u: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Return the corners of a ring's petals, (count, strips + 1, len(u), 3).

        Args:
            ring: their form.
            u: shares of the length, from 0 to 1.
            across: half of the width at each of them.
        """
        strips = ring.strips if self.fine else min(ring.strips, 2 if ring.wrap else 1)
        turn = np.arange(ring.count)[:, None] / ring.count * 2 * math.pi
        turn += self._vary(ring, 0.35 / ring.count)
        turn += self.rng.uniform(0, 2 * math.pi) if ring.turn is None else ring.turn
        steep = ring.rise[0] + (ring.rise[1] - ring.rise[0]) * u
        steep = steep + self._vary(ring, 0.09)
        step = ring.length * (1 + self._vary(ring, 0.06)) * np.diff(u, prepend=0)
        out = ring.base + np.cumsum(np.cos(steep) * step, axis=1)
        high = ring.height + np.cumsum(np.sin(steep) * step, axis=1)
        edge = np.linspace(-1, 1, strips + 1)[:, None] * across
        angle, aside = (turn[:, None] + edge, 0) if ring.wrap else (turn[:, None], edge)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = out[:, None] * cos - aside * sin, out[:, None] * sin + aside * cos
        return np.stack([x, y, np.broadcast_to(high[:, None], x.shape)], axis=-1)

    def _vary(self, ring: Ring, spread: float) -> np.ndarray:
        """Return how much each petal differs from the ring's form, (count, 1)."""
        return ring.jitter * spread * self.rng.standard_normal((ring.count, 1))

    def dome(
        self, radius: float, height: float, colours: list[Colour], at: float = 0.0
    ) -> None:
        """Add a round heart: discs that grow smaller and higher, one of each colour."""
        circle = _circle(18 if self.fine else 10)
        share = np.arange(len(colours)) / len(colours)
        discs = circle * (radius * np.sqrt(1 - share**2))[:, None, None]
        discs[..., 2] += at + height * share[:, None]
        shift = self.lamp * (1, 1, 0) * 0.12 * radius
        discs += share[:, None, None] * shift
        order = discs.mean(axis=1) @ self.pen.depth
        self.groups.append((discs, np.array(colours), order))

    def dots(
        self,
        count: int,
        reach: tuple[float, float],
        high: tuple[float, float],
        size: float,
        colour: Colour,
    ) -> None:
        """Add dots in a spiral, as seeds lie, between two radii and heights."""
        share = np.sqrt((np.arange(count) + 0.5) / count)
        angle = np.arange(count) * 2.39996
        radius = reach[0] + (reach[1] - reach[0]) * share
        spots = np.stack(
            [
                radius * np.cos(angle),
                radius * np.sin(angle),
                high[0] + (high[1] - high[0]) * share,
            ],
            axis=1,
        )
        corner = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * size
        tone = self.rng.uniform(0.75, 1.15, (count, 1))
        self._add(
            spots[:, None] + corner, tone * np.array(colour), spots @ self.pen.depth
        )

    def _add(self, corners: np.ndarray, colours: np.ndarray, order: np.ndarray) -> None:
        tones = np.clip(colours, 0, 255).astype(int).reshape(-1, 3)
        outlines = corners.reshape(-1, *corners.shape[-2:])
        self.groups.append((outlines, tones, order.ravel()))

    def draw(self) -> None:
        """Fill all faces, the farthest first."""
        self.pen.faces(self.groups)

    def calyx(self, leaf: Colour, radius: float, at: float) -> None:
        """Add the green cup under the head."""
        tones = [shade(leaf, tone) for tone in (0.7, 0.85, 1.0)]
        self.dome(radius, -0.9 * radius, tones, at=at)
