"""New instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from durable_host.conf import host_settings
from durable_host.core.errors import InstanceAlreadyExistsError
from durable_host.core.events import ExecutionStarted
from durable_host.core.status import RuntimeStatus
from durable_host.models import EPOCH, Instance

from . import clock
from .purging import delete_instances
from .rows import inbox_row, send
from .shapes import InstanceHead, NewInstance, Wake


@dataclass(frozen=True, slots=True)
class ParentLink:
    """Which task of which execution waits for a sub-orchestration."""

    head: InstanceHead
    task_id: int


def start_all(hub: str, instances: Sequence[NewInstance]) -> Wake:
    """Write instances that wait for their first turn, all or none. Finished ones of the same ids are replaced.

    Raises:
        InstanceAlreadyExistsError: an unfinished instance has one of the ids.
    """
    with transaction.atomic():
        for instance_id, status in start_instances(hub, instances).items():
            raise InstanceAlreadyExistsError(instance_id, status)
    return Wake(frozenset({host_settings().turn_queue}))


def start_instances(hub: str, instances: Sequence[NewInstance]) -> dict[str, str]:
    """Write instances, inside the caller's transaction.

    Returns:
        Those that were refused because an unfinished instance has their id: id → its status.
    """
    wanted = {new.instance_id: new for new in instances}
    refused = make_room(hub, wanted)
    accepted = [new for new in wanted.values() if new.instance_id not in refused]
    try:
        with transaction.atomic():
            insert_instances(hub, accepted)
    except IntegrityError:  # another caller started one of them since we looked
        refused = make_room(hub, wanted)
        insert_instances(hub, [new for new in wanted.values() if new.instance_id not in refused])
    return refused


def insert_instances(
    hub: str, instances: Sequence[NewInstance], links: Sequence[ParentLink | None] | None = None
) -> list[int]:
    """Insert instances with their first message and return their primary keys."""
    if not instances:
        return []
    now = clock.now()
    parents = links or [None] * len(instances)
    rows = Instance.objects.bulk_create(
        [_instance_row(hub, new, link, now) for new, link in zip(instances, parents, strict=True)]
    )
    send(
        [
            inbox_row(
                row.pk,
                _started(new, link, now),
                generation=0,
                visible_at=new.start_at if new.start_at and new.start_at > now else EPOCH,
            )
            for row, new, link in zip(rows, instances, parents, strict=True)
        ]
    )
    return [row.pk for row in rows]


def make_room(hub: str, instance_ids: Iterable[str]) -> dict[str, str]:
    """Remove finished instances of these ids; return id → status of those that have not finished."""
    present = list(
        Instance.objects.select_for_update().filter(hub=hub, instance_id__in=list(instance_ids)).order_by("pk")
    )
    delete_instances([row.pk for row in present if row.is_finished])
    return {row.instance_id: row.status for row in present if not row.is_finished}


def _instance_row(hub: str, new: NewInstance, link: ParentLink | None, now: datetime) -> Instance:
    return Instance(
        hub=hub,
        instance_id=new.instance_id,
        name=new.name,
        version=new.version,
        status=RuntimeStatus.PENDING,
        created_at=now,
        updated_at=now,
        scheduled_at=new.start_at,
        tags=dict(new.tags),
        parent_id=link.head.pk if link else None,
        parent_generation=link.head.generation if link else None,
        parent_task_id=link.task_id if link else None,
    )


def _started(new: NewInstance, link: ParentLink | None, now: datetime) -> ExecutionStarted:
    return ExecutionStarted(
        timestamp=now,
        name=new.name,
        input=new.input,
        version=new.version,
        parent_instance_id=link.head.instance_id if link else None,
        tags=new.tags or None,
        scheduled_start_time=new.start_at,
        trace_parent=new.trace_parent,
        trace_state=new.trace_state,
    )
