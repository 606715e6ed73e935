"""What crosses between a worker and its children: JSON and never pickle, so that an answer is data and nothing runs.

A child runs user code. Whoever gets hold of it may then say what it likes to the worker, and the worst that it can say
is a wrong answer to its own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from durable_host.core import events as ev
from durable_host.core.codec import Record, from_record, to_record
from durable_host.core.mailbox import WaitInfo
from durable_host.core.status import RuntimeStatus
from durable_host.core.turn import TurnResult
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, Receipt

from .exactly_once import Committed


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityOrder:
    """The attempt of an activity that a child is to make."""

    #: where the function is; the settings may not name it
    module: str
    activity: ClaimedActivity
    #: processes that it has ended in this delivery
    deaths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOrder:
    """The turn that a child is to decide."""

    #: where the orchestrator is; the settings may not name it
    module: str
    name: str
    instance_id: str
    generation: int
    history: Sequence[Record]
    events: Sequence[Record]
    now: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """What a turn decided."""

    result: TurnResult
    started: ev.ExecutionStarted | None


ACTIVITY_ORDER: TypeAdapter[ActivityOrder] = TypeAdapter(ActivityOrder)
TURN_ORDER: TypeAdapter[TurnOrder] = TypeAdapter(TurnOrder)


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """How an activity ended. Which one it was the worker knows better."""

    event: Record
    #: what its commit did, where it has committed by itself
    receipt: Receipt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """A :class:`Decided` with its events as records."""

    events: Sequence[Record]
    scheduled: Sequence[Record]
    cancelled_timers: tuple[int, ...]
    status: RuntimeStatus
    custom_status: str | None
    waits: tuple[WaitInfo, ...] | None
    completion: Record | None
    next_started: Record | None
    started: Record | None


_ENDED: TypeAdapter[_Ended | None] = TypeAdapter(_Ended | None)
_DECISION: TypeAdapter[_Decision | str | None] = TypeAdapter(_Decision | str | None)


def write_done(done: ActivityOutcome | Committed | None) -> bytes:
    """Return how an activity ended as JSON; None where the child does not know it."""
    if done is None:
        return _ENDED.dump_json(None)
    outcome, receipt = (done.outcome, done.receipt) if isinstance(done, Committed) else (done, None)
    return _ENDED.dump_json(_Ended(event=to_record(outcome.event), receipt=receipt))


def read_done(data: bytes, activity: ClaimedActivity) -> ActivityOutcome | Committed | None:
    """Return what :func:`write_done` has written.

    Raises:
        ValueError, LookupError, TypeError: nobody has written that.
    """
    ended = _ENDED.validate_json(data)
    if ended is None:
        return None
    outcome = ActivityOutcome(activity, _a(ev.TaskCompleted | ev.TaskFailed, from_record(ended.event)))
    return outcome if ended.receipt is None else Committed(outcome, ended.receipt)


def write_decided(decided: Decided | str | None) -> bytes:
    """Return what a turn decided as JSON, or why it could not; None where the child does not know the orchestrator."""
    if not isinstance(decided, Decided):
        return _DECISION.dump_json(decided)
    result = decided.result
    decision = _Decision(
        events=_records(result.events),
        scheduled=_records(result.scheduled),
        cancelled_timers=result.cancelled_timers,
        status=result.status,
        custom_status=result.custom_status,
        waits=result.waits,
        completion=to_record(result.completion) if result.completion else None,
        next_started=to_record(result.next_started) if result.next_started else None,
        started=to_record(decided.started) if decided.started else None,
    )
    return _DECISION.dump_json(decision)


def read_decided(data: bytes) -> Decided | str | None:
    """Return what :func:`write_decided` has written.

    Raises:
        ValueError, LookupError, TypeError: nobody has written that.
    """
    said = _DECISION.validate_json(data)
    if not isinstance(said, _Decision):
        return said
    result = TurnResult(
        events=tuple(from_record(record) for record in said.events),
        scheduled=tuple(_a(ev.SchedulingEvent, from_record(record)) for record in said.scheduled),
        cancelled_timers=said.cancelled_timers,
        status=said.status,
        custom_status=said.custom_status,
        waits=said.waits,
        completion=_a(ev.ExecutionCompleted, from_record(said.completion)) if said.completion else None,
        next_started=_a(ev.ExecutionStarted, from_record(said.next_started)) if said.next_started else None,
    )
    return Decided(result, _a(ev.ExecutionStarted, from_record(said.started)) if said.started else None)


def _records(events: Iterable[ev.HistoryEvent]) -> list[Record]:
    return [to_record(event) for event in events]


def _a(wanted: Any, event: ev.HistoryEvent) -> Any:
    """Return the event, which must be of a type."""
    if not isinstance(event, wanted):
        raise TypeError(f"A child answered with {event.event_type}, which is no {wanted}.")
    return event
