"""The list of instances as people see it: light rows without payloads, pages by key, counts that never scan far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Func, IntegerField, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, Left

from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import ActivityTask, EventWait, Instance, PendingEvent

from . import clock, selection
from .cursors import Key, decode_key, encode_key
from .filters import has_search, indexed
from .limits import time_limited
from .shapes import InstanceFilter

#: counts stop here
COUNT_LIMIT = 1_000
_SHOWN_STATUS = 200
_SHOWN_ERROR = 300
_TAG_SAMPLE = 500
_MOST_TAG_VALUES = 50


@dataclass(frozen=True, slots=True)
class CappedCount:
    """A count that went no further than it had to."""

    value: int
    #: whether there are more
    is_capped: bool = False

    @classmethod
    def of(cls, counted: int, limit: int = COUNT_LIMIT) -> CappedCount:
        """Return the count of rows of which at most ``limit + 1`` were counted."""
        return cls(min(counted, limit), counted > limit)

    def __str__(self) -> str:
        return f"{self.value:,}{'+' if self.is_capped else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """One line of the list."""

    instance_id: str
    name: str
    version: str
    status: RuntimeStatus
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    scheduled_at: datetime | None
    tags: Mapping[str, str]
    #: the beginning of its JSON text; empty where there is none
    custom_status: str
    #: in bytes of JSON text
    custom_status_size: int
    output_size: int
    error_type: str
    #: its beginning
    error_message: str
    parent_instance_id: str | None
    generation: int
    stall_reason: str
    #: names of the external events that it listens for
    waiting_for: tuple[str, ...] = ()
    #: activities that have no outcome yet
    activities_open: int = 0
    #: calls that failed and pause before another attempt
    retries_open: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether the instance has ended."""
        return self.status in FINISHED

    @property
    def duration(self) -> timedelta | None:
        """From creation to the end; None while there is no end."""
        return None if self.completed_at is None else max(self.completed_at - self.created_at, timedelta(0))


@dataclass(frozen=True, slots=True)
class ListPage:
    """A part of the list."""

    rows: tuple[InstanceRow, ...]
    #: hand it to the next call; None at the end
    cursor: str | None
    #: how far back a search in texts has come; then the page may be short although there are more
    searched_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCounts:
    """How many instances fit, by status."""

    by_status: Mapping[RuntimeStatus, CappedCount]
    total: CappedCount
    as_of: datetime
    #: a search in texts counted back to this time only
    searched_to: datetime | None = None


def list_instances(hub: str, filter_: InstanceFilter, *, page_size: int = 50, cursor: str | None = None) -> ListPage:
    """Return one page, newest first.

    Raises:
        BadRequestError: the cursor is not one that a former page gave.
        TooSlowError: the database needs too long.
    """
    after = None if cursor is None else decode_key(cursor)
    with time_limited():
        found = selection.newest(hub, filter_, limit=page_size, after=after)
        rows = rows_of(found.keys)
    return ListPage(rows, None if found.after is None else encode_key(found.after), found.searched_to)


def count_statuses(hub: str, filter_: InstanceFilter) -> StatusCounts:
    """Count what fits a filter, by status; the filter's own statuses are left aside, so that others can be chosen.

    Raises:
        TooSlowError: the database needs too long.
    """
    anyhow = replace(filter_, statuses=())
    with time_limited():
        window = selection.search_window(hub, anyhow)
        # Those that listen are few and have no order of their own: one look at them beats one for each status.
        reads_all = has_search(anyhow) or anyhow.waiting
        counts = _looked_through(hub, anyhow, window) if reads_all else _counts(hub, anyhow)
    total = CappedCount.of(sum(one.value + one.is_capped for one in counts.values()))
    return StatusCounts(
        by_status=counts, total=total, as_of=clock.now(), searched_to=window.since if window is not None else None
    )


def count_matching(hub: str, filter_: InstanceFilter) -> CappedCount:
    """Count what fits a filter.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited():
        window = selection.search_window(hub, filter_)
        count = capped(selection.within(hub, filter_, window))
    return count if window is None else replace(count, is_capped=True)


def capped(rows: QuerySet[Any], limit: int = COUNT_LIMIT) -> CappedCount:
    """Count rows, but not far."""
    return CappedCount.of(rows.order_by().values("pk")[: limit + 1].count(), limit)


def known_orchestrators(hub: str, registered: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of orchestrators that are registered or that an instance has.

    Raises:
        TooSlowError: the database needs too long.
    """
    with time_limited(), connection.cursor() as cursor:
        cursor.execute(_NAMES, [hub, hub])
        names = {name for (name,) in cursor.fetchall()}
    return tuple(sorted(names | set(registered), key=str.casefold))


