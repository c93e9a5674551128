"""The built-in data: drawn images of the ten classes of CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from course_utils.data import (
    sketch_bird_frog,
    sketch_cars,
    sketch_craft,
    sketch_mammals,
    sketch_pets,
)
from course_utils.data.sketch_backdrops import draw_backdrop, occlude
from course_utils.data.sketch_pen import SUPERSAMPLE, Pen

Rng = np.random.Generator
Drawing = Callable[[Pen, Rng], str]

CIFAR10_DRAWINGS: tuple[Drawing, ...] = (
    sketch_craft.draw_airplane,
    sketch_cars.draw_automobile,
    sketch_bird_frog.draw_bird,
    sketch_pets.draw_cat,
    sketch_mammals.draw_deer,
    sketch_pets.draw_dog,
    sketch_bird_frog.draw_frog,
    sketch_mammals.draw_horse,
    sketch_craft.draw_ship,
    sketch_cars.draw_truck,
)


def draw_cifar10_sketches(
    num_images: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn images of CIFAR-10's ten classes, shuffled, with their labels.

    Image i of a seed is always the same, however many are drawn; every run of ten
    images that starts at a multiple of ten holds each class once.

    Args:
        num_images: how many images to draw, at least 1.
        seed: a non-negative number that chooses the images.

    Returns:
        images: uint8 (num_images, 32, 32, 3), RGB.
        labels: int64 (num_images,), 0 to 9 in CIFAR-10's order.

    Raises:
        ValueError: if num_images is below 1 or seed is negative.

    Taught in: lesson 03, "Look at the data".
    """
    if num_images < 1:
        raise ValueError(
            f"num_images is {num_images}, but at least 1 image can be drawn; "
            "pass a positive number."
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}, but seeds start at 0; pass 0 or more.")
    images = np.empty((num_images, 32, 32, 3), dtype=np.uint8)
    labels = np.empty(num_images, dtype=np.int64)
    for i in range(num_images):
        if i % 10 == 0:
            order = np.random.default_rng((seed, 0, i // 10)).permutation(10)
        labels[i] = order[i % 10]
        rng = np.random.default_rng((seed, 1, i))
        images[i] = draw_scene(CIFAR10_DRAWINGS[labels[i]], rng, size=32)
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
    subject = _lit(layer[..., :3], soft, rng)
    picture = draw_backdrop(setting, rng, size)
    if setting in ("land", "road", "home"):
        picture *= _shadow(alpha[..., 0], rng)
    # A rim of shade or of light sets the subject off.
    rim = rng.uniform(0.1, 0.5) * soft[..., None]
    picture += rim * (rng.choice([10, 235]) - picture)
    picture += alpha * (subject - picture)
    if rng.random() < 0.18:
        occlude(picture, rng, size)
    return _photograph(picture, rng, size)


def _lit(colours: np.ndarray, soft: np.ndarray, rng: Rng) -> np.ndarray:
    """Return the subject with a bright and a dark side; soft is its blurred mask."""
    down, right = np.gradient(soft)
    angle = rng.uniform(-0.2, 1.2) * math.pi
    relief = down * math.sin(angle) + right * math.cos(angle)
    gain = 1 + rng.uniform(0.8, 2.6) * len(soft) / 32 * relief
    return colours * np.clip(gain, 0.5, 1.45)[..., None]


def _shadow(mask: np.ndarray, rng: Rng) -> np.ndarray:
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


def _photograph(picture: np.ndarray, rng: Rng, size: int) -> np.ndarray:
    """Return the picture as a camera sees it: light, contrast, blur and noise."""
    slope = rng.normal(0, 0.14, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth])
    middle = picture.mean()
    picture = middle + (picture - middle) * rng.uniform(0.8, 1.2)
    picture = picture * (light[..., None] * tint * rng.uniform(0.8, 1.15))
    if rng.random() < 0.05:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.2:
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * size / 32)
        picture = np.asarray(image.filter(blur), dtype=np.float32)
    picture = picture + rng.uniform(1, 5.5) * rng.standard_normal(picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
