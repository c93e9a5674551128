"""Fetches one file from several mirrors: resumed, speed-checked, verified."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

MIB = 2**20


class _MirrorFailed(Exception):
    """Why a mirror did not deliver the file."""


class _BrokeOff(_MirrorFailed):
    """The connection ended early; the mirror itself may be well."""


@dataclass(frozen=True)
class Fetch:
    """A file to be fetched, and what has arrived of it so far.

    What has arrived stays in `destination.part`; the next mirror, or the next try,
    continues from there.

    Args:
        name: What is fetched, for messages, such as "CIFAR-10".
        destination: Where the file shall lie, in a folder that exists.
        size_bytes: Size of the file.
        md5: Checksum of the file, in hexadecimal.
        find_s: Seconds in all to find a mirror that answers, shared among them.
        window_s: Seconds over which a mirror's speed is judged.
        floor_bytes_per_s: A mirror slower than this is left for the next one.
    """

    name: str
    destination: Path
    size_bytes: int
    md5: str
    find_s: float
    window_s: float
    floor_bytes_per_s: float

    @property
    def size(self) -> str:
        """Return the file's size, for messages."""
        if self.size_bytes < MIB:
            return f"{self.size_bytes / 1024:.1f} KiB"
        return f"{self.size_bytes / MIB:.0f} MiB"

    @property
    def part(self) -> Path:
        """Return where the bytes lie that have arrived."""
        return self.destination.with_name(self.destination.name + ".part")

    def have(self) -> int:
        """Return the number of bytes that have arrived."""
        return self.part.stat().st_size if self.part.exists() else 0

    def is_there(self) -> bool:
        """Return whether the file is there, unchanged."""
        return self._is_right(self.destination)

    def settle(self) -> bool:
        """Return whether the file is there; a full part replaces it, or goes."""
        if self.is_there():
            return True
        if self._is_right(self.part):
            self.part.replace(self.destination)
            return True
        if self.have() >= self.size_bytes:
            self.part.unlink()
        return False

    def _is_right(self, path: Path) -> bool:
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        with path.open("rb") as file:
            found = hashlib.file_digest(
                file, lambda: hashlib.md5(usedforsecurity=False)
            )
        return found.hexdigest() == self.md5

    def run(self, urls: Sequence[str]) -> list[str]:
        """Return why the mirrors failed; nothing when the file is there.

        Args:
            urls: Addresses of byte-identical copies, best first.

        Raises:
            OSError: The file cannot be written.
        """
        import httpx

        # The file is wanted as it lies on the mirror, however it is packed.
        headers = {"Accept-Encoding": "identity"}
        try:
            client = httpx.Client(
                follow_redirects=True, timeout=self.window_s, headers=headers
            )
        except Exception as error:  # a wrong proxy or certificate setting
            return [f"the network settings of this machine are wrong: {error}"]
        hosts_by_reason: dict[str, list[str]] = {}
        waiting = list(urls)
        deadline = time.monotonic() + self.find_s
        with client:
            while waiting:
                url, before = waiting[0], self.have()
                limit_s = max(0.0, deadline - time.monotonic()) / len(waiting)
                try:
                    with closing(self._ask(client, url, limit_s)) as response:
                        try:
                            self._receive(response, urlsplit(url).netloc)
                        finally:
                            deadline = time.monotonic() + self.find_s
                    if self.settle():
                        return []
                    raise _MirrorFailed("sent a file with a wrong checksum")
                except _MirrorFailed as failure:
                    grown = self.have() - before
                    if isinstance(failure, _BrokeOff) and grown > self.size_bytes / 20:
                        continue  # the same mirror again, from where it broke off
                    hosts = hosts_by_reason.setdefault(str(failure), [])
                    hosts.append(urlsplit(url).netloc)
                    del waiting[0]
        return [f"{', '.join(h)} {reason}" for reason, h in hosts_by_reason.items()]

    def _ask(self, client: httpx.Client, url: str, limit_s: float) -> httpx.Response:
        """Return the answer to a request for what is missing, its body unread."""
        have = self.have()
        range_header = {"Range": f"bytes={have}-"} if have else {}
        request = client.build_request("GET", url, headers=range_header)
        answers: queue.SimpleQueue = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(client.send(request, stream=True))
            except Exception as error:  # whatever it is, it is this mirror's failure
                answers.put(error)

        # In a thread: no time limit of a socket covers looking up the mirror's name.
        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=limit_s)
        except queue.Empty:
            raise _MirrorFailed(f"did not answer within {limit_s:.1f} s") from None
        if isinstance(answer, Exception):
            reason = str(answer) or type(answer).__name__
            raise _MirrorFailed(f"cannot be reached: {reason}")
        self._check(answer, have)
        return answer

    def _check(self, response: httpx.Response, have: int) -> None:
        """Refuse an answer that does not carry the bytes that are missing."""
        status, headers = response.status_code, response.headers
        first = have if status == 206 else 0
        span = headers.get("Content-Range", "no range")
        length = headers.get("Content-Length")
        if status not in (200, 206):
            raise _MirrorFailed(f"answered {status} {response.reason_phrase}")
        if headers.get("Content-Type", "").startswith("text/html"):
            raise _MirrorFailed("answered with a web page")
        if status == 206 and not span.startswith(f"bytes {first}-"):
            raise _MirrorFailed(f"sent another part than asked for: {span}")
        if length is not None and length != str(self.size_bytes - first):
            raise _MirrorFailed(f"offers a file of another size: {length} bytes")

    def _receive(self, response: httpx.Response, host: str) -> None:
        """Write the body to the part, in place: what is there already stays."""
        import httpx
        from tqdm.auto import tqdm

        # A mirror that knows no ranges answers 200 and begins at 0 again.
        position = self.have() if response.status_code == 206 else 0
        at = f", continuing at {position / MIB:.0f} MiB" if position else ""
        print(f"Downloading {self.name} ({self.size}) from {host}{at}")
        self.part.touch()
        bar = tqdm(
            total=self.size_bytes,
            initial=position,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
        )
        with self.part.open("r+b") as file, bar:
            file.seek(position)
            window_start, window_bytes = time.monotonic(), 0
            try:
                for chunk in response.iter_raw():
                    file.write(chunk)
                    file.flush()  # a process that is killed keeps what arrived
                    bar.update(len(chunk))
                    position += len(chunk)
                    if position > self.size_bytes:
                        break  # the checksum will tell
                    window_bytes += len(chunk)
                    passed_s = time.monotonic() - window_start
                    if passed_s >= self.window_s:
                        if window_bytes < self.floor_bytes_per_s * passed_s:
                            kb_per_s = window_bytes / passed_s / 1000
                            raise _MirrorFailed(f"is too slow: {kb_per_s:.0f} kB/s")
                        window_start, window_bytes = time.monotonic(), 0
            except httpx.TimeoutException:
                raise _MirrorFailed(f"sent nothing for {self.window_s:.0f} s") from None
            except httpx.HTTPError as error:
                raise _BrokeOff(f"broke off: {error}") from None
        if position < self.size_bytes:
            raise _BrokeOff(f"broke off at {position / MIB:.0f} MiB")
