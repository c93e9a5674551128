"""Predictions: what a checkpoint brings, one photo, a folder, and the figure."""

import copy
import csv
import dataclasses
import errno
import math
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from image_server import PhotoHost, file_of, sends
from PIL import Image

from course_utils.data.photos import PhotoDataset, evaluation_transform
from course_utils.models import cifar_resnet
from course_utils.plotting import plot_prediction
from course_utils.prediction import (
    ImageError,
    Prediction,
    Predictor,
    load_image,
    load_predictor,
    predict,
    predict_folder,
)
from course_utils.pretrained import load_pretrained
from course_utils.training.state import CheckpointError, describe, save_checkpoint

CLASSES = ["daisy", "dandelion", "roses"]
INFO = {
    "name": "small",
    "source": "noise",
    "classes": CLASSES,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
    "image_size": 16,
    "resize": 18,
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = cifar_resnet(8, num_classes=3)
    model.train()
    with torch.no_grad():  # running statistics that are not those of a new network
        for _ in range(20):
            model(torch.randn(16, 3, 16, 16))
        model.fc.weight.mul_(5)
    return model.eval()


@pytest.fixture
def checkpoint(model):
    class Data:
        info = INFO

    return describe(model, Data()) | {"model": model.state_dict()}


def noise(seed, size=(40, 30)):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Seven photos of many kinds, three files that are none, and some others."""
    folder = tmp_path / "my photos"
    (folder / "inside").mkdir(parents=True)  # which is not looked into
    for seed, name in enumerate(["b.jpg", "a.PNG", "é 花.webp", "c.gif", "d.bmp"]):
        noise(seed).save(folder / name)
    noise(5, (1, 5000)).save(folder / "slim.png")
    noise(6, (900, 700)).save(folder / "z_large.jpeg")
    (folder / "broken.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html></html>")
    (folder / "cut.jpg").write_bytes(file_of(noise(7), "JPEG")[:500])
    (folder / "notes.txt").write_text("not a photo")
    (folder / ".hidden.jpg").write_bytes(b"")
    noise(8).save(folder / "inside" / "e.jpg")
    return folder


READ = ["a.PNG", "b.jpg", "c.gif", "d.bmp", "slim.png", "z_large.jpeg", "é 花.webp"]
UNREADABLE = ["broken.jpg", "cut.jpg", "page.jpg"]


def test_the_photo_is_seen_as_in_validation(model, checkpoint):
    photo = torch.from_numpy(np.asarray(noise(0)).copy()).permute(2, 0, 1)
    transform = evaluation_transform(16, INFO["mean"], INFO["std"], 18)
    data = PhotoDataset([photo], np.array([0]), np.array([0]), transform)
    with torch.no_grad():
        expected = model(data[0][0][None]).softmax(1)[0]
    found = predict(checkpoint, noise(0)).probabilities
    assert found.shape == (3,)
    assert found == pytest.approx(expected.numpy(), abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.max() < 0.999  # else the comparison could not fail


def test_every_form_of_the_weights_says_the_same(model, checkpoint, tmp_path):
    path = tmp_path / "best.pt"
    save_checkpoint(path, checkpoint)
    predictor = load_predictor(checkpoint)
    assert load_predictor(predictor) is predictor
    expected = predict(predictor, noise(0)).probabilities
    for weights in (path, str(path), load_predictor(model, INFO)):
        assert np.allclose(predict(weights, noise(0)).probabilities, expected)
    assert load_predictor(model, INFO).model is model
    assert not load_predictor(path).model.training
    checkpoint["data"] = None
    assert load_predictor(checkpoint, INFO).classes == tuple(CLASSES)


def test_an_image_size_alone_is_the_shorter_side_too(checkpoint):
    checkpoint["data"] = {k: v for k, v in INFO.items() if k != "resize"}
    predictor = load_predictor(checkpoint)
    assert predictor.short_side == 16
    assert predictor.prepare(noise(0, (32, 16))).shape == (3, 16, 16)


def test_weights_that_ship_go_by_name():
    predictor = load_predictor("cifar10", device="cpu")
    assert predictor.classes[0] == "airplane"
    assert predictor.name == "the pretrained 'cifar10'"
    model, images = load_pretrained("cifar10"), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images).softmax(1)
    assert predictor.probabilities(images) == pytest.approx(expected.numpy(), abs=1e-6)


def test_weights_that_cannot_be_used_are_refused(model, checkpoint, tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"x")
    without = {k: v for k, v in INFO.items() if k not in ("classes", "std")}
    expected = [
        (checkpoint | {"data": without}, "says nothing of classes, std, expected"),
        (checkpoint | {"data": None}, "nothing of classes, mean, std, image_size"),
        (model, "the network's data says nothing of"),
        (checkpoint | {"architecture": None}, "does not say which network"),
        (checkpoint | {"architecture": {"family": "Foreign"}}, "network family"),
        ("flwers", r"no checkpoint flwers; .*cifar10"),
        (tmp_path / "bad.pt", "is damaged"),
    ]
    for weights, sentence in expected:
        with pytest.raises(CheckpointError, match=sentence):
            load_predictor(weights)


def test_class_names_that_do_not_fit_are_refused(model):
    predictor = load_predictor(model, INFO | {"classes": ["a", "b"]})
    with pytest.raises(CheckpointError, match=r"\(1, 3\) for 2 classes"):
        predict(predictor, noise(0))


def test_weights_that_are_no_numbers_are_refused(checkpoint):
    checkpoint["model"] = copy.deepcopy(checkpoint["model"])
    checkpoint["model"]["fc.bias"][1] = math.nan
    with pytest.raises(CheckpointError, match="outputs that are no finite numbers"):
        predict(checkpoint, noise(0))


def test_every_part_gets_its_mode_back(model):
    predictor = load_predictor(model, INFO)
    expected = predict(predictor, noise(0)).probabilities
    model.train()
    model.layer1.eval()
    before = [part.training for part in model.modules()]
    statistics = model.bn1.running_mean.clone()
    try:
        found = predict(predictor, noise(0)).probabilities
        assert [part.training for part in model.modules()] == before
    finally:
        model.eval()
    assert np.array_equal(found, expected)
    assert torch.equal(model.bn1.running_mean, statistics)


def test_it_prints_one_aligned_line_a_class():
    one = Prediction("a.jpg", ("dandelion", "daisy"), np.array([0.003, 0.997]), 2)
    assert str(one) == "class: daisy       prob: 0.997\nclass: dandelion   prob: 0.003"
    alone = dataclasses.replace(one, top_k=1)
    assert str(alone) == "class: daisy   prob: 0.997"
    assert alone.top == [("daisy", 0.997)]


@pytest.mark.parametrize(("top_k", "lines"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_top_k_is_cut_to_the_classes(checkpoint, top_k, lines):
    prediction = predict(checkpoint, noise(0), top_k)
    assert prediction.top_k == lines
    assert len(prediction.top) == lines == str(prediction).count("class: ")
    probs = [prob for _, prob in prediction.top]
    assert probs == sorted(prediction.probabilities, reverse=True)[:lines]


def test_a_photo_from_the_web_carries_its_address(checkpoint):
    server = PhotoHost(sends(file_of(noise(0))))
    try:
        found = predict(checkpoint, server.url, allow_private=True)
        with pytest.raises(ImageError, match="private address"):
            predict(checkpoint, server.url)
    finally:
        server.close()
    assert found.source == server.url
    assert np.array_equal(
        found.probabilities, predict(checkpoint, noise(0)).probabilities
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (1, 100_000), (7, 29)])
def test_every_shape_becomes_the_networks(checkpoint, size):
    assert load_predictor(checkpoint).prepare(noise(0, size)).shape == (3, 16, 16)


def seen_by(predictor, source):
    """Return the shape of the image that the transform is given for a photo."""
    shapes = []
    watched = dataclasses.replace(
        predictor, transform=lambda image: shapes.append(tuple(image.shape))
    )
    watched.prepare(source)
    return shapes[0]


def test_of_a_strip_the_middle_is_seen_and_little_resized(checkpoint):
    predictor = load_predictor(checkpoint)
    pixels = np.zeros((2, 2000, 3), np.uint8)
    pixels[:, 990:1010] = 255
    seen = predictor.prepare(pixels)
    assert torch.equal(seen, predictor.prepare(np.full((2, 2, 3), 255, np.uint8)))
    assert seen_by(predictor, np.zeros((5000, 3), np.uint8)) == (3, 12, 3)


def test_a_much_larger_jpeg_is_reduced_while_it_is_decoded(checkpoint):
    predictor = load_predictor(checkpoint)
    data = file_of(noise(0, (1600, 1200)), "JPEG", quality=95)
    assert seen_by(predictor, data) == (3, 150, 200)
    full = torch.from_numpy(np.asarray(load_image(data)).copy()).permute(2, 0, 1)
    difference = predictor.prepare(data) - predictor.transform(full)
    assert difference.abs().max() < 0.06  # of about ±2.5


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_folder_says_what_each_photo_says(checkpoint, folder, batch_size):
    predictor = load_predictor(checkpoint)
    found = predict_folder(predictor, folder, batch_size, progress=False)
    assert [row.image for row in found.rows] == sorted(READ + UNREADABLE)
    assert [row.image for row in found.failed] == UNREADABLE
    for row in found.rows:
        if row.image in READ:
            ((name, prob),) = predict(predictor, folder / row.image, 1).top
            assert (row.class_name, row.error) == (name, "")
            assert row.prob == pytest.approx(prob, abs=1e-6)
        else:
            assert (row.class_name, row.prob) == ("", None)
            with pytest.raises(ImageError) as alone:
                predict(predictor, folder / row.image)
            assert row.error == str(alone.value)


def test_a_folder_is_printed_one_line_each(checkpoint, folder):
    found = predict_folder(checkpoint, folder, progress=False)
    lines = str(found).splitlines()
    assert len(lines) == 10
    width = max(len(row.class_name) for row in found.rows)
    row, line = found.rows[0], lines[0]
    name = row.class_name.ljust(width)
    assert line == f"image: a.PNG         class: {name}  prob: {row.prob:.3f}"
    assert lines[2].startswith("image: broken.jpg    error: ")


def test_the_csv_holds_every_row(checkpoint, folder, tmp_path):
    path = tmp_path / "new" / "named.csv"
    found = predict_folder(checkpoint, folder, csv_path=path, progress=False)
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "class", "prob", "error"]
    assert [row[0] for row in rows] == [row.image for row in found.rows]
    assert rows[-1][0] == "é 花.webp"
    for row, expected in zip(rows, found.rows, strict=True):
        prob = "" if expected.prob is None else f"{expected.prob:.6f}"
        assert row[1:] == [expected.class_name, prob, expected.error]


def test_a_name_with_a_line_break_stays_on_its_line(checkpoint, tmp_path):
    try:
        (tmp_path / "a\nb.png").write_bytes(b"")
    except OSError:
        pytest.skip("this system allows no such names")
    found = predict_folder(checkpoint, tmp_path, progress=False)
    assert str(found).startswith(r"image: a\nb.png  error: ")
    assert len(found.failed) == 1  # a folder of unreadable files is a table, too


def test_what_cannot_be_predicted_is_refused(checkpoint, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    expected = {
        tmp_path / "empty": "empty itself holds no image .*: name the folder with",
        tmp_path / "missing": "There is no folder .*missing",
        folder / "b.jpg": "There is no folder .*b.jpg",
    }
    for path, sentence in expected.items():
        with pytest.raises(ImageError, match=sentence):
            predict_folder(checkpoint, path)
    with pytest.raises(ValueError, match="batch_size is 0; give at least 1"):
        predict_folder(checkpoint, folder, 0)
    with pytest.raises(ValueError, match="top_k is 0; give at least 1"):
        predict(checkpoint, noise(0), 0)


def test_a_folder_that_cannot_be_read_says_why(checkpoint, folder, monkeypatch):
    def forbidden(folder):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(ImageError, match=r"photos cannot be read \(Permission"):
        predict_folder(checkpoint, folder)


def test_no_more_than_a_batch_is_held(checkpoint, tmp_path, monkeypatch):
    """However many files there are, and in threads that end with the call."""
    for index in range(20):
        noise(index).save(tmp_path / f"{index:02d}.png")
    predictor = load_predictor(checkpoint)
    prepare, probabilities = Predictor.prepare, Predictor.probabilities
    begun, held, threads = [], [], set()

    def counted(self, source):
        begun.append(source)
        threads.add(threading.current_thread())
        return prepare(self, source)

    def consumed(self, images):
        held.append(len(begun) - sum(held))
        return probabilities(self, images)

    monkeypatch.setattr(Predictor, "prepare", counted)
    monkeypatch.setattr(Predictor, "probabilities", consumed)
    assert len(predict_folder(predictor, tmp_path, 6, progress=False).rows) == 20
    assert held == [6, 6, 6, 2]
    assert threading.main_thread() not in threads

    def interrupt(self, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "probabilities", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict_folder(predictor, tmp_path, 6, progress=False)
    assert not any(thread.is_alive() for thread in threads)


def test_the_figure_shows_the_photo_and_the_best_classes():
    names = [f"class {k}" for k in range(12)]
    probabilities = np.linspace(0, 1, 12) ** 2
    ax = plot_prediction(noise(0), names, probabilities)
    picture, bars = ax.child_axes
    assert picture.images[0].get_array().shape == (30, 40, 3)
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == pytest.approx(probabilities[2:])  # the best on top
    labels = [label.get_text() for label in bars.get_yticklabels()]
    assert labels[-1] == "class 11  1.000"
    assert bars.get_xlabel() == "probability, best 10 of 12"
    assert bars.get_xlim() == (0, 1)


def test_the_figure_goes_where_it_is_told():
    _, ax = plt.subplots()
    image = np.zeros((4, 4, 3))
    assert plot_prediction(image, ["a", "b"], [0.4, 0.6], ax=ax) is ax
    assert ax.child_axes[1].get_xlabel() == "probability"


@pytest.mark.parametrize(
    ("names", "probabilities"),
    [(["a"], [0.1, 0.9]), (["a", "b"], [[0.1, 0.9]]), ([], [])],
)
def test_a_figure_that_does_not_fit_is_refused(names, probabilities):
    with pytest.raises(ValueError, match="one for each class of a single photo"):
        plot_prediction(np.zeros((4, 4, 3)), names, probabilities)
