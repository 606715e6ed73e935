"""What committed events mean for the instruments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from durable_host.core import events as ev
from durable_host.core.status import RuntimeStatus

from . import meters

_ENDS = {
    RuntimeStatus.COMPLETED: meters.orchestrations_completed,
    RuntimeStatus.FAILED: meters.orchestrations_failed,
    RuntimeStatus.TERMINATED: meters.orchestrations_terminated,
    RuntimeStatus.CONTINUED_AS_NEW: meters.orchestrations_continued,
}
_CONCERN = frozenset({ev.TaskScheduled, ev.ExecutionStarted, ev.ExecutionCompleted})


def count_turn(orchestrator: str, due_at: datetime, events: Sequence[ev.HistoryEvent]) -> None:
    """Count what a committed turn did.

    Args:
        orchestrator: its function.
        due_at: when the instance was created, or was to start.
        events: the turn's, beginning with OrchestratorStarted.
    """
    if not events:
        return
    began = oldest = events[0].timestamp
    for event in events:  # thousands of times in a second: one look at each, and most are of no concern
        kind = type(event)
        ready = ready_at(event) if kind is ev.ExecutionStarted else event.timestamp
        if ready < oldest:
            oldest = ready
        if kind in _CONCERN:
            _count_event(orchestrator, due_at, event)
    meters.turn_wait.record((began - oldest).total_seconds(), orchestrator)


def count_activity_started(activity: str, attempt: int, created_at: datetime, now: datetime) -> None:
    """Count that an activity begins to run."""
    meters.activities_started.add(activity)
    meters.activity_wait.record((now - created_at).total_seconds(), activity)
    if attempt > 1:
        meters.activities_redelivered.add(activity)


def count_outcome(activity: str, event: ev.HistoryEvent) -> None:
    """Count an outcome of an activity that was committed."""
    if not isinstance(event, ev.TaskCompleted | ev.TaskFailed):
        return
    has_failed = isinstance(event, ev.TaskFailed)
    (meters.activities_failed if has_failed else meters.activities_completed).add(activity)
    if event.started_at is not None:
        meters.activity_duration.record((event.timestamp - event.started_at).total_seconds(), activity)


def ready_at(event: ev.HistoryEvent) -> datetime:
    """Return from when on a turn could take an event."""
    if isinstance(event, ev.ExecutionStarted) and event.scheduled_start_time is not None:
        return max(event.timestamp, event.scheduled_start_time)
    return event.timestamp


def _count_event(orchestrator: str, due_at: datetime, event: ev.HistoryEvent) -> None:
    if isinstance(event, ev.TaskScheduled):
        if event.first_attempt_id not in (None, event.event_id):
            meters.activities_retried.add(event.name)
    elif isinstance(event, ev.ExecutionStarted):
        meters.orchestrations_started.add(orchestrator, count=int(event.generation == 0))
    elif isinstance(event, ev.ExecutionCompleted):
        _count_end(orchestrator, due_at, event)


def _count_end(orchestrator: str, due_at: datetime, event: ev.ExecutionCompleted) -> None:
    status = event.orchestration_status
    if status in _ENDS:
        _ENDS[status].add(orchestrator)
    if status is not RuntimeStatus.CONTINUED_AS_NEW:
        meters.end_to_end.record((event.timestamp - due_at).total_seconds(), orchestrator)
