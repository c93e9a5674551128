"""A tiny data set for the trainings of lesson 08."""

import numpy as np

from course_utils.data.arrays import ImageSplits, LabelledImages
from course_utils.data.cifar10 import CIFAR10_CLASSES


def small_splits() -> ImageSplits:
    """Return random images of 8x8 pixels, told apart by brightness; classes unequal."""
    rng = np.random.default_rng(0)

    def pair(size: int) -> LabelledImages:
        labels = rng.choice(10, size, p=np.arange(1, 11) / 55)
        noise = rng.integers(0, 60, (size, 8, 8, 3))
        return LabelledImages(
            (noise + 19 * labels[:, None, None, None]).astype(np.uint8), labels
        )

    return ImageSplits(
        name="noise",
        source="random",
        is_photos=False,
        classes=CIFAR10_CLASSES,
        train=pair(100),
        val=pair(40),
        test=pair(30),
        mean=(0.45, 0.45, 0.45),
        std=(0.25, 0.25, 0.25),
    )
