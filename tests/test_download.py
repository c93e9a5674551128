import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import threading
import time
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
    wrong_range,
)

from course_utils._engine.download import (
    DownloadError,
    download,
    extract,
    forget_failures,
)
from course_utils._engine.places import downloads_allowed

BODY = np.random.default_rng(0).bytes(2**20)
MD5 = hashlib.md5(BODY).hexdigest()
HALF = len(BODY) // 2


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
    return tmp_path / "data" / "data.tar.gz"


@pytest.fixture
def part(target):
    return target.with_name("data.tar.gz.part")


def fetch(target, *mirrors, **limits):
    return download(
        "Photos",
        [m.url for m in mirrors],
        target,
        size_bytes=len(BODY),
        md5=MD5,
        **limits,
    )


def test_names_size_and_host_and_leaves_only_the_file(mirror, target, capsys):
    good = mirror(sends(BODY))
    assert fetch(target, good) == target
    assert target.read_bytes() == BODY
    assert [p.name for p in target.parent.iterdir()] == [target.name]
    assert f"Downloading Photos (1 MiB) from {good.host}\n" in capsys.readouterr().out


def test_resumes_where_the_connection_broke_off(mirror, target):
    shaky = mirror(sends(BODY, stop_after=HALF), sends(BODY))
    fetch(target, shaky)
    assert shaky.ranges == [None, f"bytes={HALF}-"]
    assert target.read_bytes() == BODY


