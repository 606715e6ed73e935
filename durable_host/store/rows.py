"""Events to rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from durable_host.core.codec import Record, from_record, to_record
from durable_host.core.events import HistoryEvent as Event
from durable_host.models import EPOCH, HistoryEvent, PendingEvent

from . import bulk
from .sql import Statement, as_time

RECORD_COLUMNS = Record._fields
INBOX_COLUMNS = ("event_type", "timestamp", "task_id", "name", "payload", "detail")
_HISTORY_ROW = ("instance_id", "generation", "sequence", *RECORD_COLUMNS)


class InboxRow(NamedTuple):
    """The columns of a message that is to be written."""

    instance_id: int
    generation: int | None
    visible_at: datetime
    event_type: str
    timestamp: datetime
    task_id: int | None
    name: str | None
    payload: str | None
    detail: str | None


def inbox_row(
    instance_pk: int, event: Event, *, generation: int | None = None, visible_at: datetime = EPOCH
) -> InboxRow:
    """Return the row of a message.

    Args:
        instance_pk: the receiver.
        event: what it will find in its history.
        generation: the execution that it is meant for; None for any.
        visible_at: from when on it is delivered.
    """
    event_type, timestamp, _, task_id, name, payload, detail = to_record(event)
    return InboxRow(instance_pk, generation, visible_at, event_type, timestamp, task_id, name, payload, detail)


def send(messages: Sequence[InboxRow]) -> None:
    """Put messages into inboxes."""
    bulk.insert(PendingEvent, InboxRow._fields, messages)


def history_rows(instance_pk: int, generation: int, first_sequence: int, records: Iterable[Record]) -> list[bulk.Row]:
    """Return the rows of events that follow each other."""
    return [(instance_pk, generation, sequence, *record) for sequence, record in enumerate(records, first_sequence)]


def append_history(events: Sequence[bulk.Row]) -> None:
    """Append rows that :func:`history_rows` made."""
    bulk.insert(HistoryEvent, _HISTORY_ROW, events)


_READ_HISTORY = Statement(
    "SELECT event.* FROM {for_each} ("  # noqa: S608
    f"  SELECT instance_id, generation, sequence, {', '.join(RECORD_COLUMNS)} FROM durable_host_historyevent"
    "   WHERE instance_id {is_it} ORDER BY generation, sequence"
    ") AS event ORDER BY instance_id, generation, sequence"
)


def read_history(generations: Mapping[int, int]) -> dict[int, list[Record]]:
    """Return the events of executions, as stored and in order, by instance.

    Args:
        generations: instance → number of the execution.
    """
    histories: dict[int, list[Record]] = {pk: [] for pk in generations}
    for pk, generation, _, event_type, timestamp, *columns in _READ_HISTORY.rows(list(histories)):
        if generation == generations[pk]:
            histories[pk].append(Record(event_type, as_time(timestamp), *columns))
    return histories


def inbox_event(
    event_type: str, timestamp: datetime, task_id: int | None, name: str | None, payload: str | None, detail: str | None
) -> Event:
    """Return the event of an inbox row, given its :data:`INBOX_COLUMNS`."""
    return from_record(Record(event_type, as_time(timestamp), -1, task_id, name, payload, detail))
