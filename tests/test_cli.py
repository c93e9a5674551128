"""`course`: prepare, with a small archive for the real one; predict."""

import csv
import errno
import hashlib
import io
import json
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from download_server import Mirror, sends, stalls, status
from image_server import PhotoHost, file_of
from image_server import sends as sends_photo
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.models import ResNet34_Weights

from course_classroom import cli, prepare
from course_classroom.catalogue import BATCH_NAMES, CATALOGUE, RESNET34_FILE
from course_classroom.cli import main
from course_utils.data import cifar10, flowers, flowers102
from course_utils.data.layout import STORED
from course_utils.data.manifest import MANIFEST, complaint
from course_utils.pretrained import pretrained_path

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

    for module in (cli, prepare):
        monkeypatch.setattr(module, "CATALOGUE", {"cifar10": CATALOGUE["cifar10"]})
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


def test_fetches_once_and_mends_what_is_cut_off(mirror, tmp_path, capsys, monkeypatch):
    good, room = mirror(sends(ARCHIVE)), tmp_path / "room"
    batch = room / cifar10.BATCHES / "data_batch_1"
    made = f"in {room / cifar10.BATCHES}; use it with COURSE_DATA={room}\n"
    assert main(["prepare", "cifar10", "room"]) == 0
    assert capsys.readouterr().out.endswith(f"cifar10 is ready {made}")
    batch.write_bytes(BATCH[:1000])

    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert main(["prepare", "--all", "room"]) == 0
    assert capsys.readouterr().out.endswith(f"cifar10 is ready {made}")
    assert batch.read_bytes() == BATCH

    monkeypatch.setenv("COURSE_DATA", str(room))
    assert main(["prepare", "cifar10"]) == 0
    assert "; lessons find it there" in capsys.readouterr().out
    assert len(good.ranges) == 1


def test_failure_is_one_sentence_and_is_tried_again(mirror, capsys):
    bad = mirror(status(503))
    for count in (1, 2):
        assert main(["prepare", "--all", "room"]) == 1
        error = capsys.readouterr().err
        assert "answered 503" in error
        assert error.count("\n") == 1
        assert len(bad.ranges) == count


NOBODY = "http://127.0.0.1:9/data.tar.gz"


def test_without_a_network_it_is_one_line_and_nothing_is_left(
    mirror, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(cifar10, "URLS", [NOBODY])
    line = "No network: using the built-in drawings (course prepare cifar10 later)\n"
    assert main(["prepare", "cifar10", "room"]) == 1
    in_room = line.replace("cifar10", "cifar10 room")
    assert capsys.readouterr() == ("", in_room)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert main(["prepare", "--all", "--verbose"]) == 1
    hosts, *said = capsys.readouterr().err.splitlines(keepends=True)
    assert hosts.startswith("cifar10: 127.0.0.1:9 cannot be reached: ")
    assert said == [line]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_where_another_set_comes_nobody_says_that_there_is_no_network(
    mirror, capsys, monkeypatch
):
    mirror(sends(ARCHIVE))
    sets = {name: CATALOGUE[name] for name in ("flowers", "cifar10")}
    for module in (cli, prepare):
        monkeypatch.setattr(module, "CATALOGUE", sets)
    monkeypatch.setattr(flowers, "URLS", [NOBODY])
    assert main(["prepare", "--all", "room"]) == 1
    out, error = capsys.readouterr()
    assert "cifar10 is ready in" in out
    later = "(course prepare flowers room later)"
    assert error.endswith(f"\nNo mirror answers: using the built-in drawings {later}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flowerz", "room"], "'flowerz' is not a set"),
        (["cifar100"], "no set and no folder is called 'cifar100': 'cifar10'?"),
        ([], "name sets, or --all"),
        (["room"], "cifar10 (163 MiB)"),
        (["--all", "cifar10", "room"], "name sets, or --all"),
    ],
)
def test_prepare_misused_fetches_nothing(mirror, tmp_path, capsys, words, said):
    good = mirror(sends(ARCHIVE))
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *words])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert good.ranges == list(tmp_path.iterdir()) == []


