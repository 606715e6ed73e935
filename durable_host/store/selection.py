"""Which instances a filter means, newest first and a bounded part at a time: for lists, exports and batches.

Filters that indexes answer are cut by key. Searches in texts have to read every row, so one call looks through a
bounded number of rows only, says how far back it came, and goes on from there the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from django.db.models import Count, Min, QuerySet

from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import Instance

from .cursors import Beyond, Key
from .filters import has_search, indexed, searched
from .shapes import InstanceFilter

#: rows that one call of a search looks through
SEARCH_WINDOW = 10_000
#: by how much the clocks of machines may differ
_CLOCKS_APART = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the instances that a filter means."""

    #: newest first
    keys: tuple[Key, ...]
    #: where the next part begins; None at the end
    after: Key | None
    #: how far back a search in texts has come; None where all was looked through
    searched_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that a search looks through in one call."""

    #: rows of this time and later are in it
    since: datetime


def newest(hub: str, filter_: InstanceFilter, *, limit: int, after: Key | None = None) -> Found:
    """Return keys of at most ``limit`` instances that come after a key, newest first.

    Args:
        hub: task hub.
        filter_: which are meant.
        limit: how many at most; a search in texts may find fewer although there are more.
        after: where the part before ended.
    """
    window = search_window(hub, filter_, after)
    keys = list(islice(merge(*_by_status(hub, filter_, limit + 1, after, window), reverse=True), limit + 1))
    if len(keys) > limit:
        return Found(tuple(keys[:limit]), keys[limit - 1])
    if window is None:
        return Found(tuple(keys), None)
    # All of that very moment was looked through, whatever its keys.
    return Found(tuple(keys), (window.since, 0), window.since)


def all_newest(hub: str, filter_: InstanceFilter, *, part: int) -> Iterator[tuple[Key, ...]]:
    """Yield the keys of all instances that a filter means, newest first, in parts."""
    found = newest(hub, filter_, limit=part)
    while True:
        if found.keys:
            yield found.keys
        if found.after is None:
            return
        found = newest(hub, filter_, limit=part, after=found.after)


def search_window(hub: str, filter_: InstanceFilter, after: Key | None = None) -> Window | None:
    """Return the rows that one call of a search looks through; None where all that are left are few enough."""
    if not has_search(filter_):
        return None
    rows = _after(indexed(hub, filter_), after).order_by("-created_at", "-pk").values("created_at")[:SEARCH_WINDOW]
    found = rows.aggregate(since=Min("created_at"), n=Count("created_at"))
    return Window(found["since"]) if found["n"] == SEARCH_WINDOW else None


def within(hub: str, filter_: InstanceFilter, window: Window | None) -> QuerySet[Instance]:
    """Return the instances that a filter means, of a window where there is one."""
    rows = searched(indexed(hub, filter_), filter_)
    return rows if window is None else rows.filter(created_at__gte=window.since)


def _by_status(
    hub: str, filter_: InstanceFilter, limit: int, after: Key | None, window: Window | None
) -> list[Sequence[Key]]:
    """Ask for each status apart: an index has each in order, but not several of them together."""
    if filter_.waiting and not filter_.statuses and not has_search(filter_):
        listening = _newest_listening(hub, filter_, limit, after)
        if listening is not None:
            return [listening]
    statuses: Sequence[tuple[RuntimeStatus, ...]] = [(one,) for one in filter_.statuses] or [()]
    parts = [within(hub, replace(filter_, statuses=one), window) for one in statuses]
    return [
        list(_after(rows, after).order_by("-created_at", "-pk").values_list("created_at", "pk")[:limit])
        for rows in parts
    ]


def _newest_listening(hub: str, filter_: InstanceFilter, limit: int, after: Key | None) -> Sequence[Key] | None:
    """Return the newest instances that listen for an event, found by the newest waits; None where that cannot tell.

    No index has them in order, and those that do not listen may be many. But no wait is older than its instance: so
    whatever is newer than the last of ``limit`` that were found by the age of their waits has a newer wait than it.
    """
    rows = _after(indexed(hub, replace(filter_, waiting=False)), after).filter(waits__isnull=False)
    # Without a condition on the status, which would hide from the planner that nearly all of them fit.
    columns = ("created_at", "pk", "status")
    found = list(rows.order_by("-waits__since", "-waits__pk").values_list(*columns)[: 2 * limit])
    keys = _going(found)
    if len(found) < 2 * limit:
        return keys[:limit]
    if len(keys) < limit:
        return None
    since = keys[limit - 1][0]
    newer = rows.filter(created_at__gte=since, waits__since__gte=since - _CLOCKS_APART)
    found = list(newer.order_by("-created_at", "-pk").values_list(*columns)[: 2 * limit])
    keys = _going(found)
    return keys[:limit] if len(keys) >= limit else None


def _going(found: Sequence[tuple[datetime, int, str]]) -> list[Key]:
    """Return the keys of instances that have not ended, each once, newest first."""
    return sorted({(at, pk) for at, pk, status in found if status not in FINISHED}, reverse=True)


def _after(rows: QuerySet[Instance], after: Key | None) -> QuerySet[Instance]:
    return rows if after is None else rows.filter(Beyond("created_at", after, newest_first=True))
