"""The doctor: what it sees, what mends it, and that nothing stops it."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from download_server import Mirror, status

from course_classroom.catalogue import (
    BATCH_BYTES,
    BATCH_NAMES,
)
from course_classroom.doctor import machine, places, report
from course_classroom.doctor.lines import Line
from course_utils.data.layout import FLOWER_CLASSES, NUM_FLOWERS, STORED
from course_utils.data.manifest import MANIFEST, record

ROOT = Path(__file__).parent.parent


def by_name(lines):
    """The lines of a check, by what they are about: the mark and the text."""
    return {line.what: (line.mark, line.text) for line in lines}


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "stick"
    folder.mkdir()
    monkeypatch.setenv("COURSE_DATA", str(folder))
    return folder


def put_batches(data):
    folder = data / "cifar-10-batches-py"
    folder.mkdir()
    for name in BATCH_NAMES:
        with (folder / name).open("wb") as file:
            file.truncate(BATCH_BYTES)
    (folder / "batches.meta").write_text("meta")
    return folder


def run_doctor(*, cwd, **variables):
    started = [sys.executable, "-m", "course_classroom", "doctor"]
    paths = os.pathsep.join([variables.pop("PYTHONPATH", ""), str(ROOT)]).strip(":")
    environment = os.environ | {"PYTHONPATH": paths} | variables
    return subprocess.run(
        started, cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_a_broken_pytorch_is_a_line_with_the_command_that_mends_it(tmp_path):
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libtorch.so: wrong ELF class')")
    done = run_doctor(cwd=tmp_path, PYTHONPATH=str(broken.parent))
    assert done.returncode == 1
    assert done.stderr == ""
    (line,) = (line for line in done.stdout.splitlines() if "PyTorch" in line)
    assert line.startswith(
        "problem  PyTorch    cannot be imported (OSError: libtorch.so"
    )
    assert "-m pip install -c" in line
    assert "--force-reinstall --no-deps torch torchvision" in line
    marks = {line.split()[0] for line in done.stdout.split("\n\n")[0].splitlines()}
    assert marks <= {"ok", "note", "problem"}


def probe(monkeypatch, code):
    monkeypatch.setattr(machine, "TORCH_PROBE", code)
    return by_name(machine.TorchProbe().check())


def test_what_pytorch_says(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    good = "import json; print(json.dumps(['2.15', '0.29', {!r}]))"
    assert probe(monkeypatch, good.format("")) == {
        "PyTorch": ("ok", "torch 2.15, torchvision 0.29"),
        "GPU": ("ok", "none: quick profile"),
    }
    lines = probe(monkeypatch, good.format("CUDA, H1, 80 GiB"))
    assert lines["GPU"] == ("ok", "CUDA, H1, 80 GiB")
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/bin/{name}")
    mark, text = probe(monkeypatch, good.format(""))["GPU"]
    assert (mark, "cannot use the NVIDIA card" in text) == ("note", True)


def test_pytorch_that_is_missing_crashes_or_hangs(monkeypatch):
    mark, text = probe(monkeypatch, "import torchest.x")["PyTorch"]
    assert mark == "problem"
    assert "[notebook,teach,test]" in text
    mark, text = probe(monkeypatch, "import os; os.kill(os.getpid(), 4)")["PyTorch"]
    assert (mark, "exit status -4" in text) == ("problem", True)
    monkeypatch.setattr(machine, "TORCH_S", 0.0)
    mark, text = probe(
        monkeypatch, "input = open(0).read; import time; time.sleep(99)"
    )["PyTorch"]
    assert mark == "note"
    assert "took longer than 0 s" in text


def test_the_probe_itself_runs():
    (line, *_) = machine.TorchProbe().check()
    assert line.what == "PyTorch"
    assert "cannot be imported" not in line.text


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A course that needs one package, with pins to write."""
    needs = 'dependencies = ["numpy"]\n[project.optional-dependencies]\nx = []\n'
    (tmp_path / "pyproject.toml").write_text(f"[project]\n{needs}")
    for name in ("course_classroom.doctor.machine", "course_classroom.doctor.lines"):
        monkeypatch.setattr(f"{name}.project_root", lambda: tmp_path)
    return tmp_path / "constraints.txt"


