"""What an operation on an instance would do, read before somebody asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.status import FINISHED, UNFINISHED
from durable_host.models import ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from . import clock
from .filters import named
from .limits import time_limited
from .listing import CappedCount, capped

#: of names and ids that are shown
_NAMED = 5
#: instances at one depth that are followed further down
_FOLLOWED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWork:
    """What an unfinished instance has begun and not ended."""

    #: activities that a worker runs now, and those that wait for one or for their next attempt
    running: CappedCount
    waiting: CappedCount
    #: timers that have not fired
    timers: CappedCount
    #: what it listens for
    events: tuple[str, ...]
    #: unfinished sub-orchestrations at every depth, and the ids of some
    sub_orchestrations: CappedCount
    sub_ids: tuple[str, ...]
    #: messages that no turn has taken yet
    messages: CappedCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What a finished instance has left behind."""

    history_events: CappedCount
    #: finished sub-orchestrations at every depth, and the ids of some
    sub_orchestrations: CappedCount
    sub_ids: tuple[str, ...]
    #: sub-orchestrations that have not finished: a purge leaves them
    unfinished: CappedCount


def open_work(hub: str, instance_id: str) -> OpenWork:
    """Return what an instance has begun and not ended.

    Raises:
        InstanceNotFoundError: there is no such instance.
        TooSlowError: the database needs too long.
    """
    with time_limited():
        row = _row(hub, instance_id)
        now = clock.now()
        activities = ActivityTask.objects.filter(instance=row)
        running = activities.exclude(owner="").filter(lease_until__gt=now)
        inbox = PendingEvent.objects.filter(Q(generation=row.generation) | Q(generation=None), instance=row)
        total, ids, _ = _descendants(row.pk, frozenset(UNFINISHED))
        waits = EventWait.objects.filter(instance=row).order_by("pk").values_list("name", flat=True)
        return OpenWork(
            running=capped(running),
            waiting=capped(activities.exclude(pk__in=running.values("pk"))),
            timers=capped(inbox.filter(event_type="TimerFired", visible_at__gt=now)),
            events=tuple(waits[:_NAMED]),
            sub_orchestrations=total,
            sub_ids=ids,
            messages=capped(inbox.filter(visible_at__lte=now)),
        )


def remains(hub: str, instance_id: str) -> Remains:
    """Return what an instance has left behind; raises as :func:`open_work`."""
    with time_limited():
        row = _row(hub, instance_id)
        total, ids, unfinished = _descendants(row.pk, FINISHED)
        return Remains(
            history_events=capped(HistoryEvent.objects.filter(instance=row)),
            sub_orchestrations=total,
            sub_ids=ids,
            unfinished=unfinished,
        )


def _row(hub: str, instance_id: str) -> Instance:
    row = named(hub, instance_id).first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    return row


def _descendants(pk: int, wanted: frozenset[str]) -> tuple[CappedCount, tuple[str, ...], CappedCount]:
    """Return how many sub-orchestrations are of wanted statuses, below one another; some ids; and how many are not."""
    found, others, is_capped = 0, 0, False
    ids: list[str] = []
    level = [pk]
    while level:
        rows = Instance.objects.filter(parent_id__in=level).order_by("pk")
        children = list(rows.values_list("pk", "instance_id", "status")[: _FOLLOWED + 1])
        is_capped = is_capped or len(children) > _FOLLOWED
        meant = [child for child in children[:_FOLLOWED] if child[2] in wanted]
        found += len(meant)
        others += min(len(children), _FOLLOWED) - len(meant)
        ids += [child[1] for child in meant[: _NAMED - len(ids)]]
        level = [child[0] for child in meant]
    return CappedCount(found, is_capped), tuple(ids), CappedCount(others, is_capped)
