"""A local server that plays a mirror, good or bad, and notes what it was asked."""

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, "Mirror"], None]


class Mirror:
    """A running server; each request takes the next answer, the last one for good.

    Attributes:
        url: Address of its one file.
        ranges: The Range header of each request so far, None where there was none.
        over: Set when the test ends; an answer that hangs waits for it.
    """

    def __init__(self, *answers: Answer) -> None:
        self.ranges: list[str | None] = []
        self.over = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.ranges.append(self.headers["Range"])
                count = len(mirror.ranges)
                with contextlib.suppress(ConnectionError):  # the reader went away
                    answers[min(count, len(answers)) - 1](self, mirror)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/data.tar.gz"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def _head(handler: BaseHTTPRequestHandler, status: int, **headers: object) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key.replace("_", "-"), str(value))
    handler.end_headers()


def _begin(handler: BaseHTTPRequestHandler, body: bytes, *, ranges: bool) -> bytes:
    """Send the head of a good answer; return the bytes that ought to follow."""
    asked = handler.headers["Range"]
    if not (asked and ranges):
        _head(handler, 200, Content_Length=len(body))
        return body
    first = int(asked.removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {first}-{len(body) - 1}/{len(body)}"
    _head(handler, 206, Content_Length=len(body) - first, Content_Range=span)
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


def silent(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """Take the request and never answer."""
    mirror.over.wait()


def status(code: int) -> Answer:
    """Answer with a status and no body."""
    return lambda handler, mirror: _head(handler, code, Content_Length=0)


def web_page(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """Answer as the login page of a network does."""
    _head(handler, 200, Content_Type="text/html; charset=utf-8")
    handler.wfile.write(b"<html>Please log in</html>")


def wrong_range(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """Answer a range request with another range."""
    _head(handler, 206, Content_Range="bytes 0-9/10", Content_Length=10)
    handler.wfile.write(b"0123456789")


def redirect(url: str) -> Answer:
    """Send the reader to `url`."""
    return lambda handler, mirror: _head(handler, 302, Location=url, Content_Length=0)
