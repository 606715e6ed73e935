"""What Durable Functions tells Application Insights about an execution, derived from its history.

The same fold serves twice: live, after each commit, and to read the log of an instance back. Nothing is stored for it,
replays least of all: what a replay repeats follows from the turns before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import events as ev
from .closing import is_terminated_by
from .status import RuntimeStatus
from .timestamps import round_trip
from .tracking_records import (
    REPLAYED,
    FunctionType,
    Teller,
    TrackingRecord,
    TrackingState,
    activity_ended,
    activity_started,
    told_by_client,
)

__all__ = [
    "REPLAYED",
    "FunctionType",
    "Teller",
    "Tracker",
    "TrackingRecord",
    "TrackingState",
    "activity_ended",
    "activity_started",
    "inherited",
    "replay_of",
    "told_by_client",
    "tracking_log",
]

_NEVER = datetime.min.replace(tzinfo=UTC)


def tracking_log(
    history: Iterable[ev.HistoryEvent], instance_id: str, generation: int, *, replays: bool
) -> list[TrackingRecord]:
    """Return the records of one execution, turn by turn, in the order in which they were told.

    Args:
        history: its events, whole turns. Of a rewound execution only what is its own is told (:func:`inherited`).
        instance_id: id of the instance.
        generation: number of the execution.
        replays: show what the extension shows with ``traceReplayEvents``: each turn but the first replays all turns
            before it. This host often needs no replay, since it keeps orchestrations alive; the log shows them all the
            same. Their number grows with the square of the number of turns.
    """
    events = list(history)
    tracker = Tracker(instance_id, generation)
    repeats = tracker._repeats = [] if replays else None
    copied = inherited(events)
    log: list[TrackingRecord] = []
    for position, event in enumerate(events):
        known = list(repeats) if repeats and isinstance(event, ev.OrchestratorCompleted) else []
        page = tracker._page(event)
        if page is not None and position >= copied:
            log += page.outside
            log += [one._replace(at=page.at) for one in known]
            log += page.own
    return log


def replay_of(
    history: Sequence[ev.HistoryEvent], instance_id: str, generation: int, *, at: datetime | None = None
) -> list[TrackingRecord]:
    """Return what a replay of stored history repeats, all marked ``is_replay``.

    Those are the records of all turns but Awaited, which a turn tells only of itself; and in place of what activities
    and sub-orchestrations told, their Completed with the output "(replayed)", and their Failed (as in the extension's
    TaskOrchestrationShim and DurableOrchestrationContext).

    Args:
        history: all turns before the one that makes the replay necessary.
        instance_id: id of the instance.
        generation: number of the execution.
        at: when the replay happens; without it, the time of the last event.
    """
    tracker = Tracker(instance_id, generation)
    repeats: list[TrackingRecord] = []
    tracker._repeats = repeats
    for event in history:
        tracker._page(event)
    when = at or (history[-1].timestamp if history else _NEVER)
    return [one._replace(at=when) for one in repeats]


def inherited(history: Sequence[ev.HistoryEvent]) -> int:
    """Return how many events at the beginning a rewind has copied from the execution before: 0 where none was made."""
    turn = copied = 0
    for position, event in enumerate(history):
        if isinstance(event, ev.OrchestratorStarted):
            turn = position
        elif isinstance(event, ev.ExecutionRewound):
            copied = turn
    return copied


@dataclass(slots=True)
class _Page:
    """One turn."""

    at: datetime
    #: what others told before it
    outside: list[TrackingRecord]
    own: list[TrackingRecord]


class Tracker:
    """Turns the events of one execution, taken in order, into tracking records.

    All records of a turn come with the event that ends it, so that a turn which a termination cut short tells nothing
    that the code never did. First what happened outside before the turn (clients, activities), in its order of arrival,
    then what the turn did.

    What has been told already is taken in the same way, and the answer ignored: stored history before a turn, and the
    part of a rewound execution's history that was copied from the execution before (:func:`inherited`). Outcomes and
    events that a rewind delivers once more are told by the turn that they wake, not by clients and activities again.

    What each side tells:

    - A sub-orchestration's Scheduled is the parent's, with the parent's instance id, as with the extension. Its
      Started, Awaited and Completed belong to its own execution, and to its own history.
    - Every attempt of a retried activity is Scheduled, Started and Completed or Failed; the pause is a timer.
    - History does not say where within a turn a wait began. A wait counts as begun when an event of the same turn comes
      for it, provided that something before that event woke the code. Waits that a when_any let go still count, as with
      the extension, where they take an event.

    Args:
        instance_id: id of the instance.
        generation: number of the execution.
    """

    __slots__ = (
        "_calls", "_early", "_ending", "_generation", "_held", "_instance_id", "_is_suspended", "_is_woken",
        "_listeners", "_name", "_now", "_own", "_repeats", "_rewound_at", "_turn", "_unheard",
    )  # fmt: skip

    def __init__(self, instance_id: str, generation: int) -> None:
        self._instance_id = instance_id
        self._generation = generation
        self._name = ""
        #: calls without an outcome, by event id
        self._calls: dict[int, ev.TaskScheduled | ev.SubOrchestrationInstanceCreated] = {}
        #: by name without case: how many waits are open, and the inputs of events that came before any
        self._listeners: dict[str, int] = {}
        self._early: dict[str, deque[str | None]] = {}
        self._is_suspended = False
        #: received while suspended
        self._held: list[ev.HistoryEvent] = []
        self._rewound_at: datetime | None = None
        #: what a replay of all turns so far repeats; None where nobody asks
        self._repeats: list[TrackingRecord] | None = None
        # of the turn that is being told
        self._turn: list[ev.HistoryEvent] = []
        self._now = _NEVER
        self._own: list[TrackingRecord] = []
        self._unheard: list[str] = []
        self._is_woken = False
        self._ending: ev.ExecutionCompleted | None = None

    def take(self, event: ev.HistoryEvent) -> list[TrackingRecord]:
        """Return the records of a turn at its last event, nothing at the others."""
        page = self._page(event)
        return page.outside + page.own if page is not None else []

    def _page(self, event: ev.HistoryEvent) -> _Page | None:
        self._turn.append(event)
        if not isinstance(event, ev.OrchestratorCompleted):
            return None
        turn, self._turn = self._turn, []
        for one in turn:
            if isinstance(one, ev.ExecutionStarted):
                self._name = one.name
            elif isinstance(one, ev.ExecutionRewound):
                self._rewound_at = one.timestamp
        page = _Page(event.timestamp, self._outside(turn), [])
        if not is_terminated_by(turn):
            self._now, self._own = page.at, page.own
            self._tell(turn, event.listening)
        return page

    # --- what happened before the turn ------------------------------------------------------------------------------

    def _outside(self, turn: list[ev.HistoryEvent]) -> list[TrackingRecord]:
        records: list[TrackingRecord] = []
        for event in turn:
            if self._is_again(event):
                continue
            if isinstance(event, ev.TaskCompleted | ev.TaskFailed):
                self._activity(event, records)
            elif (record := told_by_client(self._instance_id, self._name, event)) is not None:
                records.append(record)
        return records

    def _is_again(self, event: ev.HistoryEvent) -> bool:
        """Tell whether a rewind delivers the event once more: it was told in the execution before."""
        return self._rewound_at is not None and event.timestamp < self._rewound_at

    def _activity(self, outcome: ev.TaskCompleted | ev.TaskFailed, records: list[TrackingRecord]) -> None:
        task_id = outcome.task_scheduled_id
        call = self._calls.get(task_id)
        if call is not None:
            if outcome.started_at is not None:
                records.append(activity_started(self._instance_id, call.name, task_id, outcome.started_at, call.input))
            records.append(activity_ended(self._instance_id, call.name, outcome))

    # --- what the turn did ------------------------------------------------------------------------------------------

    def _tell(self, turn: list[ev.HistoryEvent], listening: tuple[str, ...]) -> None:
        self._unheard = list(listening)
        self._is_woken = False
        for event in turn:
            self._apply(event)
        for name in self._unheard:
            self._begin_wait(name)
        if self._ending is None:
            self._own.append(self._record(TrackingState.AWAITED))
        else:
            self._own.append(self._ended(self._ending))

    def _apply(self, event: ev.HistoryEvent) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return
        if self._is_suspended and isinstance(event, ev.TaskOutcome | ev.EventRaised):
            self._held.append(event)
        else:
            handler(self, event)

    def _on_started(self, event: ev.ExecutionStarted) -> None:
        self._add(TrackingState.STARTED, status=RuntimeStatus.RUNNING, input=event.input)
        for one in event.carried:
            self._keep(one.name, one.input)
        self._is_woken = True

    def _on_call(self, event: ev.TaskScheduled | ev.SubOrchestrationInstanceCreated) -> None:
        self._calls[event.event_id] = event
        self._add(
            TrackingState.SCHEDULED,
            name=event.name,
            type_=_type_of(event),
            status=RuntimeStatus.PENDING,
            reason=self._name,
        )

    def _on_timer(self, event: ev.TimerCreated) -> None:
        self._add(TrackingState.LISTENING, reason=f"CreateTimer:{round_trip(event.fire_at)}")

    def _on_fired(self, event: ev.TimerFired) -> None:
        self._add(TrackingState.TIMER_EXPIRED, expiration_time=event.fire_at)
        self._is_woken = True

    def _on_outcome(self, event: ev.TaskOutcome) -> None:
        """The outcome itself was told by whoever did the work; a replay repeats it in the orchestrator's name."""
        self._is_woken = True
        call = self._calls.pop(event.task_scheduled_id, None)
        if call is None or self._repeats is None:
            return
        failure = (
            event.failure_details if isinstance(event, ev.TaskFailed | ev.SubOrchestrationInstanceFailed) else None
        )
        record = self._record(
            TrackingState.FAILED if failure else TrackingState.COMPLETED,
            name=call.name,
            type_=_type_of(call),
            status=RuntimeStatus.FAILED if failure else RuntimeStatus.COMPLETED,
            reason=str(failure) if failure else "",
            output=None if failure else REPLAYED,
            failure=failure,
            task_event_id=event.task_scheduled_id,
        )
        self._repeats.append(record._replace(is_replay=True))

    def _on_raised(self, event: ev.EventRaised) -> None:
        key = event.name.casefold()
        if not self._listeners.get(key) and self._is_woken:
            self._begin_waits_for(key)
        if self._listeners.get(key):
            self._listeners[key] -= 1
            self._add(TrackingState.EXTERNAL_EVENT_RAISED, event_name=event.name, input=event.input)
            self._is_woken = True
        else:
            self._keep(event.name, event.input)

    def _on_suspended(self, event: ev.ExecutionSuspended) -> None:
        self._is_suspended = True

    def _on_resumed(self, event: ev.ExecutionResumed) -> None:
        self._is_suspended = False
        held, self._held = self._held, []
        for one in held:
            self._apply(one)

    def _on_ended(self, event: ev.ExecutionCompleted) -> None:
        self._ending = event

    # --- external events --------------------------------------------------------------------------------------------

    def _keep(self, name: str, input_: str | None) -> None:
        """An event came before anybody listened."""
        self._early.setdefault(name.casefold(), deque()).append(input_)
        self._add(TrackingState.EXTERNAL_EVENT_DROPPED, event_name=name)

    def _begin_waits_for(self, key: str) -> None:
        """Begin one wait of this turn for a name, the oldest."""
        found = next((name for name in self._unheard if name.casefold() == key), None)
        if found is not None:
            self._unheard.remove(found)
            self._begin_wait(found)

    def _begin_wait(self, name: str) -> None:
        """Listen for an event, or take the oldest one that came early: the extension tells one or the other."""
        key = name.casefold()
        early = self._early.get(key)
        if early:
            self._add(TrackingState.EXTERNAL_EVENT_RAISED, event_name=name, input=early.popleft())
        else:
            self._listeners[key] = self._listeners.get(key, 0) + 1
            self._add(TrackingState.LISTENING, reason=f"WaitForExternalEvent:{name}")

    # --- records ----------------------------------------------------------------------------------------------------

    def _ended(self, event: ev.ExecutionCompleted) -> TrackingRecord:
        failure = event.failure_details
        return self._record(
            TrackingState.FAILED if failure else TrackingState.COMPLETED,
            status=RuntimeStatus.FAILED if failure else RuntimeStatus.COMPLETED,
            reason=str(failure) if failure else "",
            output=event.result,
            failure=failure,
            continued_as_new=event.orchestration_status is RuntimeStatus.CONTINUED_AS_NEW,
        )

    def _add(self, state: TrackingState, **fields: Any) -> None:
        """Tell something that each replay will repeat."""
        record = self._record(state, **fields)
        self._own.append(record)
        if self._repeats is not None:
            self._repeats.append(record._replace(is_replay=True))

    def _record(
        self,
        state: TrackingState,
        *,
        name: str | None = None,
        type_: FunctionType = FunctionType.ORCHESTRATOR,
        status: RuntimeStatus | None = None,
        **fields: Any,
    ) -> TrackingRecord:
        return TrackingRecord(
            at=self._now,
            state=state,
            function_name=self._name if name is None else name,
            function_type=type_,
            instance_id=self._instance_id,
            teller=Teller.TURN,
            runtime_status=status,
            **fields,
        )


def _type_of(call: ev.TaskScheduled | ev.SubOrchestrationInstanceCreated) -> FunctionType:
    return FunctionType.ACTIVITY if isinstance(call, ev.TaskScheduled) else FunctionType.ORCHESTRATOR


#: events without an entry are no news of the turn itself
_HANDLERS: dict[type[ev.HistoryEvent], Callable[[Tracker, Any], None]] = {
    ev.ExecutionStarted: Tracker._on_started,
    ev.ExecutionCompleted: Tracker._on_ended,
    ev.ExecutionSuspended: Tracker._on_suspended,
    ev.ExecutionResumed: Tracker._on_resumed,
    ev.TaskScheduled: Tracker._on_call,
    ev.TaskCompleted: Tracker._on_outcome,
    ev.TaskFailed: Tracker._on_outcome,
    ev.SubOrchestrationInstanceCreated: Tracker._on_call,
    ev.SubOrchestrationInstanceCompleted: Tracker._on_outcome,
    ev.SubOrchestrationInstanceFailed: Tracker._on_outcome,
    ev.TimerCreated: Tracker._on_timer,
    ev.TimerFired: Tracker._on_fired,
    ev.EventRaised: Tracker._on_raised,
}
