"""Trace contexts that any process at any time derives from history alone.

The span of an orchestration lives longer than every process that works on it. So no process keeps it: ids are hashes of
what history knows (instance, execution, number of the event), and whoever commits the end of some work emits its span.
The tree of one execution, named as DTFx does (:mod:`spans`)::

    create_orchestration:NAME        PRODUCER  the client's; ExecutionStarted.trace_parent names it
    └─ orchestration:NAME            SERVER    ExecutionTrace.span
       ├─ activity:NAME              CLIENT    ExecutionTrace.of_task(event id)
       │  └─ activity:NAME           SERVER    server_side(its CLIENT span)
       ├─ orchestration:CHILD        CLIENT    of_task(event id); the child's ExecutionStarted.trace_parent names it
       ├─ orchestration:NAME:timer   INTERNAL  of_task(event id)
       └─ orchestration_event:EVENT  PRODUCER  of_task(event id)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from hashlib import blake2b

from .events import ExecutionStarted

#: version, trace id, span id and flags; what a later version may have put behind them
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of one span in its trace (W3C Trace Context, level 1)."""

    #: 128 bits, never 0
    trace_id: int
    #: 64 bits, never 0
    span_id: int
    #: whether the trace is recorded, which whoever began it has decided
    is_sampled: bool = True
    #: the ``tracestate`` header as it came, to be passed on
    state: str = ""

    @staticmethod
    def parse(traceparent: str | None, tracestate: str | None = "") -> TraceContext | None:
        """Return the context that headers name; None where the standard says to begin a new trace.

        Args:
            traceparent: the header, of version 00 or of a later one, which begins alike.
            tracestate: the other header. It means nothing without a valid first one.
        """
        found = _HEADER.fullmatch((traceparent or "").strip(" \t"))
        if found is None:
            return None
        version, *fields, rest = found.groups()
        if version == "ff" or (rest and version == "00"):
            return None
        trace_id, span_id, flags = (int(field, 16) for field in fields)
        if trace_id == 0 or span_id == 0:
            return None
        return TraceContext(trace_id, span_id, bool(flags & _SAMPLED), tracestate or "")

    @property
    def traceparent(self) -> str:
        """The ``traceparent`` header, version 00."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.is_sampled else '00'}"

    def child(self, *parts: str | int) -> TraceContext:
        """Return the context of a span of the same trace: for the same parts the same one, always."""
        return TraceContext(self.trace_id, _hash(8, self.trace_id, self.span_id, *parts), self.is_sampled, self.state)


@dataclass(frozen=True, slots=True)
class ExecutionTrace:
    """Where the spans of one execution belong."""

    #: the span that asked for the instance; None where nobody traced that
    parent: TraceContext | None
    #: the orchestration span of this execution
    span: TraceContext
    #: the orchestration span of the execution before: what continue-as-new or a rewind links back to
    previous: TraceContext | None = None

    @classmethod
    def of(cls, instance_id: str, started: ExecutionStarted, generation: int) -> ExecutionTrace:
        """Derive the trace of an execution.

        All executions of an instance share one trace: that of its parent or, where it has none, one of its own.

        Args:
            instance_id: id of the instance.
            started: the first event. After a rewind it is the one of an execution before.
            generation: number of the execution; after a rewind it is not ``started.generation``.
        """
        parent = TraceContext.parse(started.trace_parent, started.trace_state)
        root = parent or _root(instance_id, started)
        previous = root.child(instance_id, generation - 1) if generation else None
        return cls(parent, root.child(instance_id, generation), previous)

    def of_task(self, event_id: int) -> TraceContext:
        """Return the context of what the scheduling event of this number asked for."""
        return self.span.child(event_id)


def server_side(client: TraceContext) -> TraceContext:
    """Return the context of the SERVER span in which an activity runs, given that of its CLIENT span.

    All attempts share it: a span that the activity's code opened in an attempt whose worker was killed hangs under the
    one span that is emitted, by the worker whose outcome was committed.
    """
    return client.child("server")


def _root(instance_id: str, started: ExecutionStarted) -> TraceContext:
    """Return a context that stands for the missing parent; no span ever has it."""
    began = (started.first_started or started.timestamp).astimezone(UTC).isoformat()
    return TraceContext(_hash(16, instance_id, began), _hash(8, instance_id, began))


def _hash(size: int, *parts: str | int) -> int:
    """Return a number of so many bytes, never 0."""
    text = "\x1f".join([str(part) for part in parts])
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "big") or 1
