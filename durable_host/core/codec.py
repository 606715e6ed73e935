"""Events as columns, and back: the only place that knows stored JSON.

A :class:`Record` has the columns that history and the inbox share. The frequent events need no JSON at all beyond their
payload; the few that have more fields keep them in ``detail``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from . import events as ev
from .failure import FailureDetails
from .status import RuntimeStatus


class Record(NamedTuple):
    """The columns of one event."""

    event_type: str
    timestamp: datetime
    event_id: int = -1
    #: number of the scheduling event that an outcome answers
    task_id: int | None = None
    name: str | None = None
    #: JSON text of the input or result
    payload: str | None = None
    #: JSON text of the remaining fields
    detail: str | None = None


def to_record(event: ev.HistoryEvent) -> Record:
    """Return the columns of an event."""
    return _ENCODERS[type(event)](event)


def from_record(record: Record) -> ev.HistoryEvent:
    """Return the event that the columns describe.

    Raises:
        LookupError: the event type is not known to this version of the host.
    """
    decode = _DECODERS.get(record.event_type)
    if decode is None:
        raise LookupError(
            f"There is an event of type {record.event_type!r}, which this version of the host does not know. "
            f"A newer version wrote it: run that one."
        )
    return decode(record)


def _json(**fields: Any) -> str | None:
    """Return the fields that are not None as JSON text, or None where all are."""
    used = {key: value for key, value in fields.items() if value is not None}
    return to_json(used).decode() if used else None


def _detail(record: Record) -> dict[str, Any]:
    return from_json(record.detail) if record.detail else {}


def _when(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _known(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "").astimezone(UTC)


# --- encoders -------------------------------------------------------------------------------------------------------


def _turn_started(event: ev.OrchestratorStarted) -> Record:
    return Record("OrchestratorStarted", event.timestamp)


def _turn_completed(event: ev.OrchestratorCompleted) -> Record:
    return Record("OrchestratorCompleted", event.timestamp, detail=_json(listening=event.listening or None))


def _execution_started(event: ev.ExecutionStarted) -> Record:
    detail = _json(
        version=event.version or None,
        parentInstanceId=event.parent_instance_id,
        tags=None if event.tags is None else dict(event.tags),
        scheduledStartTime=event.scheduled_start_time,
        generation=event.generation or None,
        traceParent=event.trace_parent,
        traceState=event.trace_state,
        firstStarted=event.first_started,
        carried=[[one.name, one.input, one.timestamp] for one in event.carried] or None,
    )
    return Record("ExecutionStarted", event.timestamp, name=event.name, payload=event.input, detail=detail)


def _execution_completed(event: ev.ExecutionCompleted) -> Record:
    failure = event.failure_details
    detail = _json(
        orchestrationStatus=event.orchestration_status.value,
        failureDetails=failure.to_json() if failure else None,
    )
    return Record("ExecutionCompleted", event.timestamp, payload=event.result, detail=detail)


def _execution_terminated(event: ev.ExecutionTerminated) -> Record:
    return Record(
        "ExecutionTerminated",
        event.timestamp,
        payload=event.input,
        detail=_json(recurse=event.recurse or None),
    )


def _with_reason(event: ev.ExecutionSuspended | ev.ExecutionResumed | ev.ExecutionRewound) -> Record:
    return Record(type(event).__name__, event.timestamp, detail=_json(reason=event.reason))


def _task_scheduled(event: ev.TaskScheduled) -> Record:
    detail = _json(firstAttemptId=event.first_attempt_id, origin=event.origin)
    return Record("TaskScheduled", event.timestamp, event.event_id, None, event.name, event.input, detail)


#: the most frequent event has one field: it is written and read without a JSON parser
_STARTED_AT = '{"startedAt":"'


def _task_completed(event: ev.TaskCompleted) -> Record:
    detail = f'{_STARTED_AT}{event.started_at.isoformat()}"}}' if event.started_at else None
    return Record("TaskCompleted", event.timestamp, -1, event.task_scheduled_id, None, event.result, detail)


def _task_failed(event: ev.TaskFailed) -> Record:
    detail = _json(failureDetails=event.failure_details.to_json(), startedAt=event.started_at)
    return Record("TaskFailed", event.timestamp, task_id=event.task_scheduled_id, detail=detail)


def _sub_completed(event: ev.SubOrchestrationInstanceCompleted) -> Record:
    name = "SubOrchestrationInstanceCompleted"
    return Record(name, event.timestamp, -1, event.task_scheduled_id, None, event.result)


def _sub_failed(event: ev.SubOrchestrationInstanceFailed) -> Record:
    detail = _json(failureDetails=event.failure_details.to_json())
    return Record("SubOrchestrationInstanceFailed", event.timestamp, task_id=event.task_scheduled_id, detail=detail)


def _sub_created(event: ev.SubOrchestrationInstanceCreated) -> Record:
    detail = _json(instanceId=event.instance_id, version=event.version or None)
    return Record(
        "SubOrchestrationInstanceCreated",
        event.timestamp,
        event.event_id,
        None,
        event.name,
        event.input,
        detail,
    )


def _timer_created(event: ev.TimerCreated) -> Record:
    name, detail = _timer_fields(event)
    return Record("TimerCreated", event.timestamp, event.event_id, name=name, detail=detail)


def _timer_fired(event: ev.TimerFired) -> Record:
    name, detail = _timer_fields(event)
    return Record("TimerFired", event.timestamp, task_id=event.task_scheduled_id, name=name, detail=detail)


def _timer_fields(event: ev.TimerCreated | ev.TimerFired) -> tuple[str | None, str | None]:
    """Return name and detail: the pause of a retry has the name of what is tried again, so that it can be found."""
    note = event.retry
    retry = [note.first_attempt_id, note.attempt, note.limit] if note else None
    return note.name if note else None, _json(fireAt=event.fire_at, retry=retry)


def _event_sent(event: ev.EventSent) -> Record:
    detail = _json(instanceId=event.instance_id)
    return Record("EventSent", event.timestamp, event.event_id, None, event.name, event.input, detail)


def _event_raised(event: ev.EventRaised) -> Record:
    return Record("EventRaised", event.timestamp, name=event.name, payload=event.input)


_ENCODERS: dict[type[ev.HistoryEvent], Callable[[Any], Record]] = {
    ev.OrchestratorStarted: _turn_started,
    ev.OrchestratorCompleted: _turn_completed,
    ev.ExecutionStarted: _execution_started,
    ev.ExecutionCompleted: _execution_completed,
    ev.ExecutionTerminated: _execution_terminated,
    ev.ExecutionSuspended: _with_reason,
    ev.ExecutionResumed: _with_reason,
    ev.ExecutionRewound: _with_reason,
    ev.TaskScheduled: _task_scheduled,
    ev.TaskCompleted: _task_completed,
    ev.TaskFailed: _task_failed,
    ev.SubOrchestrationInstanceCreated: _sub_created,
    ev.SubOrchestrationInstanceCompleted: _sub_completed,
    ev.SubOrchestrationInstanceFailed: _sub_failed,
    ev.TimerCreated: _timer_created,
    ev.TimerFired: _timer_fired,
    ev.EventSent: _event_sent,
    ev.EventRaised: _event_raised,
}


# --- decoders -------------------------------------------------------------------------------------------------------


def _started(r: Record) -> ev.ExecutionStarted:
    detail = _detail(r)
    return ev.ExecutionStarted(
        timestamp=r.timestamp,
        name=r.name or "",
        input=r.payload,
        version=detail.get("version", ""),
        parent_instance_id=detail.get("parentInstanceId"),
        tags=detail.get("tags"),
        scheduled_start_time=_when(detail.get("scheduledStartTime")),
        generation=detail.get("generation", 0),
        trace_parent=detail.get("traceParent"),
        trace_state=detail.get("traceState"),
        first_started=_when(detail.get("firstStarted")),
        carried=tuple(
            ev.CarriedEvent(name=name, input=payload, timestamp=_known(stamp))
            for name, payload, stamp in detail.get("carried", ())
        ),
    )


def _completed(r: Record) -> ev.ExecutionCompleted:
    detail = _detail(r)
    failure = detail.get("failureDetails")
    return ev.ExecutionCompleted(
        timestamp=r.timestamp,
        orchestration_status=RuntimeStatus(detail["orchestrationStatus"]),
        result=r.payload,
        failure_details=FailureDetails.from_json(failure) if failure else None,
    )


def _failure(r: Record) -> FailureDetails:
    return FailureDetails.from_json(_detail(r)["failureDetails"])


def _sub(r: Record) -> ev.SubOrchestrationInstanceCreated:
    detail = _detail(r)
    return ev.SubOrchestrationInstanceCreated(
        timestamp=r.timestamp,
        event_id=r.event_id,
        name=r.name or "",
        instance_id=detail["instanceId"],
        input=r.payload,
        version=detail.get("version", ""),
    )


def _scheduled(r: Record) -> ev.TaskScheduled:
    if r.detail is None:
        return ev.TaskScheduled(timestamp=r.timestamp, event_id=r.event_id, name=r.name or "", input=r.payload)
    detail = _detail(r)
    return ev.TaskScheduled(
        timestamp=r.timestamp,
        event_id=r.event_id,
        name=r.name or "",
        input=r.payload,
        first_attempt_id=detail.get("firstAttemptId"),
        origin=detail.get("origin"),
    )


def _sent(r: Record) -> ev.EventSent:
    target = _detail(r)["instanceId"]
    return ev.EventSent(
        timestamp=r.timestamp, event_id=r.event_id, instance_id=target, name=r.name or "", input=r.payload
    )


def _turn_end(r: Record) -> ev.OrchestratorCompleted:
    if r.detail is None:
        return ev.OrchestratorCompleted(timestamp=r.timestamp)
    return ev.OrchestratorCompleted(timestamp=r.timestamp, listening=tuple(_detail(r)["listening"]))


def _task_done(r: Record) -> ev.TaskCompleted:
    started_at = None if r.detail is None else datetime.fromisoformat(r.detail[len(_STARTED_AT) : -2])
    return ev.TaskCompleted(
        timestamp=r.timestamp, task_scheduled_id=r.task_id or 0, result=r.payload, started_at=started_at
    )


def _task_failure(r: Record) -> ev.TaskFailed:
    return ev.TaskFailed(
        timestamp=r.timestamp,
        task_scheduled_id=r.task_id or 0,
        failure_details=_failure(r),
        started_at=_when(_detail(r).get("startedAt")),
    )


def _timer(r: Record) -> dict[str, Any]:
    detail = _detail(r)
    retry = None
    if r.name is not None:
        first, attempt, limit = detail["retry"]
        retry = ev.RetryNote(name=r.name, first_attempt_id=first, attempt=attempt, limit=limit)
    return {"fire_at": _known(detail.get("fireAt")), "retry": retry}


def _reason(cls: type[Any]) -> Callable[[Record], Any]:
    return lambda r: cls(timestamp=r.timestamp, reason=_detail(r).get("reason"))


_DECODERS: dict[str, Callable[[Record], ev.HistoryEvent]] = {
    "OrchestratorStarted": lambda r: ev.OrchestratorStarted(timestamp=r.timestamp),
    "OrchestratorCompleted": _turn_end,
    "ExecutionStarted": _started,
    "ExecutionCompleted": _completed,
    "ExecutionTerminated": lambda r: ev.ExecutionTerminated(
        timestamp=r.timestamp, input=r.payload, recurse=_detail(r).get("recurse", False)
    ),
    "ExecutionSuspended": _reason(ev.ExecutionSuspended),
    "ExecutionResumed": _reason(ev.ExecutionResumed),
    "ExecutionRewound": _reason(ev.ExecutionRewound),
    "TaskScheduled": _scheduled,
    "TaskCompleted": _task_done,
    "TaskFailed": _task_failure,
    "SubOrchestrationInstanceCreated": _sub,
    "SubOrchestrationInstanceCompleted": lambda r: ev.SubOrchestrationInstanceCompleted(
        timestamp=r.timestamp, task_scheduled_id=r.task_id or 0, result=r.payload
    ),
    "SubOrchestrationInstanceFailed": lambda r: ev.SubOrchestrationInstanceFailed(
        timestamp=r.timestamp, task_scheduled_id=r.task_id or 0, failure_details=_failure(r)
    ),
    "TimerCreated": lambda r: ev.TimerCreated(timestamp=r.timestamp, event_id=r.event_id, **_timer(r)),
    "TimerFired": lambda r: ev.TimerFired(timestamp=r.timestamp, task_scheduled_id=r.task_id or 0, **_timer(r)),
    "EventSent": _sent,
    "EventRaised": lambda r: ev.EventRaised(timestamp=r.timestamp, name=r.name or "", input=r.payload),
}
