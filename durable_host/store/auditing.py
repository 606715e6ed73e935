"""Reading the audit: by person, operation, outcome, instance and time, a page at a time or as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from durable_host.core.access import Operation
from durable_host.core.failure import storable_text
from durable_host.models import AuditRecord

from .audit import Audited, Outcome, as_audited
from .cursors import Beyond, decode_key, encode_key
from .exporting import cell
from .limits import time_limited

_EXPORT_PART = 1_000
_LONGEST = 256
_COLUMNS = (
    "time",
    "actorKind",
    "actor",
    "operation",
    "outcome",
    "instanceId",
    "orchestrator",
    "eventName",
    "detail",
    "address",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records are meant; whatever is empty does not narrow."""

    #: how the name of the user or key begins, in capitals or not
    actor: str = ""
    operation: Operation | None = None
    outcome: Outcome | None = None
    instance_id: str = ""
    #: times of the earliest and the latest
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the audit, newest first."""

    records: tuple[Audited, ...]
    #: hand it to the next call; None at the end
    cursor: str | None


def read_audit(hub: str, filter_: AuditFilter, *, page_size: int = 50, cursor: str | None = None) -> AuditPage:
    """Return a part of the audit, newest first.

    Raises:
        BadRequestError: the cursor is not one that a former page gave.
        TooSlowError: the database needs too long.
    """
    rows = _meant(hub, filter_)
    if cursor is not None:
        rows = rows.filter(Beyond("at", decode_key(cursor), newest_first=True))
    with time_limited():
        found = list(rows.order_by("-at", "-pk")[: page_size + 1])
    shown = found[:page_size]
    more = encode_key((shown[-1].at, shown[-1].pk)) if len(found) > page_size else None
    return AuditPage(tuple(map(as_audited, shown)), more)


def export_audit(hub: str, filter_: AuditFilter) -> Iterator[str]:
    """Yield all that is meant as CSV with a line of headings, newest first; a part at a time is in memory.

    No cell is taken for a formula by a spreadsheet.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(_COLUMNS)
    for row in _all(hub, filter_):
        values = (
            row.at, row.actor_kind, row.actor, row.operation, row.outcome, row.instance_id, row.target, row.event_name,
            row.detail, row.address,
        )  # fmt: skip
        writer.writerow([cell(value) for value in values])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


def _all(hub: str, filter_: AuditFilter) -> Iterator[AuditRecord]:
    rows = _meant(hub, filter_).order_by("-at", "-pk")
    part = list(rows[:_EXPORT_PART])
    while part:
        yield from part
        last = part[-1]
        part = list(rows.filter(Beyond("at", (last.at, last.pk), newest_first=True))[:_EXPORT_PART])


def _meant(hub: str, filter_: AuditFilter) -> QuerySet[AuditRecord]:
    lookups = {
        "actor__istartswith": storable_text(filter_.actor, _LONGEST),
        "operation": filter_.operation,
        "outcome": filter_.outcome,
        "instance_id": storable_text(filter_.instance_id, _LONGEST),
        "at__gte": filter_.since,
        "at__lte": filter_.until,
    }
    return AuditRecord.objects.filter(hub=hub, **{lookup: value for lookup, value in lookups.items() if value})
