import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from course_utils.data.sketches import (
    CIFAR10_DRAWINGS,
    draw_cifar10_sketches,
    draw_scene,
)


@pytest.fixture(scope="module")
def drawn():
    train = draw_cifar10_sketches(3000, seed=0)
    test = draw_cifar10_sketches(1000, seed=1)
    return *train, *test


def accuracy_of_a_linear_model(train, train_labels, test, test_labels):
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=1e-3, max_iter=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(train), train_labels)
    return model.score(scaler.transform(test), test_labels)


def test_images_are_balanced_shuffled_and_of_the_promised_types(drawn):
    images, labels = drawn[:2]
    assert images.shape == (3000, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=10).tolist() == [300] * 10
    assert len({tuple(run) for run in labels.reshape(-1, 10)}) > 290


def test_an_image_depends_on_seed_and_position_alone(drawn):
    images, labels = draw_cifar10_sketches(25, seed=0)
    np.testing.assert_array_equal(images, drawn[0][:25])
    np.testing.assert_array_equal(labels, drawn[1][:25])
    others, _ = draw_cifar10_sketches(25, seed=1)
    assert (images != others).any(axis=(1, 2, 3)).all()


def test_no_two_images_are_alike(drawn):
    rows = np.concatenate([drawn[0], drawn[2]]).reshape(4000, -1)
    assert len(np.unique(rows, axis=0)) == 4000


def test_a_linear_model_learns_something_but_solves_little(drawn):
    images, labels, test, test_labels = drawn
    pixels = images.reshape(3000, -1), test.reshape(1000, -1)
    accuracy = accuracy_of_a_linear_model(pixels[0], labels, pixels[1], test_labels)
    assert 0.15 < accuracy < 0.6


def test_colours_do_not_give_the_class_away(drawn):
    images, labels, test, test_labels = drawn
    colours = [
        np.sort(x.reshape(len(x), -1, 3), axis=1)[:, ::64] for x in (images, test)
    ]
    train, held_out = (c.reshape(len(c), -1) for c in colours)
    accuracy = accuracy_of_a_linear_model(train, labels, held_out, test_labels)
    assert accuracy < 0.4


def test_no_single_pixel_gives_a_class_away(drawn):
    images, labels, test, test_labels = drawn
    centres = np.stack([images[labels == k].mean(axis=0) for k in range(10)])
    # (1000, 10, 32, 32): how far each pixel is from each class's mean there
    distance = ((test[:, None] - centres) ** 2).sum(axis=-1)
    hits = distance.argmin(axis=1) == test_labels[:, None, None]
    assert hits.mean(axis=0).max() < 0.35


@pytest.mark.parametrize("drawing", CIFAR10_DRAWINGS)
def test_a_scene_can_be_drawn_larger(drawing):
    rng = np.random.default_rng(0)
    assert draw_scene(drawing, rng, size=96).shape == (96, 96, 3)


@pytest.mark.parametrize("num_images", [0, -3])
def test_too_few_images_are_refused(num_images):
    with pytest.raises(ValueError, match=rf"num_images is {num_images}, .* at least 1"):
        draw_cifar10_sketches(num_images)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        draw_cifar10_sketches(10, seed=-1)
