"""What an execution did, one act for each thing: an activity with all its attempts, a timer, a wait for an event.

A finer fold than :mod:`durable_host.core.digest`: retries come together into one act, waiting for a worker is told
apart from running, waits for events have a beginning and an end, and every act knows its places in history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from pydantic_core import from_json

from durable_host.core import events as ev
from durable_host.core.digest import Outcome
from durable_host.core.failure import FailureDetails

ZERO = timedelta(0)


class ActKind(StrEnum):
    """What an act is about."""

    LIFECYCLE = "orchestration"
    ACTIVITY = "activity"
    SUB_ORCHESTRATION = "sub-orchestration"
    TIMER = "timer"
    WAIT = "wait for event"
    EVENT = "event received"
    SENT = "event sent"
    SUSPENSION = "suspension"


@dataclass(slots=True)
class Attempt:
    """One attempt of a call."""

    #: place in history of the event that scheduled it
    sequence: int
    scheduled_at: datetime
    #: when it began to run; None while nobody knows
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: place in history of its outcome
    end_sequence: int | None = None
    failure: FailureDetails | None = None

    @property
    def waited(self) -> timedelta | None:
        """How long it waited for a worker."""
        return None if self.started_at is None else max(self.started_at - self.scheduled_at, ZERO)

    @property
    def ran(self) -> timedelta | None:
        """How long it ran; where its beginning is not known, since it was scheduled."""
        return None if self.ended_at is None else max(self.ended_at - (self.started_at or self.scheduled_at), ZERO)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause before another attempt."""

    #: place in history of its beginning
    sequence: int
    since: datetime
    until: datetime
    #: number of the attempt that comes next, and how many there may be
    attempt: int
    limit: int


@dataclass(slots=True, kw_only=True)
class Act:
    """One thing that happened. The fold fills it; afterwards nobody changes it."""

    kind: ActKind
    name: str
    outcome: Outcome
    started_at: datetime
    #: place in history of its first event
    sequence: int
    ended_at: datetime | None = None
    end_sequence: int | None = None
    event_id: int = -1
    #: of an activity or a sub-orchestration
    attempts: list[Attempt] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    failure: FailureDetails | None = None
    #: of the sub-orchestration, or the receiver of a sent event
    instance_id: str | None = None
    #: of a timer
    fire_at: datetime | None = None
    #: why somebody ended, paused, resumed or rewound it
    reason: str | None = None

    @property
    def duration(self) -> timedelta | None:
        """From its beginning to its outcome."""
        return None if self.ended_at is None else max(self.ended_at - self.started_at, ZERO)

    @property
    def waited(self) -> timedelta | None:
        """How long its attempts waited for workers; None where nobody knows."""
        known = [one.waited for one in self.attempts if one.waited is not None]
        return sum(known, ZERO) if known else None

    @property
    def ran(self) -> timedelta | None:
        """How long its attempts ran; None while none has ended. What is no call: as :attr:`duration`."""
        if not self.attempts:
            return self.duration
        known = [one.ran for one in self.attempts if one.ran is not None]
        return sum(known, ZERO) if known else None

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self.outcome in (Outcome.RUNNING, Outcome.WAITING)

    @property
    def next_attempt(self) -> Pause | None:
        """The pause that it is in."""
        last = self.pauses[-1] if self.pauses else None
        return last if last and self.is_open and self.attempts[-1].ended_at is not None else None


@dataclass(frozen=True, slots=True)
class OpenNow:
    """What the rows say is open now: history does not tell when the code let go of a timer or of a wait."""

    #: names of the events that it listens for
    waits: Collection[str] = ()
    #: due times of its timers; None where there are too many to know
    timers: Collection[datetime] | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """The acts of one execution, in the order in which they began."""

    acts: tuple[Act, ...]
    #: events OrchestratorStarted and OrchestratorCompleted, which are in no act
    markers: int
    began_at: datetime | None
    ended_at: datetime | None
    #: time of the last event
    last_at: datetime | None


def tell(events: Iterable[tuple[int, ev.HistoryEvent]], open_now: OpenNow | None = None) -> Story:
    """Fold the events of one execution.

    Args:
        events: each with its place in history, in order; payloads are not needed.
        open_now: what is open, for an execution that goes on.
    """
    fold = _Fold()
    for sequence, event in events:
        fold.take(sequence, event)
    fold.finish(open_now or OpenNow())
    return Story(tuple(fold.acts), fold.markers, fold.began_at, fold.ended_at, fold.last_at)


