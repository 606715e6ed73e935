"""What the spans of an execution are, derived from its history (DTFx, DurableTask.Core.Tracing).

Names, kinds, parents and attributes are those of DTFx, so that queries written for Durable Functions find these. Beyond
DTFx, a call whose outcome never entered history, because the orchestration had ended, has a span too, and each
execution after the first links to the one before.

``durabletask.task.execution_id`` is ``INSTANCE_ID:GENERATION``: an instance has one execution for each continue-as-new
and each rewind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from . import events as ev
from .timestamps import round_trip
from .tracing import ExecutionTrace, TraceContext, server_side

Attributes = Mapping[str, str | int]

#: status of a call whose outcome never entered history, because the orchestration had ended
NOT_AWAITED = "NotAwaited"


class SpanKind(StrEnum):
    """OpenTelemetry's kinds."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """One finished span."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent: TraceContext | None
    start: datetime
    end: datetime
    attributes: Attributes
    #: why it failed; empty where it did not
    error: str = ""
    links: tuple[TraceContext, ...] = ()


def orchestration_span_name(name: str, version: str = "") -> str:
    """Return the name of an orchestration's span, SERVER or CLIENT."""
    return f"orchestration:{name}@({version})" if version else f"orchestration:{name}"


def create_span_name(name: str, version: str = "") -> str:
    """Return the name of the PRODUCER span in which a client starts an orchestration."""
    return f"create_{orchestration_span_name(name, version)}"


def create_attributes(name: str, instance_id: str, version: str = "") -> dict[str, str | int]:
    """Return the attributes of the span in which a client starts an orchestration."""
    return orchestration_attributes(name, version) | _of_execution(instance_id, 0)


def orchestration_attributes(name: str, version: str = "") -> dict[str, str | int]:
    """Return the attributes of every span that is about an orchestration."""
    found: dict[str, str | int] = {"durabletask.type": "orchestration", "durabletask.task.name": name}
    return found | ({"durabletask.task.version": version} if version else {})


def event_span_name(event_name: str) -> str:
    """Return the name of the PRODUCER span in which somebody sends an external event."""
    return f"orchestration_event:{event_name}"


def event_attributes(event_name: str, target_instance_id: str) -> dict[str, str | int]:
    """Return the attributes of the span in which a client sends an external event."""
    return {
        "durabletask.type": "event",
        "durabletask.task.name": event_name,
        "durabletask.event.target_instance_id": target_instance_id,
    }


def activity_span_name(name: str) -> str:
    """Return the name of an activity's span, SERVER or CLIENT."""
    return f"activity:{name}"


def _of_execution(instance_id: str, generation: int) -> dict[str, str | int]:
    return {
        "durabletask.task.instance_id": instance_id,
        "durabletask.task.execution_id": f"{instance_id}:{generation}",
    }


def activity_span(
    *,
    instance_id: str,
    generation: int,
    name: str,
    task_id: int,
    attempt: int,
    client: TraceContext,
    started_at: datetime,
    outcome: ev.TaskCompleted | ev.TaskFailed,
) -> SpanRecord:
    """Return the SERVER span of an activity: the attempt whose outcome was committed.

    Args:
        instance_id: the orchestration that called it.
        generation: its execution.
        name: the activity.
        task_id: number of the event that scheduled it.
        attempt: which delivery this was, from 1; ``durabletask.task.attempt``.
        client: the CLIENT span of the call.
        started_at: when the attempt began.
        outcome: how it ended.
    """
    attributes: dict[str, str | int] = {
        "durabletask.type": "activity",
        "durabletask.task.name": name,
        "durabletask.task.task_id": task_id,
        "durabletask.task.attempt": attempt,
    }
    return SpanRecord(
        name=activity_span_name(name),
        kind=SpanKind.SERVER,
        context=server_side(client),
        parent=client,
        start=started_at,
        end=max(started_at, outcome.timestamp),
        attributes=attributes | _of_execution(instance_id, generation),
        error=str(outcome.failure_details) if isinstance(outcome, ev.TaskFailed) else "",
    )


