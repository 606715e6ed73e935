"""What is open of one instance, in a few bounded questions and without payloads: for the sentence that says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from durable_host.conf import host_settings
from durable_host.core.codec import Record, from_record
from durable_host.core.events import ExecutionSuspended, TaskFailed
from durable_host.core.explain import OpenActivity, OpenChild, OpenEvent, RetryPause, Standing
from durable_host.core.failure import FailureDetails
from durable_host.core.fingerprint import first_line
from durable_host.core.registry import Registry
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import EPOCH, ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from . import clock, workers
from .filters import named
from .limits import time_limited
from .rows import RECORD_COLUMNS

#: of each kind that are looked at
_MOST = 20
_SHOWN_MESSAGE = 300


def standing(hub: str, instance_id: str, *, registry: Registry | None = None) -> Standing | None:
    """Return what is open of an instance, or None where there is none.

    Args:
        hub: task hub.
        instance_id: whose.
        registry: knows the retry policies of activities; without it, how many attempts a first one has is not said.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        row = named(hub, instance_id).first()
        if row is None:
            return None
        if row.is_finished:
            return Standing(status=RuntimeStatus(row.status), completed_at=row.completed_at, ending=_ending(row))
        return _unfinished(hub, row, registry)


def _unfinished(hub: str, row: Instance, registry: Registry | None) -> Standing:
    now = clock.now()
    activities = ActivityTask.objects.filter(instance=row)
    timers = PendingEvent.objects.filter(instance=row, event_type="TimerFired", visible_at__gt=now)
    pauses, others = timers.filter(name__isnull=False), timers.filter(name__isnull=True)
    children = Instance.objects.filter(parent=row).exclude(status__in=FINISHED)
    retries = _retries(row, list(pauses.order_by("visible_at").values_list("name", "detail", "visible_at")[:_MOST]))
    is_suspended = row.status == RuntimeStatus.SUSPENDED
    return Standing(
        status=RuntimeStatus(row.status),
        scheduled_at=row.scheduled_at,
        stall_reason=row.stall_reason,
        stall_retry_at=row.available_at if row.stall_reason and not row.parked_under else None,
        is_parked=bool(row.stall_reason and row.parked_under),
        suspend_reason=_suspend_reason(row) if is_suspended else "",
        activities=_activities(row, list(activities.order_by("pk")[:_MOST]), registry, now),
        activities_total=activities.count(),
        retries=retries,
        retries_total=pauses.count(),
        timers=tuple(others.order_by("visible_at").values_list("visible_at", flat=True)[:_MOST]),
        timers_total=others.count(),
        waits=_waits(row),
        children=_children(children.order_by("created_at", "pk").values_list("instance_id", "name", "status")[:_MOST]),
        children_total=children.count(),
        message_since=_message_since(row, now),
        is_held=bool(row.owner) and row.available_at > now,
        turn_queue=host_settings().turn_queue,
        unserved_queues=frozenset(workers.queues_without_worker(hub)),
    )


def _message_since(row: Instance, now: datetime) -> datetime | None:
    """Return since when the oldest message waits that a turn could take."""
    rows = PendingEvent.objects.filter(instance=row, visible_at__lte=now).order_by("visible_at", "pk")
    found = rows.values_list("visible_at", "timestamp").first()
    if found is None:
        return None
    visible_at, timestamp = found
    return timestamp if visible_at == EPOCH else visible_at


def _waits(row: Instance) -> tuple[OpenEvent, ...]:
    columns = ("name", "title", "due", "assignees")
    found = EventWait.objects.filter(instance=row).order_by("pk").values_list(*columns)[:_MOST]
    return tuple(
        OpenEvent(name=name, title=title, due=due, assignees=tuple(assignees)) for name, title, due, assignees in found
    )


def _children(found: Iterable[tuple[str, str, str]]) -> tuple[OpenChild, ...]:
    return tuple(
        OpenChild(instance_id=instance_id, name=name, status=RuntimeStatus(status))
        for instance_id, name, status in found
    )


# --- attempts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Note:
    """What the last pause of a call said: the attempt that came after it."""

    attempt: int
    limit: int
    failure: str
    failed_at: datetime | None