def test_next_mirror_continues_what_another_began(mirror, target):
    bad, good = mirror(sends(BODY, stop_after=1000)), mirror(sends(BODY))
    fetch(target, bad, good)
    assert (bad.ranges, good.ranges) == ([None], ["bytes=1000-"])
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "reason", "kept"),
    [
        (status(404), "answered 404 Not Found", 1000),
        (status(503), "answered 503 Service Unavailable", 1000),
        (status(416), "answered 416", 1000),
        (web_page, "answered with a web page", 1000),
        (wrong_range, "sent another part than asked for: bytes 0-9/10", 1000),
        (sends(BODY + b"x"), "another size", 1000),
        (silent, "did not answer within", 1000),
        (stalls(BODY, after=500), "sent nothing for", 1500),
        (crawls(BODY), "is too slow", None),
        (sends(BODY[::-1]), "wrong checksum", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_mirror_is_left_for_the_next(mirror, target, part, answer, reason, kept):
    # A slow body uses up one window, and must not use up the time to find the next.
    limits = {"find_s": 2, "window_s": 10 if answer is silent else 2}

    def begin():
        target.parent.mkdir(exist_ok=True)
        part.write_bytes(BODY[:1000])

    bad = mirror(answer)
    begin()
    with pytest.raises(DownloadError, match=f"{bad.host} .*{reason}.*COURSE_DATA=DIR"):
        fetch(target, bad, **limits)
    assert not target.exists()
    size = part.stat().st_size if part.exists() else 0
    assert size == kept or (kept is None and 1000 < size < 2000)

    forget_failures()
    begin()
    good = mirror(sends(BODY))
    fetch(target, bad, good, **limits)
    assert target.read_bytes() == BODY
    (asked,) = good.ranges
    assert asked == (f"bytes={kept}-" if kept else None) or kept is None


def test_a_mirror_without_ranges_starts_over_and_loses_nothing(mirror, target, part):
    target.parent.mkdir()
    part.write_bytes(BODY[:HALF])
    plain = mirror(
        sends(BODY, ranges=False, stop_after=1000), sends(BODY, ranges=False)
    )
    with pytest.raises(DownloadError, match="broke off"):
        fetch(target, plain)
    assert part.read_bytes() == BODY[:HALF]
    forget_failures()
    fetch(target, plain)
    assert plain.ranges == [f"bytes={HALF}-"] * 2
    assert target.read_bytes() == BODY


def test_redirects_are_followed_with_the_range(mirror, target, part):
    target.parent.mkdir()
    part.write_bytes(BODY[:HALF])
    good = mirror(sends(BODY))
    fetch(target, mirror(redirect(good.url)))
    assert good.ranges == [f"bytes={HALF}-"]
    assert target.read_bytes() == BODY


def test_a_file_that_is_there_is_not_fetched_and_a_wrong_one_is(
    mirror, target, monkeypatch
):
    good = mirror(sends(BODY))
    target.parent.mkdir()
    target.write_bytes(BODY[::-1])
    fetch(target, good)
    assert target.read_bytes() == BODY
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    fetch(target, good)
    assert good.ranges == [None]


def test_a_whole_part_is_used_and_a_wrong_one_is_dropped(mirror, target, part):
    good = mirror(sends(BODY))
    target.parent.mkdir()
    part.write_bytes(BODY)
    fetch(target, good)
    assert good.ranges == []
    target.unlink()
    part.write_bytes(BODY + b"x")
    fetch(target, good)
    assert good.ranges == [None]
    assert target.read_bytes() == BODY


def test_offline_asks_nobody(mirror, target, monkeypatch):
    good = mirror(sends(BODY))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert not downloads_allowed()
    with pytest.raises(DownloadError, match="COURSE_OFFLINE forbids"):
        fetch(target, good)
    assert good.ranges == []


def test_failure_is_remembered_for_ten_minutes(mirror, target, tmp_path):
    one, two = mirror(status(404)), mirror(status(503))
    with pytest.raises(DownloadError, match=rf"{one.host} .*404.*; {two.host} .*503"):
        fetch(target, one, two)
    with pytest.raises(DownloadError, match="for another 10 min"):
        fetch(target, one, two)
    assert len(one.ranges) == 1

    memory = tmp_path / "cache" / "failed_downloads.json"
    for text in (json.dumps({MD5: time.time() - 601}), '{"broken', '["a list"]'):
        memory.write_text(text)
        asked = len(one.ranges)
        with pytest.raises(DownloadError, match="404"):
            fetch(target, one, two)
        assert len(one.ranges) == asked + 1

    forget_failures()
    assert not memory.exists()


def test_mirrors_that_fail_alike_are_named_together(mirror, target):
    one, two = mirror(status(404)), mirror(status(404))
    with pytest.raises(DownloadError, match=rf"\({one.host}, {two.host} answered 404"):
        fetch(target, one, two)


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
    assert shaky.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_wrong_network_settings_are_one_sentence(mirror, target, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://nowhere")
    with pytest.raises(DownloadError, match="network settings of this machine"):
        fetch(target, mirror(sends(BODY)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_sentence(mirror, target, part):
    target.parent.mkdir()
    part.symlink_to("/dev/full")
    good, second = mirror(sends(BODY)), mirror(sends(BODY))
    with pytest.raises(DownloadError, match=r"No space left on device\): make room"):
        fetch(target, good, second)
    assert second.ranges == []


def test_folder_that_cannot_be_made_is_one_sentence(mirror, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DownloadError, match=r"cannot be saved in .*taken"):
        fetch(tmp_path / "taken" / "data.tar.gz", mirror(sends(BODY)))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_a_stopped_process_leaves_what_the_next_continues(mirror, target, part, how):
    server = mirror(stalls(BODY, after=HALF), sends(BODY))
    code = (
        "from pathlib import Path; from course_utils._engine.download import download; "
        f"download('Photos', [{server.url!r}], Path({str(target)!r}), "
        f"size_bytes={len(BODY)}, md5={MD5!r}, window_s=60, find_s=60)"
    )
    command, root = [sys.executable, "-c", code], Path(__file__).parent.parent
    child = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    tick = threading.Event()
    while not (part.exists() and part.stat().st_size == HALF):
        assert child.poll() is None
        tick.wait(0.01)
    child.send_signal(how)
    assert child.wait() != 0
    assert part.read_bytes() == BODY[:HALF]
    fetch(target, server)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert target.read_bytes() == BODY


def test_two_processes_share_one_download(mirror, target, part):
    first_may_end = threading.Event()

    def waits(handler, server):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:HALF])
        first_may_end.wait()
        handler.wfile.write(BODY[HALF:])

    server = mirror(waits, sends(BODY))
    code = (
        "from pathlib import Path; from course_utils._engine.download import download; "
        f"download('Photos', [{server.url!r}], Path({str(target)!r}), "
        f"size_bytes={len(BODY)}, md5={MD5!r}, window_s=60, find_s=60)"
    )

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    one, tick = start(), threading.Event()
    while not (part.exists() and part.stat().st_size == HALF):
        assert one.poll() is None
        tick.wait(0.01)
    two = start()
    said = two.stdout.readline()
    assert said == (
        f"Another process is downloading Photos into {target.parent}: waiting for it.\n"
    )
    first_may_end.set()
    assert [one.wait(), two.wait()] == [0, 0]
    one.communicate(), two.communicate()
    assert server.ranges == [None]
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
    extract(archive, tmp_path / "data")
    (tmp_path / "data" / "set" / "one").unlink()
    (tmp_path / "data" / "set" / "mine").write_text("mine")
    extract(archive, tmp_path / "data")
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"set"}
    found = {p.name: p.read_bytes() for p in (tmp_path / "data" / "set").iterdir()}
    assert found == {"one": b"one" * 5000, "two": b"two" * 5000, "mine": b"mine"}


@pytest.mark.parametrize("has_filter", [True, False])
@pytest.mark.parametrize(
    "evil",
    [
        ("../evil", tarfile.REGTYPE, b"evil"),
        ("set/../../evil", tarfile.REGTYPE, b"evil"),
        ("/tmp/evil", tarfile.REGTYPE, b"evil"),
        ("set/link", tarfile.SYMTYPE, "/etc"),
        ("set/link", tarfile.LNKTYPE, "../../evil"),
        ("set/device", tarfile.FIFOTYPE, ""),
    ],
    ids=lambda member: member[0],
)
def test_extract_refuses_whatever_leads_outside(
    tmp_path, monkeypatch, evil, has_filter
):
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = make_tar(tmp_path / "evil.tgz", *GOOD_FILES, evil)
    with pytest.raises(DownloadError, match=f"holds '{evil[0]}'"):
        extract(archive, tmp_path / "data")
    assert {p.name for p in tmp_path.rglob("*")} == {"evil.tgz", "data"}


def test_extract_of_a_cut_archive_leaves_no_half_filled_folder(tmp_path):
    noise = ("set/noise", tarfile.REGTYPE, BODY)
    archive = make_tar(tmp_path / "cut.tgz", *GOOD_FILES, noise)
    archive.write_bytes(archive.read_bytes()[:HALF])
    with pytest.raises(DownloadError, match="delete it and fetch it again"):
        extract(archive, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
