"""The exporters of each destination, from what the environment says."""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from .environment import AZURE_VARIABLE, Destinations, Protocol, Signal, keep_quiet
from .exporters import CleanLogExporter, CleanMetricExporter, CleanSpanExporter
from .redaction import redacted

logger = logging.getLogger(__name__)

#: seconds that Azure's client waits for an answer; its own default is five minutes
TIMEOUT_SECONDS = 10.0
#: at INFO they write a line for every export, and one more with all its headers
_CHATTY = ("azure.core.pipeline.policies.http_logging_policy", "azure.monitor.opentelemetry.exporter")
_OTLP_EXPORTERS = {
    Signal.TRACES: ("trace_exporter", "OTLPSpanExporter"),
    Signal.LOGS: ("_log_exporter", "OTLPLogExporter"),
    Signal.METRICS: ("metric_exporter", "OTLPMetricExporter"),
}

#: who says, at every attempt, that an endpoint does not answer
_COMPLAINERS = (
    "azure.monitor.opentelemetry.exporter.export._base",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.sdk._shared_internal",
)
_COMPLAINT_SECONDS = 60.0

T = TypeVar("T")


class Seldom(logging.Filter):
    """Lets one line a minute pass: an endpoint that is away for a night must not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether it is time for a line."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _COMPLAINT_SECONDS
        return True


@dataclass(slots=True)
class Destination:
    """Where spans, log records and metrics go; None where one does not."""

    name: str
    spans: SpanExporter | None = None
    logs: LogRecordExporter | None = None
    metrics: MetricExporter | None = None

    def __bool__(self) -> bool:
        return bool(self.spans or self.logs or self.metrics)


def made(chosen: Destinations) -> list[Destination]:
    """Return the destinations whose exporters could be made; log an error for each that could not."""
    keep_quiet()
    for name in _COMPLAINERS:
        logging.getLogger(name).addFilter(Seldom())
    return [one for one in (_azure(chosen), _otlp(chosen)) if one]


def _azure(chosen: Destinations) -> Destination:
    found = Destination("Application Insights")
    if not chosen.azure_signals:
        return found
    # Its exporters read the variable, too, and stumble over the semicolon that a paste leaves at the end.
    os.environ[AZURE_VARIABLE] = chosen.azure
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    azure = importlib.import_module("azure.monitor.opentelemetry.exporter")
    options = {
        "connection_string": chosen.azure,
        # What cannot be sent is not left on the disk, in clear.
        "disable_offline_storage": True,
        # Its own limit drops what goes beyond it; the queues are the limit here.
        "max_envelopes_per_second": 0,
        "timeout": TIMEOUT_SECONDS,
        "read_timeout": TIMEOUT_SECONDS,
    }
    if Signal.TRACES in chosen.azure_signals:
        make_spans = partial(azure.AzureMonitorTraceExporter, **options)
        found.spans = _tried(found, lambda: CleanSpanExporter(make_spans, limits_age=True))
    if Signal.LOGS in chosen.azure_signals:
        make_logs = partial(azure.AzureMonitorLogExporter, **options)
        found.logs = _tried(found, lambda: CleanLogExporter(make_logs, limits_age=True))
    if Signal.METRICS in chosen.azure_signals:
        make_metrics = partial(azure.AzureMonitorMetricExporter, **options)
        found.metrics = _tried(found, lambda: CleanMetricExporter(make_metrics))
    return found


def _otlp(chosen: Destinations) -> Destination:
    """Return what speaks OTLP. The exporters read endpoints, headers, certificates and the like themselves."""
    found = Destination("OTLP")
    for signal, protocol in chosen.otlp.items():
        module, name = _OTLP_EXPORTERS[signal]
        package = "grpc" if protocol is Protocol.GRPC else "http"
        make = getattr(importlib.import_module(f"opentelemetry.exporter.otlp.proto.{package}.{module}"), name)
        if signal is Signal.TRACES:
            found.spans = _tried(found, partial(CleanSpanExporter, make))
        elif signal is Signal.LOGS:
            found.logs = _tried(found, partial(CleanLogExporter, make))
        else:
            found.metrics = _tried(found, partial(CleanMetricExporter, make))
    return found


def _tried(destination: Destination, make: Callable[[], T]) -> T | None:
    """Make an exporter; where it refuses its settings, say so and go on without it."""
    try:
        return make()
    except Exception as error:  # another project's code, which reads a dozen variables of the environment
        logger.error(
            "The exporter for %s cannot be made, so nothing is sent there: %s: %s",
            destination.name,
            type(error).__name__,
            redacted(str(error)),
        )
        return None
