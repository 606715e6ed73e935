"""What is in the queues one by one: which worker holds which activity, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from durable_host.conf import host_settings
from durable_host.models import ActivityTask

from . import clock, workers
from .limits import time_limited

#: Workers take activities in the order of their numbers, so that those they hold are among the first of a queue.
_LOOKED_THROUGH = 2_000
#: not the payloads
_COLUMNS = (
    "queue", "name", "attempt", "created_at", "owner", "lease_until", "instance__instance_id", "instance__name",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedActivity:
    """A scheduled activity that has no outcome yet."""

    instance_id: str
    orchestrator: str
    name: str
    queue: str
    #: deliveries to workers so far
    attempt: int
    scheduled_at: datetime
    #: the worker that has it or, where the lease is over, that had it last; empty for none
    owner: str
    #: where that worker is; its name where it was forgotten
    place: str
    #: when that worker last said that it still runs it
    renewed_at: datetime | None
    #: whether the worker still has it; where not, the next free worker takes it
    is_held: bool


def held_activities(hub: str, queue: str, *, limit: int = 100) -> tuple[QueuedActivity, ...]:
    """Return activities of a queue that a worker has, or had when it went silent, oldest first.

    Of a queue in which more than 2,000 are, those first ones are looked through.
    """
    first = ActivityTask.objects.filter(hub=hub, queue=queue).order_by("id").values("pk")[:_LOOKED_THROUGH]
    rows = ActivityTask.objects.filter(pk__in=first).exclude(owner="")
    with time_limited():
        found = list(rows.select_related("instance").only(*_COLUMNS).order_by("id")[:limit])
    return _queued(hub, found)


def waiting_activities(hub: str, queue: str, *, limit: int = 50) -> tuple[QueuedActivity, ...]:
    """Return activities of a queue that wait for a worker, next one first."""
    rows = ActivityTask.objects.filter(hub=hub, queue=queue, lease_until__lte=clock.now())
    with time_limited():
        found = list(rows.select_related("instance").only(*_COLUMNS).order_by("id")[:limit])
    return _queued(hub, found)


def _queued(hub: str, rows: Sequence[ActivityTask]) -> tuple[QueuedActivity, ...]:
    places = workers.places(hub, {row.owner for row in rows if row.owner})
    return tuple(
        QueuedActivity(
            instance_id=row.instance.instance_id,
            orchestrator=row.instance.name,
            name=row.name,
            queue=row.queue,
            attempt=row.attempt,
            scheduled_at=row.created_at,
            owner=row.owner,
            place=places.get(row.owner, row.owner),
            renewed_at=row.lease_until - host_settings().activity_lease if row.owner else None,
            is_held=row.lease_until > clock.now(),
        )
        for row in rows
    )
