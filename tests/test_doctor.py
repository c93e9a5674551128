"""The doctor: what it sees, what mends it, and that nothing stops it."""

import errno
import itertools
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from download_server import Mirror, status

from course_classroom.catalogue import BATCH_BYTES, BATCH_NAMES
from course_classroom.doctor import lines, machine, places, report
from course_classroom.doctor.lines import Line
from course_utils.data.layout import FLOWER_CLASSES, NUM_FLOWERS, STORED
from course_utils.data.manifest import MANIFEST, record

ROOT = Path(__file__).parent.parent


def by_name(found):
    """The lines of a check, by what they are about."""
    return {line.what: line for line in found}


def as_one_line(mend):
    """The command that a report begins with, as a shell reads its lines."""
    lines = itertools.takewhile(
        lambda line: line[:1] == " ", mend.lstrip("\n").split("\n")
    )
    return " ".join(line.strip().removesuffix(" \\") for line in lines)


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


def test_a_broken_pytorch_is_a_line_with_the_command_that_mends_it(tmp_path):
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libtorch.so: wrong ELF class')")
    paths = os.pathsep.join([str(broken.parent), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "course_classroom", "doctor"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    report, mend = done.stdout.split("mend it with:", 1)
    assert "\nproblem  PyTorch    cannot be imported (OSError: libtorch.so" in report
    mend = as_one_line(mend)
    assert mend.startswith(f"{sys.executable} -m pip install -c ")
    assert mend.endswith("--force-reinstall --no-deps torch torchvision")


def probe(monkeypatch, code):
    monkeypatch.setattr(machine, "TORCH_PROBE", code)
    return by_name(machine.check_torch())


def test_what_pytorch_says(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    good = "import json; print(json.dumps(['2.15', '0.29', {!r}, '1 thread']))"
    found = probe(monkeypatch, good.format(""))
    assert found["PyTorch"] == ("ok", "PyTorch", "torch 2.15, torchvision 0.29", "")
    assert found["GPU"] == ("ok", "GPU", "none: quick profile", "")
    assert found["threads"].text == "1 thread; COURSE_THREADS sets their number"
    found = probe(monkeypatch, good.format("CUDA, H1, 80 GiB"))
    assert found["GPU"] == ("ok", "GPU", "CUDA, H1, 80 GiB", "")
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/bin/{name}")
    gpu = probe(monkeypatch, good.format(""))["GPU"]
    assert (gpu.mark, "cannot use the NVIDIA card" in gpu.text) == ("note", True)


def test_pytorch_that_is_missing_crashes_or_hangs(monkeypatch):
    line = probe(monkeypatch, "import torchest.x")["PyTorch"]
    assert line.mark == "problem"
    assert "[notebook,teach,test]" in line.mend
    line = probe(monkeypatch, "import os; os.kill(os.getpid(), 4)")["PyTorch"]
    assert (line.mark, "exit status -4" in line.text) == ("problem", True)
    monkeypatch.setattr(machine, "TORCH_S", 0.01)
    line = probe(monkeypatch, "import time; time.sleep(99)")["PyTorch"]
    assert (line.mark, line.text[:20]) == ("note", "did not start within")


def test_the_course_is_called_by_its_script_where_there_is_one(monkeypatch, tmp_path):
    script = tmp_path / ".venv" / "bin" / "course"
    script.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    module = shlex.join([sys.executable, "-m", "course_classroom", "prepare", "a b"])
    assert lines.course("prepare", "a b") == module
    script.touch(0o755)
    assert lines.course("prepare", "a b") == ".venv/bin/course prepare 'a b'"
    monkeypatch.chdir(ROOT)
    assert lines.course("doctor") == f"{script} doctor"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A course that needs one package, with pins to write."""
    needs = 'dependencies = ["numpy"]\n[project.optional-dependencies]\nx = []\n'
    (tmp_path / "pyproject.toml").write_text(f"[project]\n{needs}")
    for module in (machine, lines):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    return tmp_path / "constraints.txt"


def test_packages_are_compared_with_the_pins(house, monkeypatch):
    pip = machine.metadata.version("pip")
    house.write_text(f"# pins\npip=={pip}\n")
    assert by_name(machine.check_packages())["packages"].mark == "ok"
    house.write_text("pip==1\nno-such-thing==2\nwindowsy==3 ; sys_platform == 'x'\n")
    missing, other = machine.check_packages()
    assert missing[:3] == ("note", "packages", "missing: no-such-thing")
    assert other.mark == "note"
    assert f"pip {pip} (tested: 1)" in other.text
    assert "-m pip install -c " in missing.mend == other.mend

    def none(name):
        raise machine.metadata.PackageNotFoundError

    house.write_text("numpy==2\n")
    monkeypatch.setattr(machine.metadata, "version", none)
    (needed,) = machine.check_packages()
    assert needed[:3] == ("problem", "packages", "missing: numpy")


@pytest.mark.parametrize(
    ("total", "free", "mark"), [(8, 6, "ok"), (8, 1, "note"), (1, 1, "problem")]
)
def test_memory(monkeypatch, total, free, mark):
    class Memory:
        pass

    Memory.total, Memory.available = total * 2**30, free * 2**30
    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    (line,) = machine.check_memory()
    assert line.mark == mark
    assert line.text.startswith(f"{free}.0 of {total}.0 GiB free")


def test_a_profile_that_is_none(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    (line,) = machine.check_profile()
    assert (line.mark, line.mend) == ("problem", "unset COURSE_PROFILE")
    monkeypatch.setenv("COURSE_PROFILE", "full")
    assert list(machine.check_profile()) == []


def test_folders_that_are_full_or_cannot_be_written(monkeypatch, tmp_path):
    def refuse(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("RUNS", "CACHE"):
        monkeypatch.setenv(f"COURSE_{name}", str(tmp_path / "new" / name))
    usage = shutil._ntuple_diskusage(0, 0, 2**40)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage)
    assert [line.mark for line in places.check_folders()] == ["ok", "ok"]
    assert list(tmp_path.iterdir()) == []
    usage = shutil._ntuple_diskusage(0, 0, 2**20)
    runs, cache = places.check_folders()
    assert (runs.mark, cache.mark) == ("problem", "note")
    assert "0.0 GiB free: make room" in runs.text
    monkeypatch.setattr(places.tempfile, "TemporaryFile", refuse)
    runs, cache = places.check_folders()
    assert (runs.mark, cache.mark) == ("problem", "note")
    assert "(Read-only file system)" in runs.text
    assert runs.mend.startswith("export COURSE_RUNS=")


def test_an_empty_folder_names_what_to_fetch(data):
    where, missing = places.check_data()
    assert where == ("ok", "data", str(data), "")
    assert missing.mark == "note"
    assert "cifar10 (163 MiB), flowers (218 MiB), flowers102" in missing.text
    assert missing.mend.endswith(f"cifar10 flowers flowers102 resnet34 {data}")


def test_no_folder_and_built_in(data, monkeypatch):
    data.rmdir()
    (line,) = places.check_data()
    assert (line.mark, line.mend) == ("problem", "unset COURSE_DATA")
    monkeypatch.setenv("COURSE_DATA", "built-in")
    (line,) = places.check_data()
    assert line.mark == "ok"


def test_batches_whole_cut_gone_and_not_as_prepared(data):
    def cifar10():
        return by_name(places.check_data())["cifar10"][::2]

    folder = put_batches(data)
    assert cifar10() == ("ok", "the archive's batches")
    record(data, "cifar10")
    assert cifar10() == ("ok", "the archive's batches, as prepared")
    (folder / "batches.meta").unlink()
    mark, text = cifar10()
    assert (mark, "6 of 7 files" in text) == ("note", True)
    shutil.copy(data / MANIFEST, data / "kept")
    (data / MANIFEST).unlink()
    with (folder / "data_batch_2").open("r+b") as file:
        file.truncate(BATCH_BYTES - 1)
    mark, text = cifar10()
    assert (mark, "missing: data_batch_2, batches.meta;" in text) == ("note", True)
    shutil.copy(data / "kept", data / MANIFEST)
    shutil.rmtree(folder)
    mark, text = cifar10()
    assert (mark, "0 of 7 files" in text) == ("note", True)


def test_folders_of_images(data, photo_folder):
    shutil.move(photo_folder / "cifar10", data)
    line = by_name(places.check_data())["cifar10"]
    assert line[::2] == ("ok", "240 images in folders")
    shutil.rmtree(data / "cifar10" / "test" / "ship")
    line = by_name(places.check_data())["cifar10"]
    assert (line.mark, "missing: test/ship;" in line.text) == ("note", True)


def test_flowers_of_the_archive_are_counted_and_others_are_not(data):
    for name in FLOWER_CLASSES:
        (data / "flower_photos" / name).mkdir(parents=True)
        (data / "flower_photos" / name / "1.jpg").write_bytes(b"photo")
    line = by_name(places.check_data())["flowers"]
    assert line[::2] == ("ok", "5 photos in folders")
    (data / "flower_photos" / "LICENSE.txt").write_text("CC-BY")
    line = by_name(places.check_data())["flowers"]
    assert line.mark == "note"
    assert f"{NUM_FLOWERS - 5} of the archive's {NUM_FLOWERS} photos" in line.text


def test_flowers102_and_weights(data):
    (data / "flowers-102" / "jpg").mkdir(parents=True)
    (data / "flowers-102" / "setid.mat").write_bytes(b"mat")
    weights = data / STORED["resnet34"].places[0]
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    found = by_name(places.check_data())
    assert found["resnet34"].text.startswith("incomplete (the weights)")
    os.truncate(weights, 83 * 2**20)
    found = by_name(places.check_data())
    assert found["resnet34"][::2] == ("ok", "the weights")
    assert "missing: imagelabels.mat, 8189 of 8189" in found["flowers102"].text


def test_a_folder_of_another_version_or_with_a_damaged_manifest(data):
    put_batches(data)
    record(data, "cifar10")
    manifest = json.loads((data / MANIFEST).read_text())
    manifest["sets"]["cifar10"]["version"] = "another"
    (data / MANIFEST).write_text(json.dumps(manifest | {"course": "9.9"}))
    line = by_name(places.check_data())["cifar10"]
    assert (line.mark, "another version of CIFAR-10" in line.text) == ("note", True)
    (data / MANIFEST).write_text('{"course')
    _, damaged, *_ = places.check_data()
    assert (damaged.mark, "is damaged" in damaged.text) == ("note", True)


def test_the_network_is_asked_for_one_head_or_not_at_all(monkeypatch):
    (line,) = places.check_network()
    assert line.text.startswith("not asked")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COURSE_OFFLINE")
    server = Mirror(status(403))
    monkeypatch.setattr(places, "CIFAR10_MIRROR", f"http://{server.host}")
    (line,) = places.check_network()
    server.close()
    assert line.mark == "ok"
    assert server.ranges == []  # nothing was fetched
    (line,) = places.check_network()  # nobody there now
    assert (line.mark, "cannot be reached" in line.text) == ("note", True)
    monkeypatch.setattr(places, "NETWORK_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(places, "CIFAR10_MIRROR", address)
        (line,) = places.check_network()
    assert (line.mark, "cannot be reached (no answer)" in line.text) == ("note", True)


def test_a_check_that_fails_is_a_note_and_the_rest_goes_on(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such thing")

    monkeypatch.setattr(machine, "check_packages", broken)
    words = ["a", "'b  c'", "longer"] * 20
    mend = shlex.join(["printf", r"%s\n", *words])
    long = Line("ok", "PyTorch", "word " * 30 + "/folder" * 30, mend)
    monkeypatch.setattr(machine, "check_torch", lambda: [long])
    assert report.doctor() == 0
    out = capsys.readouterr().out
    assert "note     packages   could not be looked at (no such thing)\n" in out
    assert max(map(len, out.splitlines())) <= 80
    block = out.split("mend it with:\n")[1].split("\nnote ")[0]
    assert block.count("\n") > 2
    pasted = subprocess.run(["sh", "-c", block], capture_output=True, text=True)
    assert pasted.stdout.splitlines() == words
    assert out.endswith(": nothing prevents the lessons from running.\n")
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    assert report.doctor() == 1
