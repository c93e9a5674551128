"""Downloads: from mirrors that are good, bad, slow or silent; and unpacking."""

import errno
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from download_server import (
    Mirror,
    crawls,
    redirect,
    sends,
    silent,
    stalls,
    status,
    web_page,
)
from local_server import head

from course_utils._engine import download as module
from course_utils._engine.download import (
    DownloadError,
    NoNetwork,
    download,
    extract,
    forget_failures,
)
from course_utils._engine.places import downloads_allowed

BODY = np.random.default_rng(0).bytes(2**20)
MD5 = hashlib.md5(BODY).hexdigest()
HALF = len(BODY) // 2
FROM_0, FROM_HALF = "bytes=0-", f"bytes={HALF}-"


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def mirror():
    running = []

    def start(*answers):
        running.append(Mirror(*answers))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "data.tar.gz"


@pytest.fixture
def part(target):
    return target.with_name("data.tar.gz.part")


def fetch(target, *mirrors, checksum=MD5):
    urls = [mirror.url for mirror in mirrors]
    size = len(BODY) + 100  # known roughly, as torchvision knows it
    return download("Photos", urls, target, size_bytes=size, checksum=checksum)


@pytest.mark.parametrize("checksum", [MD5, hashlib.sha256(BODY).hexdigest()[:8]])
def test_names_size_and_host_and_leaves_only_the_file(mirror, target, capsys, checksum):
    good = mirror(sends(BODY))
    assert fetch(target, good, checksum=checksum) == target
    assert target.read_bytes() == BODY
    assert [p.name for p in target.parent.iterdir()] == [target.name]
    assert f"Downloading Photos (1 MiB) from {good.host}\n" in capsys.readouterr().out


def test_a_mirror_that_is_silent_is_left_for_the_next(mirror, target, monkeypatch):
    monkeypatch.setattr(module, "FIND_S", 3)
    fetch(target, mirror(silent), mirror(status(404)), mirror(sends(BODY)))
    assert target.read_bytes() == BODY


def test_resumes_where_the_connection_broke_off(mirror, target):
    shaky = mirror(sends(BODY, stop_after=HALF), sends(BODY))
    fetch(target, shaky)
    assert shaky.ranges == [FROM_0, FROM_HALF]
    assert target.read_bytes() == BODY


def endless(handler, server):
    head(handler, 200)
    while not server.over.wait(0.001):
        handler.wfile.write(BODY[:HALF])


