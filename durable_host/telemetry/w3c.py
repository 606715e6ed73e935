"""Between our trace contexts and times and OpenTelemetry's: its API alone, no SDK."""

from __future__ import annotations

from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from durable_host.core.tracing import TraceContext

_NOWHERE = Context()


def span_context(context: TraceContext) -> SpanContext:
    """Return OpenTelemetry's form of a context that comes from elsewhere."""
    return SpanContext(
        context.trace_id,
        context.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )


def as_parent(context: TraceContext | None) -> Context:
    """Return a context in which new spans are children of this one; without one they begin a trace."""
    return trace.set_span_in_context(NonRecordingSpan(span_context(context)), _NOWHERE) if context else _NOWHERE


def trace_context(span: trace.Span) -> TraceContext | None:
    """Return our form of a span's context; None for a span that is none."""
    found = span.get_span_context()
    if not found.is_valid:
        return None
    return TraceContext(found.trace_id, found.span_id, found.trace_flags.sampled, found.trace_state.to_header())


def ambient() -> TraceContext | None:
    """Return the context of the span in which the caller runs."""
    return trace_context(trace.get_current_span())


def nanoseconds(when: datetime) -> int:
    """Return a time as OpenTelemetry has it, exact to the microsecond."""
    return int(when.timestamp()) * 10**9 + when.microsecond * 1000