class _Fold:
    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.markers = 0
        self.began_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.last_at: datetime | None = None
        self.name = ""
        #: event id → the act that waits for its outcome
        self.open: dict[int, Act] = {}
        #: number of the first attempt → the act of the call
        self.calls: dict[int, Act] = {}
        #: event id of a timer that is a pause before another attempt → what it said
        self.pauses: dict[int, ev.RetryNote] = {}
        #: sub-orchestrations whose pause is over: name → numbers of their first attempts
        self.due: dict[str, deque[int]] = {}
        self.listening: dict[str, deque[Act]] = {}
        #: events that came before anybody waited for them: name without case → how many
        self.early: dict[str, int] = {}
        self.suspension: Act | None = None

    def take(self, sequence: int, event: ev.HistoryEvent) -> None:
        self.last_at = event.timestamp
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, sequence, event)

    def finish(self, open_now: OpenNow) -> None:
        """Say of what has no outcome whether one will come."""
        listening = {name.casefold() for name in open_now.waits}
        for act in self.acts:
            if act.is_open:
                act.outcome = self._left(act, listening, open_now.timers)

    def _left(self, act: Act, listening: set[str], timers: Collection[datetime] | None) -> Outcome:
        if self.ended_at is not None:
            runs_on = bool(act.attempts) and act.attempts[-1].ended_at is None
            return Outcome.NOT_AWAITED if runs_on else Outcome.CANCELLED
        if act.kind is ActKind.WAIT and act.name.casefold() not in listening:
            return Outcome.CANCELLED
        if act.kind is ActKind.TIMER and timers is not None and act.fire_at not in timers:
            return Outcome.CANCELLED
        return act.outcome

    def add(self, sequence: int, event: ev.HistoryEvent, kind: ActKind, outcome: Outcome, **fields: Any) -> Act:
        name = fields.pop("name", None) or getattr(event, "name", "") or self.name
        act = Act(
            kind=kind, name=name, outcome=outcome, started_at=event.timestamp, sequence=sequence,
            event_id=event.event_id, **fields,
        )  # fmt: skip
        self.acts.append(act)
        return act

    # --- the orchestration itself -----------------------------------------------------------------------------------

    def begin(self, sequence: int, event: ev.ExecutionStarted) -> None:
        self.name = event.name
        self.began_at = event.timestamp
        for one in event.carried:
            self.early[one.name.casefold()] = self.early.get(one.name.casefold(), 0) + 1
        self.add(sequence, event, ActKind.LIFECYCLE, Outcome.STARTED)

    def end(self, sequence: int, event: ev.ExecutionCompleted) -> None:
        self.ended_at = event.timestamp
        self.resume(sequence, event, is_told=False)
        outcome = Outcome(event.orchestration_status.value)
        act = self.add(sequence, event, ActKind.LIFECYCLE, outcome, failure=event.failure_details)
        act.ended_at = event.timestamp

    def steer(self, sequence: int, event: Any, outcome: Outcome) -> None:
        if outcome is Outcome.REWOUND:
            self.ended_at = None
        self.add(sequence, event, ActKind.LIFECYCLE, outcome, reason=_reason(event))

    def suspend(self, sequence: int, event: ev.ExecutionSuspended) -> None:
        if self.suspension is None:
            self.suspension = self.add(
                sequence, event, ActKind.SUSPENSION, Outcome.SUSPENDED, name=self.name, reason=event.reason
            )

    def resume(self, sequence: int, event: ev.HistoryEvent, is_told: bool = True) -> None:
        if self.suspension is not None:
            self.suspension.ended_at, self.suspension.end_sequence = event.timestamp, sequence
            self.suspension = None
        if is_told:
            self.steer(sequence, event, Outcome.RESUMED)

    def turn_begins(self, sequence: int, event: ev.OrchestratorStarted) -> None:
        self.markers += 1

    def turn_ends(self, sequence: int, event: ev.OrchestratorCompleted) -> None:
        self.markers += 1
        for name in event.listening:
            key = name.casefold()
            if self.early.get(key):
                self.early[key] -= 1
            else:
                wait = self.add(sequence, event, ActKind.WAIT, Outcome.WAITING, name=name)
                self.listening.setdefault(key, deque()).append(wait)

    # --- what it asked for ------------------------------------------------------------------------------------------

    def call(self, sequence: int, event: ev.TaskScheduled) -> None:
        self._attempt(sequence, event, ActKind.ACTIVITY, event.first_attempt_id)

    def call_sub(self, sequence: int, event: ev.SubOrchestrationInstanceCreated) -> None:
        due = self.due.get(event.name)
        act = self._attempt(sequence, event, ActKind.SUB_ORCHESTRATION, due.popleft() if due else None)
        act.instance_id = event.instance_id

    def _attempt(self, sequence: int, event: ev.SchedulingEvent, kind: ActKind, first: int | None) -> Act:
        act = self.calls.get(first) if first is not None else None
        if act is None:
            act = self.add(sequence, event, kind, Outcome.RUNNING)
            self.calls[event.event_id] = act
        act.outcome, act.ended_at = Outcome.RUNNING, None
        act.attempts.append(Attempt(sequence, event.timestamp))
        self.open[event.event_id] = act
        return act

    def set_timer(self, sequence: int, event: ev.TimerCreated) -> None:
        note = event.retry
        act = self.calls.get(note.first_attempt_id) if note else None
        if note is None or act is None:
            self.open[event.event_id] = self.add(
                sequence, event, ActKind.TIMER, Outcome.WAITING, name="timer", fire_at=event.fire_at
            )
        else:
            act.pauses.append(Pause(sequence, event.timestamp, event.fire_at, note.attempt, note.limit))
            act.outcome, act.ended_at = Outcome.WAITING, None
            self.pauses[event.event_id] = note

    def send(self, sequence: int, event: ev.EventSent) -> None:
        act = self.add(sequence, event, ActKind.SENT, Outcome.SENT, instance_id=event.instance_id)
        act.ended_at = event.timestamp

    # --- what came back ---------------------------------------------------------------------------------------------

    def settle(self, sequence: int, event: Any, outcome: Outcome) -> None:
        act = self.open.pop(event.task_scheduled_id, None)
        if act is None:
            return
        act.outcome, act.ended_at, act.end_sequence = outcome, event.timestamp, sequence
        act.failure = getattr(event, "failure_details", None)
        attempt = act.attempts[-1]
        attempt.started_at = getattr(event, "started_at", None)
        attempt.ended_at, attempt.end_sequence, attempt.failure = event.timestamp, sequence, act.failure

    def fire(self, sequence: int, event: ev.TimerFired) -> None:
        note = self.pauses.pop(event.task_scheduled_id, None)
        if note is not None:
            if self.calls[note.first_attempt_id].kind is ActKind.SUB_ORCHESTRATION:
                self.due.setdefault(note.name, deque()).append(note.first_attempt_id)
            return
        act = self.open.pop(event.task_scheduled_id, None)
        if act is not None:
            act.outcome, act.ended_at, act.end_sequence = Outcome.FIRED, event.timestamp, sequence

    def receive(self, sequence: int, event: ev.EventRaised) -> None:
        key = event.name.casefold()
        waiting = self.listening.get(key)
        if waiting:
            act = waiting.popleft()
            act.outcome, act.ended_at, act.end_sequence = Outcome.RECEIVED, event.timestamp, sequence
        else:
            self.early[key] = self.early.get(key, 0) + 1
            act = self.add(sequence, event, ActKind.EVENT, Outcome.RECEIVED)
            act.ended_at, act.end_sequence = event.timestamp, sequence


