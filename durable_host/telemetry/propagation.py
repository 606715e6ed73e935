"""Trace contexts on their way: from a request to an instance, from a row to an activity, and out into the world.

OpenTelemetry's API alone: a host without telemetry passes on what it was given, so that a caller's trace does not end
at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from durable_host.core import spans
from durable_host.core.tracing import TraceContext, server_side

from . import pipeline
from .w3c import ambient, as_parent, nanoseconds, span_context, trace_context

_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Creation:
    """The context of a start: what an instance's ExecutionStarted keeps of it."""

    context: TraceContext | None = None
    _span: Span | None = field(default=None, repr=False)

    @property
    def trace_parent(self) -> str | None:
        """W3C ``traceparent``; None where nobody traces."""
        return self.context.traceparent if self.context else None

    @property
    def trace_state(self) -> str | None:
        """W3C ``tracestate``."""
        return (self.context.state or None) if self.context else None

    def committed(self) -> None:
        """End the span of the start and export it. Without this call, as after a rollback, it never was."""
        if self._span:
            self._span.end()


def begin_create(name: str, instance_id: str, version: str = "") -> Creation:
    """Begin the PRODUCER span in which a client starts an orchestration, under the caller's own span.

    Where telemetry is off, the caller's context is passed on as it is.

    Args:
        name: the orchestrator.
        instance_id: the instance that shall be started.
        version: its version, if it has one.
    """
    providers = pipeline.current()
    if providers is None:
        return Creation(ambient())
    span = providers.tracer.start_span(
        spans.create_span_name(name, version),
        kind=SpanKind.PRODUCER,
        attributes=spans.create_attributes(name, instance_id, version),
    )
    return Creation(trace_context(span), span)


def event_sent(event_name: str, instance_id: str, target: TraceContext, at: datetime) -> None:
    """Export the PRODUCER span in which a client has sent an external event.

    Under the caller's own span it links to the instance that gets the event; without one it belongs to that instance's
    trace.

    Args:
        event_name: the event.
        instance_id: the instance that gets it.
        target: the span of that instance's execution.
        at: when the client sent it.
    """
    providers = pipeline.current()
    if providers is None:
        return
    has_caller = trace.get_current_span().get_span_context().is_valid
    providers.tracer.start_span(
        spans.event_span_name(event_name),
        context=None if has_caller else as_parent(target),
        kind=SpanKind.PRODUCER,
        attributes=spans.event_attributes(event_name, instance_id),
        links=[Link(span_context(target))] if has_caller else [],
        start_time=nanoseconds(at),
    ).end()


@contextmanager
def activity_context(trace_parent: str | None, trace_state: str | None = "") -> Iterator[None]:
    """Run an activity's code under its SERVER span: spans that it opens, and calls that it makes, hang below.

    That span itself is told once, when the outcome is committed.

    Args:
        trace_parent: W3C context of the CLIENT span of the call, as its row has it; empty for none.
        trace_state: the other header.
    """
    client = TraceContext.parse(trace_parent, trace_state)
    if client is None:
        yield
        return
    with _attached(as_parent(server_side(client))):
        yield


@contextmanager
def incoming(headers: Mapping[str, str]) -> Iterator[None]:
    """Take the trace context of a request for the ambient one, unless a span runs already: then it has done so.

    Args:
        headers: of the request, in lower case or in a mapping that does not care.
    """
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    with _attached(_W3C.extract(headers)):
        yield


def outgoing(headers: MutableMapping[str, str]) -> None:
    """Write the ambient trace context into the headers of a request."""
    _W3C.inject(headers)


@contextmanager
def _attached(context: otel.Context) -> Iterator[None]:
    token = otel.attach(context)
    try:
        yield
    finally:
        otel.detach(token)
