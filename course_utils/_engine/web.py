"""The bytes behind an address of the web: bounded in time, size, hops and reach."""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import httpx

from course_utils._engine import addresses, failures
from course_utils._engine.failures import Limits
from course_utils.data.images.errors import WebError, printable

HEADERS = {
    "User-Agent": "resnet-course (teaching material; one photo at a reader's request)",
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # photos are packed already
}
REDIRECTS = (301, 302, 303, 307, 308)
BACK_OFF_S = 1.0  # doubled at each try
# A connection that was made for one host must not serve the next hop's.
FRESH = httpx.Limits(max_keepalive_connections=0)


def fetch_image_bytes(
    url: str,
    *,
    allow_private: bool = False,
    limits: Limits | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> bytes:
    """Return what lies behind an address, whatever it is: `load_image` looks into it.

    Each redirect is followed by hand, so that every hop is http or https and leads to
    a public address; the address that was checked is the one connected to, whatever
    the name's next look-up would say. Where this machine's settings name a proxy, the
    proxy looks names up, and only literal private addresses are refused here.

    Args:
        url: Begins with ``http://`` or ``https://``.
        allow_private: Whether addresses of this machine and of its own network may be
            asked: a local server, a test.
        limits: Time, size and number of redirects; default `Limits()`.
        wait: Called with the seconds to wait before a busy server is asked again.

    Raises:
        WebError: If there is nothing to be had, within the limits; it says why.

    Taught in: lesson 07, "Photos from the web".
    """
    limits = limits or Limits()
    deadline = time.monotonic() + limits.total_s
    attempt = 1
    while True:
        try:
            return _in_time(_Try(url, allow_private, limits, deadline))
        except failures.Busy as busy:
            pause_s = busy.retry_after_s
            if pause_s is None:
                pause_s = BACK_OFF_S * 2 ** (attempt - 1)
            too_long = time.monotonic() + pause_s >= deadline
            if attempt >= limits.max_tries or too_long:
                times = f"asked {attempt} time{'s' * (attempt > 1)}"
                raise WebError(f"{busy}, {times}: try again later.") from None
        wait(pause_s)
        attempt += 1


def _in_time(one: _Try) -> bytes:
    """Return the bytes of one try; not later than its deadline, wherever it hangs."""
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(one.run())
        except BaseException as error:
            answers.put(error)

    # In a thread: no time limit of a socket covers looking up a name, or headers that
    # arrive byte by byte. Closing the clients ends what still goes on there.
    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, one.deadline - time.monotonic()))
    except queue.Empty:
        raise WebError(failures.too_slow(one.url, one.limits)) from None
    finally:
        for client in list(one.clients.values()):
            client.close()
    if isinstance(answer, BaseException):
        raise answer
    return answer


@dataclass(frozen=True)
class _Try:
    """One try at an address: its hops, and the body at the end of them."""

    url: str
    allow_private: bool
    limits: Limits
    deadline: float
    clients: dict[str | None, httpx.Client] = field(default_factory=dict)  # by proxy

    def run(self) -> bytes:
        """Return the body at the end of the redirects."""
        target = failures.parsed(self.url)
        for _ in range(self.limits.max_redirects + 1):
            shown = failures.shown(target)
            try:
                with closing(self._ask(target)) as response:
                    place = response.extensions.get("place")
                    if response.status_code not in REDIRECTS or place is None:
                        failures.refuse_status(response, shown)
                        return self._receive(response, shown)
                    target = failures.parsed(place, target)
            except httpx.HTTPError as error:
                raise WebError(failures.reason(error, shown, self.limits)) from error
            self._refuse_late()
        raise WebError(
            f"{failures.shown(self.url)} was redirected more than "
            f"{self.limits.max_redirects} times, perhaps in a circle: open it in a "
            "browser and copy the address of the photo itself."
        )

    def _ask(self, url: httpx.URL) -> httpx.Response:
        """Return the answer to a request, its body unread."""
        host = url.raw_host.decode()
        proxy = addresses.proxy_for(url.scheme, host)
        client = self._client(proxy)
        if proxy:
            addresses.refuse_literal(host, allow_private=self.allow_private)
            return client.send(client.build_request("GET", url), stream=True)
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        found = addresses.look_up(host, port, allow_private=self.allow_private)
        for address in found[:-1]:
            try:
                return self._connect(client, url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self._refuse_late()
        return self._connect(client, url, found[-1])

    def _connect(
        self, client: httpx.Client, url: httpx.URL, address: str
    ) -> httpx.Response:
        request = client.build_request(
            "GET",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode()},
            extensions={"sni_hostname": url.raw_host.decode()},  # certificates name it
        )
        return client.send(request, stream=True)

    def _client(self, proxy: str | None) -> httpx.Client:
        if proxy not in self.clients:
            limits = self.limits
            timeout = httpx.Timeout(limits.read_s, connect=limits.connect_s)
            try:
                # it reads this machine's certificate settings, too
                transport = httpx.HTTPTransport(proxy=proxy, limits=FRESH)
            except Exception as error:
                raise WebError(
                    f"The network settings of this machine are wrong ({error}): look "
                    "at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE."
                ) from error
            self.clients[proxy] = httpx.Client(
                transport=transport,
                timeout=timeout,
                headers=HEADERS,
                event_hooks={"response": [_put_aside]},
            )
        return self.clients[proxy]

    def _receive(self, response: httpx.Response, shown: str) -> bytes:
        """Return the body, unpacked if need be, and never more than allowed."""
        most = self.limits.max_bytes
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > most:
            raise WebError(failures.too_large(shown, self.limits))
        packing = response.headers.get("Content-Encoding", "").strip().lower()
        if packing not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise WebError(
                f"{shown} is packed as {printable(packing)!r}, expected no packing or "
                "gzip: download it with a browser."
            )
        plain = packing in ("", "identity")
        unpacker = None if plain else zlib.decompressobj(zlib.MAX_WBITS | 32)
        body, received = bytearray(), 0
        for chunk in response.iter_raw():
            self._refuse_late()
            received += len(chunk)
            room = most + 1 - len(body)
            try:
                body += unpacker.decompress(chunk, room) if unpacker else chunk
            except zlib.error as error:
                raise WebError(
                    f"{shown} is sent packed, and damaged ({error}): try again later."
                ) from error
            if max(received, len(body)) > most:
                raise WebError(failures.too_large(shown, self.limits))
        return bytes(body)

    def _refuse_late(self) -> None:
        if time.monotonic() > self.deadline:
            raise WebError(failures.too_slow(self.url, self.limits))


def _put_aside(response: httpx.Response) -> None:
    """Hide where a redirect leads: httpx would read it, and fail in ways of its own."""
    response.extensions["place"] = response.headers.pop("Location", None)