def _reason(event: Any) -> str | None:
    """Return why somebody steered the instance: of a termination it is JSON text."""
    if isinstance(event, ev.ExecutionTerminated):
        value = None if event.input is None else from_json(event.input)
        return value if isinstance(value, str) else event.input
    return getattr(event, "reason", None)


def _steer(outcome: Outcome) -> Callable[[_Fold, int, Any], None]:
    return partial(_Fold.steer, outcome=outcome)


def _settle(outcome: Outcome) -> Callable[[_Fold, int, Any], None]:
    return partial(_Fold.settle, outcome=outcome)


_HANDLERS: dict[type[ev.HistoryEvent], Callable[[_Fold, int, Any], None]] = {
    ev.ExecutionStarted: _Fold.begin,
    ev.ExecutionCompleted: _Fold.end,
    ev.ExecutionTerminated: _steer(Outcome.TERMINATE_ASKED),
    ev.ExecutionSuspended: _Fold.suspend,
    ev.ExecutionResumed: _Fold.resume,
    ev.ExecutionRewound: _steer(Outcome.REWOUND),
    ev.OrchestratorStarted: _Fold.turn_begins,
    ev.OrchestratorCompleted: _Fold.turn_ends,
    ev.TaskScheduled: _Fold.call,
    ev.TaskCompleted: _settle(Outcome.COMPLETED),
    ev.TaskFailed: _settle(Outcome.FAILED),
    ev.SubOrchestrationInstanceCreated: _Fold.call_sub,
    ev.SubOrchestrationInstanceCompleted: _settle(Outcome.COMPLETED),
    ev.SubOrchestrationInstanceFailed: _settle(Outcome.FAILED),
    ev.TimerCreated: _Fold.set_timer,
    ev.TimerFired: _Fold.fire,
    ev.EventSent: _Fold.send,
    ev.EventRaised: _Fold.receive,
}
