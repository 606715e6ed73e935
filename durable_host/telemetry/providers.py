"""The pipeline itself: OpenTelemetry's providers with a batch processor for each destination.

Built here and not by ``configure_azure_monitor``, which takes no id generator, samples by rate, watches the root logger
and exports URLs as they are.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib import metadata
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Status, StatusCode

from durable_host.core.spans import SpanRecord
from durable_host.core.tracing import TraceContext

from . import instrumentation, metering
from .destinations import Destination, made
from .environment import Destinations, is_sampler_chosen, told_process
from .handler import ExportHandler, severity
from .w3c import as_parent, nanoseconds, span_context

logger = logging.getLogger(__name__)

SERVICE_NAME = "durable-host"
#: spans, or log records, that may wait for one destination: some 35 MB. Beyond that the oldest are dropped
QUEUE_SIZE = 10_000
#: what may tell HTTP metrics apart. One instrumentation adds the whole URL: a new series for every query
_HTTP_LABELS = {
    *("http.method", "http.request.method", "http.status_code", "http.response.status_code", "error.type"),
    *("http.scheme", "url.scheme", "http.flavor", "network.protocol.version", "http.route"),
    *("http.host", "http.server_name", "net.host.name", "net.host.port", "net.peer.name", "net.peer.port"),
    *("server.address", "server.port"),
}
_HTTP_VIEW = View(instrument_name="http.*", attribute_keys=_HTTP_LABELS)


class RecordedIds(RandomIdGenerator):
    """Gives a span the ids that history has for it; any other span gets random ones."""

    def __init__(self) -> None:
        self._next = threading.local()

    def announce(self, context: TraceContext | None) -> None:
        """Say which ids the next span of this thread has; None for random ones."""
        self._next.context = context

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        context: TraceContext | None = getattr(self._next, "context", None)
        return context.trace_id if context else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        context: TraceContext | None = getattr(self._next, "context", None)
        return context.span_id if context else super().generate_span_id()


class Providers:
    """The pipeline of one process."""

    def __init__(self, destinations: Iterable[Destination], resource: Resource) -> None:
        self.resource = resource
        self._ids = RecordedIds()
        spans, logs, readers = _processors(destinations)
        # Ended by our own stop(), within its time: the SDK's handlers at exit wait for half a minute.
        self.meters = MeterProvider(readers, resource, shutdown_on_exit=False, views=[_HTTP_VIEW])
        self.tracers = TracerProvider(
            sampler=None if is_sampler_chosen() else ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self.loggers = LoggerProvider(resource, shutdown_on_exit=False)
        for span_processor in spans:
            self.tracers.add_span_processor(span_processor)
        for log_processor in logs:
            self.loggers.add_log_record_processor(log_processor)
        self._drains: list[BatchSpanProcessor | BatchLogRecordProcessor | PeriodicExportingMetricReader] = [
            *spans,
            *logs,
            *readers,
        ]
        self.tracer = self.tracers.get_tracer("durable_host")
        self.handler = ExportHandler(self.loggers)

    def emit_span(self, record: SpanRecord) -> None:
        """Export a span that history knows, through sampler, limits and processors like any other."""
        if not record.context.is_sampled:
            return
        parent = as_parent(record.parent)
        self._ids.announce(record.context)
        try:
            span = self.tracer.start_span(
                record.name,
                context=parent,
                kind=trace.SpanKind[record.kind],
                attributes=record.attributes,
                links=[Link(span_context(link)) for link in record.links],
                start_time=nanoseconds(record.start),
            )
        finally:
            self._ids.announce(None)
        if record.error:
            span.set_status(Status(StatusCode.ERROR, record.error))
        span.end(nanoseconds(record.end))

    def emit_log(
        self, scope: str, at: datetime, body: str, attributes: Mapping[str, Any], context: Context, *, level: int
    ) -> None:
        """Export a log record that is no line of the log: a tracking record, a custom event."""
        number, text = severity(level)
        self.loggers.get_logger(scope).emit(
            LogRecord(
                timestamp=nanoseconds(at),
                context=context,
                severity_number=number,
                severity_text=text,
                body=body,
                attributes=attributes,
            )
        )

    def flush(self, seconds: float) -> bool:
        """Send what waits; return whether all of it was handed over in time."""
        return _all_within(seconds, [lambda one=one: one.force_flush() for one in self._drains])  # type: ignore[misc]

    def stop(self, seconds: float) -> None:
        """Send what waits and end, or give up after so many seconds."""
        self.handler.detach()
        _all_within(seconds, [one.shutdown for one in self._drains])


def build(chosen: Destinations, role: str) -> Providers | None:
    """Build the pipeline, make it the process's own, and instrument its libraries; None if no exporter can be made."""
    found = made(chosen)
    if not found:
        return None
    providers = Providers(found, _resource(role))
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # Otherwise the project around this app has telemetry of its own, which stays.
        trace.set_tracer_provider(providers.tracers)
        metrics.set_meter_provider(providers.meters)
        _logs.set_logger_provider(providers.loggers)
    providers.handler.attach()
    metering.bind(providers.meters.get_meter("durable_host"))
    instrumentation.instrument(role, providers.tracers, providers.meters)
    return providers


def version() -> str:
    """Return the version of this host."""
    try:
        return metadata.version("durable-host")
    except metadata.PackageNotFoundError:
        return "0"


def _processors(
    destinations: Iterable[Destination],
) -> tuple[list[BatchSpanProcessor], list[BatchLogRecordProcessor], list[PeriodicExportingMetricReader]]:
    """Return a processor for each exporter: one destination that hangs does not keep the others waiting."""
    spans: list[BatchSpanProcessor] = []
    logs: list[BatchLogRecordProcessor] = []
    readers: list[PeriodicExportingMetricReader] = []
    for one in destinations:
        if one.spans:
            spans.append(BatchSpanProcessor(one.spans, max_queue_size=_queue_size("OTEL_BSP_MAX_QUEUE_SIZE")))
        if one.logs:
            logs.append(BatchLogRecordProcessor(one.logs, max_queue_size=_queue_size("OTEL_BLRP_MAX_QUEUE_SIZE")))
        if one.metrics:
            readers.append(PeriodicExportingMetricReader(one.metrics))
    return spans, logs, readers


def _queue_size(variable: str) -> int | None:
    """Return our queue size, or None where the operator has chosen one: the SDK reads it."""
    return None if os.environ.get(variable) else QUEUE_SIZE


def _resource(role: str) -> Resource:
    """Say who sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    given = OTELResourceDetector().detect()
    ours = {
        "service.name": SERVICE_NAME,
        "service.version": version(),
        "service.instance.id": f"{platform.node()}/{role}-{told_process()}",
    }
    return Resource.create({**ours, **given.attributes})


def _all_within(seconds: float, acts: list[Callable[[], object]]) -> bool:
    """Do everything at once; return whether all was done in time. What hangs is left to end with the process."""
    threads = [threading.Thread(target=act, name="telemetry-drain", daemon=True) for act in acts]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
