"""Test images made harder, step by step: noise, blur and shift.

Every function takes uint8 images and a strength, and returns new uint8 images;
strength 0 gives the images as they were. After Hendrycks and Dietterich 2019
(arXiv 1903.12261), section 3, with strengths in plain units.
"""

from math import ceil

import numpy as np
import torch
from torchvision.transforms.v2 import functional as T

from course_utils.data.arrays import check_images


def gaussian_noise(images: np.ndarray, strength: float, *, seed: int = 0) -> np.ndarray:
    """Return images with normal noise added to every value.

    Args:
        images: uint8 (N, H, W, 3).
        strength: Standard deviation of the noise, as a share of the range 0 to 255.
        seed: Chooses the noise; growing strengths scale the same noise.

    Raises:
        ValueError: If the images are of another kind, or the strength is negative.

    Taught in: lesson 04, "Beyond the training range".
    """
    _refuse(images, strength)
    noise = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return _as_uint8(images + 255 * strength * noise)


def gaussian_blur(images: np.ndarray, strength: float) -> np.ndarray:
    """Return images smoothed by a Gaussian.

    Args:
        images: uint8 (N, H, W, 3).
        strength: Standard deviation of the Gaussian, in pixels.

    Raises:
        ValueError: If the images are of another kind, or the strength is negative.

    Taught in: lesson 04, "Beyond the training range".
    """
    _refuse(images, strength)
    # the kernel ends at 3 deviations; the border is mirrored, at most once
    radius = min(ceil(3 * strength), min(images.shape[1:3]) - 1)
    if radius == 0:
        return images.copy()
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    blurred = T.gaussian_blur(channels_first, [2 * radius + 1] * 2, [strength] * 2)
    return blurred.permute(0, 2, 3, 1).contiguous().numpy()


def translation(images: np.ndarray, strength: int) -> np.ndarray:
    """Return images moved to the right, with black moving in from the left.

    Args:
        images: uint8 (N, H, W, 3).
        strength: Whole pixels; below 0 moves to the left.

    Raises:
        ValueError: If the images are of another kind, or the strength is no whole
            number.

    Taught in: lesson 04, "Beyond the training range".
    """
    _refuse(images, strength, lowest=-np.inf)
    if strength != int(strength):
        raise ValueError(f"strength is {strength}; give a whole number of pixels.")
    width = images.shape[2]
    shift = min(max(int(strength), -width), width)
    moved = np.zeros_like(images)
    moved[:, :, max(shift, 0) : width + min(shift, 0)] = images[
        :, :, max(-shift, 0) : width - max(shift, 0)
    ]
    return moved


def _as_uint8(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def _refuse(images: np.ndarray, strength: float, lowest: float = 0) -> None:
    check_images(images)
    if not strength >= lowest:
        raise ValueError(f"strength is {strength}; give at least {lowest}.")
