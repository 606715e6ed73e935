"""A history for people: one entry for each thing that happened, without the markers of the turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from . import events as ev
from .failure import FailureDetails


class EntryKind(StrEnum):
    """What an entry is about."""

    ORCHESTRATION = "orchestration"
    ACTIVITY = "activity"
    TIMER = "timer"
    SUB_ORCHESTRATION = "sub-orchestration"
    EVENT_RECEIVED = "event received"
    EVENT_SENT = "event sent"


class Outcome(StrEnum):
    """How an entry stands, or ended."""

    STARTED = "Started"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    #: the execution ended first; the activity or sub-orchestration may have gone on, its result was not needed
    NOT_AWAITED = "NotAwaited"
    WAITING = "Waiting"
    FIRED = "Fired"
    CANCELLED = "Cancelled"
    RECEIVED = "Received"
    SENT = "Sent"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"
    TERMINATE_ASKED = "TerminateAsked"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    REWOUND = "Rewound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened, from its beginning to its outcome."""

    kind: EntryKind
    name: str
    outcome: Outcome
    started_at: datetime
    ended_at: datetime | None = None
    #: number of the scheduling event; -1 where there is none
    event_id: int = -1
    #: JSON texts
    input: str | None = None
    result: str | None = None
    failure: FailureDetails | None = None
    #: of the sub-orchestration, or the receiver of a sent event
    instance_id: str | None = None
    #: of a timer
    fire_at: datetime | None = None
    #: why somebody suspended, resumed or rewound it
    reason: str | None = None
    #: when the attempt that ended began to run; before that it waited for a worker
    started_running_at: datetime | None = None
    #: of a retry, number of the first attempt's event
    first_attempt_id: int | None = None
    #: of a timer, which call it is the pause of
    retry: ev.RetryNote | None = None
    #: where attempts are folded (see :func:`fold_retries`): all of them in order
    attempts: tuple[Entry, ...] = ()
    #: of a folded call that pauses: when it is tried again
    retry_at: datetime | None = None

    @property
    def duration(self) -> timedelta | None:
        """From schedule to outcome, waiting for a worker included."""
        return None if self.ended_at is None else max(self.ended_at - self.started_at, timedelta(0))

    @property
    def queued(self) -> timedelta | None:
        """From schedule to the start of the run: how long it waited for a worker; None where nobody knows."""
        since = self.attempts[-1].started_at if self.attempts else self.started_at
        return None if self.started_running_at is None else max(self.started_running_at - since, timedelta(0))


@dataclass(frozen=True, slots=True)
class Digest:
    """The entries of one execution, in the order in which they began."""

    entries: tuple[Entry, ...]
    #: OrchestratorStarted and OrchestratorCompleted events that were left out
    markers: int


def digest(events: Iterable[ev.HistoryEvent]) -> Digest:
    """Fold the history of one execution."""
    fold = _Fold()
    for event in events:
        fold.take(event)
    return Digest(tuple(fold.finished_entries()), fold.markers)


