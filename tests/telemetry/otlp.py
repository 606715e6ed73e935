"""What OTLP brings, parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.telemetry.inbox import Inbox


@dataclass
class Span:
    """A span as OTLP brought it; ids are hexadecimal, times nanoseconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    error: str
    is_error: bool
    scope: str
    links: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass
class Log:
    """A log record as OTLP brought it."""

    body: Any
    severity: str
    time: int
    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    scope: str


class Otlp(Inbox):
    """An OTLP receiver, for HTTP with protobuf or for gRPC."""

    def __init__(self, address: str, protocol: str) -> None:
        super().__init__()
        self.address = address
        self.protocol = protocol
        self.spans: list[Span] = []
        self.logs: list[Log] = []
        #: by name: (attributes, point) pairs
        self.metrics: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        self.body_seen = b""

    @property
    def env(self) -> dict[str, str]:
        """The environment that sends to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.address, "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol}

    def clear(self) -> None:
        """Forget everything."""
        with self.changed:
            self.spans.clear()
            self.logs.clear()
            self.metrics.clear()
            self.body_seen = b""

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        with self.changed:
            return [span for span in self.spans if span.name == name]

    def wait_for_spans(self, count: int) -> list[Span]:
        """Return the spans once there are so many."""
        self.wait_for(lambda: len(self.spans) >= count, f"{count} spans")
        return list(self.spans)

    def wait_for_logs(self, count: int) -> list[Log]:
        """Return the log records once there are so many."""
        self.wait_for(lambda: len(self.logs) >= count, f"{count} log records")
        return list(self.logs)

    def take(self, request: Message) -> None:
        """Keep what a request brought."""
        with self.changed:
            self.body_seen += request.SerializeToString()
            if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
                self.spans.extend(_spans(request))
            elif isinstance(request, logs_service_pb2.ExportLogsServiceRequest):
                self.logs.extend(_logs(request))
            elif isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
                for name, points in _metrics(request):
                    self.metrics.setdefault(name, []).extend(points)
            self.changed.notify_all()


def _spans(request: Any) -> Iterator[Span]:
    for resource, scope, span in (
        (of.resource, part.scope, span)
        for of in request.resource_spans
        for part in of.scope_spans
        for span in part.spans
    ):
        yield Span(
            name=span.name,
            kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            resource=_attributes(resource.attributes),
            error=span.status.message,
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
            scope=scope.name,
            links=[link.span_id.hex() for link in span.links],
            events=[(event.name, _attributes(event.attributes)) for event in span.events],
        )


def _logs(request: Any) -> Iterator[Log]:
    for of in request.resource_logs:
        for part in of.scope_logs:
            for one in part.log_records:
                yield Log(
                    body=_value(one.body),
                    severity=one.severity_text,
                    time=one.time_unix_nano,
                    trace_id=one.trace_id.hex(),
                    span_id=one.span_id.hex(),
                    attributes=_attributes(one.attributes),
                    scope=part.scope.name,
                )


def _metrics(request: Any) -> Iterator[tuple[str, list[tuple[dict[str, Any], Any]]]]:
    for of in request.resource_metrics:
        for part in of.scope_metrics:
            for metric in part.metrics:
                points = getattr(metric, metric.WhichOneof("data")).data_points
                yield metric.name, [(_attributes(point.attributes), point) for point in points]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