def test_interrupted_it_says_so_and_continues_later(mirror, tmp_path):
    half, room = len(ARCHIVE) // 2, tmp_path / "room"
    server = mirror(stalls(ARCHIVE, after=half), sends(ARCHIVE))
    code = (
        "import sys\n"
        "from course_classroom.cli import main\n"
        "from course_utils.data import cifar10\n"
        f"cifar10.URLS, cifar10.MD5 = [{server.url!r}], {MD5!r}\n"
        f"cifar10.SIZE_BYTES = {len(ARCHIVE)}\n"
        f"sys.exit(main(['prepare', 'cifar10', {str(room)!r}]))"
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
        "\nStopped. A download continues when the same command runs again.\n"
    )
    assert "Traceback" not in error
    assert main(["prepare", "--all", "room"]) == 0
    assert server.ranges == ["bytes=0-", f"bytes={half}-"]


def test_the_facts_of_the_sets_are_those_of_their_sources():
    weights = ResNet34_Weights.IMAGENET1K_V1
    mib = {
        "cifar10": cifar10.SIZE_BYTES / 2**20,
        "flowers": flowers.SIZE_BYTES / 2**20,
        "flowers102": sum(size for size, _ in flowers102.FILES.values()) / 2**20,
        "resnet34": weights.meta["_file_size"],
    }
    assert CATALOGUE.keys() == STORED.keys() == mib.keys()
    for name, one in CATALOGUE.items():
        assert one.size_mib == round(mib[name])
        assert callable(pkgutil.resolve_name(one.prepare))
    assert STORED["cifar10"].version == CIFAR10.tgz_md5
    batches = {name for name, _ in CIFAR10.train_list + CIFAR10.test_list}
    assert batches == {*BATCH_NAMES}
    assert weights.url.endswith("/" + Path(RESNET34_FILE).name)


def test_a_file_in_the_place_of_the_folder_is_named_at_once(mirror, tmp_path, capsys):
    good = mirror(sends(ARCHIVE))
    file = tmp_path / "room"
    file.write_text("mine")
    assert main(["prepare", "--all", "room"]) == 1
    said = capsys.readouterr()
    assert said.err == f"{file} is a file; name a folder for the data.\n"
    assert (good.ranges, said.out, file.read_text()) == ([], "", "mine")


def test_a_set_that_fails_does_not_stop_the_others(mirror, tmp_path, capsys):
    empty = mirror(status(404))
    mirror(sends(ARCHIVE))
    sets = {"flowers": CATALOGUE["flowers"], "cifar10": CATALOGUE["cifar10"]}
    with pytest.MonkeyPatch.context() as patch:
        for module in (cli, prepare):
            patch.setattr(module, "CATALOGUE", sets)
        patch.setattr(flowers, "URLS", [empty.url])
        assert main(["prepare", "--all", "room"]) == 1
    out, error = capsys.readouterr()
    assert out.startswith(f"Into {tmp_path / 'room'}: flowers (218 MiB), cifar10 (163")
    assert "381 MiB in all" in out
    assert "cifar10 is ready in" in out
    assert error.startswith("flower photos (218 MiB) could not be downloaded")


def test_a_prepared_folder_knows_what_it_should_hold(mirror, tmp_path, capsys):
    mirror(sends(ARCHIVE))
    room = tmp_path / "room"
    assert main(["prepare", "--all", "room"]) == 0
    assert json.loads((room / MANIFEST).read_text())["sets"]["cifar10"] == {
        "version": STORED["cifar10"].version,
        "files": 1,
        "bytes": len(BATCH),
    }
    assert complaint(room, "cifar10") == ""
    (room / cifar10.BATCHES / ".DS_Store").write_text("a file manager was here")
    assert complaint(room, "cifar10") == ""
    (room / cifar10.BATCHES / "data_batch_1").write_bytes(BATCH[:10])
    text = complaint(room, "cifar10")
    assert f"1 of 1 files, 10 of {len(BATCH)} bytes" in text
    assert text.endswith(f"prepare cifar10 {room}")
    (room / MANIFEST).write_text("[]")
    assert "is damaged" in complaint(room, "cifar10")
    assert main(["prepare", "--all", "room"]) == 0
    assert complaint(room, "cifar10") == ""


