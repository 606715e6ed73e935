"""A history as Durable Functions' HTTP API shows it (DurableClient.GetDurableOrchestrationStatusAsync).

The markers of the turns are left out; what was scheduled is merged into its outcome: each activity is one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from . import events as ev
from .failure import FailureDetails

Entry = dict[str, Any]


def project(history: Iterable[ev.HistoryEvent], *, show_input: bool = True, show_output: bool = False) -> list[Entry]:
    """Return the entries of one execution, in the order of history.

    Args:
        history: the events.
        show_input: keep the inputs of activities, sub-orchestrations and events.
        show_output: keep results.
    """
    hidden = {name for name, shown in (("Input", show_input), ("Result", show_output)) if not shown}
    fold = _Fold()
    for event in history:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(fold, event)
    return [
        {key: value for key, value in entry.items() if key not in hidden and value is not None}
        for entry in fold.entries
        if entry
    ]


def stamp(when: datetime) -> str:
    """Return a time as history entries have it: UTC, with its fraction."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class _Fold:
    entries: list[Entry] = field(default_factory=list)
    #: event id → the entry of what was scheduled and has no outcome yet
    waiting: dict[int, Entry] = field(default_factory=dict)

    def add(self, event: ev.HistoryEvent, **fields: Any) -> Entry:
        entry = {"EventType": event.event_type, **fields, "Timestamp": stamp(event.timestamp)}
        self.entries.append(entry)
        return entry

    def schedule(self, event: ev.TaskScheduled | ev.SubOrchestrationInstanceCreated) -> None:
        sub_id = event.instance_id if isinstance(event, ev.SubOrchestrationInstanceCreated) else None
        self.waiting[event.event_id] = self.add(
            event, FunctionName=event.name, InstanceId=sub_id, Input=_value(event.input)
        )

    def settle(self, event: ev.TaskOutcome, **outcome: Any) -> None:
        """Add the outcome, and let it take over what is known of the scheduling, whose own entry goes."""
        scheduled = self.waiting.pop(event.task_scheduled_id, None)
        known: Entry = {}
        if scheduled is not None:
            known = {key: scheduled[key] for key in ("FunctionName", "InstanceId", "Input")}
            known["ScheduledTime"] = scheduled["Timestamp"]
            scheduled.clear()  # project() leaves it out
        self.add(event, **outcome, **known)

    def complete(self, event: ev.TaskCompleted | ev.SubOrchestrationInstanceCompleted) -> None:
        self.settle(event, Result=_value(event.result))

    def fail(self, event: ev.TaskFailed | ev.SubOrchestrationInstanceFailed) -> None:
        self.settle(event, Reason=event.failure_details.error_message, Details=_details(event.failure_details))

    def start(self, event: ev.ExecutionStarted) -> None:
        self.add(event, FunctionName=event.name, Input=_value(event.input))

    def end(self, event: ev.ExecutionCompleted) -> None:
        failure = event.failure_details
        self.add(
            event,
            OrchestrationStatus=event.orchestration_status.value,
            Result=_value(event.result),
            Reason=failure.error_message if failure else None,
            Details=_details(failure) if failure else None,
        )

    def steer(self, event: ev.ExecutionSuspended | ev.ExecutionResumed | ev.ExecutionRewound) -> None:
        self.add(event, Reason=event.reason)

    def terminate(self, event: ev.ExecutionTerminated) -> None:
        self.add(event, Reason=_value(event.input))

    def time(self, event: ev.TimerCreated | ev.TimerFired) -> None:
        self.add(event, FireAt=stamp(event.fire_at))

    def receive(self, event: ev.EventRaised) -> None:
        self.add(event, Name=event.name, Input=_value(event.input))

    def send(self, event: ev.EventSent) -> None:
        self.add(event, Name=event.name, InstanceId=event.instance_id, Input=_value(event.input))


def _value(text: str | None) -> Any:
    return None if text is None else from_json(text)


def _details(failure: FailureDetails) -> str:
    """Return the failure and its causes on one line each; stacks stay with the operators."""
    return "\n".join(str(one) for one in failure.chain())


_HANDLERS: dict[type[ev.HistoryEvent], Callable[[_Fold, Any], None]] = {
    ev.ExecutionStarted: _Fold.start,
    ev.ExecutionCompleted: _Fold.end,
    ev.ExecutionTerminated: _Fold.terminate,
    ev.ExecutionSuspended: _Fold.steer,
    ev.ExecutionResumed: _Fold.steer,
    ev.ExecutionRewound: _Fold.steer,
    ev.TaskScheduled: _Fold.schedule,
    ev.TaskCompleted: _Fold.complete,
    ev.TaskFailed: _Fold.fail,
    ev.SubOrchestrationInstanceCreated: _Fold.schedule,
    ev.SubOrchestrationInstanceCompleted: _Fold.complete,
    ev.SubOrchestrationInstanceFailed: _Fold.fail,
    ev.TimerCreated: _Fold.time,
    ev.TimerFired: _Fold.time,
    ev.EventSent: _Fold.send,
    ev.EventRaised: _Fold.receive,
}
