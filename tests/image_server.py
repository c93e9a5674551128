"""A local server that plays a host of photos, good or bad, and notes each request."""

import contextlib
import gzip
import io
import itertools
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

Answer = Callable[[BaseHTTPRequestHandler, "PhotoHost"], None]


def file_of(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """Return the bytes of an image's file."""
    memory = io.BytesIO()
    image.save(memory, format, **options)
    return memory.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that promises so many grey pixels, and holds a few."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


class PhotoHost:
    """A running server; each request takes the next answer, the last one for good.

    Attributes:
        url: Address of its one photo.
        asked: Host header and path of each request so far.
        agents: The User-Agent header of each.
        sent: Bytes of bodies handed to the network so far, by answers that never end.
        over: Set when the test ends; an answer that hangs waits for it.
    """

    def __init__(self, *answers: Answer, tls: Callable | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.agents: list[str] = []
        self.sent = 0
        self.over = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.headers["Host"], self.path))
                host.agents.append(self.headers["User-Agent"])
                count = len(host.asked)
                with contextlib.suppress(ConnectionError):  # the reader went away
                    answers[min(count, len(answers)) - 1](self, host)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass  # a reader that hangs up, on purpose

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls(self.server.socket)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/photo.jpg"
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
        if value is None:
            continue
        handler.send_header(key.replace("_", "-"), str(value))
    handler.end_headers()


def sends(body: bytes, kind: str = "image/jpeg", **headers: object) -> Answer:
    """Send a body, under whatever content type and headers."""
    headers = {"Content_Length": len(body), "Content_Type": kind} | headers

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        _head(handler, 200, **headers)
        handler.wfile.write(body)

    return answer


def packed(body: bytes) -> Answer:
    """Send a body packed with gzip, though nobody asked for it."""
    return sends(gzip.compress(body), Content_Encoding="gzip")


def status(code: int, **headers: object) -> Answer:
    """Answer with a status and no body."""
    return lambda handler, host: _head(handler, code, Content_Length=0, **headers)


def redirect(url: str, code: int = 302) -> Answer:
    """Send the reader elsewhere; ``PORT`` in the address is the server's own."""

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        place = url.replace("PORT", str(host.port))
        _head(handler, code, Location=place, Content_Length=0)

    return answer


def endless(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
    """Send a body without an end, as fast as it is taken."""
    _head(handler, 200, Content_Type="image/jpeg")
    while not host.over.is_set():
        handler.wfile.write(bytes(4096))
        host.sent += 4096


def drips(part: str) -> Answer:
    """Send the body, or the head, byte by byte: one at once, the others too late."""

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        if part == "body":
            _head(handler, 200, Content_Type="image/jpeg")
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in itertools.count():
            handler.wfile.write(b"x")
            host.sent += 1
            if host.over.wait(0.02):
                return

    return answer


def silent(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
    """Take the request and never answer."""
    host.over.wait()


def resets(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
    """Begin a body, then reset the connection."""
    _head(handler, 200, Content_Length=1000)
    handler.wfile.write(b"\xff\xd8")
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
