"""What a fetch may cost and what it refuses: the sentence for each failure."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from course_utils.data.images.errors import WebError, printable
from course_utils.data.images.samples import WITHOUT_NETWORK

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """How long, how large and how far a fetch may become.

    Attributes:
        connect_s: Seconds to connect to one address of the host.
        read_s: Seconds that the server may send nothing.
        total_s: Seconds in all: looking up, redirects, waiting and tries included.
        max_bytes: Size of the photo's file, packed or not.
        max_redirects: How often the server may point elsewhere.
        max_tries: How often a busy server (429, 503) is asked.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    max_bytes: int = 20 * MIB
    max_redirects: int = 5
    max_tries: int = 3


class Busy(WebError):
    """The server asks to come back later, in `retry_after_s` if it says when."""

    def __init__(self, text: str, retry_after_s: float | None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


def parsed(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """Return an address that may be asked.

    Args:
        text: The address, or what a redirect says.
        base: The address that redirects, if any; `text` may be relative to it.

    Raises:
        WebError: If it is no address, names no host, or is neither http nor https.
    """
    text = text.strip()
    leads = f"{shown(base)} leads to {shown(text)}" if base else shown(text)
    try:
        url = base.join(text) if base else httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        reason = printable(str(error))
        raise WebError(f"{leads}, which is no address ({reason}): check it.") from None
    if url.scheme not in ("http", "https"):
        raise WebError(
            f"{leads}, which begins with {url.scheme + ':'!r}, expected http: or "
            "https: – give the address of a photo on the web, or the path of a file."
        )
    if not url.host or (url.port or 80) > 65535:
        raise WebError(
            f"{leads}, which names no host and port that exist: expected "
            "http://host/photo.jpg."
        )
    return url


def refuse_status(response: httpx.Response, shown: str) -> None:
    """Raise if an answer does not carry the photo.

    Raises:
        Busy: If the server asks to come back later.
        WebError: If it refuses, or failed.
    """
    status = response.status_code
    if status == 200:
        return
    found = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    if status in (429, 503):
        pause_s = _seconds(response.headers.get("Retry-After", ""))
        rest = "" if pause_s is None else f" and asks for {pause_s:.0f} s of rest"
        raise Busy(f"{shown}: the server is busy ({found}){rest}", pause_s)
    if status in (404, 410):
        raise WebError(f"{shown} was not found ({found}): check the address.")
    if status in (401, 403):
        raise WebError(
            f"{shown} may not be fetched by programs ({found}): open it in a browser "
            "and save the photo."
        )
    if status >= 500:
        raise WebError(f"{shown}: the server failed ({found}): try again later.")
    raise WebError(
        f"{shown}: the server answered {found}, expected 200 OK: check the address."
    )


def _seconds(retry_after: str) -> float | None:
    """Return the rest that a Retry-After header asks for: seconds, or until a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def reason(error: httpx.HTTPError, shown: str, limits: Limits) -> str:
    """Return the sentence for a connection that failed."""
    text = printable(str(error)) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        waited = f"did not answer within {limits.connect_s:g} s"
        return f"{shown} {waited}: try again later, or {WITHOUT_NETWORK}."
    if isinstance(error, httpx.TimeoutException):
        return f"{shown} sent nothing for {limits.read_s:g} s: try again later."
    if isinstance(error, httpx.ProxyError):
        return f"{shown}: this machine's proxy refuses ({text}): look at its settings."
    if isinstance(error, httpx.ConnectError) and _caused_by(error, ssl.SSLError):
        return (
            f"{shown} could not prove whose it is ({text}): check the address, and "
            "this machine's clock and certificates."
        )
    if isinstance(error, httpx.ConnectError):
        todo = f"check the address and the network, or {WITHOUT_NETWORK}"
        return f"{shown} cannot be reached ({text}): {todo}."
    return f"{shown} broke off ({text}): try again."


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def too_slow(url: str, limits: Limits) -> str:
    """Return the sentence for a fetch that passed its deadline."""
    return (
        f"{shown(url)} is too slow: not here after {limits.total_s:g} s; try again "
        "later, or look for a smaller version."
    )


def too_large(shown: str, limits: Limits) -> str:
    """Return the sentence for a body that passed the cap."""
    return (
        f"{shown} is larger than {limits.max_bytes / MIB:.3g} MiB, the most that is "
        "fetched: look for a smaller version."
    )


def shown(url: str | httpx.URL) -> str:
    """Return an address for messages: without a password, on one line, not too long."""
    text = printable(re.sub(r"//[^/?#]*@", "//", str(url)))
    return text if len(text) <= 120 else f"{text[:119]}…"
