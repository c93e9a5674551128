"""The session: profile, device, folders, seed."""

import random

import numpy as np
import pytest
import torch

from course_utils import session as session_module
from course_utils._engine import threads as threads_module
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


@pytest.fixture
def threads(monkeypatch):
    """Two threads, free to choose, on a machine whose clock the test moves."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads_module, "MOST", 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("COURSE_THREADS", raising=False)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "best"), [((0.2, 0.1), 2), ((0.1, 2.0), 1)])
def test_start_takes_as_many_threads_as_are_faster(threads, seconds, best, capsys):
    class Clock:
        now = 0.0

        def perf_counter(self):
            self.now += seconds[torch.get_num_threads() - 1] / 2
            return self.now

    threads.setattr(threads_module, "time", Clock())
    start()
    assert torch.get_num_threads() == best
    words = "2 threads" if best == 2 else "1 thread"
    assert f"{words}, " in capsys.readouterr().out


def test_threads_can_be_fixed(threads, capsys):
    def never(numbers):
        raise AssertionError("nothing is timed")

    threads.setattr(threads_module, "seconds_by_threads", never)
    threads.setenv("COURSE_THREADS", "1")
    start()
    assert torch.get_num_threads() == 1
    assert ", 1 thread)" in capsys.readouterr().out
    threads.delenv("COURSE_THREADS")
    threads.setenv("OMP_NUM_THREADS", "2")
    start()
    threads.setenv("COURSE_THREADS", "all")
    with pytest.raises(ValueError, match="COURSE_THREADS is 'all'; give a number"):
        start()


def test_threads_are_really_timed():
    before = torch.get_num_threads()
    (seconds,) = threads_module.seconds_by_threads((1,))
    torch.set_num_threads(before)
    assert seconds > 0