class SpanFold:
    """Turns the events of one execution, taken in order, into its spans: each once, at the event that ends it.

    What has been told already is taken in the same way, and the answer ignored: stored history before a turn, and the
    part of a rewound execution's history that was copied from the execution before (:func:`tracking.inherited`).
    Outcomes that a rewind delivers once more are known by their time and left out; a timer's has no time of its own, so
    each execution that a timer woke shows it.

    The orchestration's span reaches from the first turn (from the rewind, where it was rewound) to the end. Calls that
    have no outcome by then end with it, marked :data:`NOT_AWAITED`: what runs below them keeps its parent. Timers that
    did not fire have no span.

    Args:
        instance_id: id of the instance.
        generation: number of the execution.
    """

    __slots__ = ("_base", "_began", "_generation", "_instance_id", "_open", "_rewound_at", "_started", "trace")

    def __init__(self, instance_id: str, generation: int) -> None:
        self._instance_id = instance_id
        self._generation = generation
        #: the attributes that all spans of the execution have
        self._base = _of_execution(instance_id, generation)
        #: calls and timers without an outcome, by event id
        self._open: dict[int, _Call] = {}
        self._began: datetime | None = None
        self._rewound_at: datetime | None = None
        self._started: ev.ExecutionStarted | None = None
        #: where its spans belong; None before its ExecutionStarted
        self.trace: ExecutionTrace | None = None

    def take(self, event: ev.HistoryEvent) -> list[SpanRecord]:
        """Return the spans that an event ends."""
        handler = _HANDLERS.get(type(event))
        return handler(self, event) if handler is not None else []

    def _on_turn(self, event: ev.OrchestratorStarted) -> list[SpanRecord]:
        if self._began is None:
            self._began = event.timestamp
        return []

    def _on_started(self, event: ev.ExecutionStarted) -> list[SpanRecord]:
        self._started = event
        self.trace = ExecutionTrace.of(self._instance_id, event, self._generation)
        return []

    def _on_rewound(self, event: ev.ExecutionRewound) -> list[SpanRecord]:
        self._began = self._rewound_at = event.timestamp
        return []

    def _on_activity(self, event: ev.TaskScheduled) -> list[SpanRecord]:
        self._open[event.event_id] = _Call(SpanKind.CLIENT, "activity", event.name, event.timestamp)
        return []

    def _on_sub_orchestration(self, event: ev.SubOrchestrationInstanceCreated) -> list[SpanRecord]:
        self._open[event.event_id] = _Call(
            SpanKind.CLIENT, "orchestration", event.name, event.timestamp, version=event.version
        )
        return []

    def _on_timer(self, event: ev.TimerCreated) -> list[SpanRecord]:
        name = self._started.name if self._started else ""
        self._open[event.event_id] = _Call(SpanKind.INTERNAL, "timer", name, event.timestamp, fire_at=event.fire_at)
        return []

    def _on_sent(self, event: ev.EventSent) -> list[SpanRecord]:
        attributes = self._base | event_attributes(event.name, event.instance_id)
        return self._emit(
            event.event_id,
            event_span_name(event.name),
            SpanKind.PRODUCER,
            event.timestamp,
            event.timestamp,
            attributes,
        )

    def _on_outcome(self, event: ev.TaskOutcome) -> list[SpanRecord]:
        call = self._open.pop(event.task_scheduled_id, None)
        is_again = self._rewound_at is not None and event.timestamp < self._rewound_at
        if call is None or (is_again and not isinstance(event, ev.TimerFired)):
            return []
        failure = (
            event.failure_details if isinstance(event, ev.TaskFailed | ev.SubOrchestrationInstanceFailed) else None
        )
        return self._close(event.task_scheduled_id, call, event.timestamp, error=str(failure) if failure else "")

    def _on_ended(self, event: ev.ExecutionCompleted) -> list[SpanRecord]:
        spans: list[SpanRecord] = []
        for task_id, call in self._open.items():
            if call.kind is SpanKind.CLIENT:
                spans += self._close(task_id, call, event.timestamp, status=NOT_AWAITED)
        self._open.clear()
        if self._started is None or self.trace is None:  # it was terminated before its start was due
            return spans
        failure = event.failure_details
        status = event.orchestration_status.value
        began = self._began or self._started.timestamp
        attributes = self._base | orchestration_attributes(self._started.name, self._started.version)
        spans.append(
            SpanRecord(
                name=orchestration_span_name(self._started.name, self._started.version),
                kind=SpanKind.SERVER,
                context=self.trace.span,
                parent=self.trace.parent,
                start=began,
                end=max(began, event.timestamp),
                attributes=attributes | {"durabletask.task.status": status},
                error=str(failure) if failure else "",
                links=(self.trace.previous,) if self.trace.previous else (),
            )
        )
        return spans

    def _close(
        self, task_id: int, call: _Call, end: datetime, *, error: str = "", status: str = ""
    ) -> list[SpanRecord]:
        attributes = self._base | call.attributes() | {"durabletask.task.task_id": task_id}
        if status:
            attributes["durabletask.task.status"] = status
        start = call.start if self._rewound_at is None else max(call.start, self._rewound_at)
        return self._emit(task_id, call.span_name, call.kind, start, end, attributes, error)

    def _emit(
        self,
        event_id: int,
        name: str,
        kind: SpanKind,
        start: datetime,
        end: datetime,
        attributes: Attributes,
        error: str = "",
    ) -> list[SpanRecord]:
        if self.trace is None:
            return []
        return [
            SpanRecord(
                name=name,
                kind=kind,
                context=self.trace.of_task(event_id),
                parent=self.trace.span,
                start=start,
                end=max(start, end),
                attributes=attributes,
                error=error,
            )
        ]


