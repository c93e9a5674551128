"""Downloads that are announced, verified and remembered; safe unpacking."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from course_utils._engine.files import write_atomically
from course_utils._engine.mirrors import Fetch
from course_utils._engine.places import cache_dir, downloads_allowed

REMEMBERED_S = 600
WHAT_TO_DO = (
    "name a folder that holds the data with COURSE_DATA=DIR, fetch it later with "
    "`course prepare SET`, or use the drawn images with "
    "COURSE_DATA=built-in"
)


class DownloadError(RuntimeError):
    """Data could not be fetched, saved or unpacked; the text says what to do."""


def download(
    name: str,
    urls: Sequence[str],
    destination: Path,
    *,
    size_bytes: int,
    md5: str,
    find_s: float = 10.0,
    window_s: float = 10.0,
    floor_bytes_per_s: float = 100_000,
) -> Path:
    """Return the path of a verified file, fetched first if it is not there yet.

    What has arrived when a download breaks off stays in `destination.part`, and the
    next mirror, or the next call, continues from there. A second process that wants
    the same file at the same place waits for the first. When no mirror sent anything,
    this is remembered for ten minutes, so that the next lesson does not wait again.

    Args:
        name: What is fetched, for messages, such as "CIFAR-10".
        urls: Addresses of byte-identical copies, best first.
        destination: Where the file shall lie; a missing folder is made.
        size_bytes: Size of the file.
        md5: Checksum of the file, in hexadecimal.
        find_s: Seconds in all to find a mirror that answers, shared among them.
        window_s: Seconds over which a mirror's speed is judged.
        floor_bytes_per_s: A mirror slower than this is left for the next one.

    Returns:
        `destination`.

    Raises:
        DownloadError: No mirror delivered, downloads are forbidden, or the file
            cannot be saved.
    """
    destination = Path(destination)
    folder = destination.parent
    fetch = Fetch(
        name, destination, size_bytes, md5, find_s, window_s, floor_bytes_per_s
    )
    try:
        if fetch.is_there():
            return destination
        if not downloads_allowed():
            if fetch.settle():
                return destination
            raise DownloadError(
                f"{name} is not in {folder} and COURSE_OFFLINE forbids its download "
                f"({fetch.size}): {WHAT_TO_DO}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(fetch):
            return _fetch(fetch, urls)
    except OSError as error:
        raise DownloadError(
            f"{name} ({fetch.size}) cannot be saved in {folder} ({error.strerror}): "
            "make room there or choose a folder that can be written; what has arrived "
            "is kept, and the next try continues from it."
        ) from error


@contextlib.contextmanager
def _alone(fetch: Fetch) -> Iterator[None]:
    """Wait until no other process downloads the same file to the same place."""
    lock = FileLock(fetch.destination.with_name(fetch.destination.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            f"Another process is downloading {fetch.name} into "
            f"{fetch.destination.parent}: waiting for it.",
            flush=True,
        )
        lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # on Windows, release() removes it
            os.unlink(lock.lock_file)
        lock.release()


def _fetch(fetch: Fetch, urls: Sequence[str]) -> Path:
    if fetch.settle():
        return fetch.destination
    wait_s = _failures().get(fetch.md5, 0) + REMEMBERED_S - time.time()
    if 0 < wait_s <= REMEMBERED_S:
        raise DownloadError(
            f"No mirror of {fetch.name} sent anything a short while ago, and lessons "
            f"ask none for another {math.ceil(wait_s / 60)} min: {WHAT_TO_DO}."
        )
    before = fetch.have()
    reasons = fetch.run(urls)
    if not reasons:
        return fetch.destination
    if fetch.have() <= before:
        _remember_failure(fetch.md5)
    raise DownloadError(
        f"{fetch.name} ({fetch.size}) could not be downloaded ({'; '.join(reasons)}): "
        f"{WHAT_TO_DO}."
    )


def _failures_file() -> Path:
    return cache_dir() / "failed_downloads.json"


def _failures() -> dict[str, float]:
    """Return when each download last failed: checksum → seconds since 1970."""
    try:
        return {
            k: float(v) for k, v in json.loads(_failures_file().read_text()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or damaged


def _remember_failure(md5: str) -> None:
    text = json.dumps(_failures() | {md5: time.time()})
    with contextlib.suppress(OSError):
        write_atomically(_failures_file(), lambda path: path.write_text(text))


def forget_failures() -> None:
    """Let the next download ask its mirrors again, whatever happened before."""
    with contextlib.suppress(OSError):
        _failures_file().unlink()


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar archive into `folder`; none of its folders ever stands half-filled.

    All is unpacked beside its place first. A folder that is there already is
    filled file by file, and what else it holds stays.

    Args:
        archive: A .tar, .tar.gz or .tgz file.
        folder: Where the archive's own folders shall lie; made if it is missing.

    Raises:
        DownloadError: The archive is damaged, holds anything but files and folders
            that lie inside `folder`, or cannot be unpacked there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary,
            tarfile.open(archive) as tar,
        ):
            # A second guard; Python has it from 3.11.4 on.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                _refuse_outside(archive, member)
            tar.extractall(temporary)
            for entry in Path(temporary).iterdir():
                _move(entry, folder / entry.name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}): delete it and fetch it again."
        ) from error
    except OSError as error:
        raise DownloadError(
            f"{archive.name} cannot be unpacked in {folder} ({error.strerror}): make "
            "room there or choose a folder that can be written."
        ) from error


def _refuse_outside(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    plain = member.isfile() or member.isdir()
    if not plain or path.is_absolute() or ".." in path.parts:
        raise DownloadError(
            f"{archive} holds {member.name!r}, which is a link or lies outside the "
            "folder: nothing was unpacked; delete the archive and fetch it again."
        )


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        source.replace(target)
