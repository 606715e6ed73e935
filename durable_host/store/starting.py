"""New instances."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from django.db import transaction

from durable_host.conf import host_settings
from durable_host.core.errors import InstanceAlreadyExistsError
from durable_host.core.events import ExecutionStarted
from durable_host.core.status import RuntimeStatus
from durable_host.models import EPOCH, Instance, PendingEvent

from . import bulk, clock
from .purging import delete_instances
from .rows import InboxRow, inbox_row, send
from .shapes import InstanceHead, NewInstance, Wake
from .sql import Statement, is_postgresql


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
    if not (len(instances) == 1 and is_postgresql() and _start_at_once(hub, instances[0])):
        with transaction.atomic():
            for instance_id, status in start_instances(hub, instances).items():
                raise InstanceAlreadyExistsError(instance_id, status)
    return Wake(frozenset({host_settings().turn_queue}))


def _start_at_once(hub: str, new: NewInstance) -> bool:
    """Write one instance in one round trip; False where its id is in use, and nothing was written."""
    now = clock.now()
    _, *message = _first_message(0, new, None, now)
    row = _instance_row(hub, new, None, now)
    return bulk.insert_pair(Instance, InstanceRow._fields, row, PendingEvent, InboxRow._fields, message)


def start_instances(
    hub: str, instances: Iterable[NewInstance], parents: Mapping[str, ParentLink] = MappingProxyType({})
) -> dict[str, str]:
    """Write instances of different ids, inside the caller's transaction. Finished ones of the same ids are replaced.

    Args:
        hub: task hub.
        instances: what to start.
        parents: by id, who waits for a sub-orchestration.

    Returns:
        Those that were refused because an unfinished instance has their id: id → its status.
    """
    waiting = {new.instance_id: new for new in instances}
    refused: dict[str, str] = {}
    while waiting:  # mostly all ids are new, so that is tried first; and another caller may use one between two looks
        for instance_id in insert_instances(hub, waiting.values(), parents, skips_taken=True):
            del waiting[instance_id]
        in_use = make_room(hub, waiting)
        for instance_id in in_use:
            del waiting[instance_id]
        refused |= in_use
    return refused


def insert_instances(
    hub: str, instances: Iterable[NewInstance], parents: Mapping[str, ParentLink], *, skips_taken: bool = False
) -> Collection[str]:
    """Insert instances with their first message; return the ids of those that were inserted.

    Args:
        hub, instances, parents: as :func:`start_instances` has them.
        skips_taken: leave out those whose id is in use, in place of an IntegrityError.
    """
    now = clock.now()
    linked = [(new, parents.get(new.instance_id)) for new in instances]
    rows = [_instance_row(hub, new, link, now) for new, link in linked]
    answer = ("instance_id", "id")
    found = bulk.insert_returning(Instance, InstanceRow._fields, rows, answer, skips_taken=skips_taken)
    keys: dict[str, int] = dict(found)
    send([_first_message(keys[new.instance_id], new, link, now) for new, link in linked if new.instance_id in keys])
    return keys.keys()


_LOCK_BY_ID = Statement(
    "SELECT id, instance_id, status FROM durable_host_instance WHERE hub = %s AND instance_id {in_texts}"
    " ORDER BY id {lock}"
)


def make_room(hub: str, instance_ids: Iterable[str]) -> dict[str, str]:
    """Remove finished instances of these ids; return id → status of those that have not finished."""
    wanted = list(instance_ids)
    if not wanted:
        return {}
    present = [(pk, id_, RuntimeStatus(status)) for pk, id_, status in _LOCK_BY_ID.rows(hub, wanted)]
    delete_instances([pk for pk, _, status in present if status.is_finished])
    return {id_: status.value for _, id_, status in present if not status.is_finished}


class InstanceRow(NamedTuple):
    """The columns of an instance that is to be written."""

    hub: str
    instance_id: str
    name: str
    version: str
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None
    tags: Mapping[str, str]
    parent_id: int | None
    parent_generation: int | None
    parent_task_id: int | None
    status: str = RuntimeStatus.PENDING.value
    generation: int = 0
    revision: int = 0
    next_sequence: int = 0
    owner: str = ""
    available_at: datetime = EPOCH
    turn_attempts: int = 0
    stall_reason: str = ""
    parked_under: str = ""


def _instance_row(hub: str, new: NewInstance, link: ParentLink | None, now: datetime) -> InstanceRow:
    return InstanceRow(
        hub=hub,
        instance_id=new.instance_id,
        name=new.name,
        version=new.version,
        created_at=now,
        updated_at=now,
        scheduled_at=new.start_at,
        tags=dict(new.tags),
        parent_id=link.head.pk if link else None,
        parent_generation=link.head.generation if link else None,
        parent_task_id=link.task_id if link else None,
    )


def _first_message(pk: int, new: NewInstance, link: ParentLink | None, now: datetime) -> InboxRow:
    visible_at = new.start_at if new.start_at and new.start_at > now else EPOCH
    return inbox_row(pk, _started(new, link, now), generation=0, visible_at=visible_at)


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
