"""Corruptions, against torchvision and cases worked out by hand."""

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur as torchvision_blur

from course_utils.data.corruptions import (
    gaussian_blur,
    gaussian_noise,
    translation,
)

ALL = [gaussian_blur, gaussian_noise, translation]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 12, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("corrupt", ALL)
def test_strength_zero_gives_a_copy_and_more_leaves_the_input_alone(corrupt):
    before = IMAGES.copy()
    same = corrupt(IMAGES, 0)
    assert np.array_equal(same, IMAGES)
    assert same is not IMAGES
    changed = corrupt(IMAGES, 2)
    assert (changed.shape, changed.dtype) == (IMAGES.shape, np.uint8)
    assert not np.array_equal(changed, IMAGES)
    assert np.array_equal(IMAGES, before)


def test_noise_has_the_spread_asked_for_and_a_seed():
    grey = np.full((4, 32, 32, 3), 128, np.uint8)
    noise = gaussian_noise(grey, 0.1) - 128.0
    assert noise.std() == pytest.approx(25.5, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.7)
    assert np.array_equal(gaussian_noise(grey, 0.1), gaussian_noise(grey, 0.1))
    assert not np.array_equal(noise + 128, gaussian_noise(grey, 0.1, seed=1))


def test_noise_stops_at_black_and_white():
    ends = np.array([0, 255], np.uint8).repeat(3 * 8).reshape(1, 2, 8, 3)
    noisy = gaussian_noise(ends, 0.1)
    assert noisy[0, 0].max() < 128 < noisy[0, 1].min()  # nothing wraps around


@pytest.mark.parametrize(("sigma", "kernel"), [(0.5, 5), (1.0, 7), (1.5, 11)])
def test_blur_equals_torchvision(sigma, kernel):
    channels_first = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    expected = torchvision_blur(channels_first, [kernel] * 2, [sigma] * 2)
    found = gaussian_blur(IMAGES, sigma)
    assert np.array_equal(found, expected.permute(0, 2, 3, 1))


def test_blur_wider_than_the_image_is_possible():
    assert gaussian_blur(IMAGES, 20.0)[..., 0].std() < IMAGES[..., 0].std() / 5


def test_translation_by_hand():
    image = np.arange(1, 5, dtype=np.uint8).repeat(3).reshape(1, 1, 4, 3)
    rows = {s: translation(image, s)[0, 0, :, 0].tolist() for s in (1, -3, 6, -6)}
    assert rows == {
        1: [0, 1, 2, 3],
        -3: [4, 0, 0, 0],
        6: [0, 0, 0, 0],
        -6: [0, 0, 0, 0],
    }


@pytest.mark.parametrize("corrupt", ALL)
@pytest.mark.parametrize("images", [IMAGES[0], IMAGES / 255, IMAGES[..., :1]])
def test_other_images_are_refused(corrupt, images):
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        corrupt(images, 1)


@pytest.mark.parametrize(
    ("corrupt", "strength", "sentence"),
    [
        (gaussian_noise, -0.1, "give at least 0"),
        (gaussian_blur, float("nan"), "give at least 0"),
        (translation, 0.5, "whole number of pixels"),
    ],
)
def test_strengths_out_of_range_are_refused(corrupt, strength, sentence):
    with pytest.raises(ValueError, match=sentence):
        corrupt(IMAGES, strength)
