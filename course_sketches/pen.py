"""A pen that draws solids and limbs in a small 3-D frame onto a Pillow image."""

from __future__ import annotations

import math
from functools import cache
from operator import itemgetter

import numpy as np
from PIL import Image, ImageDraw

from course_sketches.colours import Colour, shade

SUPERSAMPLE = 4
# Which coordinates a flat figure's two numbers are; the third is its `at`.
PLANES = {"xy": (0, 1, 2), "zy": (2, 1, 0), "xz": (0, 2, 1)}


@cache
def points(text: str) -> np.ndarray:
    """Return the (N, 2) array of an SVG-like list of points, "x,y x,y …"."""
    return np.array([pair.split(",") for pair in text.split()], dtype=float)


@cache
def _smoothing(count: int, steps: int = 4) -> np.ndarray:
    """Return the matrix that rounds a closed polygon (Catmull-Rom spline)."""
    matrix = np.zeros((count * steps, count))
    for row in range(count * steps):
        corner, t = row // steps, row % steps / steps
        weights = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        for shift, weight in enumerate(weights, start=-1):
            matrix[row, (corner + shift) % count] += weight
    return matrix


_ANGLES = np.linspace(0, 2 * math.pi, 18, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def box(x0: float, x1: float, top: float, bottom: float) -> np.ndarray:
    """Return the corners (4, 2) of an upright rectangle, clockwise."""
    return np.array([[x0, bottom], [x0, top], [x1, top], [x1, bottom]])


def _spread(widths: tuple[float, ...], count: int) -> list[float]:
    """Return `count` values spaced evenly along the line through the widths."""
    last = len(widths) - 1
    if last == 0:
        return [widths[0]] * count
    values = []
    for i in range(count):
        k, t = divmod(i * last / (count - 1), 1)
        low, high = widths[int(k)], widths[min(int(k) + 1, last)]
        values.append(low + (high - low) * t)
    return values


class Pen:
    """Draws a subject that fills about [-1, 1] in x (forwards) and y (down).

    The subject is turned by `pose`; z points to the viewer while yaw is 0.

    Args:
        size: side of the square RGBA image, in pixels.
        centre: where the subject's origin lies on the image, in pixels.
        scale: pixels per unit.
        flip: whether the subject looks to the left.
    """

    def __init__(
        self, size: int, centre: tuple[float, float], scale: float, flip: bool
    ) -> None:
        self.image = Image.new("RGBA", (size, size))
        self.centre = np.array(centre)
        self.scale = scale
        self.flip = -1.0 if flip else 1.0
        self._draw = ImageDraw.Draw(self.image)
        self.pose()

    def place(self, x: float, y: float, scale: float) -> None:
        """Put the origin of what is drawn from now on at (x, y), in pixels."""
        self.centre = np.array([x, y])
        self.scale = scale
        self.pose()

    def shrink(self, factor: float, lower: float) -> None:
        """Make what is drawn from now on smaller, and set it lower."""
        self.centre[1] += lower * self.scale
        self.scale *= factor

    def pose(self, yaw: float = 0.0, pitch: float = 0.0, tilt: float = 0.0) -> None:
        """Turn what is drawn from now on; angles in degrees."""
        a, b, c = (math.radians(angle) for angle in (yaw, pitch, tilt))
        depth = np.array([-math.sin(a), 0.0, math.cos(a)])
        side = np.array([math.cos(a), 0.0, math.sin(a)])
        down = depth * math.sin(b) + np.array([0.0, math.cos(b), 0.0])
        turn = np.array([[math.cos(c), -math.sin(c)], [math.sin(c), math.cos(c)]])
        self.depth = depth * math.cos(b) - np.array([0.0, math.sin(b), 0.0])
        self.matrix = self.scale * turn @ np.stack([side, down])
        self.matrix[0] *= self.flip

    def project(
        self, shape: str | np.ndarray, at: float | np.ndarray = 0.0, plane: str = "xy"
    ) -> np.ndarray:
        """Return the pixel positions (N, 2) of points on a plane of the frame."""
        shape = points(shape) if isinstance(shape, str) else np.asarray(shape, float)
        first, second, third = PLANES[plane]
        flat = shape @ self.matrix[:, [first, second]].T + self.centre
        return flat + np.multiply.outer(at, self.matrix[:, third])

    def _fill(self, outline: np.ndarray, colour: Colour) -> None:
        self._draw.polygon(outline.ravel().tolist(), fill=colour)

    def polygon(
        self,
        shape: str | np.ndarray,
        colour: Colour,
        at: float | np.ndarray = 0.0,
        plane: str = "xy",
    ) -> None:
        """Fill the polygon through the points."""
        self._fill(self.project(shape, at, plane), colour)

    def faces(self, groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """Fill polygons in the 3-D frame, the farthest first.

        Args:
            groups: of each group the corners (N, n, 3), the colours (N, 3) and what
                to sort by, (N,): points (N, 3) times `depth` as a rule.
        """
        drawn: list[tuple[float, list[float], Colour]] = []
        for corners, colours, order in groups:
            flat = (corners @ self.matrix.T + self.centre).reshape(len(corners), -1)
            tones = [tuple(tone) for tone in colours.tolist()]
            drawn += zip(order.tolist(), flat.tolist(), tones, strict=True)
        for _, outline, colour in sorted(drawn, key=itemgetter(0)):
            self._draw.polygon(outline, fill=colour)

    def blob(
        self,
        shape: str | np.ndarray,
        colour: Colour,
        at: float | np.ndarray = 0.0,
        plane: str = "xy",
    ) -> None:
        """Fill the smooth closed curve through the points."""
        outline = self.project(shape, at, plane)
        self._fill(_smoothing(len(outline)) @ outline, colour)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        turn: float = 0.0,
        at: float = 0.0,
        plane: str = "xy",
    ) -> None:
        """Fill an ellipse, turned by `turn` degrees."""
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        axes = np.array([[c * rx, s * rx], [-s * ry, c * ry]])
        self._fill(self.project(_CIRCLE @ axes + (x, y), at, plane), colour)

    def limb(
        self,
        path: str | np.ndarray,
        widths: tuple[float, ...],
        colour: Colour,
        at: float | np.ndarray = 0.0,
        plane: str = "xy",
    ) -> None:
        """Draw a round tube along a path; its widths are spread over the path."""
        line = self.project(path, at, plane).tolist()
        half = [self.scale / 2 * w for w in _spread(widths, len(line))]
        for (x, y), r in zip(line, half, strict=True):
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        for i in range(len(line) - 1):
            (ax, ay), (bx, by) = line[i], line[i + 1]
            length = math.hypot(bx - ax, by - ay) or 1.0
            dx, dy = (ay - by) / length, (bx - ax) / length
            r, s = half[i], half[i + 1]
            corners = ((ax + dx * r, ay + dy * r), (bx + dx * s, by + dy * s))
            corners += ((bx - dx * s, by - dy * s), (ax - dx * r, ay - dy * r))
            self._draw.polygon(corners, fill=colour)

    def prism(
        self,
        profile: str | np.ndarray,
        half_width: float,
        colours: Colour | list[Colour],
        middle: float = 0.0,
    ) -> None:
        """Draw a side profile extruded in z; shows the faces the viewer sees.

        Args:
            profile: corners in the xy plane, clockwise on the screen.
            half_width: half of the extent in z.
            colours: of the side, or of the side and of each edge's face in order.
            middle: z of the solid's middle.
        """
        profile = points(profile) if isinstance(profile, str) else np.array(profile)
        count = len(profile)
        if isinstance(colours, tuple):
            edges = np.roll(profile, -1, axis=0) - profile
            upwards = edges[:, 0] / np.maximum(np.hypot(*edges.T), 1e-6)
            colours = [colours] + [shade(colours, 0.9 + 0.3 * up) for up in upwards]
        near = self.project(profile, middle + half_width)
        far = self.project(profile, middle - half_width)
        order = np.argsort(
            (profile + np.roll(profile, -1, axis=0)) @ self.depth[:2], kind="stable"
        )
        for i in order.tolist():
            j = (i + 1) % count
            (ux, uy), (vx, vy) = near[j] - near[i], far[i] - near[i]
            if (ux * vy - uy * vx) * self.flip < 0:
                quad = np.stack([near[i], near[j], far[j], far[i]])
                self._fill(quad, colours[i + 1])
        self._fill(near, colours[0])
