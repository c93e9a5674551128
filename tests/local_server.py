"""A local server that gives prepared answers, for tests of what reads from the web."""

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler, Any], None]


class LocalServer:
    """A running server; each request takes the next answer, the last one for good.

    Attributes:
        port: Its port.
        host: Its address and port.
        over: Set when the test ends; an answer that hangs waits for it.
    """

    def __init__(self, *answers: Answer) -> None:
        self.over = threading.Event()
        owner, count = self, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                nonlocal count
                owner.note(self)
                count += 1
                with contextlib.suppress(ConnectionError):  # the reader went away
                    answers[min(count, len(answers)) - 1](self, owner)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass  # a reader that hangs up, on purpose

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def note(self, handler: BaseHTTPRequestHandler) -> None:
        """Note what was asked."""
        raise NotImplementedError

    def close(self) -> None:
        """End the server, and the answers that hang."""
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def head(handler: BaseHTTPRequestHandler, status: int, **headers: object) -> None:
    """Send a status and headers, those that are not None."""
    handler.send_response(status)
    for key, value in headers.items():
        if value is not None:
            handler.send_header(key.replace("_", "-"), str(value))
    handler.end_headers()


def silent(handler: BaseHTTPRequestHandler, server: LocalServer) -> None:
    """Take the request and never answer."""
    server.over.wait()


def status(code: int, **headers: object) -> Answer:
    """Answer with a status and no body."""
    return lambda handler, server: head(handler, code, Content_Length=0, **headers)
