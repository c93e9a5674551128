"""CIFAR-10 found, half found, damaged, or drawn."""

import hashlib
import io
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from course_utils.data import cifar10
from course_utils.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from course_utils.data.manifest import record


@pytest.fixture(autouse=True)
def few_sketches(monkeypatch, tmp_path):
    """A cache of its own, and fewer drawn images."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    sizes = {"train": 70, "val": 10, "test": 20}
    monkeypatch.setattr(cifar10, "SKETCH_SIZES", sizes)


@pytest.fixture
def refused(refusal):
    """Asks for photos that cannot be used; returns the sentence that says so."""
    return refusal(load_cifar10)


def test_folders_of_images(photo_folder, capsys):
    data = load_cifar10(photo_folder)
    assert "Decoding 240 images" in capsys.readouterr().out
    assert data.is_photos
    assert data.classes == CIFAR10_CLASSES
    sizes = [len(pair.labels) for pair in (data.train, data.val, data.test)]
    assert sizes == [180, 20, 40]
    assert np.bincount(data.val.labels).tolist() == [2] * 10
    cat = np.asarray(Image.open(photo_folder / "cifar10/test/cat/0002.png"))
    place = next(i for i, x in enumerate(data.test.images) if np.array_equal(x, cat))
    assert CIFAR10_CLASSES[data.test.labels[place]] == "cat"


def test_train_and_val_share_no_image(photo_folder):
    data = load_cifar10(photo_folder)
    train = {image.tobytes() for image in data.train.images}
    val = {image.tobytes() for image in data.val.images}
    assert len(train) == 180
    assert not train & val


def test_second_load_comes_from_the_cache(photo_folder, capsys):
    first = load_cifar10(photo_folder)
    capsys.readouterr()
    second = load_cifar10(photo_folder)
    assert capsys.readouterr().out == ""
    assert np.array_equal(first.train.images, second.train.images)
    assert first.mean == second.mean


def test_changed_folder_is_decoded_again(photo_folder):
    before = load_cifar10(photo_folder)
    (photo_folder / "cifar10/test/cat/0000.png").unlink()
    after = load_cifar10(photo_folder)
    assert len(after.test.labels) == len(before.test.labels) - 1


def test_read_only_folder(photo_folder):
    for path in [photo_folder, *photo_folder.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert load_cifar10(photo_folder).is_photos
    finally:
        for path in [photo_folder, *photo_folder.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def original_archive(folder, monkeypatch):
    """Lay out the original archive, small, with checksums to match."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    rng = np.random.default_rng(0)
    md5s = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        entry = {
            "data": rng.integers(0, 256, (40, 3072), dtype=np.uint8),
            "labels": (np.arange(40) % 10).tolist(),
        }
        (batches / name).write_bytes(pickle.dumps(entry))
    names = {"label_names": list(CIFAR10_CLASSES)}
    (batches / "batches.meta").write_bytes(pickle.dumps(names))
    for path in batches.iterdir():
        md5s[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(
        CIFAR10,
        "train_list",
        [[f"data_batch_{i}", md5s[f"data_batch_{i}"]] for i in range(1, 6)],
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5s["test_batch"]]])
    meta = {**CIFAR10.meta, "md5": md5s["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return batches


def test_original_archive(tmp_path, monkeypatch):
    batches = original_archive(tmp_path, monkeypatch)
    data = load_cifar10(tmp_path)
    sizes = [len(pair.labels) for pair in (data.train, data.val, data.test)]
    assert sizes == [180, 20, 40]
    raw = pickle.loads((batches / "test_batch").read_bytes())["data"][7]
    image = raw.reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(data.test.images[7], image)


class Planted:
    """Unpickling this leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled_before_its_checksum_held(tmp_path, monkeypatch, refused):
    batches = original_archive(tmp_path, monkeypatch)
    trap = tmp_path / "executed"
    (batches / "data_batch_3").write_bytes(pickle.dumps(Planted(trap)))
    assert re.search(r"incomplete or was changed.*prepare cifar10", refused(tmp_path))
    assert not trap.exists()


def test_missing_batch_is_named(tmp_path, monkeypatch, refused):
    batches = original_archive(tmp_path, monkeypatch)
    (batches / "data_batch_5").unlink()
    assert re.search("cifar-10-batches-py is incomplete", refused(tmp_path))


@pytest.mark.parametrize(
    ("lost", "found", "sentence"),
    [
        ("train/frog", None, r"has no folder frog; .*copy it again"),
        ("train/frog", "train/toad", r"no folder frog \(but has toad\)"),
        ("test", None, "test cannot be read .*copy the data"),
    ],
)
def test_missing_folder(photo_folder, refused, lost, found, sentence):
    folder = photo_folder / "cifar10"
    if found:
        shutil.copytree(folder / lost, folder / found)
    shutil.rmtree(folder / lost)
    assert re.search(sentence, refused(photo_folder))


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def saved(kind, **options):
    memory = io.BytesIO()
    Image.fromarray(PIXELS).save(memory, kind, **options)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"<html></html>", "is an HTML page, expected a photo"),
        (saved("JPEG")[:-400], "is damaged or cut off"),
        (saved("EPS"), "expected a photo"),  # would start Ghostscript
    ],
)
def test_image_that_does_not_decode(photo_folder, content, sentence, refused):
    (photo_folder / "cifar10/train/dog/0003.png").write_bytes(content)
    assert re.search(rf"0003\.png {sentence}|{sentence}", refused(photo_folder))


def test_a_pipe_among_the_images_is_not_waited_for(photo_folder, refused):
    if not hasattr(os, "mkfifo"):
        pytest.skip("named pipes are a thing of POSIX")
    os.mkfifo(photo_folder / "cifar10/train/dog/pipe.png")
    assert "pipe.png is a device or a pipe" in refused(photo_folder)


def test_image_of_another_size(photo_folder, refused):
    Image.new("RGB", (64, 48)).save(photo_folder / "cifar10/test/cat/big.png")
    assert re.search(r"64×48 pixels; expected 32×32", refused(photo_folder))


def test_nothing_found_means_sketches_and_says_so(tmp_path, capsys):
    data = load_cifar10(tmp_path)
    said = capsys.readouterr().out
    assert "using the built-in sketches, not photos" in said
    assert not data.is_photos
    assert "sketches" in data.describe()
    sizes = [len(pair.labels) for pair in (data.train, data.val, data.test)]
    assert sizes == [70, 10, 20]
    assert np.bincount(data.test.labels).tolist() == [2] * 10


def test_sketches_of_the_splits_differ():
    data = load_cifar10(None)
    seen = [{x.tobytes() for x in pair.images} for pair in (data.train, data.val)]
    assert not seen[0] & seen[1]


def test_without_a_network_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(cifar10, "URLS", ("http://127.0.0.1:9/cifar.tar.gz",))
    line = "No network: using the built-in drawings (course prepare cifar10 later)\n"
    for drawing in ("Drawing 100 sketches, once …\n", ""):  # the second is remembered
        assert not load_cifar10(tmp_path / "data").is_photos
        assert capsys.readouterr().out == line + drawing
    assert not (tmp_path / "data").exists()


def test_unwritable_cache_is_survived(photo_folder, tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(blocked / "cache"))
    assert load_cifar10(photo_folder).is_photos
    assert "Could not keep decoded images" in capsys.readouterr().out


def test_disk_full_while_caching(photo_folder, tmp_path, capsys):
    """A real full disk: the kernel limits the size of what may be written."""
    resource = pytest.importorskip("resource", reason="limits are a thing of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        data = load_cifar10(photo_folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Could not keep decoded images" in capsys.readouterr().out
    assert data.describe().endswith("180 / 20 / 40 images")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, 5000, -100])
def test_truncated_cache_is_made_again(photo_folder, tmp_path, capsys, keep):
    first = load_cifar10(photo_folder)
    (kept,) = (tmp_path / "cache").glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:keep])
    again = load_cifar10(photo_folder)
    assert "is damaged; making it again" in capsys.readouterr().out
    assert np.array_equal(first.test.images, again.test.images)
    capsys.readouterr()
    load_cifar10(photo_folder)
    assert "damaged" not in capsys.readouterr().out


def test_import_is_quick_to_follow_torch():
    """No module that costs time is loaded by importing the package's helpers."""
    code = (
        "import sys, torch, torchvision, numpy, matplotlib.pyplot, PIL.Image\n"
        "import tqdm.auto\n"
        "before = set(sys.modules)\n"
        "import course_utils.session, course_utils.data.cifar10, course_utils.models\n"
        "import course_utils.training.loop, course_utils.plotting\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'httpx', 'sklearn', 'IPython', 'pandas', 'scipy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_stick_that_the_system_cannot_read_is_one_sentence(
    photo_folder, refused, monkeypatch
):
    def broken(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("course_utils.data.photos.is_image", broken)
    text = refused(photo_folder)
    assert text.endswith("cannot be read (Input/output error): copy the data again.")


def test_photos_that_are_not_as_prepared_are_used_and_said_so(photo_folder, capsys):
    record(photo_folder, "cifar10")
    load_cifar10(photo_folder)
    assert "CIFAR-10" not in capsys.readouterr().out
    (photo_folder / "cifar10/train/dog/0003.png").unlink()
    assert load_cifar10(photo_folder).is_photos
    out = capsys.readouterr().out
    assert out.count("CIFAR-10 in") == 1
    assert "is not as it was prepared (239 of 240 files" in out
