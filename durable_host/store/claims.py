"""Taking work, so that workers seldom do the same thing twice.

Claims only save effort: the fences in :mod:`checkpoint` decide.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Min, Q, QuerySet

from durable_host.core.events import HistoryEvent as Event
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import EPOCH, ActivityTask, Instance, PendingEvent

from . import clock
from .rows import INBOX_COLUMNS, inbox_event
from .shapes import ClaimedActivity, ClaimedInstance, InstanceHead

HEAD_COLUMNS = (
    "pk",
    "instance_id",
    "name",
    "version",
    "status",
    "generation",
    "revision",
    "next_sequence",
    "custom_status",
    "parent_id",
    "parent_generation",
    "parent_task_id",
    "created_at",
    "scheduled_at",
)

#: field of :class:`ClaimedActivity` → column
_ACTIVITY_FIELDS = {
    "pk": "pk",
    "instance_pk": "instance_id",
    "instance_id": "instance__instance_id",
    "generation": "generation",
    "task_id": "task_id",
    "name": "name",
    "input": "input",
    "call_key": "call_key",
    "trace_parent": "trace_parent",
    "attempt": "attempt",
    "created_at": "created_at",
}


def claim_turns(hub: str, worker: str, *, limit: int, lease: timedelta) -> tuple[list[ClaimedInstance], bool]:
    """Hold instances that have messages, least recently served first; return them and whether more wait.

    Instances that another worker holds are passed over. Messages to finished instances are dropped. A suspect, whose
    last claim ended without a turn, is taken alone: what kills a worker shall not take others with it.
    """
    now = clock.now()
    ready = PendingEvent.objects.filter(visible_at__lte=now)
    if not ready.exists():  # mostly there is nothing: one cheap question, and no transaction
        return [], False
    with transaction.atomic():
        free = Q(available_at__lte=now) | Q(owner=worker)
        found = list(
            _skip_locked(Instance.objects.filter(free, hub=hub, pk__in=ready.values("instance_id")))
            .order_by("updated_at", "pk")
            .values_list(*HEAD_COLUMNS, "turn_attempts")[:limit]
        )
        if not found:
            return [], False
        batch = _one_batch(found)
        heads = [(_head(columns[:-1]), columns[-1] + 1) for columns in batch]
        inbox = _read_inbox({head.pk: head.generation for head, _ in heads}, now)
        claimed = [
            ClaimedInstance(head, tuple(events), tuple(ids), attempts)
            for head, attempts in heads
            for ids, events in [inbox[head.pk]]
            if events and head.status not in FINISHED
        ]
        held = {claim.head.pk for claim in claimed}
        Instance.objects.filter(pk__in=held).update(
            owner=worker, available_at=now + lease, turn_attempts=F("turn_attempts") + 1
        )
        # What is left came too late: its instance has finished, or goes on in another execution.
        dropped = [row_id for pk, (ids, _) in inbox.items() if pk not in held for row_id in ids]
        if dropped:
            PendingEvent.objects.filter(pk__in=dropped).delete()
    return claimed, len(batch) < len(found) or len(found) == limit


def _one_batch(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return one suspect alone if a suspect has waited longest, else everything that is beyond suspicion."""
    if found[0][-1]:
        return [min((columns for columns in found if columns[-1]), key=lambda columns: columns[-1])]
    return [columns for columns in found if not columns[-1]]


def claim_activities(hub: str, queue: str, worker: str, *, limit: int, lease: timedelta) -> list[ClaimedActivity]:
    """Hold activities of a queue that nobody holds, or whose holder has died, oldest first."""
    with transaction.atomic():
        now = clock.now()
        free = ActivityTask.objects.filter(hub=hub, queue=queue, lease_until__lte=now).order_by("id")
        pks = list(_skip_locked(free).values_list("pk", flat=True)[:limit])
        if not pks:
            return []
        held = ActivityTask.objects.filter(pk__in=pks)
        held.update(owner=worker, lease_until=now + lease, attempt=F("attempt") + 1)
        rows = held.order_by("pk").values_list(*_ACTIVITY_FIELDS.values())
        return [_activity(columns) for columns in rows]


