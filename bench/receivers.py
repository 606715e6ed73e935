"""Endpoints for telemetry: one that takes everything, and one that never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint(StrEnum):
    """Where the processes of a measurement send their telemetry."""

    NONE = "none"
    TAKES = "takes"
    HANGS = "hangs"


class _Takes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the request and say yes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Hangs(_Takes):
    def do_POST(self) -> None:
        """Read nothing and answer never, until the measurement is over."""
        _over.wait()


_over = threading.Event()
_HANDLERS = {Endpoint.TAKES: _Takes, Endpoint.HANGS: _Hangs}


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[Mapping[str, str]]:
    """Run an endpoint on the loopback address; give the environment that sends to it."""
    handler = _HANDLERS.get(endpoint)
    if handler is None:
        yield {}
        return
    _over.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        finally:
            _over.set()
            server.shutdown()
