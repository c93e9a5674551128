"""The flower photos found in either layout, downloaded, damaged, or drawn."""

import hashlib
import io
import re
import shutil
import stat
import tarfile

import numpy as np
import pytest
from download_server import Mirror, sends, status
from PIL import Image

from course_utils._engine.download import DownloadError
from course_utils.data import flowers
from course_utils.data.flowers import FLOWER_CLASSES, load_flowers, prepare_flowers

COLOURS = ("white", "yellow", "red", "orange", "purple")


def jpeg(colour, size=(40, 30)):
    memory = io.BytesIO()
    Image.new("RGB", size, colour).save(memory, "JPEG")
    return memory.getvalue()


def fill(folder, number, first=0):
    """Write some JPEGs of each class, of the class's colour."""
    for name, colour in zip(FLOWER_CLASSES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for index in range(first, first + number):
            path = folder / name / f"{index}.jpg"
            path.write_bytes(jpeg(colour, (40 + index, 30)))


@pytest.fixture
def refused(refusal):
    """Asks for photos that cannot be used; returns the sentence that says so."""
    return refusal(load_flowers)


@pytest.fixture
def data_dir(tmp_path):
    """The archive's layout: flower_photos/<class>/."""
    fill(tmp_path / "data" / "flower_photos", 12)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A cache of its own, and fewer drawn flowers."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(flowers, "NUM_SKETCHES", 50)


def colours_fit(splits):
    """Return whether each photo has the colour of its class."""
    wanted = [np.array(Image.new("RGB", (1, 1), c))[0, 0] for c in COLOURS]
    means = [np.asarray(photo.float().mean((1, 2))) for photo in splits.photos]
    nearest = [int(np.argmin([np.abs(m - w).sum() for w in wanted])) for m in means]
    return nearest == splits.labels.tolist()


def on_disk(folder):
    """Return every file below a folder, with its bytes and its time."""
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


# Found


def test_the_layout_of_the_archive(data_dir, capsys):
    (data_dir / "flower_photos" / "LICENSE.txt").write_text("CC-BY")
    splits = load_flowers(data_dir, short_side=20)
    assert capsys.readouterr().out == "Decoding 60 photos, once …\n"
    assert splits.describe() == "flower photos, photos from folders: 50 / 5 / 5 images"
    assert splits.is_photos
    assert splits.classes == FLOWER_CLASSES
    assert splits.photos[0].shape == (3, 20, 27)
    assert colours_fit(splits)


def test_the_layout_that_tutorials_make(tmp_path):
    """train/ and val/ are read as one, then split as the course does."""
    fill(tmp_path / "flower_photos" / "train", 10)
    fill(tmp_path / "flower_photos" / "val", 2, first=10)
    splits = load_flowers(tmp_path)
    assert np.bincount(splits.labels).tolist() == [12] * 5
    assert [len(part) for part in splits.split] == [50, 5, 5]
    widths = {photo.shape[2] for photo in splits.photos}
    assert widths == set(range(40, 52))
    assert colours_fit(splits)


def test_the_seed_decides_on_the_split(data_dir):
    one, same, other = (load_flowers(data_dir, seed=seed) for seed in (0, 0, 1))
    assert all(map(np.array_equal, one.split, same.split))
    assert not np.array_equal(one.split.val, other.split.val)


def test_running_it_twice_changes_nothing(data_dir, tmp_path):
    first = load_flowers(data_dir)
    before = on_disk(tmp_path)
    again = load_flowers(data_dir)
    assert on_disk(tmp_path) == before
    assert all(map(np.array_equal, first.split, again.split))


def test_a_read_only_folder(data_dir):
    paths = [data_dir, *data_dir.rglob("*")]
    for path in paths:
        mode = path.stat().st_mode
        path.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert load_flowers(data_dir).is_photos
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


# Half found


def test_a_missing_class_is_named(data_dir, refused):
    shutil.rmtree(data_dir / "flower_photos" / "roses")
    assert re.search(r"has no folder roses; .*copy it", refused(data_dir))


def test_too_few_photos_of_a_class(data_dir, refused):
    for path in list((data_dir / "flower_photos" / "daisy").iterdir())[:3]:
        path.unlink()
    assert re.search("The class daisy has 9 images", refused(data_dir))


def test_a_damaged_photo_is_named(data_dir, refused):
    (data_dir / "flower_photos" / "roses" / "5.jpg").write_bytes(jpeg("red")[:-200])
    assert re.search(r"roses/5\.jpg is .*damaged", refused(data_dir))


# Downloaded


def make_archive():
    """A small archive in the layout of the real one."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, colour in zip(FLOWER_CLASSES, COLOURS, strict=True):
            for index in range(10):
                body = jpeg(colour)
                info = tarfile.TarInfo(f"flower_photos/{name}/{index}.jpg")
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
    return memory.getvalue()


ARCHIVE = make_archive()


@pytest.fixture
def mirror(monkeypatch):
    """Starts the only mirror of the small archive."""
    running = []

    def start(*answers):
        running.append(Mirror(*answers))
        monkeypatch.setattr(flowers, "URLS", [running[-1].url])
        return running[-1]

    monkeypatch.setattr(flowers, "SIZE_BYTES", len(ARCHIVE))
    monkeypatch.setattr(flowers, "MD5", hashlib.md5(ARCHIVE).hexdigest())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    yield start
    for one in running:
        one.close()


def test_downloaded_once(mirror, tmp_path):
    good = mirror(sends(ARCHIVE))
    splits = load_flowers(tmp_path / "data")
    assert [len(part) for part in splits.split] == [40, 5, 5]
    assert colours_fit(splits)
    before = on_disk(tmp_path)
    assert load_flowers(tmp_path / "data").is_photos
    assert prepare_flowers(tmp_path / "data") == tmp_path / "data" / "flower_photos"
    assert on_disk(tmp_path) == before
    assert len(good.ranges) == 1


@pytest.mark.parametrize("left", ["nothing", "the folder", "photos of 0 bytes"])
def test_prepare_fills_in_a_missing_class(mirror, data_dir, left):
    good = mirror(sends(ARCHIVE))
    roses = data_dir / "flower_photos" / "roses"
    shutil.rmtree(roses)
    if left != "nothing":
        roses.mkdir()
    if left == "photos of 0 bytes":
        for index in range(10):
            (roses / f"{index}.jpg").touch()
    prepare_flowers(data_dir)
    counts = np.bincount(load_flowers(data_dir).labels)
    assert counts.tolist() == [12, 12, 10, 12, 12]
    assert len(good.ranges) == 1


def test_prepare_leaves_the_layout_of_tutorials_alone(mirror, tmp_path):
    good = mirror(sends(ARCHIVE))
    for part in ("train", "val"):
        fill(tmp_path / "flower_photos" / part, 5)
    assert prepare_flowers(tmp_path) == tmp_path / "flower_photos"
    assert good.ranges == []


def test_a_failed_download_means_sketches_and_says_so(mirror, tmp_path, capsys):
    mirror(status(404))
    splits = load_flowers(tmp_path / "data")
    assert not splits.is_photos
    said = capsys.readouterr().out
    assert "answered 404" in said
    assert "Using the built-in sketches, not photos." in said


def test_another_file_is_not_taken_for_the_archive(mirror, tmp_path):
    mirror(sends(ARCHIVE[::-1]))
    with pytest.raises(DownloadError, match="wrong checksum"):
        prepare_flowers(tmp_path)
    assert not (tmp_path / "flower_photos").exists()


def test_offline_asks_nobody(mirror, tmp_path, monkeypatch, capsys):
    good = mirror(sends(ARCHIVE))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert not load_flowers(tmp_path / "data").is_photos
    assert "using the built-in sketches, not photos" in capsys.readouterr().out
    with pytest.raises(DownloadError, match="COURSE_OFFLINE forbids its download"):
        prepare_flowers(tmp_path / "data")
    assert good.ranges == []
    assert not (tmp_path / "data").exists()


# Drawn


def test_without_photos_they_are_drawn_once(capsys):
    splits = load_flowers(None)
    assert capsys.readouterr().out == "Drawing 50 sketches, once …\n"
    assert splits.describe() == "flowers, built-in sketches: 40 / 5 / 5 images"
    assert not splits.is_photos
    assert splits.classes == FLOWER_CLASSES
    assert {photo.shape for photo in splits.photos} == {(3, 96, 96)}
    again = load_flowers(None, seed=1)
    assert capsys.readouterr().out == ""
    assert (splits.photos[7] == again.photos[7]).all()
    assert not np.array_equal(splits.split.val, again.split.val)


def test_another_number_of_sketches_is_drawn_anew(monkeypatch):
    load_flowers(None)
    monkeypatch.setattr(flowers, "NUM_SKETCHES", 60)
    assert len(load_flowers(None).photos) == 60
