"""The bytes behind an address of the web: bounded in time, size, hops and reach."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

import httpx

from course_utils._engine.errors import WebError, printable, shown
from course_utils._engine.places import downloads_allowed
from course_utils._engine.time_limit import in_time

MIB = 2**20
HEADERS = {
    "User-Agent": "resnet-course (teaching material; one photo at a reader's request)",
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # photos are packed already
}
WITHOUT_NETWORK = "use a photo from disk, for example one of sample_photos()"
REFUSALS = {
    403: "may not be fetched by programs ({}): open it in a browser and save the photo",
    404: "was not found ({}): check the address",
    429: "is busy ({}): try again later",
    503: "is busy ({}): try again later",
}
OTHERWISE = "answered {}, expected 200 OK: open it in a browser and see why"


@dataclass(frozen=True)
class Limits:
    """How long, how large and how far a fetch may become.

    Attributes:
        total_s: Seconds in all: looking up names and redirects included.
        silence_s: Seconds that the server may send nothing.
        max_bytes: Size of the photo's file.
        max_redirects: How often the server may point elsewhere.
    """

    total_s: float = 30.0
    silence_s: float = 10.0
    max_bytes: int = 20 * MIB
    max_redirects: int = 5


def fetch_image_bytes(
    url: str, *, allow_private: bool = False, limits: Limits | None = None
) -> bytes:
    """Return what lies behind an address, whatever it is: `load_image` looks into it.

    Each redirect is followed by hand, so that every hop is http or https and leads to
    a public address. A proxy that this machine's settings name is used.

    Args:
        url: Begins with ``http://`` or ``https://``.
        allow_private: Whether addresses of this machine and of its own network may be
            asked: a local server, a test.
        limits: Time, size and number of redirects; default `Limits()`.

    Raises:
        WebError: If there is nothing to be had, within the limits; it says why.

    Taught in: lesson 07, "From the web".
    """
    limits = limits or Limits()
    try:
        client = httpx.Client(headers=HEADERS, timeout=limits.silence_s)
    except Exception as error:
        raise WebError(
            f"The network settings of this machine are wrong ({error}): look at "
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE."
        ) from error
    with client:  # closing it ends what a fetch that is late still does
        try:
            return in_time(
                lambda: _fetch(client, url, allow_private, limits),
                limits.total_s,
            )
        except TimeoutError:
            raise WebError(
                f"{shown(url)} is too slow: not here after {limits.total_s:g} s; try "
                "again later, or look for a smaller version."
            ) from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise WebError(
                f"{shown(url)} is no address, or leads to none "
                f"({printable(str(error))}): check it."
            ) from error


def _fetch(
    client: httpx.Client, url: str, allow_private: bool, limits: Limits
) -> bytes:
    """Return the body at the end of the redirects."""
    target = httpx.URL(url)
    for _ in range(limits.max_redirects + 1):
        _check_target(target, allow_private)
        try:
            with client.stream("GET", target) as response:
                if response.next_request is None:
                    return _receive(response, limits)
                target = response.next_request.url
        except httpx.HTTPError as error:
            raise WebError(f"{shown(target)} {_reason(error, limits)}.") from error
    raise WebError(
        f"{shown(url)} was redirected more than {limits.max_redirects} times, perhaps "
        "in a circle: open it in a browser and copy the address of the photo itself."
    )


def _check_target(url: httpx.URL, allow_private: bool) -> None:
    """Raise unless an address is one of the web, and may be asked."""
    host, port = url.raw_host.decode(), url.port or 80
    if url.scheme not in ("http", "https") or not host or port > 65535:
        raise WebError(
            f"{shown(url)} is no address of a photo on the web, expected one like "
            "https://host/photo.jpg (or the path of a file)."
        )
    if host not in ("localhost", "127.0.0.1", "::1") and not downloads_allowed():
        raise WebError(
            f"COURSE_OFFLINE forbids asking {host!r}: unset it, or {WITHOUT_NETWORK}."
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:  # connecting will fail and say so, or a proxy knows the name
        return
    for *_, place in found:
        address = place[0]
        if not (allow_private or is_public(address)):
            raise WebError(
                f"The host {host!r} has a private address ({address}), of this machine "
                "or its own network; if that is meant, allow it with "
                "allow_private=True (on the command line: --allow-private)."
            )


def is_public(address: str) -> bool:
    """Return whether an address belongs to the public internet, and to one host.

    Args:
        address: IPv4 in dotted form, or IPv6 without brackets.
    """
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _receive(response: httpx.Response, limits: Limits) -> bytes:
    """Return the body, counted while it arrives: a host may lie about its length."""
    status, name = response.status_code, shown(response.url)
    if status != 200:
        found = f"{status} {response.reason_phrase}".strip()
        raise WebError(f"{name} {REFUSALS.get(status, OTHERWISE).format(found)}.")
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limits.max_bytes:
            raise WebError(
                f"{name} is larger than {limits.max_bytes / MIB:.3g} MiB, the most "
                "that is fetched: look for a smaller version."
            )
    return bytes(body)


def _reason(error: httpx.HTTPError, limits: Limits) -> str:
    """Return what became of a connection that failed."""
    if isinstance(error, httpx.TimeoutException):
        return f"sent nothing for {limits.silence_s:g} s: try again later"
    text = printable(str(error)) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return (
            f"cannot be reached ({text}): check the address, the network, this "
            f"machine's clock and proxy settings, or {WITHOUT_NETWORK}"
        )
    return f"broke off ({text}): try again"
