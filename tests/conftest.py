"""What every test stands on: no variable of the course, a cache and runs of its own."""

import os
import shutil
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.data import cifar10, flowers
from course_utils.data.cifar10 import CIFAR10_CLASSES

matplotlib.use("Agg")
DATA = os.environ.get("COURSE_DATA", "built-in")  # before it is cleared below


@pytest.fixture(scope="session")
def shared_cache():
    """One cache folder for the whole test run: drawing the sketches takes a while."""
    return Path(os.environ["COURSE_CACHE"])


@pytest.fixture(scope="session")
def shared_runs():
    """One folder for checkpoints and marks, which is not the reader's."""
    return Path(os.environ["COURSE_RUNS"])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, shared_cache, shared_runs):
    for name in [name for name in os.environ if name.startswith("COURSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_CACHE", str(shared_cache))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("COURSE_RUNS", str(shared_runs))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def one_thread():
    """For networks so small that a second thread is a hindrance."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def photos():
    """The reader's folder with CIFAR-10 photos, if COURSE_DATA names one, or None."""
    folder = Path(DATA)
    if any((folder / name).is_dir() for name in (cifar10.BATCHES, cifar10.FOLDERS)):
        return folder
    return None


@pytest.fixture
def flower_photos():
    """The reader's folder with flower photos, if COURSE_DATA names one, or None."""
    return Path(DATA) if (Path(DATA) / flowers.FOLDER).is_dir() else None


@pytest.fixture
def imagenet200():
    """The folder with ``imagenet32/val/``, if COURSE_DATA names one, or None."""
    return Path(DATA) if (Path(DATA) / "imagenet32" / "val").is_dir() else None


@pytest.fixture
def photo_folder(tmp_path):
    """A data folder with cifar10/{train,test}/<class>/: 20 and 4 images a class."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 20), ("test", 4)):
        for name in CIFAR10_CLASSES:
            folder = tmp_path / "photos" / "cifar10" / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return tmp_path / "photos"


@pytest.fixture
def refusal(capsys):
    """Turns a loader into one that expects a refusal, and returns its sentence."""

    def refused(load):
        def ask(folder):
            assert not load(folder).is_photos
            *said, instead = [
                line
                for line in capsys.readouterr().out.splitlines()
                if not line.startswith(("Decoding", "Drawing"))
            ]
            assert instead == "Using the built-in sketches, not photos."
            assert len(said) == 1
            return said[0]

        return ask

    return refused


@pytest.fixture(scope="module")
def browser():
    """Chromium, or a skip that says what is missing."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs the browser Chromium (Debian: apt install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        yield browser
        browser.close()
