"""Reading: statuses, histories, lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count
from pydantic_core import from_json

from durable_host.core.codec import Record, from_record
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.events import ExecutionStarted
from durable_host.core.events import HistoryEvent as Event
from durable_host.core.failure import FailureDetails
from durable_host.core.status import RuntimeStatus
from durable_host.models import ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from .cursors import Beyond, decode_key, encode_key
from .filters import is_storable, matching, named
from .rows import INBOX_COLUMNS, RECORD_COLUMNS, inbox_event
from .shapes import InstanceFilter, OrchestrationStatus, Page
from .sql import Statement, as_time


@dataclass(frozen=True, slots=True)
class Subject:
    """One execution, by its number and its first event."""

    generation: int
    started: ExecutionStarted


class StatusRow(NamedTuple):
    """The columns of an instance that make its status."""

    instance_id: str
    name: str
    version: str
    status: str
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    scheduled_at: datetime | None
    output: str | None
    custom_status: str | None
    failure: str | None
    tags: Any
    generation: int
    stall_reason: str


#: whoever waits asks again and again; the input is in history, or in the inbox before the first turn
_STATUS = Statement(
    f"SELECT {', '.join(StatusRow._fields)},"  # noqa: S608
    " (SELECT parent.instance_id FROM durable_host_instance AS parent WHERE parent.id = seen.parent_id),"
    " CASE WHEN %s THEN COALESCE("
    "  (SELECT payload FROM durable_host_historyevent AS event WHERE event.instance_id = seen.id"
    "   AND event.generation = seen.generation AND event_type = 'ExecutionStarted' ORDER BY sequence LIMIT 1),"
    "  (SELECT payload FROM durable_host_pendingevent AS message WHERE message.instance_id = seen.id"
    "   AND message.generation = seen.generation AND event_type = 'ExecutionStarted' LIMIT 1)"
    " ) END FROM durable_host_instance AS seen WHERE hub = %s AND instance_id = %s"
)


def get_status(hub: str, instance_id: str, *, with_input: bool = True) -> OrchestrationStatus | None:
    """Return the status of one instance, or None where there is none."""
    if not is_storable(instance_id):
        return None
    for *columns, parent_id, input_ in _STATUS.rows(with_input, hub, instance_id):
        return _status(StatusRow(*columns), parent_id, input_)
    return None


def get_history(hub: str, instance_id: str, *, generation: int | None = None) -> list[Event]:
    """Return the events of an execution, the latest by default.

    Raises:
        InstanceNotFoundError: there is no such instance.
    """
    row = named(hub, instance_id).first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    wanted = row.generation if generation is None else generation
    events = (
        HistoryEvent.objects.filter(instance_id=row.pk, generation=wanted)
        .order_by("sequence")
        .values_list(*RECORD_COLUMNS)
    )
    return [from_record(Record(*columns)) for columns in events]


def query(
    hub: str, filter_: InstanceFilter, *, page_size: int, continuation: str | None, with_input: bool, newest_first: bool
) -> Page:
    """Return one page of a list. Pages are cut by key, so that none is slower than the first.

    Raises:
        BadRequestError: the continuation is not one that a former page gave.
    """
    rows = matching(hub, filter_)
    if continuation is not None:
        rows = rows.filter(Beyond("created_at", decode_key(continuation), newest_first=newest_first))
    order = ("-created_at", "-id") if newest_first else ("created_at", "id")
    columns = ("pk", "parent__instance_id", *StatusRow._fields)
    found = [
        (pk, parent, StatusRow(*seen))
        for pk, parent, *seen in rows.order_by(*order).values_list(*columns)[: page_size + 1]
    ]
    has_more = len(found) > page_size
    found = found[:page_size]
    end = encode_key((found[-1][2].created_at, found[-1][0])) if has_more else None
    inputs = _inputs({pk: row.generation for pk, _, row in found}) if with_input else {}
    return Page(tuple(_status(row, parent, inputs.get(pk)) for pk, parent, row in found), end)


def get_subject(hub: str, instance_id: str) -> Subject | None:
    """Return how the latest execution of an instance began, or None where there is none."""
    row = named(hub, instance_id).first()
    if row is None:
        return None
    for model in (HistoryEvent, PendingEvent):
        begun = model._default_manager.filter(instance_id=row.pk, generation=row.generation)
        columns = begun.filter(event_type=ExecutionStarted.__name__).values_list(*INBOX_COLUMNS).first()
        if columns is not None:
            started = inbox_event(*columns)
            return Subject(row.generation, started) if isinstance(started, ExecutionStarted) else None
    return None


def input_text(row: Instance) -> str | None:
    """Return the input of an instance as JSON text."""
    return _inputs({row.pk: row.generation}).get(row.pk)


def count_by_status(hub: str) -> dict[RuntimeStatus, int]:
    """Return how many instances of the hub have each status."""
    rows = Instance.objects.filter(hub=hub).values_list("status").annotate(n=Count("pk")).order_by()
    return {RuntimeStatus(status): n for status, n in rows}


def count_open_work(hub: str) -> dict[str, int]:
    """Return how many messages, activities and waits the hub has now: nothing is left when all is done."""
    return {
        "messages": PendingEvent.objects.filter(instance__hub=hub).count(),
        "activities": ActivityTask.objects.filter(hub=hub).count(),
        "waits": EventWait.objects.filter(instance__hub=hub).count(),
    }


def _status(row: StatusRow, parent_id: str | None, input_: str | None) -> OrchestrationStatus:
    return OrchestrationStatus(
        instance_id=row.instance_id,
        name=row.name,
        version=row.version,
        runtime_status=RuntimeStatus(row.status),
        created_at=as_time(row.created_at),
        last_updated_at=as_time(row.updated_at),
        completed_at=row.completed_at and as_time(row.completed_at),
        scheduled_at=row.scheduled_at and as_time(row.scheduled_at),
        input=_value(input_),
        output=_value(row.output),
        custom_status=_value(row.custom_status),
        failure=FailureDetails.from_json(from_json(row.failure)) if row.failure else None,
        tags=_value(row.tags) if isinstance(row.tags, str) else row.tags,
        parent_instance_id=parent_id,
        generation=row.generation,
        stall_reason=row.stall_reason,
    )


def _value(text: str | None) -> Any:
    return None if text is None else from_json(text)


def _inputs(generations: Mapping[int, int]) -> dict[int, str | None]:
    """Return inputs by primary key: from history, or from the inbox of instances that have had no turn.

    Args:
        generations: instance → number of its execution.
    """
    found: dict[int, str | None] = {}
    for model in (HistoryEvent, PendingEvent):
        missing = [pk for pk in generations if pk not in found]
        if missing:
            started = model._default_manager.filter(instance_id__in=missing, event_type="ExecutionStarted")
            for pk, generation, payload in started.values_list("instance_id", "generation", "payload"):
                if generation == generations[pk]:
                    found[pk] = payload
    return found
