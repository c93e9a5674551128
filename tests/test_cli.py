"""`python -m course_utils prepare`, with a small archive in the real one's place."""

import hashlib
import io
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from download_server import Mirror, sends, stalls, status
from torchvision.datasets import CIFAR10

from course_utils.cli import main
from course_utils.data import cifar10

ROOT = Path(__file__).parent.parent


BATCH = np.random.default_rng(0).bytes(200_000)
BATCH_MD5 = hashlib.md5(BATCH).hexdigest()


def make_archive():
    """A small archive in the layout of the real one."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        info.size = len(BATCH)
        tar.addfile(info, io.BytesIO(BATCH))
    return memory.getvalue()


ARCHIVE = make_archive()
MD5 = hashlib.md5(ARCHIVE).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Starts the only mirror, with an empty working folder and cache."""
    running = []

    def start(*answers):
        running.append(Mirror(*answers))
        monkeypatch.setattr(cifar10, "URLS", [running[-1].url])
        return running[-1]

    monkeypatch.setattr(cifar10, "SIZE_BYTES", len(ARCHIVE))
    monkeypatch.setattr(cifar10, "MD5", MD5)
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", BATCH_MD5]])
    monkeypatch.setattr(CIFAR10, "test_list", [])
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    yield start
    for one in running:
        one.close()


def test_fetches_once_and_says_how_to_use_it(mirror, tmp_path, capsys, monkeypatch):
    good, room = mirror(sends(ARCHIVE)), tmp_path / "room"
    made = f"in {room / cifar10.BATCHES}; use it with COURSE_DATA={room}\n"
    assert main(["prepare", "cifar10", "room"]) == 0
    assert (room / cifar10.BATCHES / "data_batch_1").stat().st_size == 200_000
    assert capsys.readouterr().out.endswith(f"cifar10 is ready {made}")

    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert main(["prepare", "room"]) == 0
    assert capsys.readouterr().out == f"cifar10 is ready {made}"
    assert len(good.ranges) == 1


def test_a_half_filled_folder_is_made_whole_without_a_second_download(
    mirror, tmp_path, monkeypatch
):
    good = mirror(sends(ARCHIVE))
    assert main(["prepare", "room"]) == 0
    batch = tmp_path / "room" / cifar10.BATCHES / "data_batch_1"
    batch.write_bytes(BATCH[:1000])
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert main(["prepare", "room"]) == 0
    assert batch.read_bytes() == BATCH
    assert len(good.ranges) == 1


def test_without_a_folder_it_fills_the_one_lessons_look_in(
    mirror, tmp_path, capsys, monkeypatch
):
    mirror(sends(ARCHIVE))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert main(["prepare", "cifar10"]) == 0
    made = f"ready in {tmp_path / cifar10.BATCHES}; lessons find it there"
    assert made in capsys.readouterr().out


def test_failure_is_one_sentence_and_is_tried_again(mirror, capsys):
    bad = mirror(status(503))
    for count in (1, 2):
        assert main(["prepare", "room"]) == 1
        error = capsys.readouterr().err
        assert "answered 503" in error
        assert error.count("\n") == 1
        assert len(bad.ranges) == count


@pytest.mark.parametrize("words", [("flowerz", "room"), ("cifar100",)])
def test_a_misspelt_set_fetches_nothing(mirror, tmp_path, capsys, words):
    good = mirror(sends(ARCHIVE))
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *words])
    assert stop.value.code == 2
    assert repr(words[0]) in capsys.readouterr().err
    assert good.ranges == []
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_says_so_and_continues_later(mirror, tmp_path):
    half, room = len(ARCHIVE) // 2, tmp_path / "room"
    server = mirror(stalls(ARCHIVE, after=half), sends(ARCHIVE))
    code = (
        "import sys\n"
        "from course_utils import cli\n"
        "from course_utils.data import cifar10\n"
        f"cifar10.URLS, cifar10.MD5 = [{server.url!r}], {MD5!r}\n"
        f"cifar10.SIZE_BYTES = {len(ARCHIVE)}\n"
        f"sys.exit(cli.main(['prepare', {str(room)!r}]))"
    )
    command = [sys.executable, "-c", code]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    part, tick = room / f"{cifar10.ARCHIVE}.part", threading.Event()
    while not (part.exists() and part.stat().st_size == half):
        assert child.poll() is None
        tick.wait(0.01)
    child.send_signal(signal.SIGINT)
    error = child.communicate()[1].decode()
    assert child.returncode == 130
    assert error.endswith(
        "Stopped; the same command continues with what has arrived.\n"
    )
    assert "Traceback" not in error
    assert main(["prepare", "room"]) == 0
    assert server.ranges == [None, f"bytes={half}-"]


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "course_utils", "prepare", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "cifar10 (163 MiB)" in done.stdout
