"""A local server that plays a mirror, good or bad, and notes what it was asked."""

from http.server import BaseHTTPRequestHandler

from local_server import Answer, LocalServer, head
from local_server import silent as silent
from local_server import status as status


class Mirror(LocalServer):
    """A running mirror of one file.

    Attributes:
        url: Address of its one file.
        ranges: The Range header of each request so far.
    """

    def __init__(self, *answers: Answer) -> None:
        self.ranges: list[str] = []
        super().__init__(*answers)
        self.url = f"http://{self.host}/data.tar.gz"

    def note(self, handler: BaseHTTPRequestHandler) -> None:
        """Note which part of the file is wanted."""
        self.ranges.append(handler.headers["Range"])


def _begin(handler: BaseHTTPRequestHandler, body: bytes, *, ranges: bool) -> bytes:
    """Send the head of a good answer; return the bytes that ought to follow."""
    first = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    if not ranges:
        head(handler, 200, Content_Length=len(body))
        return body
    if first >= len(body):
        head(handler, 416, Content_Length=0)
        return b""
    span = f"bytes {first}-{len(body) - 1}/{len(body)}"
    head(handler, 206, Content_Length=len(body) - first, Content_Range=span)
    return body[first:]


def sends(body: bytes, *, ranges: bool = True, stop_after: int | None = None) -> Answer:
    """Send the file, or what is missing of it; hang up after `stop_after` bytes."""

    def answer(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
        handler.wfile.write(_begin(handler, body, ranges=ranges)[:stop_after])

    return answer


def stalls(body: bytes, after: int) -> Answer:
    """Send `after` bytes of what is missing, then nothing more."""

    def answer(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
        handler.wfile.write(_begin(handler, body, ranges=True)[:after])
        mirror.over.wait()

    return answer


def crawls(body: bytes) -> Answer:
    """Send what is missing byte by byte, a hundred a second."""

    def answer(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
        for byte in _begin(handler, body, ranges=True):
            handler.wfile.write(bytes([byte]))
            if mirror.over.wait(0.01):
                return

    return answer


def web_page(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """Answer as the login page of a network does."""
    head(handler, 200, Content_Type="text/html; charset=utf-8")
    handler.wfile.write(b"<html>Please log in</html>")


def redirect(url: str) -> Answer:
    """Send the reader to `url`."""
    return lambda handler, mirror: head(handler, 302, Location=url, Content_Length=0)
