"""A local server that plays a host of photos, good or bad, and notes each request."""

import gzip
import io
import itertools
import socket
import struct
import zlib
from http.server import BaseHTTPRequestHandler

from local_server import Answer, LocalServer, head
from local_server import silent as silent
from local_server import status as status
from PIL import Image


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


class PhotoHost(LocalServer):
    """A running host of one photo.

    Attributes:
        url: Address of its one photo.
        asked: Host header and path of each request so far.
        agents: The User-Agent header of each.
        sent: Bytes of bodies handed to the network so far, by answers that never end.
    """

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[tuple[str, str]] = []
        self.agents: list[str] = []
        self.sent = 0
        super().__init__(*answers)
        self.url = f"http://{self.host}/photo.jpg"

    def note(self, handler: BaseHTTPRequestHandler) -> None:
        """Note the host header, the path and the agent."""
        self.asked.append((handler.headers["Host"], handler.path))
        self.agents.append(handler.headers["User-Agent"])


def sends(body: bytes, kind: str = "image/jpeg", **headers: object) -> Answer:
    """Send a body, under whatever content type and headers."""
    headers = {"Content_Length": len(body), "Content_Type": kind} | headers

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        head(handler, 200, **headers)
        handler.wfile.write(body)

    return answer


def packed(body: bytes) -> Answer:
    """Send a body packed with gzip, though nobody asked for it."""
    return sends(gzip.compress(body), Content_Encoding="gzip")


def redirect(url: str, code: int = 302) -> Answer:
    """Send the reader elsewhere; ``PORT`` in the address is the server's own."""

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        place = url.replace("PORT", str(host.port))
        head(handler, code, Location=place, Content_Length=0)

    return answer


def endless(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
    """Send a body without an end, as fast as it is taken."""
    head(handler, 200, Content_Type="image/jpeg")
    while not host.over.is_set():
        handler.wfile.write(bytes(4096))
        host.sent += 4096


def drips(part: str) -> Answer:
    """Send the body, or the head, byte by byte: one at once, the others too late."""

    def answer(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
        if part == "body":
            head(handler, 200, Content_Type="image/jpeg")
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in itertools.count():
            handler.wfile.write(b"x")
            host.sent += 1
            if host.over.wait(0.02):
                return

    return answer


def resets(handler: BaseHTTPRequestHandler, host: PhotoHost) -> None:
    """Begin a body, then reset the connection."""
    head(handler, 200, Content_Length=1000)
    handler.wfile.write(b"\xff\xd8")
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
