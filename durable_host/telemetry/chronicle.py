"""What a worker's acts mean for telemetry: folds over the events of executions, told once each.

A chronicle is told of turns and activities after their commit. It is fed by plain values, so that it can live in the
worker itself or in a process beside it (:mod:`.relay`).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from durable_host.conf import host_settings
from durable_host.core.codec import Record, from_record
from durable_host.core.events import HistoryEvent, TaskCompleted, TaskFailed
from durable_host.core.spans import SpanFold, SpanRecord, activity_span
from durable_host.core.tracing import TraceContext, server_side
from durable_host.core.tracking import Teller, Tracker, TrackingRecord, activity_ended, activity_started, replay_of

from . import tell

logger = logging.getLogger(__name__)

T = TypeVar("T")
ActT = TypeVar("ActT", bound=Callable[..., None])


class Subject(NamedTuple):
    """An execution."""

    pk: int
    instance_id: str
    generation: int


class Attempt(NamedTuple):
    """A delivery of an activity."""

    instance_id: str
    generation: int
    name: str
    task_id: int
    attempt: int
    #: W3C context of the call; empty where nobody traced it
    trace_parent: str


class Chronicle(Protocol):
    """Whoever is told of a worker's acts."""

    def replayed(self, subject: Subject, history: Sequence[Record]) -> None:
        """An execution was rebuilt from its history, which was told before; a new one's is empty."""

    def turn(self, subject: Subject, events: Sequence[Record]) -> None:
        """A turn was committed."""

    def forget(self, pk: int) -> None:
        """No more turns of an instance come from this worker, or not without another replay."""

    def began(self, attempt: Attempt, at: datetime, input_: str | None) -> None:
        """An activity begins to run."""

    def ended(self, attempt: Attempt, outcome: Record) -> None:
        """The outcome of an activity was committed."""


def _harmless(act: ActT) -> ActT:
    """Keep a fault of telemetry from whoever did the work: that is committed."""

    @wraps(act)
    def guarded(*args: Any) -> None:
        try:
            act(*args)
        except Exception:
            logger.exception("Telemetry was lost.")

    return cast(ActT, guarded)


class _Followed(NamedTuple):
    """An execution, as far as it has been told."""

    tracker: Tracker
    spans: SpanFold
    #: what a replay has repeated; told with the turn that follows
    repeated: list[TrackingRecord]


class LocalChronicle:
    """Tells by the pipeline of this process.

    Turns are told of executions whose beginning is known, by :meth:`replayed`. Of others nothing true could be told:
    neither what they are called nor what they were waiting for.

    Args:
        pace: called before each span and record; it may wait until those before are sent.
    """

    def __init__(self, pace: Callable[[], None] = lambda: None) -> None:
        settings = host_settings()
        self._pace = pace
        self._tells_replays = settings.trace_replay_events
        #: a worker has no more at a time, so more were forgotten without a word
        self._most = settings.resident_executions + settings.turn_batch
        #: least recently told first
        self._followed: OrderedDict[int, _Followed] = OrderedDict()

    @_harmless
    def replayed(self, subject: Subject, history: Sequence[Record]) -> None:
        """Follow an execution from here on."""
        one = _Followed(
            Tracker(subject.instance_id, subject.generation), SpanFold(subject.instance_id, subject.generation), []
        )
        events = _decoded(history)
        for event in events:
            one.tracker.take(event)
            one.spans.take(event)
        if self._tells_replays and events:
            one.repeated.extend(replay_of(events, subject.instance_id, subject.generation))
        self._followed[subject.pk] = one
        self._followed.move_to_end(subject.pk)
        while len(self._followed) > self._most:
            self._followed.popitem(last=False)

    @_harmless
    def turn(self, subject: Subject, events: Sequence[Record]) -> None:
        """Tell of a committed turn."""
        one = self._followed.get(subject.pk)
        if one is None:
            return
        self._followed.move_to_end(subject.pk)
        records: list[TrackingRecord] = []
        ended: list[SpanRecord] = []
        for event in _decoded(events):
            records += (record for record in one.tracker.take(event) if record.teller is Teller.TURN)
            ended += one.spans.take(event)
        now = events[0].timestamp  # the replay was part of this turn
        repeated = [record._replace(at=now) for record in one.repeated]
        one.repeated.clear()
        tell.records(self._paced([*repeated, *records]), one.spans.trace.span if one.spans.trace else None)
        tell.spans(self._paced(ended))

    def forget(self, pk: int) -> None:
        """Follow an execution no longer."""
        self._followed.pop(pk, None)

    def forget_all(self) -> None:
        """Follow none any more: acts were left out."""
        self._followed.clear()

    @_harmless
    def began(self, attempt: Attempt, at: datetime, input_: str | None) -> None:
        """Tell that an activity begins."""
        record = activity_started(attempt.instance_id, attempt.name, attempt.task_id, at, input_)
        tell.records(self._paced([record]), _inner(attempt))

    @_harmless
    def ended(self, attempt: Attempt, outcome: Record) -> None:
        """Tell how an activity ended."""
        event = from_record(outcome)
        if not isinstance(event, TaskCompleted | TaskFailed):
            return
        record = activity_ended(attempt.instance_id, attempt.name, event)
        tell.records(self._paced([record]), _inner(attempt))
        span = _server_span(attempt, event)
        tell.spans(self._paced([span] if span else []))

    def _paced(self, things: Iterable[T]) -> Iterator[T]:
        for thing in things:
            self._pace()
            yield thing


def _decoded(records: Iterable[Record]) -> list[HistoryEvent]:
    return [from_record(record) for record in records]


def _inner(attempt: Attempt) -> TraceContext | None:
    """Return the span in which an activity runs."""
    client = TraceContext.parse(attempt.trace_parent)
    return server_side(client) if client else None


def _server_span(attempt: Attempt, event: TaskCompleted | TaskFailed) -> SpanRecord | None:
    """Return the span of the attempt that was committed; None where nobody traced the call."""
    client = TraceContext.parse(attempt.trace_parent)
    if client is None:
        return None
    return activity_span(
        instance_id=attempt.instance_id,
        generation=attempt.generation,
        name=attempt.name,
        task_id=attempt.task_id,
        attempt=attempt.attempt,
        client=client,
        started_at=event.started_at or event.timestamp,
        outcome=event,
    )
