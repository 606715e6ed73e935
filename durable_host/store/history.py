"""Histories for people: light events without their payloads, pages by number, one event with everything."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, F, Q, QuerySet, TextField, Value, When

from durable_host.core.codec import Record, from_record
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.events import HistoryEvent as Event
from durable_host.models import HistoryEvent, PendingEvent

from .filters import named
from .limits import time_limited
from .listing import ByteLength
from .rows import INBOX_COLUMNS, RECORD_COLUMNS, inbox_event

#: events that a picture of an execution is made of; what comes after them is not in it
MOST_EVENTS = 150_000
_LIGHT_COLUMNS = tuple("light_payload" if name == "payload" else name for name in RECORD_COLUMNS)
_READ_PART = 2_000
_EXECUTION_COLUMNS = ("pk", "instance_id", "generation", "revision", "next_sequence", "history_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of an instance whose history is stored."""

    pk: int
    instance_id: str
    #: number of this one
    generation: int
    #: number of the instance's latest
    latest: int
    #: numbers of those that can be read, in order
    stored: tuple[int, ...]
    #: number of events
    size: int
    #: bytes of their payloads; None where they were not counted: of another than the latest
    payload_bytes: int | None
    #: grows with every turn of the instance
    revision: int

    @property
    def is_latest(self) -> bool:
        """Whether it is the one that goes on, or went on to the end."""
        return self.generation == self.latest


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event and its place in history."""

    sequence: int
    event: Event
    #: bytes of its payload, where somebody asked for it; None where it has none
    payload_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events of an execution are meant; an empty one means all."""

    types: tuple[str, ...] = ()
    #: text in the name, the error or another field
    text: str = ""
    #: whether to look for the text in payloads, too
    with_payloads: bool = False


def find_execution(hub: str, instance_id: str, generation: int | None = None) -> Execution:
    """Return an execution of an instance, the latest by default.

    Raises:
        InstanceNotFoundError: there is no such instance, or its execution of this number is no longer stored.
    """
    row = named(hub, instance_id).only(*_EXECUTION_COLUMNS).first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    begun = HistoryEvent.objects.filter(instance_id=row.pk, sequence=0)
    stored = tuple(sorted({*begun.values_list("generation", flat=True), row.generation}))
    wanted = row.generation if generation is None else generation
    if wanted not in stored:
        raise InstanceNotFoundError(f"{instance_id} (execution {wanted})")
    size = row.next_sequence if wanted == row.generation else _size(row.pk, wanted)
    return Execution(
        pk=row.pk,
        instance_id=row.instance_id,
        generation=wanted,
        latest=row.generation,
        stored=stored,
        size=size,
        payload_bytes=row.history_bytes if wanted == row.generation else None,
        revision=row.revision,
    )


def skeleton(execution: Execution) -> list[NumberedEvent]:
    """Return the events without payloads, at most :data:`MOST_EVENTS`.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        rows = _light(_events(execution)).order_by("sequence")[:MOST_EVENTS]
        return [_numbered(*columns) for columns in rows.values_list("sequence", *_LIGHT_COLUMNS)]


def event_page(
    execution: Execution, query: EventQuery, *, first: int, size: int, newest_first: bool = False
) -> tuple[list[NumberedEvent], int | None]:
    """Return some events without payloads, and the number with which the next page begins; None at the end.

    Args:
        execution: whose.
        query: which of them.
        first: number with which the page begins.
        size: how many.
        newest_first: the order.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        rows = _matching(_light(_events(execution)), query).annotate(bytes=ByteLength("payload"))
        rows = rows.filter(sequence__lte=first) if newest_first else rows.filter(sequence__gte=first)
        ordered = rows.order_by("-sequence" if newest_first else "sequence")[: size + 1]
        found = [
            NumberedEvent(sequence, from_record(Record(*columns)), size_)
            for sequence, size_, *columns in ordered.values_list("sequence", "bytes", *_LIGHT_COLUMNS)
        ]
    return found[:size], found[size].sequence if len(found) > size else None