def test_half_a_copy_is_not_written_down_as_whole(tmp_path, monkeypatch, capsys):
    photos = tmp_path / "flower_photos"
    for name in flowers.FLOWER_CLASSES:
        (photos / name).mkdir(parents=True)
        for number in range(2):
            (photos / name / f"{number}.jpg").write_bytes(b"photo")
    assert main(["prepare", "flowers", str(tmp_path)]) == 0
    before = (tmp_path / MANIFEST).read_bytes()
    (photos / "roses" / "1.jpg").unlink()
    assert main(["prepare", "flowers", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "9 of 10 files" in error
    assert error.endswith(f"after deleting {photos}\n")
    assert (tmp_path / MANIFEST).read_bytes() == before


def test_a_read_only_folder_that_is_whole_is_ready(
    mirror, tmp_path, capsys, monkeypatch
):
    mirror(sends(ARCHIVE))
    assert main(["prepare", "--all", "room"]) == 0
    manifest = tmp_path / "room" / MANIFEST

    def refuse(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    capsys.readouterr()
    monkeypatch.setattr("course_utils.data.manifest.write_atomically", refuse)
    assert main(["prepare", "--all", "room"]) == 0
    assert capsys.readouterr().err == ""
    manifest.unlink()
    assert main(["prepare", "--all", "room"]) == 0
    assert "cannot be written (Read-only file system)" in capsys.readouterr().err


def test_the_command_names_its_commands_and_its_version(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"course": "course_classroom.cli:main"}
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: course ")
    assert all(f"\n    {name} " in out for name in ("doctor", "prepare", "predict"))
    assert out.endswith(f"resnet-course {project['version']}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg", "--top-k", "0"], "usage: .*IMAGE_OR_URL_OR_FOLDER.*give at least 1"),
        (["nosuch.jpg"], f"There is no file nosuch.jpg: .* folder, which is {ROOT}[.]"),
        (
            ["no.jpg", "nor.png"],
            "There is no file no.jpg: .*\nThere is no file nor.png",
        ),
    ],
)
def test_the_command_line_is_quick_to_say_what_it_can(words, said):
    code = (
        "import sys\n"
        "from course_classroom.cli import main\n"
        "try: status = main(['predict', *sys.argv[1:]])\n"
        "except SystemExit as stop: status = stop.code\n"
        "print(sorted({'torch', 'httpx'} & set(sys.modules)))\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, bool(done.returncode)) == ("[]\n", True)
    assert re.match(said, done.stderr, re.DOTALL)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flowers", "flower photos (218 MiB) is not in"),
        ("flowers102", "Flowers-102's 102flowers.tgz (329 MiB) is not in"),
        ("resnet34", "torchvision's resnet34, trained on ImageNet (83 MiB) is not in"),
    ],
)
def test_offline_each_set_is_refused_in_one_sentence(
    name, file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert main(["prepare", name, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(file)
    assert "COURSE_OFFLINE" in error
    assert error.count("\n") == 1


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with two photos and a file that is none, and no run of the reader's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in (("a b.png", "red"), ("é.png", "green")):
        Image.new("RGB", (40, 30), color).save(folder / name)
    (folder / "page.jpg").write_bytes(b"<html></html>")
    return folder


def lines_of(text):
    return [line for line in text.splitlines() if line]


def test_predict_names_a_photo_and_says_with_which_network(photos, capsys):
    assert main(["predict", "photos/a b.png", "--checkpoint", "cifar10"]) == 0
    network, name, *classes = lines_of(capsys.readouterr().out)
    assert network == "network  the pretrained 'cifar10', 10 classes"
    assert name == "photos/a b.png"
    assert len(classes) == 5
    assert all(re.fullmatch(r"class: \w+ +prob: [01]\.\d{3}", line) for line in classes)


def test_predict_goes_on_after_a_source_that_fails(photos, capsys):
    server = PhotoHost(sends_photo(file_of(Image.new("RGB", (9, 9)))))
    sources = ["missing.jpg", server.url, "photos", "photos/é.png", "ftp://a/b"]
    options = ["--csv", "out/named.csv", "--top-k", "2", "--allow-private"]
    try:
        assert main(["predict", *sources, *options]) == 1
    finally:
        server.close()
    out, error = map(lines_of, capsys.readouterr())
    assert [line.split(":")[0] for line in error] == [
        "There is no file missing.jpg",
        "photos/page.jpg is an HTML page, expected a photo as JPEG, PNG, GIF, WebP, "
        "BMP, TIFF or AVIF",
        "ftp",
    ]
    assert [line for line in out if line.startswith("image: ")] == [
        line for line in out if "a b.png  class: " in line or "é.png    class: " in line
    ]
    assert sum(line.startswith("class: ") for line in out) == 4
    assert out[-1] == "written  out/named.csv, 7 rows"
    with open("out/named.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ["photos/a b.png", "photos/page.jpg", "photos/é.png"]
    expected = ["missing.jpg", server.url, *names, "photos/é.png", "ftp://a/b"]
    assert [row["image"] for row in rows] == expected
    failed = ["missing.jpg", "photos/page.jpg", "ftp://a/b"]
    assert [row["image"] for row in rows if row["error"]] == failed
    assert [row["image"] for row in rows if not row["class"]] == failed
    in_folder, alone = rows[4:6]
    assert in_folder["class"] == alone["class"]
    # a batch rounds its sums in another order
    assert float(in_folder["prob"]) == pytest.approx(float(alone["prob"]), abs=1e-5)


def test_predict_names_what_the_terminal_has_no_letters_for(photos, monkeypatch):
    (photos / "é.png").rename(photos / "照片.png")
    terminal = io.TextIOWrapper(io.BytesIO(), "latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["predict", "photos/照片.png"]) == 0
    terminal.flush()
    assert rb"photos/\u7167\u7247.png" in terminal.buffer.getvalue()


def test_predict_takes_the_readers_own_network_first(photos, capsys, tmp_path):
    assert main(["predict", "photos/é.png"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("network  the pretrained 'flowers', 5 classes\n")
    own = tmp_path / "runs" / "06_transfer_learning" / "best.pt"
    own.parent.mkdir(parents=True)
    shutil.copy(pretrained_path("cifar10"), own)
    assert main(["predict", "photos/é.png"]) == 0
    assert capsys.readouterr().out.startswith(f"network  {own}, 10 classes\n")


def test_predict_does_not_ask_a_network_of_drawings_about_photos(
    photos, capsys, tmp_path
):
    own = tmp_path / "runs" / "06_transfer_learning" / "best.pt"
    own.parent.mkdir(parents=True)
    shutil.copy(pretrained_path("flower-sketches"), own)
    assert main(["predict", "photos/é.png"]) == 0
    assert capsys.readouterr().out.startswith(
        f"network  not {own}, which was trained on sketches, but:\n"
        "network  the pretrained 'flowers', 5 classes\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://127.0.0.1:9/a.jpg"], "--allow-private"),
        (["photos", "--checkpoint", "flwers"], "There is no checkpoint flwers;"),
        (["photos/é.png", "--csv", "photos/é.png/a.csv"], "photos/é.png"),
        (["photos/a b.png", "--csv", "photos/é.png"], "photos/é.png exists and is no"),
    ],
)
def test_predict_that_fails_says_why_and_spares_the_photos(photos, capsys, words, said):
    before = (photos / "é.png").read_bytes()
    assert main(["predict", *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert (photos / "é.png").read_bytes() == before