@dataclass(frozen=True, slots=True)
class _Call:
    """Something that was asked for: a call, or a timer."""

    kind: SpanKind
    type: str
    name: str
    start: datetime
    version: str = ""
    fire_at: datetime | None = None

    @property
    def span_name(self) -> str:
        if self.fire_at is not None:
            return f"{orchestration_span_name(self.name)}:timer"
        is_activity = self.type == "activity"
        return activity_span_name(self.name) if is_activity else orchestration_span_name(self.name, self.version)

    def attributes(self) -> dict[str, str | int]:
        found: dict[str, str | int] = {"durabletask.type": self.type, "durabletask.task.name": self.name}
        if self.version:
            found["durabletask.task.version"] = self.version
        if self.fire_at is not None:
            found["durabletask.fire_at"] = round_trip(self.fire_at)
        return found


#: events without an entry end no span
_HANDLERS: dict[type[ev.HistoryEvent], Callable[[SpanFold, Any], list[SpanRecord]]] = {
    ev.OrchestratorStarted: SpanFold._on_turn,
    ev.ExecutionStarted: SpanFold._on_started,
    ev.ExecutionRewound: SpanFold._on_rewound,
    ev.ExecutionCompleted: SpanFold._on_ended,
    ev.TaskScheduled: SpanFold._on_activity,
    ev.TaskCompleted: SpanFold._on_outcome,
    ev.TaskFailed: SpanFold._on_outcome,
    ev.SubOrchestrationInstanceCreated: SpanFold._on_sub_orchestration,
    ev.SubOrchestrationInstanceCompleted: SpanFold._on_outcome,
    ev.SubOrchestrationInstanceFailed: SpanFold._on_outcome,
    ev.TimerCreated: SpanFold._on_timer,
    ev.TimerFired: SpanFold._on_outcome,
    ev.EventSent: SpanFold._on_sent,
}