def test_packages_are_compared_with_the_pins(house):
    pip = machine.metadata.version("pip")
    house.write_text(f"# pins\npip=={pip}\n")
    assert by_name(machine.check_packages())["packages"][0] == "ok"
    house.write_text("pip==1\nno-such-thing==2\nwindowsy==3 ; sys_platform == 'x'\n")
    missing, other = machine.check_packages()
    assert missing.mark == other.mark == "note"
    assert "missing: no-such-thing: run " in missing.text
    assert f"pip {pip} (tested: 1): run " in other.text


def test_a_package_that_lessons_import_is_a_problem(house, monkeypatch):
    house.write_text("numpy==2\n")

    def none(name):
        raise machine.metadata.PackageNotFoundError

    monkeypatch.setattr(machine.metadata, "version", none)
    mark, text = by_name(machine.check_packages())["packages"]
    assert (mark, text.split(":")[1]) == ("problem", " numpy")


@pytest.mark.parametrize(
    ("total", "free", "mark"), [(8, 6, "ok"), (8, 1, "note"), (1, 1, "problem")]
)
def test_memory(monkeypatch, total, free, mark):
    class Memory:
        pass

    Memory.total, Memory.available = total * machine.GIB, free * machine.GIB
    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    (line,) = machine.check_memory()
    assert line.mark == mark
    assert line.text.startswith(f"{free}.0 of {total}.0 GiB free")


def test_profile_and_threads(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    (line,) = machine.check_profile()
    assert line.mark == "problem"
    assert line.text.endswith("unset COURSE_PROFILE")
    monkeypatch.setenv("COURSE_PROFILE", "full")
    assert by_name(machine.check_profile())["profile"] == ("ok", "full")
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert by_name(machine.check_threads())["threads"][0] == "note"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert by_name(machine.check_threads())["threads"][0] == "ok"


def test_disk(monkeypatch, data):
    for free, mark in ((50, "ok"), (1, "note"), (0.01, "problem")):
        usage = shutil._ntuple_diskusage(0, 0, free * places.GIB)
        monkeypatch.setattr(places.shutil, "disk_usage", lambda path, u=usage: u)
        (line,) = places.check_disk()
        assert (line.what, line.mark) == ("disk", mark)


def test_runs_and_cache_that_cannot_be_written(monkeypatch, tmp_path):
    for name in ("RUNS", "CACHE"):
        monkeypatch.setenv(f"COURSE_{name}", str(tmp_path / "new" / name))
    assert next(places.check_runs()).mark == next(places.check_cache()).mark == "ok"
    assert list(tmp_path.iterdir()) == []

    def refuse(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(places.tempfile, "TemporaryFile", refuse)
    (runs,), (cache,) = places.check_runs(), places.check_cache()
    assert runs.mark == "problem"
    assert "(Read-only file system): run export COURSE_RUNS=" in runs.text
    assert cache.mark == "note"
    assert "set COURSE_CACHE" in cache.text


def test_an_empty_folder_names_what_to_fetch(data):
    where, missing = places.check_data()
    assert (where.mark, where.text) == ("ok", str(data))
    assert missing.mark == "note"
    assert "cifar10 (163 MiB), flowers (218 MiB), flowers102" in missing.text
    assert missing.text.endswith(f"cifar10 flowers flowers102 resnet34 {data}")


def test_no_folder_and_built_in(data, monkeypatch):
    data.rmdir()
    (line,) = places.check_data()
    assert line.mark == "problem"
    assert line.text.endswith("run unset COURSE_DATA")
    monkeypatch.setenv("COURSE_DATA", "built-in")
    (line,) = places.check_data()
    assert line.mark == "ok"


def test_batches_whole_cut_and_not_as_prepared(data):
    folder = put_batches(data)
    assert by_name(places.check_data())["cifar10"] == ("ok", "the archive's batches")
    record(data, "cifar10")
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, text) == ("ok", "the archive's batches, as prepared")
    (folder / "batches.meta").unlink()
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, "6 of 7 files" in text) == ("note", True)
    (data / MANIFEST).unlink()
    with (folder / "data_batch_2").open("r+b") as file:
        file.truncate(BATCH_BYTES - 1)
    mark, text = by_name(places.check_data())["cifar10"]
    assert mark == "note"
    assert "missing: data_batch_2, batches.meta: copy it again, or run" in text
    shutil.rmtree(folder)


