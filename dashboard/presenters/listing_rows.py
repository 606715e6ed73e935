"""The rows, the statuses and the ways out of an empty list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.utils.safestring import SafeString

from durable_host.core.status import RuntimeStatus
from durable_host.store.listing import CappedCount, InstanceRow, StatusCounts

from .listing import ListQuery
from .listing_cells import cells
from .listing_columns import Column
from .statuses import look

#: statuses that an operator meets, in the order of a life; others show where there are some
_USUAL = (
    RuntimeStatus.PENDING,
    RuntimeStatus.RUNNING,
    RuntimeStatus.SUSPENDED,
    RuntimeStatus.COMPLETED,
    RuntimeStatus.FAILED,
    RuntimeStatus.TERMINATED,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table."""

    row: InstanceRow
    #: names the row in HTML, whatever its id holds
    key: str
    cells: SafeString


@dataclass(frozen=True, slots=True)
class StatusChip:
    """One status as the page offers it."""

    label: str
    url: str
    is_chosen: bool
    count: CappedCount | None
    tone: str


def lines(rows: Iterable[InstanceRow], columns: Iterable[Column], *, has_payloads: bool) -> list[Line]:
    """Return the rows for the template; ``has_payloads`` says whether the reader may see custom statuses."""
    shown = tuple(columns)
    return [Line(row, _key(row.instance_id), cells(row, shown, has_payloads=has_payloads)) for row in rows]


def _key(instance_id: str) -> str:
    return hashlib.blake2b(instance_id.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def status_chips(query: ListQuery, counts: StatusCounts | None) -> list[StatusChip]:
    """Return the statuses, with how many there are; without counts where there were none to be had."""
    by_status = counts.by_status if counts else {}
    zero = CappedCount(0)
    shown = [one for one in RuntimeStatus if one in _USUAL or one in query.statuses or by_status.get(one, zero).value]
    shown.sort(key=lambda one: _USUAL.index(one) if one in _USUAL else len(_USUAL))
    everything = replace(query, statuses=())
    total = counts.total if counts else None
    found = [StatusChip("All", everything.address(), not query.statuses, total, "neutral")]
    for one in shown:
        count = by_status.get(one) if counts else None
        tone = look(one).tone if count and count.value else "neutral"
        url = query.toggled(one).address()
        found.append(StatusChip(look(one).label, url, one in query.statuses, count, tone))
    return found