@pytest.mark.parametrize(
    ("answer", "reason", "kept"),
    [
        (status(404), "answered 404 Not Found", 1000),
        (status(503), "answered 503 Service Unavailable", 1000),
        (web_page, "answered with a web page", 1000),
        (stalls(BODY, after=500), "broke off: timed out", 1500),
        (sends(BODY, stop_after=1000), "broke off", 2000),
        (crawls(BODY), "sends below 100 kB/s", None),
        (endless, "sends more than the whole file", None),
        (sends(BODY[::-1]), "wrong checksum", 0),
        (status(416), "wrong checksum", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_bad_mirror_leaves_is_what_the_next_continues(
    mirror, target, part, monkeypatch, answer, reason, kept
):
    monkeypatch.setattr(module, "WINDOW_S", 1)
    part.write_bytes(BODY[:1000])
    bad, good = mirror(answer), mirror(sends(BODY))
    told = f"{bad.host} .*{reason}.*COURSE_DATA=DIR"
    with pytest.raises(DownloadError, match=told) as caught:
        fetch(target, bad)
    assert not target.exists()
    size = part.stat().st_size if part.exists() else 0
    assert size == kept or kept is None
    assert ("what has arrived is kept" in str(caught.value)) == part.exists()

    forget_failures()
    fetch(target, good)
    assert target.read_bytes() == BODY
    assert good.ranges == [f"bytes={kept}-"] or kept is None


def test_where_nobody_answers_there_is_no_network(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIND_S", 1)
    target = tmp_path / "new" / "room" / "data.tar.gz"
    mute, gone = mirror(silent), mirror(silent)
    gone.close()
    asked = f"{mute.host} did not answer within .*; {gone.host} cannot be reached"
    for hosts in (asked, "within the last ten minutes"):
        with pytest.raises(NoNetwork, match="No network to fetch Photos") as caught:
            fetch(target, mute, gone)
        assert "127.0.0.1" not in str(caught.value)
        assert re.search(hosts, caught.value.hosts)
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert mute.ranges == [FROM_0]


@pytest.mark.parametrize("answer", [status(404), sends(BODY, stop_after=0)])
def test_a_download_that_brought_nothing_leaves_nothing(mirror, tmp_path, answer):
    target = tmp_path / "new" / "room" / "data.tar.gz"
    with pytest.raises(DownloadError, match=r"COURSE_DATA=built-in\.$") as caught:
        fetch(target, mirror(answer))
    assert not isinstance(caught.value, NoNetwork)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_garbage_that_another_mirror_began_with_is_not_this_ones_fault(mirror, target):
    bad = mirror(sends(BODY[::-1], stop_after=1000))
    good = mirror(sends(BODY))
    fetch(target, bad, good)
    assert good.ranges == ["bytes=1000-", FROM_0]
    assert target.read_bytes() == BODY


def test_a_mirror_without_ranges_starts_over_and_loses_nothing(mirror, target, part):
    part.write_bytes(BODY[:HALF])
    plain = mirror(
        sends(BODY, ranges=False, stop_after=1000), sends(BODY, ranges=False)
    )
    with pytest.raises(DownloadError, match="broke off"):
        fetch(target, plain)
    assert part.read_bytes() == BODY[:HALF]
    forget_failures()
    fetch(target, plain)
    assert target.read_bytes() == BODY


def test_redirects_are_followed_with_the_range(mirror, target, part):
    part.write_bytes(BODY[:HALF])
    good = mirror(sends(BODY))
    fetch(target, mirror(redirect(good.url)))
    assert good.ranges == [FROM_HALF]
    assert target.read_bytes() == BODY


def test_a_file_that_is_there_is_not_fetched_and_a_wrong_one_is(
    mirror, target, monkeypatch
):
    good = mirror(sends(BODY))
    target.write_bytes(BODY[::-1])
    fetch(target, good)
    assert target.read_bytes() == BODY
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    fetch(target, good)
    assert good.ranges == [FROM_0]


@pytest.mark.parametrize(
    ("content", "asked"),
    [(BODY, []), (BODY[::-1], [FROM_0]), (BODY + b"x" * 2**20, [FROM_0])],
    ids=["whole", "wrong", "too long"],
)
def test_a_whole_part_is_used_and_a_wrong_one_is_dropped(
    mirror, target, part, content, asked
):
    good = mirror(sends(BODY))
    part.write_bytes(content)
    fetch(target, good)
    assert good.ranges == [f"bytes={len(content)}-", *asked]
    assert target.read_bytes() == BODY


def test_offline_asks_nobody(mirror, target, monkeypatch):
    good = mirror(sends(BODY))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert not downloads_allowed()
    with pytest.raises(DownloadError, match="COURSE_OFFLINE forbids"):
        fetch(target, good)
    assert good.ranges == []


def test_failure_is_remembered_for_ten_minutes(mirror, target, tmp_path):
    one, two, three = mirror(status(404)), mirror(status(404)), mirror(status(503))
    told = rf"\({one.host}, {two.host} answered 404 .*; {three.host} answered 503"
    with pytest.raises(DownloadError, match=told):
        fetch(target, one, two, three)
    with pytest.raises(DownloadError, match="within the last ten minutes"):
        fetch(target, one, two, three)  # the mirrors refused: there is a network
    assert len(one.ranges) == 1
    (memory,) = (tmp_path / "cache").iterdir()
    os.utime(memory, (0, memory.stat().st_mtime - 601))
    with pytest.raises(DownloadError, match="404"):
        fetch(target, one, two, three)
    forget_failures()
    assert not memory.exists()


def test_a_cache_that_cannot_be_written_is_survived(mirror, target, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    bad = mirror(status(404))
    for count in (1, 2):
        with pytest.raises(DownloadError, match="404"):
            fetch(target, bad)
        assert len(bad.ranges) == count
    forget_failures()


def test_a_try_that_got_further_is_not_remembered(mirror, target):
    shaky = mirror(sends(BODY, stop_after=HALF), status(503), sends(BODY))
    with pytest.raises(DownloadError, match="503"):
        fetch(target, shaky)
    fetch(target, shaky)
    assert shaky.ranges == [FROM_0, FROM_HALF, FROM_HALF]


def test_wrong_network_settings_are_one_sentence(mirror, target, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://nowhere")
    with pytest.raises(DownloadError, match="proxy"):
        fetch(target, mirror(sends(BODY)))


def test_a_network_drive_without_locks_is_filled_all_the_same(
    mirror, target, monkeypatch
):
    def no_locks(lock, timeout):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.FileLock, "acquire", no_locks)
    fetch(target, mirror(sends(BODY)))
    assert target.read_bytes() == BODY


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_sentence(mirror, target, part):
    part.symlink_to("/dev/full")
    good, second = mirror(sends(BODY)), mirror(sends(BODY))
    with pytest.raises(DownloadError, match=r"No space left on device\): make room"):
        fetch(target, good, second)
    assert second.ranges == []


def test_folder_that_cannot_be_made_is_one_sentence(mirror, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DownloadError, match=r"cannot be saved in .*taken"):
        fetch(tmp_path / "taken" / "data.tar.gz", mirror(sends(BODY)))


def start_download(server, target):
    """Start a process that downloads, and waits for a mirror as long as need be."""
    code = (
        "from pathlib import Path; from course_utils._engine import download; "
        "download.FIND_S = download.WINDOW_S = 60; "
        f"download.download('Photos', [{server.url!r}], Path({str(target)!r}), "
        f"size_bytes={len(BODY)}, checksum={MD5!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for_half(child, part):
    tick = threading.Event()
    while not (part.exists() and part.stat().st_size == HALF):
        assert child.poll() is None
        tick.wait(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_a_stopped_process_leaves_what_the_next_continues(mirror, target, part, how):
    server = mirror(stalls(BODY, after=HALF), sends(BODY))
    with start_download(server, target) as child:
        wait_for_half(child, part)
        child.send_signal(how)
        assert child.wait() != 0
    fetch(target, server)
    assert server.ranges == [FROM_0, FROM_HALF]
    assert target.read_bytes() == BODY


def test_two_processes_share_one_download(mirror, target, part):
    first_may_end = threading.Event()

    def waits(handler, server):
        head(handler, 200, Content_Length=len(BODY))
        handler.wfile.write(BODY[:HALF])
        first_may_end.wait()
        handler.wfile.write(BODY[HALF:])

    server = mirror(waits, sends(BODY))
    with start_download(server, target) as one:
        wait_for_half(one, part)
        with start_download(server, target) as two:
            said = two.stdout.readline()
            assert said == f"Waiting for another process that downloads {target}\n"
            first_may_end.set()
            assert [one.wait(), two.wait()] == [0, 0]
    assert server.ranges == [FROM_0]
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def make_tar(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                tar.addfile(info)
    return path


GOOD_FILES = [(f"set/{n}", tarfile.REGTYPE, n.encode() * 5000) for n in ("one", "two")]


def test_extract_fills_a_folder_and_keeps_what_is_there(tmp_path):
    archive = make_tar(tmp_path / "good.tgz", *GOOD_FILES)
    data = tmp_path / "data"
    data.mkdir()
    extract(archive, data)
    (data / "set" / "one").unlink()
    (data / "set" / "mine").write_text("mine")
    extract(archive, data)
    assert {p.name for p in data.iterdir()} == {"set"}
    found = {p.name: p.read_bytes() for p in (data / "set").iterdir()}
    assert found == {"one": b"one" * 5000, "two": b"two" * 5000, "mine": b"mine"}


@pytest.mark.parametrize(
    "evil",
    [("../evil", tarfile.REGTYPE, b"evil"), ("set/link", tarfile.SYMTYPE, "/etc")],
    ids=lambda member: member[0],
)
def test_extract_refuses_what_leads_outside_and_leaves_nothing(tmp_path, evil):
    archive = make_tar(tmp_path / "evil.tgz", *GOOD_FILES, evil)
    with pytest.raises(DownloadError, match=r"evil\.tgz cannot be unpacked in"):
        extract(archive, tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {"evil.tgz"}


def test_extract_into_a_full_or_forbidden_folder_is_one_sentence(tmp_path):
    archive = make_tar(tmp_path / "good.tgz", *GOOD_FILES)
    with pytest.raises(DownloadError, match=r"nowhere.*make room there or choose"):
        extract(archive, tmp_path / "nowhere")