def test_a_set_that_was_prepared_and_is_gone(data):
    put_batches(data)
    record(data, "cifar10")
    shutil.rmtree(data / "cifar-10-batches-py")
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, "0 of 7 files" in text) == ("note", True)


def test_folders_of_images(data, photo_folder):
    shutil.move(photo_folder / "cifar10", data)
    text = "240 images in folders"
    assert by_name(places.check_data())["cifar10"] == ("ok", text)
    shutil.rmtree(data / "cifar10" / "test" / "ship")
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, "missing: test/ship:" in text) == ("note", True)


def test_flowers_of_the_archive_are_counted_and_others_are_not(data):
    for name in FLOWER_CLASSES:
        (data / "flower_photos" / name).mkdir(parents=True)
        (data / "flower_photos" / name / "1.jpg").write_bytes(b"photo")
    lines = by_name(places.check_data())
    assert lines["flowers"] == ("ok", "5 photos in folders")
    (data / "flower_photos" / "LICENSE.txt").write_text("CC-BY")
    mark, text = by_name(places.check_data())["flowers"]
    assert mark == "note"
    assert f"missing: {NUM_FLOWERS - 5} of the archive's {NUM_FLOWERS} photos" in text


def test_flowers102_and_weights(data):
    (data / "flowers-102" / "jpg").mkdir(parents=True)
    (data / "flowers-102" / "setid.mat").write_bytes(b"mat")
    weights = data / STORED["resnet34"].places[0]
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    lines = by_name(places.check_data())
    assert lines["resnet34"] == ("ok", "the weights")
    assert "missing: imagelabels.mat, 8189 of 8189 photos" in lines["flowers102"][1]


def test_a_folder_of_another_version_or_with_a_damaged_manifest(data):
    put_batches(data)
    record(data, "cifar10")
    manifest = json.loads((data / MANIFEST).read_text())
    manifest["sets"]["cifar10"]["version"] = "another"
    (data / MANIFEST).write_text(json.dumps(manifest | {"course": "9.9"}))
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, "another version of CIFAR-10" in text) == ("note", True)
    (data / MANIFEST).write_text('{"course')
    mark, text = by_name(line for line in places.check_data() if "dam" in line.text)[
        "data"
    ]
    assert mark == "note"


def test_a_folder_that_cannot_be_read(data, monkeypatch):
    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    (data / "cifar10").mkdir()
    monkeypatch.setattr("course_classroom.catalogue.count_images", broken)
    mark, text = by_name(places.check_data())["cifar10"]
    assert (mark, text.split(":")[0]) == ("note", "cannot be read (Input/output error)")


def test_the_network_is_asked_for_one_head_or_not_at_all(monkeypatch):
    (line,) = places.check_network()
    assert line.text.startswith("not asked")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    server = Mirror(status(403))
    try:
        monkeypatch.setattr(places, "CIFAR10_MIRROR", f"http://{server.host}")
        (line,) = places.check_network()
        assert line.mark == "ok"
        assert server.ranges == []  # nothing was fetched
    finally:
        server.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr(places, "CIFAR10_MIRROR", address)
        (line,) = places.check_network()
    assert line.mark == "note"
    assert "cannot be reached" in line.text


def test_a_mirror_that_never_answers(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setattr(places, "NETWORK_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(places, "CIFAR10_MIRROR", f"http://127.0.0.1:{port}")
        (line,) = places.check_network()
    assert line.mark == "note"


def test_a_check_that_fails_is_a_note_and_the_rest_goes_on(monkeypatch, capsys):
    class Probe:
        def check(self):
            yield Line("ok", "PyTorch", "here")

    def broken():
        raise RuntimeError("no such thing")
        yield

    monkeypatch.setattr(machine, "TorchProbe", Probe)
    monkeypatch.setattr(machine, "check_packages", broken)
    assert report.doctor() == 0
    out = capsys.readouterr().out
    assert "note     packages   could not be looked at (no such thing)\n" in out
    assert "ok       PyTorch    here\n" in out
    assert out.endswith(": nothing prevents the lessons from running.\n")
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    assert report.doctor() == 1
