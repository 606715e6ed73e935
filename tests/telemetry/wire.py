"""Receivers for the unmodified exporters, on free ports of the loopback address."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, create_server, socket
from typing import Any

import grpc
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.telemetry.insights import AppInsights
from tests.telemetry.otlp import Otlp

_OTLP_PATHS: dict[str, Any] = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    inbox: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _InsightsHandler(_Handler):
    inbox: AppInsights

    def do_POST(self) -> None:
        body = self.body()
        self.inbox.requests += 1
        if self.path.partition("?")[0] != "/v2.1/track":
            self.answer(404)
        elif self.inbox.scripted:
            status, headers = self.inbox.scripted.pop(0)
            self.answer(status, b"{}", headers)
        else:
            status, answer = self.inbox.take(body)
            self.answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})


class _OtlpHandler(_Handler):
    inbox: Otlp

    def do_POST(self) -> None:
        request = _OTLP_PATHS[self.path]()
        request.ParseFromString(self.body())
        self.inbox.take(request)
        self.answer(200, headers={"Content-Type": "application/x-protobuf"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave in the middle."""


@contextmanager
def _served(handler: type[_Handler], inbox: Any) -> Iterator[str]:
    bound = type(handler.__name__, (handler,), {"inbox": inbox})
    with _Server(("127.0.0.1", 0), bound) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def app_insights() -> Iterator[AppInsights]:
    """Run an ingestion endpoint."""
    found = AppInsights("")
    with _served(_InsightsHandler, found) as address:
        found.address = address
        yield found


@contextmanager
def otlp_over_http() -> Iterator[Otlp]:
    """Run an OTLP receiver for http/protobuf."""
    found = Otlp("", "http/protobuf")
    with _served(_OtlpHandler, found) as address:
        found.address = address
        yield found


class _Servicer:
    """All three services: each has one method of one name."""

    def __init__(self, inbox: Otlp, answer: type[Message]) -> None:
        self._inbox = inbox
        self._answer = answer

    def Export(self, request: Message, context: Any) -> Message:
        """Take a request."""
        self._inbox.take(request)
        return self._answer()


@contextmanager
def otlp_over_grpc() -> Iterator[Otlp]:
    """Run an OTLP receiver for gRPC."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=3))
    found = Otlp(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", "grpc")
    traces = _Servicer(found, trace_service_pb2.ExportTraceServiceResponse)
    logs = _Servicer(found, logs_service_pb2.ExportLogsServiceResponse)
    metrics = _Servicer(found, metrics_service_pb2.ExportMetricsServiceResponse)
    # Generated code, without types.
    services: list[tuple[Any, _Servicer]] = [
        (trace_service_pb2_grpc.add_TraceServiceServicer_to_server, traces),
        (logs_service_pb2_grpc.add_LogsServiceServicer_to_server, logs),
        (metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server, metrics),
    ]
    for add, servicer in services:
        add(servicer, server)
    server.start()
    yield found
    server.stop(None).wait()


@contextmanager
def silent_server() -> Iterator[str]:
    """Run a server that accepts connections and never answers; yield its address."""
    held: list[socket] = []
    with create_server(("127.0.0.1", 0), backlog=128) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(listener.accept()[0])

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(SHUT_RDWR)  # who comes now is refused, and the thread ends
            acceptor.join()
            for one in held:
                one.close()