def fold_retries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Make one entry of the attempts of each call of an activity, and leave out the pauses between them.

    The entry stands where the first attempt stood, began when that began, and has the outcome of the last one; one that
    pauses before another attempt is still running.
    """
    calls: dict[int, list[Entry]] = {}
    pauses: dict[int, Entry] = {}
    kept: list[Entry] = []
    known = list(entries)
    activities = {one.event_id for one in known if one.kind is EntryKind.ACTIVITY}
    for one in known:
        if one.retry is not None and one.retry.first_attempt_id in activities:
            pauses[one.retry.first_attempt_id] = one
        elif one.kind is EntryKind.ACTIVITY and one.first_attempt_id in calls:
            calls[one.first_attempt_id or 0].append(one)
        else:
            if one.kind is EntryKind.ACTIVITY:
                calls[one.event_id] = [one]
            kept.append(one)
    return tuple(_folded(one, calls.get(one.event_id, ()), pauses.get(one.event_id)) for one in kept)


def _folded(first: Entry, attempts: Sequence[Entry], pause: Entry | None) -> Entry:
    is_pausing = pause is not None and pause.outcome is Outcome.WAITING
    if first.kind is not EntryKind.ACTIVITY or (len(attempts) < 2 and not is_pausing):
        return first
    whole = replace(attempts[-1], started_at=first.started_at, event_id=first.event_id, attempts=tuple(attempts))
    if pause is None or not is_pausing:
        return whole
    return replace(whole, outcome=Outcome.RUNNING, ended_at=None, retry_at=pause.fire_at)


@dataclass(slots=True)
class _Fold:
    entries: list[Entry] = field(default_factory=list)
    #: event id → place in ``entries``
    places: dict[int, int] = field(default_factory=dict)
    markers: int = 0
    started: Entry | None = None
    has_ended: bool = False

    def take(self, event: ev.HistoryEvent) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is None:
            self.markers += 1
        else:
            handler(self, event)

    def finished_entries(self) -> list[Entry]:
        """Say of what has no outcome, in an execution that has ended, that none will come."""
        if not self.has_ended:
            return self.entries
        late = {Outcome.RUNNING: Outcome.NOT_AWAITED, Outcome.WAITING: Outcome.CANCELLED}
        return [replace(one, outcome=late.get(one.outcome, one.outcome)) for one in self.entries]

    def add(self, entry: Entry) -> None:
        if entry.event_id >= 0:
            self.places[entry.event_id] = len(self.entries)
        self.entries.append(entry)

    def settle(self, event: ev.TaskOutcome, outcome: Outcome, **changes: Any) -> None:
        """Note the outcome of a scheduled entry; one that nobody scheduled here is left out."""
        place = self.places.get(event.task_scheduled_id)
        if place is not None:
            self.entries[place] = replace(self.entries[place], outcome=outcome, ended_at=event.timestamp, **changes)

    def begin(self, event: ev.ExecutionStarted) -> None:
        self.started = Entry(
            kind=EntryKind.ORCHESTRATION,
            name=event.name,
            outcome=Outcome.STARTED,
            started_at=event.timestamp,
            input=event.input,
        )
        self.add(self.started)

    def end(self, event: ev.ExecutionCompleted) -> None:
        self.has_ended = True
        self.add(
            Entry(
                kind=EntryKind.ORCHESTRATION,
                name=self.started.name if self.started else "",
                outcome=Outcome(event.orchestration_status.value),
                started_at=self.started.started_at if self.started else event.timestamp,
                ended_at=event.timestamp,
                result=event.result,
                failure=event.failure_details,
            )
        )

    def lifecycle(self, event: Any, outcome: Outcome) -> None:
        self.add(
            Entry(
                kind=EntryKind.ORCHESTRATION,
                name=self.started.name if self.started else "",
                outcome=outcome,
                started_at=event.timestamp,
                input=getattr(event, "input", None),
                reason=getattr(event, "reason", None),
            )
        )

    def schedule(self, event: Any, kind: EntryKind, outcome: Outcome) -> None:
        self.add(
            Entry(
                kind=kind,
                name=getattr(event, "name", ""),
                outcome=outcome,
                started_at=event.timestamp,
                event_id=event.event_id,
                input=getattr(event, "input", None),
                instance_id=getattr(event, "instance_id", None),
                fire_at=getattr(event, "fire_at", None),
                first_attempt_id=getattr(event, "first_attempt_id", None),
                retry=getattr(event, "retry", None),
            )
        )

    def complete(self, event: ev.TaskCompleted | ev.SubOrchestrationInstanceCompleted) -> None:
        running = getattr(event, "started_at", None)
        self.settle(event, Outcome.COMPLETED, result=event.result, started_running_at=running)

    def fail(self, event: ev.TaskFailed | ev.SubOrchestrationInstanceFailed) -> None:
        running = getattr(event, "started_at", None)
        self.settle(event, Outcome.FAILED, failure=event.failure_details, started_running_at=running)

    def fire(self, event: ev.TimerFired) -> None:
        self.settle(event, Outcome.FIRED)


def _lifecycle(outcome: Outcome) -> Callable[[_Fold, Any], None]:
    return partial(_Fold.lifecycle, outcome=outcome)


def _schedule(kind: EntryKind, outcome: Outcome) -> Callable[[_Fold, Any], None]:
    return partial(_Fold.schedule, kind=kind, outcome=outcome)


_HANDLERS: dict[type[ev.HistoryEvent], Callable[[_Fold, Any], None]] = {
    ev.ExecutionStarted: _Fold.begin,
    ev.ExecutionCompleted: _Fold.end,
    ev.ExecutionTerminated: _lifecycle(Outcome.TERMINATE_ASKED),
    ev.ExecutionSuspended: _lifecycle(Outcome.SUSPENDED),
    ev.ExecutionResumed: _lifecycle(Outcome.RESUMED),
    ev.ExecutionRewound: _lifecycle(Outcome.REWOUND),
    ev.TaskScheduled: _schedule(EntryKind.ACTIVITY, Outcome.RUNNING),
    ev.TaskCompleted: _Fold.complete,
    ev.TaskFailed: _Fold.fail,
    ev.SubOrchestrationInstanceCreated: _schedule(EntryKind.SUB_ORCHESTRATION, Outcome.RUNNING),
    ev.SubOrchestrationInstanceCompleted: _Fold.complete,
    ev.SubOrchestrationInstanceFailed: _Fold.fail,
    ev.TimerCreated: _schedule(EntryKind.TIMER, Outcome.WAITING),
    ev.TimerFired: _Fold.fire,
    ev.EventSent: _schedule(EntryKind.EVENT_SENT, Outcome.SENT),
    ev.EventRaised: _schedule(EntryKind.EVENT_RECEIVED, Outcome.RECEIVED),
}
