"""The session: profile, device, folders, seed."""

import random

import numpy as np
import pytest
import torch

from course_utils import session as session_module
from course_utils.session import start


def test_start_prints_a_short_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("COURSE_PROFILE", "full")
    session = start(seed=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "profile", "device", "data", "seed", "torch",
    ]  # fmt: skip
    assert session.data_dir == tmp_path
    assert session.pick(quick=1, full=2) == 2


def test_seed_fixes_every_source_of_randomness():
    def draw():
        start(seed=5)
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    assert draw() == draw()


def test_profile_follows_the_device(monkeypatch):
    assert session_module.choose_profile(torch.device("cpu")) == "quick"
    assert session_module.choose_profile(torch.device("cuda")) == "full"
    monkeypatch.setenv("COURSE_PROFILE", "quick")
    assert session_module.choose_profile(torch.device("cuda")) == "quick"


def test_unknown_profile(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast'; set it to 'quick' or 'full'"):
        start()


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", "built-in")
    assert start().data_dir is None
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere', which is not a folder"):
        start()
    monkeypatch.delenv("COURSE_DATA")
    assert start().data_dir == session_module.project_root() / "data"


def test_runs_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    folder = start().run_dir("03_cifar10_training")
    assert folder == tmp_path / "runs" / "03_cifar10_training"
    assert folder.is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set COURSE_RUNS to a folder you may write to"):
        start().run_dir("x")