def count_types(execution: Execution) -> dict[str, int]:
    """Return how many events of each type there are.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        return dict(_events(execution).values_list("event_type").annotate(count=Count("pk")).order_by())


def call_names(execution: Execution, task_ids: Collection[int]) -> dict[int, str]:
    """Return the names of what was called, by the number of the call."""
    rows = _events(execution).filter(event_id__in=list(task_ids))
    return {event_id: name for event_id, name in rows.values_list("event_id", "name") if name is not None}


def payload_sizes(execution: Execution, sequences: Collection[int]) -> dict[int, int]:
    """Return the bytes of the payloads of these events; those without one are not in it."""
    rows = _events(execution).filter(sequence__in=list(sequences), payload__isnull=False)
    return dict(rows.annotate(bytes=ByteLength("payload")).values_list("sequence", "bytes"))


def get_event(execution: Execution, sequence: int) -> Record | None:
    """Return one event with everything, or None where there is none of this number."""
    columns = _events(execution).filter(sequence=sequence).values_list(*RECORD_COLUMNS).first()
    return None if columns is None else Record(*columns)


def get_call(execution: Execution, task_id: int) -> NumberedEvent | None:
    """Return the event that scheduled a task, without its payload."""
    rows = _light(_events(execution).filter(event_id=task_id)).order_by("sequence")
    columns = rows.values_list("sequence", *_LIGHT_COLUMNS).first()
    return None if columns is None else _numbered(*columns)


def get_outcome(execution: Execution, event_id: int) -> NumberedEvent | None:
    """Return the event that answers a scheduled task, without its payload."""
    rows = _light(_events(execution).filter(task_id=event_id)).order_by("sequence")
    columns = rows.values_list("sequence", *_LIGHT_COLUMNS).first()
    return None if columns is None else _numbered(*columns)


def get_started(execution: Execution) -> Event | None:
    """Return how the execution began, with its input: from history, or from the inbox before the first turn."""
    begun = _events(execution).filter(event_type="ExecutionStarted").order_by("sequence")
    if (columns := begun.values_list(*RECORD_COLUMNS).first()) is not None:
        return from_record(Record(*columns))
    waiting = PendingEvent.objects.filter(instance_id=execution.pk, event_type="ExecutionStarted")
    found = waiting.filter(Q(generation=execution.generation) | Q(generation=None)).values_list(*INBOX_COLUMNS).first()
    return None if found is None else inbox_event(*found)


def get_ending(execution: Execution) -> Event | None:
    """Return how the execution ended, with its result; None while it goes on."""
    ended = _events(execution).filter(event_type="ExecutionCompleted").order_by("-sequence")
    columns = ended.values_list(*RECORD_COLUMNS).first()
    return None if columns is None else from_record(Record(*columns))


def first_turn_at(execution: Execution) -> datetime | None:
    """Return when the execution had its first turn; None before that."""
    return _events(execution).filter(sequence=0).values_list("timestamp", flat=True).first()


def read_all(execution: Execution) -> Iterator[tuple[int, Record]]:
    """Yield all events with everything, a part of them at a time in memory."""
    begin = 0
    while True:
        part = _events(execution).filter(sequence__gte=begin).order_by("sequence")[:_READ_PART]
        rows = list(part.values_list("sequence", *RECORD_COLUMNS))
        for sequence, *columns in rows:
            yield sequence, Record(*columns)
        if len(rows) < _READ_PART:
            return
        begin = rows[-1][0] + 1


def _events(execution: Execution) -> QuerySet[HistoryEvent]:
    return HistoryEvent.objects.filter(instance_id=execution.pk, generation=execution.generation)


def _size(pk: int, generation: int) -> int:
    last = HistoryEvent.objects.filter(instance_id=pk, generation=generation).order_by("-sequence")
    found = last.values_list("sequence", flat=True).first()
    return 0 if found is None else found + 1


def _light(rows: QuerySet[HistoryEvent]) -> QuerySet[HistoryEvent]:
    """Leave the payloads where they are; only the reason of a termination, which is one, comes along."""
    return rows.annotate(
        light_payload=Case(
            When(event_type="ExecutionTerminated", then=F("payload")),
            default=Value(None),
            output_field=TextField(null=True),
        )
    )


def _matching(rows: QuerySet[HistoryEvent], query: EventQuery) -> QuerySet[HistoryEvent]:
    if query.types:
        rows = rows.filter(event_type__in=query.types)
    if query.text:
        wanted = Q(name__icontains=query.text) | Q(event_type__icontains=query.text)
        # The details of a start hold what a continue-as-new carries over: payloads.
        wanted |= Q(detail__icontains=query.text) & ~Q(event_type="ExecutionStarted")
        if query.with_payloads:
            wanted |= Q(payload__icontains=query.text) | Q(detail__icontains=query.text)
        rows = rows.filter(wanted)
    return rows


def _numbered(sequence: int, *columns: object) -> NumberedEvent:
    return NumberedEvent(sequence, from_record(Record(*columns)))  # type: ignore[arg-type]
