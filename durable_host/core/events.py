"""History events: one frozen class for each thing that can happen (DTFx, DurableTask.Core.History).

Names and fields are DTFx's own, in snake case. Payloads (``input``, ``result``) are JSON text, so that an event is
never parsed before somebody needs its value. ``event_id`` numbers the scheduling events of an execution from 0 and is
-1 on all others, as in DTFx.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from .failure import FailureDetails
from .status import RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """What all events have."""

    #: when it happened, UTC; replay knows no other clock
    timestamp: datetime
    event_id: int = -1

    @property
    def event_type(self) -> str:
        """DTFx's name of the event."""
        return type(self).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedEvent:
    """An external event that a continue-as-new keeps: nobody had taken it yet."""

    name: str
    input: str | None
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted(HistoryEvent):
    """An execution of the orchestrator begins."""

    name: str
    input: str | None
    version: str = ""
    #: instance id of the orchestration that called this one
    parent_instance_id: str | None = None
    tags: Mapping[str, str] | None = None
    scheduled_start_time: datetime | None = None
    #: 0 for the first execution, one more for each continue-as-new or rewind
    generation: int = 0
    #: W3C traceparent and tracestate of who started it
    trace_parent: str | None = None
    trace_state: str | None = None
    #: when the first execution of the instance began; None in that one itself
    first_started: datetime | None = None
    #: external events that the former execution received and did not take
    carried: tuple[CarriedEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted(HistoryEvent):
    """The execution ended: completed, failed, terminated, or continued as new."""

    orchestration_status: RuntimeStatus
    result: str | None = None
    failure_details: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTerminated(HistoryEvent):
    """Somebody ended the instance. ``input`` is the reason as JSON text."""

    input: str | None
    recurse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSuspended(HistoryEvent):
    """Somebody paused the instance."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed(HistoryEvent):
    """Somebody let the instance go on."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRewound(HistoryEvent):
    """Somebody took a failed instance back to before its failure."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted(HistoryEvent):
    """A turn begins; its timestamp is the orchestrator's clock for the whole turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorCompleted(HistoryEvent):
    """A turn ends."""

    #: names of the external events that the code began to wait for in this turn, one for each wait
    listening: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScheduled(HistoryEvent):
    """The orchestrator called an activity."""

    name: str
    input: str | None
    #: for a retry, the number of the first attempt's event
    first_attempt_id: int | None = None
    #: execution in which it was scheduled, where a rewind has copied it into a later one
    origin: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome(HistoryEvent):
    """What all outcomes of scheduled work have: the number of the event that scheduled it."""

    task_scheduled_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(TaskOutcome):
    """An activity returned."""

    result: str | None
    #: when the attempt that returned began to run: before that the activity waited for a worker
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(TaskOutcome):
    """An activity raised."""

    failure_details: FailureDetails
    #: as of :class:`TaskCompleted`; None where it never ran
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCreated(HistoryEvent):
    """The orchestrator called another orchestrator."""

    name: str
    instance_id: str
    input: str | None
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCompleted(TaskOutcome):
    """The sub-orchestration returned."""

    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceFailed(TaskOutcome):
    """The sub-orchestration failed, was terminated or could not be started."""

    failure_details: FailureDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryNote:
    """Which call a retry policy will try again when its timer fires. For people: replay does not look at it."""

    #: of the activity or sub-orchestration
    name: str
    #: number of the first attempt's event
    first_attempt_id: int
    #: number of the attempt that comes next, from 2
    attempt: int
    #: attempts that the policy allows in all
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCreated(HistoryEvent):
    """The orchestrator asked to be woken at a time."""

    fire_at: datetime
    #: where it is the pause before another attempt
    retry: RetryNote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(TaskOutcome):
    """The time of a timer has come. ``task_scheduled_id`` is DTFx's TimerId."""

    fire_at: datetime
    #: as of :class:`TimerCreated`
    retry: RetryNote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSent(HistoryEvent):
    """The orchestrator sent an external event to an instance."""

    instance_id: str
    name: str
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRaised(HistoryEvent):
    """An external event arrived."""

    name: str
    input: str | None


#: events by which an orchestrator asks for something: numbered, compared on replay
SchedulingEvent = TaskScheduled | SubOrchestrationInstanceCreated | TimerCreated | EventSent


class EventTypes:
    """The concrete classes by DTFx's names."""

    BY_NAME: ClassVar[dict[str, type[HistoryEvent]]] = {
        cls.__name__: cls
        for cls in (
            ExecutionStarted,
            ExecutionCompleted,
            ExecutionTerminated,
            ExecutionSuspended,
            ExecutionResumed,
            ExecutionRewound,
            OrchestratorStarted,
            OrchestratorCompleted,
            TaskScheduled,
            TaskCompleted,
            TaskFailed,
            SubOrchestrationInstanceCreated,
            SubOrchestrationInstanceCompleted,
            SubOrchestrationInstanceFailed,
            TimerCreated,
            TimerFired,
            EventSent,
            EventRaised,
        )
    }
