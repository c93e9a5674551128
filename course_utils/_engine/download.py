"""Large files from mirrors: resumed, verified, fetched by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from course_utils._engine.places import cache_dir, downloads_allowed
from course_utils._engine.time_limit import in_time

FIND_S = 10.0  # in all, to find a mirror that answers
WINDOW_S = 10.0  # over which a mirror's speed is judged
SLOWEST = 100_000  # bytes a second; a slower mirror is left for the next one
REMEMBERED_S = 600
MIB = 2**20


class DownloadError(RuntimeError):
    """Data could not be fetched, saved or unpacked; the text says what to do."""


class NoNetwork(DownloadError):
    """No mirror could be reached; the text names none.

    Attributes:
        hosts: The mirrors that were asked, and what became of each.
    """

    def __init__(self, text: str, hosts: str) -> None:
        super().__init__(text)
        self.hosts = hosts


class _MirrorFailed(Exception):
    """Why a mirror did not deliver the file."""


class _Unreachable(_MirrorFailed):
    """Why nothing came from a mirror, not even a refusal."""


@dataclass(frozen=True)
class _File:
    """The file that is wanted; see `download`."""

    name: str
    path: Path
    size_bytes: int
    checksum: str

    def __str__(self) -> str:
        """Return name and size, for messages."""
        if self.size_bytes < MIB:
            return f"{self.name} ({self.size_bytes / 1024:.1f} KiB)"
        return f"{self.name} ({self.size_bytes / MIB:.0f} MiB)"

    @property
    def part(self) -> Path:
        """Return where the bytes lie that have arrived."""
        return self.path.with_name(self.path.name + ".part")

    def arrived(self) -> int:
        """Return the number of bytes that have arrived."""
        return self.part.stat().st_size if os.path.exists(self.part) else 0

    def kept(self) -> str:
        """Return what becomes of the bytes that have arrived, for messages."""
        text = "; what has arrived is kept, and the next try continues from it"
        return text if self.arrived() else ""

    def is_right(self, path: Path) -> bool:
        """Return whether the file lies at `path`, unchanged."""
        if not path.is_file():
            return False
        kind = "md5" if len(self.checksum) == 32 else "sha256"
        with path.open("rb") as file:
            found = hashlib.file_digest(
                file, lambda: hashlib.new(kind, usedforsecurity=False)
            )
        return found.hexdigest().startswith(self.checksum)


def download(
    name: str, urls: Sequence[str], destination: Path, *, size_bytes: int, checksum: str
) -> Path:
    """Return the path of a verified file, fetched first if it is not there yet.

    What has arrived when a download breaks off stays in `destination.part`, and the
    next mirror, or the next call, continues from there. Where nothing has arrived,
    nothing is left, no empty folder either. A second process that wants
    the same file at the same place waits for the first. When no mirror sent anything,
    this is remembered for ten minutes, so that the next lesson does not wait again.

    Args:
        name: What is fetched, for messages, such as "CIFAR-10".
        urls: Addresses of byte-identical copies, best first.
        destination: Where the file shall lie; a missing folder is made.
        size_bytes: Size of the file, within a hundredth.
        checksum: Its MD5, 32 hexadecimal digits; else the first digits of its SHA-256.

    Returns:
        `destination`.

    Raises:
        DownloadError: No mirror delivered, downloads are forbidden, or the file
            cannot be saved. `NoNetwork`, if no mirror could be reached.
    """
    file = _File(name, destination, size_bytes, checksum)
    folder = destination.parent
    what_to_do = (
        f"put {destination.name} into {folder} yourself, fetch it later with `course "
        "prepare`, name a folder that has the data with COURSE_DATA=DIR, or take what "
        "ships with the course, COURSE_DATA=built-in"
    )
    try:
        if file.is_right(destination):
            return destination
        if not downloads_allowed():
            raise DownloadError(
                f"{file} is not in {folder}, or damaged there, and COURSE_OFFLINE "
                f"forbids its download: {what_to_do}."
            )
        with _made(folder), _alone(file):
            if not file.is_right(destination):  # another process may have fetched it
                _fetch(file, urls)
        return destination
    except _Unreachable as error:
        text = f"No network to fetch {file}: {what_to_do}{file.kept()}."
        raise NoNetwork(text, str(error)) from None
    except _MirrorFailed as error:
        raise DownloadError(
            f"{file} could not be downloaded ({error}): {what_to_do}{file.kept()}."
        ) from None
    except OSError as error:
        raise DownloadError(
            f"{file} cannot be saved in {folder} ({error.strerror or error}): make "
            f"room there or choose a folder that can be written{file.kept()}."
        ) from error


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and afterwards remove what was made and has stayed empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it holds something
            for path in made:
                path.rmdir()


@contextlib.contextmanager
def _alone(file: _File) -> Iterator[None]:
    """Wait until no other process downloads the same file to the same place."""
    lock = FileLock(f"{file.path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Waiting for another process that downloads {file.path}", flush=True)
        lock.acquire()
    except OSError as error:  # on some network drives there are no locks
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # on Windows, release() removes it
            os.unlink(lock.lock_file)
        lock.release()


def _fetch(file: _File, urls: Sequence[str]) -> None:
    """Fetch the file from the first mirror that delivers it.

    Raises:
        _MirrorFailed: None did; it names them all. `_Unreachable`, if none answered.
    """
    failure = cache_dir() / f"no-mirror-{file.checksum}"
    if failure.exists() and time.time() - failure.stat().st_mtime < REMEMBERED_S:
        kind = _Unreachable if failure.stat().st_size == 0 else _MirrorFailed
        raise kind("no mirror sent anything within the last ten minutes")
    before = file.arrived()
    hosts: dict[str, list[str]] = {}  # by the reason why they failed
    kind: type[_MirrorFailed] = _Unreachable
    try:
        for url in urls:
            try:
                _ask_mirror(url, file, FIND_S / len(urls))
                return
            except _MirrorFailed as error:
                hosts.setdefault(str(error), []).append(urlsplit(url).netloc)
                if not isinstance(error, _Unreachable):
                    kind = _MirrorFailed
    finally:
        if not file.arrived():
            file.part.unlink(missing_ok=True)
    reasons = "; ".join(f"{', '.join(names)} {why}" for why, names in hosts.items())
    if file.arrived() > before:
        raise _MirrorFailed(reasons)
    with contextlib.suppress(OSError):
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text("" if kind is _Unreachable else reasons, "utf-8")
    raise kind(reasons)


def forget_failures() -> None:
    """Let the next download ask its mirrors again, whatever happened before."""
    for failure in cache_dir().glob("no-mirror-*"):
        failure.unlink()


def _ask_mirror(url: str, file: _File, answer_s: float) -> None:
    """Fetch from one mirror what is missing, and put the verified file in its place.

    Raises:
        _MirrorFailed: It did not deliver; the part holds what has arrived.
    """
    all_from_here = not file.arrived()
    while True:
        before = file.arrived()
        try:
            _receive(url, file, answer_s)
        except _MirrorFailed:
            if file.arrived() > before + file.size_bytes / 20:
                continue  # it got on: the same mirror again, from where it broke off
            raise
        if file.is_right(file.part):
            file.part.replace(file.path)
            return
        file.part.unlink(missing_ok=True)
        if all_from_here:
            raise _MirrorFailed("sent a file with a wrong checksum")
        all_from_here = True  # perhaps another mirror began with something else


def _receive(url: str, file: _File, answer_s: float) -> None:
    """Append to the part what a mirror sends."""
    import httpx
    from tqdm.auto import tqdm

    position = file.arrived()
    # The file is wanted as it lies on the mirror, however it is packed.
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={position}-"}
    request = httpx.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=WINDOW_S
    )
    with contextlib.ExitStack() as stack:
        try:
            answer = in_time(lambda: stack.enter_context(request), answer_s)
        except TimeoutError:
            raise _Unreachable(f"did not answer within {answer_s:.1f} s") from None
        except Exception as error:  # whatever it is, it is this mirror's failure
            away = isinstance(error, httpx.ConnectError | httpx.TimeoutException)
            # a certificate that is refused comes from somebody who answered
            kind = _Unreachable if away and "SSL" not in str(error) else _MirrorFailed
            raise kind(f"cannot be reached: {error}") from None
        if answer.status_code == 416:
            return  # nothing is missing, says the mirror; the checksum tells
        if answer.status_code not in (200, 206):
            raise _MirrorFailed(f"answered {answer.status_code} {answer.reason_phrase}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise _MirrorFailed("answered with a web page")
        if answer.status_code == 200:
            position = 0  # it knows no ranges, and begins anew
        at = f", continuing at {position / MIB:.0f} MiB" if position else ""
        print(f"Downloading {file} from {urlsplit(url).netloc}{at}")
        bar = tqdm(total=file.size_bytes, initial=position, unit="B", unit_scale=True)
        file.part.touch()
        # In place: a mirror that begins anew and breaks off has destroyed nothing.
        with bar, file.part.open("r+b") as part:
            part.seek(position)
            since = time.monotonic()
            try:
                for chunk in answer.iter_raw():
                    part.write(chunk)
                    part.flush()  # a process that is killed keeps what arrived
                    bar.update(len(chunk))
                    if part.tell() > 1.01 * file.size_bytes:
                        raise _MirrorFailed("sends more than the whole file")
                    if time.monotonic() - since > WINDOW_S:
                        if part.tell() - position < SLOWEST * WINDOW_S:
                            raise _MirrorFailed(f"sends below {SLOWEST // 1000} kB/s")
                        since, position = time.monotonic(), part.tell()
            except httpx.HTTPError as error:
                raise _MirrorFailed(f"broke off: {error}") from None


def extract(archive: Path, folder: Path) -> None:
    """Unpack a verified tar archive; none of its folders ever stands half-filled.

    All is unpacked beside its place first. A folder that is there already is
    filled file by file, and what else it holds stays.

    Args:
        archive: A .tar, .tar.gz or .tgz file, as `download` returns it.
        folder: Where the archive's own folders shall lie.

    Raises:
        DownloadError: The archive cannot be unpacked there.
    """
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary,
            tarfile.open(archive) as tar,
        ):
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(temporary, _files_inside(tar))
            for entry in Path(temporary).iterdir():
                _move(entry, folder / entry.name)
    except (OSError, tarfile.TarError) as error:
        raise DownloadError(
            f"{archive.name} cannot be unpacked in {folder} ({error}): make room "
            "there or choose a folder that can be written."
        ) from error


def _files_inside(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files and folders; Python's own filter came with 3.11.4 only."""
    for member in tar:
        path = PurePosixPath(member.name)
        outside = path.is_absolute() or ".." in path.parts
        if outside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} leads outside, or is a link")
        yield member


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        source.replace(target)
