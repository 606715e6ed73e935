"""A small HTTP server of a test's own, on a loopback address."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = BaseHTTPRequestHandler
Route = Callable[[Handler], None]


@dataclass
class Seen:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    thread: str = field(default_factory=lambda: threading.current_thread().name)


class Server:
    """Answers by path, and remembers what it was asked."""

    def __init__(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Route] = {}
        self.seen: list[Seen] = []
        self._http = ThreadingHTTPServer((address, 0), self._handler())
        self._http.daemon_threads = True
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = int(self._http.server_address[1])
        self.scheme = "http" if tls is None else "https"
        self.address = address

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return an address of this server."""
        return f"{self.scheme}://{host or self.address}:{self.port}{path}"

    def answer(self, path: str, status: int = 200, body: str | bytes = "", **headers: str) -> None:
        """Have a path answered always the same; ``Retry_After`` is the header Retry-After."""
        self.routes[path] = lambda handler: reply(handler, status, body, **headers)

    def answers(self, path: str, *replies: tuple[int, str, dict[str, str]]) -> None:
        """Have a path answered by each of these in turn."""
        left: Iterator[tuple[int, str, dict[str, str]]] = iter(replies)

        def route(handler: Handler) -> None:
            status, body, headers = next(left)
            reply(handler, status, body, **headers)

        self.routes[path] = route

    def _handler(self) -> type[Handler]:
        server = self

        class OneRequest(Handler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append(Seen(self.command, self.path, headers, body))
                route = server.routes.get(self.path.partition("?")[0])
                if route is None:
                    reply(self, 404, "no such path")
                else:
                    route(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return OneRequest

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def reply(handler: Handler, status: int, body: str | bytes = "", **headers: str) -> None:
    """Send one answer."""
    data = body.encode() if isinstance(body, str) else body
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)
