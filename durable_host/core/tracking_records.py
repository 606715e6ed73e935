"""The tracking events of Durable Functions: what they say, and what clients and activities tell.

States, fields and texts are those of the extension (EndToEndTraceHelper, FunctionState). Nothing here is redacted: that
is up to whoever exports it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic_core import from_json

from . import events as ev
from .failure import FailureDetails
from .status import RuntimeStatus

#: the output of a completion that a replay repeats
REPLAYED = "(replayed)"


class TrackingState(StrEnum):
    """The extension's states (FunctionState); those of entities are left out."""

    SCHEDULED = "Scheduled"
    STARTED = "Started"
    AWAITED = "Awaited"
    LISTENING = "Listening"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    SUSPENDED = "Suspended"
    REWOUND = "Rewound"
    TIMER_EXPIRED = "TimerExpired"
    EXTERNAL_EVENT_RAISED = "ExternalEventRaised"
    EXTERNAL_EVENT_DROPPED = "ExternalEventDropped"


class FunctionType(StrEnum):
    """What kind of function a record is about."""

    ORCHESTRATOR = "Orchestrator"
    ACTIVITY = "Activity"


class Teller(StrEnum):
    """Which process tells a record while it happens."""

    #: the client that asks for something
    CLIENT = "client"
    #: the worker that committed the orchestrator's turn
    TURN = "turn"
    #: the worker that ran the activity
    ACTIVITY = "activity"


class TrackingRecord(NamedTuple):
    """One tracking event. (A tuple, since one is made for each thing that happens, and a tuple is made fastest.)"""

    at: datetime
    state: TrackingState
    function_name: str
    #: the orchestration, also for the records of its activities
    instance_id: str
    teller: Teller
    function_type: FunctionType = FunctionType.ORCHESTRATOR
    #: None for the states of which the extension tells no status
    runtime_status: RuntimeStatus | None = None
    reason: str = ""
    #: JSON text
    input: str | None = None
    #: JSON text, or :data:`REPLAYED`
    output: str | None = None
    #: what ``reason`` shortens, for the state Failed
    failure: FailureDetails | None = None
    #: of Started, Completed and Failed of an activity
    task_event_id: int = -1
    event_name: str = ""
    expiration_time: datetime | None = None
    continued_as_new: bool = False
    is_replay: bool = False


def activity_started(instance_id: str, name: str, task_id: int, at: datetime, input_: str | None) -> TrackingRecord:
    """Return what the worker tells when an attempt of an activity begins.

    Args:
        instance_id: the orchestration that called it.
        name: the activity.
        task_id: number of the event that scheduled it.
        at: when it began.
        input_: JSON text.
    """
    return TrackingRecord(
        at=at,
        state=TrackingState.STARTED,
        function_name=name,
        function_type=FunctionType.ACTIVITY,
        instance_id=instance_id,
        teller=Teller.ACTIVITY,
        runtime_status=RuntimeStatus.RUNNING,
        input=input_,
        task_event_id=task_id,
    )


def activity_ended(instance_id: str, name: str, outcome: ev.TaskCompleted | ev.TaskFailed) -> TrackingRecord:
    """Return what the worker tells when the outcome of an activity is committed."""
    failure = outcome.failure_details if isinstance(outcome, ev.TaskFailed) else None
    return TrackingRecord(
        at=outcome.timestamp,
        state=TrackingState.FAILED if failure else TrackingState.COMPLETED,
        function_name=name,
        function_type=FunctionType.ACTIVITY,
        instance_id=instance_id,
        teller=Teller.ACTIVITY,
        runtime_status=RuntimeStatus.FAILED if failure else RuntimeStatus.COMPLETED,
        reason=str(failure) if failure else "",
        output=outcome.result if isinstance(outcome, ev.TaskCompleted) else None,
        failure=failure,
        task_event_id=outcome.task_scheduled_id,
    )


def told_by_client(instance_id: str, function_name: str, event: ev.HistoryEvent) -> TrackingRecord | None:
    """Return what a client tells when it sends this event to an instance; None for what no client sends.

    Args:
        instance_id: the instance.
        function_name: its orchestrator.
        event: one that starts it, raises an event to it, or steers it.
    """
    act = _CLIENT_ACTS.get(type(event))
    if act is None or (isinstance(event, ev.ExecutionStarted) and (event.parent_instance_id or event.generation)):
        return None  # an orchestration that is called, or continues as new, was asked for by no client
    state, status, reason_of = act
    return TrackingRecord(
        at=event.timestamp,
        state=state,
        function_name=function_name,
        instance_id=instance_id,
        teller=Teller.CLIENT,
        runtime_status=status,
        reason=reason_of(event) or "",
    )


def _plain(json_text: str | None) -> str:
    """Return the text that a JSON string holds; of other JSON the JSON itself."""
    value = None if json_text is None else from_json(json_text)
    return value if isinstance(value, str) else json_text or ""


_CLIENT_ACTS: dict[type[ev.HistoryEvent], tuple[TrackingState, RuntimeStatus | None, Callable[[Any], str | None]]] = {
    ev.ExecutionStarted: (TrackingState.SCHEDULED, RuntimeStatus.PENDING, lambda event: "NewInstance"),
    ev.EventRaised: (TrackingState.SCHEDULED, RuntimeStatus.PENDING, lambda event: f"RaiseEvent:{event.name}"),
    ev.ExecutionTerminated: (TrackingState.TERMINATED, RuntimeStatus.TERMINATED, lambda event: _plain(event.input)),
    ev.ExecutionSuspended: (TrackingState.SUSPENDED, RuntimeStatus.SUSPENDED, lambda event: event.reason),
    ev.ExecutionResumed: (TrackingState.SCHEDULED, RuntimeStatus.RUNNING, lambda event: event.reason),
    ev.ExecutionRewound: (TrackingState.REWOUND, None, lambda event: event.reason),
}
