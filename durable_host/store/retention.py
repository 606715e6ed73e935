"""Removing what is no longer kept: finished instances, oldest end first, a small part in each transaction.

Only instances without a parent are looked for: sub-orchestrations are kept as long as what called them, and go with it.
One worker at a time does a sweep. It holds the row of this chore, and every part renews its hold: where a worker
dies, another goes on from the beginning, which by then is where the dead one was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from durable_host.core.access import Operation
from durable_host.core.retention import RetentionRule
from durable_host.core.status import FINISHED
from durable_host.models import EPOCH, Chore, Instance

from . import audit, clock, purging
from .cursors import Beyond, Key
from .limits import time_limited
from .listing import CappedCount, capped

CHORE = "retention"
#: kind of actor in the audit
ACTOR_KIND = "host"
_HOLD = timedelta(minutes=1)
#: instances that are looked up, and that are removed, in one part
_ROOTS, _MOST = 50, 500
_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far a sweep is: which rule, and the last instance that it is through with."""

    rule: int = 0
    after: Key | None = None


def begin(hub: str, worker: str) -> bool:
    """Take the chore if it is due and nobody has it; tell whether this worker has it now."""
    now = clock.now()
    Chore.objects.get_or_create(hub=hub, name=CHORE)
    rows = Chore.objects.filter(hub=hub, name=CHORE, next_at__lte=now)
    return rows.update(owner=worker, next_at=now + _HOLD) > 0


def remove_part(hub: str, worker: str, rules: Sequence[RetentionRule], place: Place) -> Place | None:
    """Remove the next few, and return where to go on; None at the end, or where another worker has taken the chore.

    Raises:
        TooSlowError: the database needs too long to find them.
    """
    if place.rule >= len(rules):
        return None
    found = _next(hub, rules, place)
    if not found:
        return Place(place.rule + 1)
    with transaction.atomic():
        held = _held(hub, worker)
        # Somebody may have started one again since.
        pks = [pk for _, pk in found]
        roots = list(_expired(hub, rules, place.rule).filter(pk__in=pks).order_by("pk").select_for_update())
        going, is_all = _bottom_first([row.pk for row in roots])
        removed = purging.delete_instances(going)
        if not held.update(next_at=clock.now() + _HOLD, done=F("done") + removed):
            transaction.set_rollback(True)
            return None
    return Place(place.rule, found[-1]) if is_all else place


def finish(hub: str, worker: str, rules: Sequence[RetentionRule], interval: timedelta) -> int:
    """End a sweep: record it if it removed something, say when the next one is due, return how many were removed."""
    with transaction.atomic():
        removed = _held(hub, worker).values_list("done", flat=True).first() or 0
        if removed:
            said = f"removed {removed:,} instances; kept are {', '.join(map(str, rules))}"
            asked = audit.Asked(
                hub=hub, actor_kind=ACTOR_KIND, actor=CHORE, address="", operation=Operation.PURGE, detail=said
            )
            audit.record(asked, audit.Outcome.DONE)
        _held(hub, worker).update(owner="", done=0, next_at=clock.now() + interval)
    return removed


def count_expired(hub: str, rules: Sequence[RetentionRule]) -> list[CappedCount]:
    """Return for each rule how many it would remove now, their sub-orchestrations not counted.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        return [capped(_expired(hub, rules, number), _COUNTED) for number in range(len(rules))]


def next_sweep_at(hub: str) -> datetime | None:
    """Return when the next sweep is due; None where there was none yet."""
    found = Chore.objects.filter(hub=hub, name=CHORE).exclude(next_at=EPOCH)
    return found.values_list("next_at", flat=True).first()


def _held(hub: str, worker: str) -> QuerySet[Chore]:
    return Chore.objects.filter(hub=hub, name=CHORE, owner=worker)


def _next(hub: str, rules: Sequence[RetentionRule], place: Place) -> list[Key]:
    rows = _expired(hub, rules, place.rule)
    if place.after is not None:
        rows = rows.filter(Beyond("completed_at", place.after, newest_first=False))
    with time_limited():
        found = rows.order_by("completed_at", "pk").values_list("completed_at", "pk")[:_ROOTS]
        return [(at, pk) for at, pk in found if at is not None]


def _expired(hub: str, rules: Sequence[RetentionRule], number: int) -> QuerySet[Instance]:
    """Return what a rule removes: it fits, no rule before it does, and its time is over."""
    rule = rules[number]
    if rule.kept_for is None:
        return Instance.objects.none()
    rows = Instance.objects.filter(
        _fits(rule), hub=hub, parent=None, status__in=FINISHED, completed_at__lt=clock.now() - rule.kept_for
    )
    for earlier in rules[:number]:
        rows = rows.exclude(_fits(earlier))
    return rows


def _fits(rule: RetentionRule) -> Q:
    found = Q(completed_at__isnull=False)
    if rule.status is not None:
        found &= Q(status=rule.status)
    if rule.name:
        is_prefix = rule.name.endswith("*")
        found &= Q(name__startswith=rule.name[:-1]) if is_prefix else Q(name=rule.name)
    return found


def _bottom_first(roots: list[int]) -> tuple[list[int], bool]:
    """Return what to remove of families, and whether that is all of them.

    Of a large family the lowest level comes first, so that whatever is left is whole from its root downwards.
    """
    levels = [roots]
    is_all = True
    while levels[-1]:
        rows = Instance.objects.filter(parent_id__in=levels[-1], status__in=FINISHED)
        below = list(rows.values_list("pk", flat=True)[: _MOST + 1])
        is_all = is_all and len(below) <= _MOST
        levels.append(below[:_MOST])
    if is_all and sum(map(len, levels)) <= _MOST:
        return [pk for level in levels for pk in level], True
    return levels[-2], len(levels) == 2
