"""The built-in data: drawn images of the ten classes of CIFAR-10."""

from __future__ import annotations

import numpy as np

from course_sketches import bird_frog, cars, craft, mammals, pets
from course_sketches.scene import Drawing, draw_balanced, draw_scene

CIFAR10_DRAWINGS: tuple[Drawing, ...] = (
    craft.draw_airplane,
    cars.draw_automobile,
    bird_frog.draw_bird,
    pets.draw_cat,
    mammals.draw_deer,
    pets.draw_dog,
    bird_frog.draw_frog,
    mammals.draw_horse,
    craft.draw_ship,
    cars.draw_truck,
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
        ValueError: if num_images is below 1.

    Taught in: lesson 03, "Look at the data".
    """

    def draw(label: int, rng: np.random.Generator) -> np.ndarray:
        return draw_scene(CIFAR10_DRAWINGS[label], rng, size=32)

    return draw_balanced(draw, len(CIFAR10_DRAWINGS), num_images, seed, size=32)