def recent_tags(hub: str) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of the newest instances: name → values, both in the order of the alphabet."""
    rows = Instance.objects.filter(hub=hub).order_by("-created_at", "-pk").values_list("tags", flat=True)
    values: dict[str, set[str]] = defaultdict(set)
    with time_limited():
        for tags in rows[:_TAG_SAMPLE]:
            for name, value in tags.items():
                values[name].add(value)
    return {name: tuple(sorted(values[name])[:_MOST_TAG_VALUES]) for name in sorted(values)}


#: one look into the index for each name, however many instances have it
_TABLE = Instance._meta.db_table
_NAMES = f"""
WITH RECURSIVE names (name) AS (
    SELECT MIN(name) FROM {_TABLE} WHERE hub = %s
    UNION ALL
    SELECT (SELECT MIN(one.name) FROM {_TABLE} one WHERE one.hub = %s AND one.name > names.name)
    FROM names WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
"""  # noqa: S608  our own table


# --- rows -----------------------------------------------------------------------------------------------------------


class ByteLength(Func):
    """The size of a text. Neither database reads a large one for it."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Use what older versions of SQLite have, too."""
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


class FailureField(Func):
    """A text of the failure, as ``errorType``, without the stacks around it."""

    output_field = TextField()

    def __init__(self, *path: str) -> None:
        super().__init__(F("failure"))
        self._path = path

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        """Write it for PostgreSQL."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        return f"({column}::json #>> %s)", [*params, f"{{{','.join(self._path)}}}"]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        """Write it for SQLite."""
        column, params = compiler.compile(self.get_source_expressions()[0])
        return f"json_extract({column}, %s)", [*params, f"$.{'.'.join(self._path)}"]


_PLAIN = ("instance_id", "name", "version", "created_at", "updated_at", "completed_at", "scheduled_at", "tags")
_MORE = ("generation", "stall_reason")


def rows_of(keys: Sequence[Key]) -> tuple[InstanceRow, ...]:
    """Return the lines of these instances, in the order of the keys; one that was purged meanwhile is left out."""
    pks = [pk for _, pk in keys]
    if not pks:
        return ()
    empty = Value("", TextField())
    found = Instance.objects.filter(pk__in=pks).values(
        "pk",
        "status",
        *_PLAIN,
        *_MORE,
        parent_key=F("parent__instance_id"),
        shown_status=Coalesce(Left("custom_status", _SHOWN_STATUS), empty, output_field=TextField()),
        status_size=Coalesce(ByteLength("custom_status"), 0),
        output_size=Coalesce(ByteLength("output"), 0),
        error_type=Coalesce(FailureField("errorType"), empty),
        error_message=Coalesce(Left(FailureField("errorMessage"), _SHOWN_ERROR), empty, output_field=TextField()),
    )
    by_pk = {row["pk"]: row for row in found}
    waits, activities, retries = _waits(pks), _count_of(_activities(pks)), _count_of(_retries(pks))
    return tuple(
        _row(by_pk[pk], tuple(waits.get(pk, ())), activities.get(pk, 0), retries.get(pk, 0))
        for pk in pks
        if pk in by_pk
    )


def _row(row: Mapping[str, Any], waits: tuple[str, ...], activities: int, retries: int) -> InstanceRow:
    return InstanceRow(
        **{name: row[name] for name in (*_PLAIN, *_MORE)},
        status=RuntimeStatus(row["status"]),
        custom_status=row["shown_status"],
        custom_status_size=row["status_size"],
        output_size=row["output_size"],
        error_type=row["error_type"],
        error_message=row["error_message"],
        parent_instance_id=row["parent_key"],
        waiting_for=waits,
        activities_open=activities,
        retries_open=retries,
    )


def _waits(pks: Sequence[int]) -> dict[int, list[str]]:
    waits: dict[int, list[str]] = defaultdict(list)
    for pk, name in EventWait.objects.filter(instance_id__in=pks).order_by("pk").values_list("instance_id", "name"):
        waits[pk].append(name)
    return waits


def _activities(pks: Sequence[int]) -> QuerySet[Any]:
    return ActivityTask.objects.filter(instance_id__in=pks)


def _retries(pks: Sequence[int]) -> QuerySet[Any]:
    return PendingEvent.objects.filter(instance_id__in=pks, event_type="TimerFired", name__isnull=False)


def _count_of(rows: QuerySet[Any]) -> dict[int, int]:
    return dict(rows.order_by().values_list("instance_id").annotate(n=Count("pk")))


def _looked_through(
    hub: str, filter_: InstanceFilter, window: selection.Window | None
) -> dict[RuntimeStatus, CappedCount]:
    """Count what is found by looking at each row, of a window where there is one, by status."""
    rows = selection.within(hub, filter_, window).order_by().values_list("status").annotate(n=Count("pk"))
    found = dict(rows)
    return {status: CappedCount.of(found.get(status.value, 0)) for status in RuntimeStatus}


def _counts(hub: str, filter_: InstanceFilter) -> dict[RuntimeStatus, CappedCount]:
    """Count each status in one statement, so that the limit of time is of all together."""
    pieces: list[str] = []
    params: list[Any] = []
    for status in RuntimeStatus:
        rows = indexed(hub, replace(filter_, statuses=(status,)))
        if rows.query.is_empty():
            pieces.append("0")
            continue
        # In the order of the list: without it the planner hopes to meet enough of them in the table by chance.
        sql, values = rows.order_by("-created_at", "-pk").values("pk")[: COUNT_LIMIT + 1].query.sql_with_params()
        pieces.append(f"(SELECT COUNT(*) FROM ({sql}) counted)")  # noqa: S608  the ORM's own SQL
        params += values
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(pieces)}", params)
        found = cursor.fetchone()
    return {status: CappedCount.of(one) for status, one in zip(RuntimeStatus, found, strict=True)}