def renew_activities(pks: Collection[int], worker: str, lease: timedelta) -> None:
    """Show that the worker is alive: move the end of its leases."""
    ActivityTask.objects.filter(pk__in=pks, owner=worker).update(lease_until=clock.now() + lease)


def release_activities(pks: Collection[int], worker: str) -> set[str]:
    """Hand activities back that were not started, and return their queues."""
    held = ActivityTask.objects.filter(pk__in=pks, owner=worker)
    queues = set(held.values_list("queue", flat=True))
    held.update(lease_until=EPOCH, owner="", attempt=F("attempt") - 1)
    return queues


def give_back(pks: Collection[int], worker: str) -> None:
    """Undo claims whose turns could not be committed through no fault of theirs: they count as no attempt."""
    Instance.objects.filter(pk__in=pks, owner=worker, turn_attempts__gt=0).update(
        owner="", available_at=EPOCH, turn_attempts=F("turn_attempts") - 1
    )


def release_instances(pks: Collection[int], worker: str) -> None:
    """Let go of instances that are held without a turn."""
    Instance.objects.filter(pk__in=pks, owner=worker).update(owner="", available_at=EPOCH)


def next_message_at(hub: str, *, after: datetime) -> datetime | None:
    """Return when the next message after a time becomes visible: the next timer, or scheduled start."""
    later = PendingEvent.objects.filter(visible_at__gt=after, instance__hub=hub)
    first: datetime | None = later.aggregate(first=Min("visible_at"))["first"]
    return first


def load_heads(pks: Iterable[int]) -> dict[int, InstanceHead]:
    """Return the heads of instances as they are now, by primary key."""
    rows = Instance.objects.filter(pk__in=list(pks)).values_list(*HEAD_COLUMNS)
    return {columns[0]: _head(columns) for columns in rows}


def _read_inbox(generations: dict[int, int], now: datetime) -> dict[int, tuple[list[int], list[Event]]]:
    """Return ids and events of the visible messages, in the order in which they happened.

    A message for an execution that is over has its id returned, so that it is removed, but not its event.
    """
    ids: dict[int, list[int]] = defaultdict(list)
    arrived: dict[int, list[Event]] = defaultdict(list)
    due: dict[int, deque[Event]] = defaultdict(deque)
    rows = (
        PendingEvent.objects.filter(instance_id__in=list(generations), visible_at__lte=now)
        .order_by("visible_at", "id")
        .values_list("id", "instance_id", "generation", "visible_at", *INBOX_COLUMNS)
    )
    for row_id, pk, generation, visible_at, *columns in rows:
        ids[pk].append(row_id)
        if generation is None or generation == generations[pk]:
            events = arrived[pk] if visible_at == EPOCH else due[pk]
            events.append(inbox_event(tuple(columns)))
    return {pk: (ids[pk], list(_in_order(arrived[pk], due[pk]))) for pk in generations}


def _in_order(arrived: Iterable[Event], due: deque[Event]) -> Iterator[Event]:
    """Put timers between messages: one that was due goes before a message that was sent later.

    Messages keep the order of their arrival, whatever the clocks of their senders say.
    """
    for event in arrived:
        while due and due[0].timestamp <= event.timestamp:
            yield due.popleft()
        yield event
    yield from due


def _skip_locked(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Pass over rows that another worker is claiming at this moment; SQLite has one writer and needs no lock."""
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True, no_key=connection.features.has_select_for_no_key_update)
    return rows


def _head(columns: tuple[Any, ...]) -> InstanceHead:
    pk, instance_id, name, version, status, generation, revision, next_sequence, custom_status, *more = columns
    *parent, created_at, scheduled_at = more
    return InstanceHead(
        pk=pk,
        instance_id=instance_id,
        name=name,
        version=version,
        status=RuntimeStatus(status),
        generation=generation,
        revision=revision,
        next_sequence=next_sequence,
        custom_status=custom_status,
        parent_pk=parent[0],
        parent_generation=parent[1],
        parent_task_id=parent[2],
        due_at=max(created_at, scheduled_at or created_at),
    )


def _activity(columns: tuple[Any, ...]) -> ClaimedActivity:
    return ClaimedActivity(**dict(zip(_ACTIVITY_FIELDS, columns, strict=True)))
