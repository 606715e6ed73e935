"""What must happen after a checkpoint, as plain data for the store: rows to write, not events to understand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import events as ev
from .registry import Registry
from .tracing import ExecutionTrace


@dataclass(frozen=True, slots=True)
class ScheduleActivity:
    """Put an activity into its queue."""

    task_id: int
    name: str
    input: str | None
    queue: str
    #: number of the first attempt; its own where it is no retry
    first_attempt_id: int
    #: execution in which it was scheduled; None for the one that asks now
    origin: int | None = None
    #: W3C traceparent of the span of the call; empty where nobody traces
    trace_parent: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleTimer:
    """Deliver an event to the instance itself at a later time."""

    task_id: int
    fired: ev.TimerFired


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a sub-orchestration."""

    task_id: int
    instance_id: str
    started: ev.ExecutionStarted


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Deliver an external event to another instance."""

    instance_id: str
    event: ev.EventRaised


@dataclass(frozen=True, slots=True)
class Actions:
    """All that one turn asks of the world."""

    activities: tuple[ScheduleActivity, ...] = ()
    timers: tuple[ScheduleTimer, ...] = ()
    children: tuple[StartChild, ...] = ()
    messages: tuple[SendMessage, ...] = ()


def actions_of(
    scheduled: Iterable[ev.SchedulingEvent], instance_id: str, registry: Registry, trace: ExecutionTrace | None = None
) -> Actions:
    """Sort scheduling events into what each of them asks for.

    Args:
        scheduled: the events.
        instance_id: the instance that asks.
        registry: says which queue an activity has.
        trace: where the spans of this execution belong; None where nobody traces.
    """
    activities: list[ScheduleActivity] = []
    timers: list[ScheduleTimer] = []
    children: list[StartChild] = []
    messages: list[SendMessage] = []
    for event in scheduled:
        match event:
            case ev.TaskScheduled():
                queue = registry.queue_of(event.name)
                first = event.event_id if event.first_attempt_id is None else event.first_attempt_id
                parent = trace.of_task(event.event_id).traceparent if trace else ""
                activities.append(
                    ScheduleActivity(event.event_id, event.name, event.input, queue, first, event.origin, parent)
                )
            case ev.TimerCreated():
                timers.append(timer_of(event))
            case ev.SubOrchestrationInstanceCreated():
                children.append(_child_of(event, instance_id, trace))
            case ev.EventSent():
                messages.append(_message_of(event))
    return Actions(tuple(activities), tuple(timers), tuple(children), tuple(messages))


def timer_of(event: ev.TimerCreated) -> ScheduleTimer:
    """Return the delivery that a timer asks for."""
    fired = ev.TimerFired(
        timestamp=event.fire_at, task_scheduled_id=event.event_id, fire_at=event.fire_at, retry=event.retry
    )
    return ScheduleTimer(event.event_id, fired)


def _child_of(
    event: ev.SubOrchestrationInstanceCreated, parent_instance_id: str, trace: ExecutionTrace | None
) -> StartChild:
    call = trace.of_task(event.event_id) if trace else None
    started = ev.ExecutionStarted(
        timestamp=event.timestamp,
        name=event.name,
        input=event.input,
        version=event.version,
        parent_instance_id=parent_instance_id,
        trace_parent=call.traceparent if call else None,
        trace_state=call.state or None if call else None,
    )
    return StartChild(event.event_id, event.instance_id, started)


def _message_of(event: ev.EventSent) -> SendMessage:
    raised = ev.EventRaised(timestamp=event.timestamp, name=event.name, input=event.input)
    return SendMessage(event.instance_id, raised)
