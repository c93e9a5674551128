"""A subject before a backdrop, lit and photographed; and sets of such pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from course_sketches.backdrops import draw_backdrop, occlude
from course_sketches.pen import SUPERSAMPLE, Pen

Rng = np.random.Generator
Drawing = Callable[[Pen, Rng], str]


def draw_balanced(
    draw: Callable[[int, Rng], np.ndarray],
    num_classes: int,
    num_images: int,
    seed: int,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn images with their labels, each class once in every run.

    Args:
        draw: returns an image of a class, uint8 (size, size, 3).
        num_classes: K, how many images a run holds.
        num_images: N, how many images to draw, at least 1.
        seed: a non-negative number that chooses the images.
        size: side of an image, in pixels.

    Returns:
        images: uint8 (N, size, size, 3), RGB.
        labels: int64 (N,), 0 to K - 1.

    Raises:
        ValueError: if num_images is below 1.
    """
    if num_images < 1:
        raise ValueError(
            f"num_images is {num_images}, but at least 1 image can be drawn; "
            "pass a positive number."
        )
    images = np.empty((num_images, size, size, 3), dtype=np.uint8)
    labels = np.empty(num_images, dtype=np.int64)
    for i in range(num_images):
        run, place = divmod(i, num_classes)
        if place == 0:
            order = np.random.default_rng((seed, 0, run)).permutation(num_classes)
        labels[i] = order[place]
        images[i] = draw(int(labels[i]), np.random.default_rng((seed, 1, i)))
    return images, labels


def draw_scene(drawing: Drawing, rng: Rng, size: int) -> np.ndarray:
    """Return a picture of a subject before a backdrop, uint8 (size, size, 3).

    Args:
        drawing: draws the subject with a pen and returns a key of SETTINGS.
        rng: where all that varies is drawn from.
        size: side of the picture, in pixels.
    """
    fine = size * SUPERSAMPLE
    x, y = fine * rng.uniform(0.41, 0.59, 2)
    pen = Pen(fine, (x, y), fine * rng.uniform(0.36, 0.5), rng.random() < 0.5)
    setting = drawing(pen, rng)
    layer = np.asarray(pen.image.reduce(SUPERSAMPLE), dtype=np.float32)
    alpha = layer[..., 3:] / 255
    mask = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
    soft = np.asarray(mask.filter(ImageFilter.BoxBlur(size / 12)), np.float32) / 255
    subject = light(layer[..., :3], soft, rng)
    picture = draw_backdrop(setting, rng, size)
    if setting in ("land", "road", "home"):
        picture *= shadow(alpha[..., 0], rng)
    # A rim of shade or of light sets the subject off.
    rim = rng.uniform(0.1, 0.5) * soft[..., None]
    picture += rim * (rng.choice([10, 235]) - picture)
    picture += alpha * (subject - picture)
    if rng.random() < 0.18:
        occlude(picture, rng, size)
    return photograph(picture, rng, size)


def light(colours: np.ndarray, soft: np.ndarray, rng: Rng) -> np.ndarray:
    """Return the subject with a bright and a dark side; soft is its blurred mask."""
    down, right = np.gradient(soft)
    angle = rng.uniform(-0.2, 1.2) * math.pi
    relief = down * math.sin(angle) + right * math.cos(angle)
    gain = 1 + rng.uniform(0.8, 2.6) * len(soft) / 32 * relief
    return colours * np.clip(gain, 0.5, 1.45)[..., None]


def shadow(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """Return the darkening of the ground under the subject, (size, size, 1)."""
    size = len(mask)
    rows = np.flatnonzero(mask.max(axis=1) > 0.5)
    if len(rows) == 0:
        return np.ones((size, size, 1), dtype=np.float32)
    weight = mask[rows[0] : rows[-1] + 1].sum(axis=0) + 1e-6
    middle = float((weight * np.arange(size)).sum() / weight.sum())
    x = (np.arange(size) - middle - rng.uniform(-0.1, 0.1) * size) / (0.36 * size)
    y = (np.arange(size) - rows[-1]) / (0.08 * size)
    dark = np.exp(-(x[None, :] ** 2) - y[:, None] ** 2)
    return (1 - rng.uniform(0.2, 0.6) * dark)[..., None].astype(np.float32)


def photograph(
    picture: np.ndarray, rng: Rng, size: int, shake: float = 1.0
) -> np.ndarray:
    """Return the picture as a camera sees it: light, contrast, blur and noise.

    Args:
        picture: float (size, size, 3), 0 to 255.
        rng: where all that varies is drawn from.
        size: side of the picture, in pixels.
        shake: how wide the blur is, where there is any.
    """
    slope = rng.normal(0, 0.14, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    lamp = 1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth])
    middle = picture.mean()
    picture = middle + (picture - middle) * rng.uniform(0.8, 1.2)
    picture = picture * (lamp[..., None] * tint * rng.uniform(0.8, 1.15))
    if rng.random() < 0.05:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.2:
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * size / 32 * shake)
        picture = np.asarray(image.filter(blur), dtype=np.float32)
    picture = picture + rng.uniform(1, 5.5) * rng.standard_normal(picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