def _retries(row: Instance, found: list[tuple[Any, ...]]) -> tuple[RetryPause, ...]:
    firsts = {from_json(detail)["retry"][0] for _, detail, _ in found}
    notes = _notes(row, {name for name, _, _ in found}, firsts)
    pauses = []
    for name, detail, next_at in found:
        first, attempt, limit = from_json(detail)["retry"]
        note = notes.get(first)
        pauses.append(
            RetryPause(
                name=name,
                attempt=attempt,
                limit=limit,
                next_at=next_at,
                last_failure=note.failure if note else "",
                failed_at=note.failed_at if note else None,
            )
        )
    return tuple(pauses)


def _activities(
    row: Instance, found: list[ActivityTask], registry: Registry | None, now: datetime
) -> tuple[OpenActivity, ...]:
    firsts = {one.pk: int(one.call_key.rpartition(".")[2]) for one in found}
    retried = {first for one in found if (first := firsts[one.pk]) != one.task_id}
    notes = _notes(row, {one.name for one in found if firsts[one.pk] in retried}, retried)
    places = workers.places(row.hub, {one.owner for one in found if one.owner})
    opened = []
    for one in found:
        note = notes.get(firsts[one.pk])
        opened.append(
            OpenActivity(
                name=one.name,
                task_id=one.task_id,
                queue=one.queue,
                attempt=note.attempt if note else 1,
                limit=note.limit if note else _limit_of(one.name, registry),
                scheduled_at=one.created_at,
                is_running=one.lease_until > now,
                worker=places.get(one.owner, one.owner),
                deliveries=one.attempt,
                lease_until=one.lease_until if one.owner else None,
                last_failure=note.failure if note else "",
            )
        )
    return tuple(opened)


def _limit_of(name: str, registry: Registry | None) -> int | None:
    spec = registry.activities.get(name) if registry else None
    return spec.retry.max_number_of_attempts if spec and spec.retry else None


def _notes(row: Instance, names: Collection[str], firsts: Collection[int]) -> dict[int, _Note]:
    """Return what history says of calls that are tried again, by the number of the first attempt."""
    if not firsts:
        return {}
    history = HistoryEvent.objects.filter(instance=row, generation=row.generation)
    pauses = history.filter(event_type="TimerCreated", name__in=names).order_by("sequence")
    last: dict[int, tuple[int, int, datetime]] = {}
    for detail, at in pauses.values_list("detail", "timestamp"):
        first, attempt, limit = from_json(detail or "{}")["retry"]
        if first in firsts:
            last[first] = (attempt, limit, at)
    failures = _last_failures(history, names, firsts)
    return {
        first: _Note(attempt, limit, *failures.get(first, ("", None))) for first, (attempt, limit, _) in last.items()
    }


def _last_failures(history: Any, names: Collection[str], firsts: Collection[int]) -> dict[int, tuple[str, datetime]]:
    """Return text and time of the last failure of each call, by the number of its first attempt."""
    calls = {first: first for first in firsts}
    scheduled = history.filter(event_type="TaskScheduled", name__in=names, detail__isnull=False)
    for event_id, detail in scheduled.values_list("event_id", "detail"):
        first = from_json(detail).get("firstAttemptId")
        if first in firsts:
            calls[event_id] = first
    found: dict[int, tuple[str, datetime]] = {}
    failed = history.filter(event_type="TaskFailed", task_id__in=list(calls)).order_by("sequence")
    for columns in failed.values_list(*RECORD_COLUMNS):
        event = from_record(Record(*columns))
        if isinstance(event, TaskFailed):
            found[calls[event.task_scheduled_id]] = (_failure_text(event.failure_details), event.timestamp)
    return found


def _failure_text(failure: FailureDetails) -> str:
    line = first_line(failure.error_message)[:_SHOWN_MESSAGE]
    return f"{failure.error_type}: {line}" if line else failure.error_type


def _ending(row: Instance) -> str:
    if row.failure:
        return _failure_text(FailureDetails.from_json(from_json(row.failure)))
    if row.status == RuntimeStatus.TERMINATED and row.output:
        reason = from_json(row.output)
        return reason[:_SHOWN_MESSAGE] if isinstance(reason, str) else ""
    return ""


def _suspend_reason(row: Instance) -> str:
    history = HistoryEvent.objects.filter(instance=row, generation=row.generation, event_type="ExecutionSuspended")
    columns = history.order_by("-sequence").values_list(*RECORD_COLUMNS).first()
    if columns is None:
        return ""
    event = from_record(Record(*columns))
    return (event.reason or "")[:_SHOWN_MESSAGE] if isinstance(event, ExecutionSuspended) else ""
