"""Wrappers of all exporters: no key or token leaves, and a forked child gets an exporter of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from .metering import HistogramReader
from .redaction import may_hide, redacted, redacted_value

#: Application Insights refuses what is older than 48 hours; an hour is left for the way
OLDEST_NS = 47 * 3600 * 10**9

ExporterT = TypeVar("ExporterT")


class _Own(Generic[ExporterT]):
    """An exporter of this process: connections, and gRPC's above all, do not survive a fork."""

    def __init__(self, make: Callable[[], ExporterT]) -> None:
        self._make = make
        self._exporter = make()
        self._pid = os.getpid()

    def get(self) -> ExporterT:
        """Return the exporter, made anew where the process is a forked child."""
        if self._pid != os.getpid():
            self._exporter = self._make()
            self._pid = os.getpid()
        return self._exporter


class CleanSpanExporter(SpanExporter):
    """Exports spans without keys and tokens.

    Here and not in a span processor: instrumentations write URLs into spans whenever they like, up to their end.

    Args:
        make: makes the exporter.
        limits_age: whether the destination refuses what began two days ago.
    """

    def __init__(self, make: Callable[[], SpanExporter], *, limits_age: bool = False) -> None:
        self._own = _Own(make)
        self._limits_age = limits_age

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans."""
        oldest = time.time_ns() - OLDEST_NS if self._limits_age else 0
        return self._own.get().export([_young(_clean_span(span), oldest) for span in spans])

    def shutdown(self) -> None:
        """End the exporter."""
        self._own.get().shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: exporters keep nothing back."""
        return True


class CleanLogExporter(LogRecordExporter):
    """Exports log records without keys and tokens; arguments as of :class:`CleanSpanExporter`."""

    def __init__(self, make: Callable[[], LogRecordExporter], *, limits_age: bool = False) -> None:
        self._own = _Own(make)
        self._limits_age = limits_age

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export log records."""
        oldest = time.time_ns() - OLDEST_NS if self._limits_age else 0
        return self._own.get().export([_clean_log(one, oldest) for one in batch])

    def shutdown(self) -> None:
        """End the exporter."""
        self._own.get().shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: exporters keep nothing back."""
        return True


class CleanMetricExporter(MetricExporter):
    """Exports metrics without keys and tokens: instrumentations of HTTP clients label them with URLs.

    Our own histograms are added here.
    """

    def __init__(self, make: Callable[[], MetricExporter]) -> None:
        self._own = _Own(make)
        inner: Any = self._own.get()
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        temporality = (inner._preferred_temporality or {}).get(Histogram)
        self._histograms = HistogramReader(is_delta=temporality is AggregationTemporality.DELTA)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export metrics."""
        whole = _with(self._histograms.read(), metrics_data)
        return self._own.get().export(_clean_metrics(whole), timeout_millis, **kwargs)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End the exporter."""
        self._histograms.close()
        self._own.get().shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: exporters keep nothing back."""
        return True


def _clean_span(span: ReadableSpan) -> ReadableSpan:
    """Return a span without secrets: itself, where it has none."""
    changes = {
        "name": redacted(span.name),
        "attributes": _clean(span.attributes),
        "events": _clean_events(span.events),
        "links": _clean_links(span.links),
        "status": _clean_status(span.status),
    }
    return _changed(span, {name: value for name, value in changes.items() if value is not getattr(span, name)})


def _clean(attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return attributes without secrets: the same object, where there are none."""
    if not attributes or not may_hide(attributes):
        return attributes
    clean = {name: redacted_value(name, value) for name, value in attributes.items()}
    return clean if any(clean[name] is not value for name, value in attributes.items()) else attributes


def _clean_events(events: Sequence[Event]) -> Sequence[Event]:
    cleaned = [_clean(event.attributes) for event in events]
    if all(clean is event.attributes for clean, event in zip(cleaned, events, strict=True)):
        return events
    return [Event(event.name, clean, event.timestamp) for clean, event in zip(cleaned, events, strict=True)]


def _clean_links(links: Sequence[Link]) -> Sequence[Link]:
    cleaned = [_clean(link.attributes) for link in links]
    if all(clean is link.attributes for clean, link in zip(cleaned, links, strict=True)):
        return links
    return [Link(link.context, clean) for clean, link in zip(cleaned, links, strict=True)]


def _clean_status(status: Status) -> Status:
    text = redacted(status.description or "")
    return status if text == (status.description or "") else Status(status.status_code, text)


def _young(span: ReadableSpan, oldest: int) -> ReadableSpan:
    """Return a span that begins no earlier than a destination takes it, and tells the truth in its attributes."""
    start, end = span.start_time or 0, span.end_time or 0
    if start >= oldest:
        return span
    truth = {"durabletask.true_start": _iso(start), "durabletask.duration_ms": max(0, end - start) // 10**6}
    return _changed(
        span,
        {
            "start_time": oldest,
            "end_time": max(end, oldest),
            "attributes": {**(span.attributes or {}), **truth},
            "events": [Event(one.name, one.attributes, max(one.timestamp, oldest)) for one in span.events],
        },
    )


def _changed(span: ReadableSpan, changes: Mapping[str, Any]) -> ReadableSpan:
    if not changes:
        return span
    whole = {
        "name": span.name,
        "context": span.context,
        "parent": span.parent,
        "resource": span.resource,
        "attributes": span.attributes,
        "events": span.events,
        "links": span.links,
        "kind": span.kind,
        "status": span.status,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "instrumentation_scope": span.instrumentation_scope,
    }
    return ReadableSpan(**{**whole, **changes})


def _clean_log(readable: ReadableLogRecord, oldest: int) -> ReadableLogRecord:
    """Return a log record without secrets, and no older than a destination takes it."""
    record = readable.log_record
    clean = copy(record)
    clean.attributes = _clean(record.attributes)
    if isinstance(record.body, str):
        clean.body = redacted(record.body)
    if record.timestamp is not None and record.timestamp < oldest:
        clean.timestamp = oldest
        clean.attributes = {**(clean.attributes or {}), "durabletask.true_time": _iso(record.timestamp)}
    return ReadableLogRecord(clean, readable.resource, readable.instrumentation_scope, readable.limits)


def _with(histograms: list[Metric], data: MetricsData) -> MetricsData:
    """Return metrics with our histograms beside our other ones."""
    if not histograms or not data.resource_metrics:
        return data
    first, *others = data.resource_metrics
    ours = ScopeMetrics(InstrumentationScope("durable_host"), histograms, "")
    return MetricsData([replace(first, scope_metrics=[*first.scope_metrics, ours]), *others])


def _clean_metrics(data: MetricsData) -> MetricsData:
    """Return metrics whose points, and their exemplars, have no secrets."""
    return replace(
        data,
        resource_metrics=[
            replace(
                of,
                scope_metrics=[
                    replace(part, metrics=[_clean_metric(metric) for metric in part.metrics])
                    for part in of.scope_metrics
                ],
            )
            for of in data.resource_metrics
        ],
    )


def _clean_metric(metric: Metric) -> Metric:
    data: Any = metric.data  # of whatever kind: all have points with attributes
    points = [
        replace(
            point,
            attributes=_clean(point.attributes),
            exemplars=[replace(one, filtered_attributes=_clean(one.filtered_attributes)) for one in point.exemplars],
        )
        for point in data.data_points
    ]
    return replace(metric, data=replace(data, data_points=points))


def _iso(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 10**9, UTC).isoformat()
