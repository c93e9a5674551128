import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from course_sketches import (
    code_key,
    draw_cifar10_sketches,
    draw_flower_sketches,
    drawing_code_key,
)
from course_sketches.cifar10 import CIFAR10_DRAWINGS
from course_sketches.looks import choose_look
from course_sketches.pen import Pen
from course_sketches.scene import draw_scene
from course_sketches.stands import BLOOMS
from course_utils.data.flowers import FLOWER_CLASSES


@pytest.fixture(scope="module")
def drawn():
    train = draw_cifar10_sketches(2000, seed=0)
    test = draw_cifar10_sketches(1000, seed=1)
    return *train, *test


@pytest.fixture(scope="module")
def flowers():
    train = draw_flower_sketches(500, seed=0)
    test = draw_flower_sketches(200, seed=1)
    return *train, *test


def accuracy_of_a_linear_model(train, train_labels, test, test_labels, C=1e-3):
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=C, max_iter=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(train), train_labels)
    return model.score(scaler.transform(test), test_labels)


def test_images_are_balanced_shuffled_and_of_the_promised_types(drawn):
    images, labels = drawn[:2]
    assert images.shape == (2000, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=10).tolist() == [200] * 10
    assert len({tuple(run) for run in labels.reshape(-1, 10)}) > 193


def test_an_image_depends_on_seed_and_position_alone(drawn):
    images, labels = draw_cifar10_sketches(25, seed=0)
    np.testing.assert_array_equal(images, drawn[0][:25])
    np.testing.assert_array_equal(labels, drawn[1][:25])
    others, _ = draw_cifar10_sketches(25, seed=1)
    assert (images != others).any(axis=(1, 2, 3)).all()


def test_no_two_images_are_alike(drawn):
    rows = np.concatenate([drawn[0], drawn[2]]).reshape(3000, -1)
    assert len(np.unique(rows, axis=0)) == 3000


def test_a_linear_model_learns_something_but_solves_little(drawn):
    images, labels, test, test_labels = drawn
    pixels = images.reshape(2000, -1), test.reshape(1000, -1)
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


@pytest.mark.parametrize("draw", [draw_cifar10_sketches, draw_flower_sketches])
def test_too_few_images_are_refused(draw):
    with pytest.raises(ValueError, match=r"num_images is 0, .* at least 1"):
        draw(0)


def test_flowers_are_balanced_shuffled_and_of_the_promised_types(flowers):
    images, labels = flowers[:2]
    assert images.shape == (500, 96, 96, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    runs = labels.reshape(-1, 5)
    assert (np.sort(runs, axis=1) == np.arange(5)).all()
    assert len({tuple(run) for run in runs}) > 60  # of 120 orders


def test_flowers_come_in_the_order_of_the_photos_classes():
    assert tuple(BLOOMS) == FLOWER_CLASSES


def test_a_flower_image_depends_on_seed_and_position_alone(flowers):
    images, labels = draw_flower_sketches(17, seed=0)
    np.testing.assert_array_equal(images, flowers[0][:17])
    np.testing.assert_array_equal(labels, flowers[1][:17])
    others, _ = draw_flower_sketches(17, seed=1)
    assert (images != others).any(axis=(1, 2, 3)).all()


def test_every_flower_image_shows_something_of_its_own(flowers):
    images = np.concatenate([flowers[0], flowers[2]])
    assert len({image.tobytes() for image in images}) == 700
    assert images.std(axis=(1, 2, 3)).min() > 9  # the camera's noise is 5.5 at most


def test_most_flower_images_are_in_colour_and_some_are_not(flowers):
    grey = (np.ptp(flowers[0].mean(axis=(1, 2)), axis=1) < 0.5).mean()
    assert 0.01 < grey < 0.12


@pytest.mark.parametrize("C", [1e-4, 1e-2])
def test_a_linear_model_does_not_solve_the_flowers(flowers, C):
    images, labels, test, test_labels = flowers
    # Means of 3 x 3 pixels: (N, 32 * 32 * 3)
    small, held_out = (
        x.reshape(-1, 32, 3, 32, 3, 3).mean(axis=(2, 4)).reshape(len(x), -1)
        for x in (images, test)
    )
    accuracy = accuracy_of_a_linear_model(small, labels, held_out, test_labels, C)
    assert 0.22 < accuracy < 0.6


def test_colours_do_not_give_the_flower_away(flowers):
    images, labels, test, test_labels = flowers
    train, held_out = (
        np.sort(x.reshape(len(x), -1, 3), axis=1)[:, ::256].reshape(len(x), -1)
        for x in (images, test)
    )
    assert accuracy_of_a_linear_model(train, labels, held_out, test_labels) < 0.6


@pytest.mark.parametrize("size", [16, 33, 64])
def test_flowers_can_be_drawn_smaller(size):
    images, _ = draw_flower_sketches(10, size=size)
    assert images.shape == (10, size, size, 3)


@pytest.mark.parametrize("flower", FLOWER_CLASSES)
@pytest.mark.parametrize("age", [0.0, 0.5, 1.0])
def test_a_bloom_is_centred_and_fills_its_circle(flower, age):
    rng = np.random.default_rng(3)
    pen = Pen(200, (100, 100), 60, False)
    pen.pose(0, -30, 0)
    BLOOMS[flower](pen, rng, choose_look(flower, rng), age)
    rows, columns = np.nonzero(np.asarray(pen.image)[..., 3])
    assert abs(np.mean(columns) - 100) < 10
    assert abs(np.mean(rows) - 100) < 35
    radius = np.hypot(rows - 100, columns - 100)
    assert 30 < np.quantile(radius, 0.99) < 80


def test_the_key_changes_with_the_drawing_code(tmp_path, monkeypatch):
    monkeypatch.setattr(code_key, "__file__", str(tmp_path / "code_key.py"))
    keys = set()
    for name in ("pen", "roses"):
        for code in ("x = 1", "x = 2"):
            (tmp_path / f"{name}.py").write_text(code)
            keys.add(drawing_code_key())
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)
    (tmp_path / "notes.txt").write_text("no code")
    assert drawing_code_key() in keys
