"""Telling the world what was committed: tracking records and spans, as core derives them from events.

Nothing is done where the environment names no destination (see :mod:`.environment`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from durable_host.core.spans import SpanKind, SpanRecord
from durable_host.core.status import RuntimeStatus
from durable_host.core.tracing import TraceContext
from durable_host.core.tracking import TrackingRecord

from . import pipeline, tracking_logs
from .w3c import as_parent

logger = logging.getLogger(__name__)

T = TypeVar("T")

EVENT_NAME = "microsoft.custom_event.name"
EVENT_MEASUREMENTS = "microsoft.custom_measurements"
#: Durable Functions' lifecycle events; continue-as-new is no end
_ENDS = {
    RuntimeStatus.COMPLETED.value: logging.INFO,
    RuntimeStatus.FAILED.value: logging.ERROR,
    RuntimeStatus.TERMINATED.value: logging.WARNING,
}


def records(committed: Iterable[TrackingRecord], trace: TraceContext | None = None) -> None:
    """Export tracking records, after the commit that made them true. Nothing is done where telemetry is off.

    Args:
        committed: of one execution or of several of its activities; replayed ones are left out unless the setting
            TRACE_REPLAY_EVENTS asks for them.
        trace: the span to which they belong (``ExecutionTrace.span``): Application Insights' operation id.
    """
    if pipeline.current() is not None:
        _each(_apart(committed), lambda record: _tell_record(record, trace))


def spans(ended: Iterable[SpanRecord]) -> None:
    """Export finished spans, each with the ids that it has, after the commit that ended it."""
    if pipeline.current() is not None:
        _each(ended, _tell_span)


def _apart(committed: Iterable[TrackingRecord]) -> Iterator[TrackingRecord]:
    """Set records of the same moment, as those of one turn are, a microsecond apart.

    Their order is part of the story, and the published queries take the latest by its time alone.
    """
    latest = datetime.min.replace(tzinfo=UTC)
    for record in committed:
        latest = max(record.at, latest + timedelta(microseconds=1))
        yield record._replace(at=latest)


def _each(things: Iterable[T], tell: Callable[[T], None]) -> None:
    try:
        for thing in things:
            tell(thing)
    except Exception:  # the work is committed; a fault of its telemetry must not make it look failed
        logger.exception("Telemetry was lost.")


def _tell_record(record: TrackingRecord, trace: TraceContext | None) -> None:
    providers, log = pipeline.current(), tracking_logs.tracking_log_of(record)
    if providers is None or log is None:
        return
    scope, context = tracking_logs.TRACKING_SCOPE, as_parent(trace)
    providers.emit_log(scope, record.at, log.text, log.attributes, context, level=log.level)
    if tracking_logs.is_orchestration_start(record):
        fields = {"durabletask.task.name": record.function_name, "durabletask.task.instance_id": record.instance_id}
        _tell_event("OrchestrationStarted", record.at, fields, trace, logging.INFO)


def _tell_span(span: SpanRecord) -> None:
    providers = pipeline.current()
    if providers is None:
        return
    providers.emit_span(span)
    status = span.attributes.get("durabletask.task.status")
    if span.kind is SpanKind.SERVER and span.attributes.get("durabletask.type") == "orchestration" and status in _ENDS:
        fields = dict(span.attributes)
        took = round((span.end - span.start).total_seconds() * 1000)
        fields[EVENT_MEASUREMENTS] = json.dumps({"durationMs": took})
        fields["durabletask.duration_ms"] = took
        if span.error:
            # Its message may hold what the setting TRACE_INPUTS_AND_OUTPUTS keeps back.
            fields["durabletask.error_type"] = span.error.partition(":")[0]
        _tell_event(f"Orchestration{status}", span.end, fields, span.context, _ENDS[str(status)])


def _tell_event(name: str, at: datetime, fields: dict[str, Any], trace: TraceContext | None, level: int) -> None:
    """Export a custom event: what people build charts and alerts on, kept also where spans are sampled."""
    providers = pipeline.current()
    if providers is not None:
        providers.emit_log(
            "durable_host.lifecycle", at, name, {EVENT_NAME: name, **fields}, as_parent(trace), level=level
        )
