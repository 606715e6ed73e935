"""What the rows of a hub say of its health, by queries whose cost does not grow with the tables.

Counts are exact up to :data:`EXACT`. Beyond, PostgreSQL's planner is asked, which costs no reading at all, and of the
instances it is said that they are an estimate. SQLite, which keeps no such numbers and serves one machine, counts on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from pydantic_core import from_json

from durable_host.conf import host_settings
from durable_host.core import metrics
from durable_host.core.metrics import Sample
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import EPOCH, ActivityTask, EventWait, Instance, PendingEvent

from . import clock, workers

#: how far is counted
EXACT = 20_000
#: messages that are looked at together
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows there are."""

    count: int
    is_estimate: bool = False


def read_hub(hub: str) -> list[Sample]:
    """Return the present samples of :data:`~durable_host.core.metrics.HUB_GAUGES`."""
    now = clock.now()
    return [
        *_instances(hub),
        Sample(metrics.INSTANCES_STALLED, _stalled(hub).count()),
        Sample(metrics.OLDEST_MESSAGE, _oldest_message(hub, now)),
        Sample(metrics.TIMER_LAG, _timer_lag(hub, now)),
        *_queues(hub, now),
        Sample(metrics.EVENT_WAITS, _event_waits(hub).count),
    ]


def read_workers(hub: str) -> list[Sample]:
    """Return the present samples of :data:`~durable_host.core.metrics.WORKER_GAUGES`, of workers that have not left."""
    now = clock.now()
    found = [worker for worker in workers.list_workers(hub) if worker.left_at is None]
    return [sample for worker in found for sample in _worker(worker, now)]


def count_by_status(hub: str) -> dict[RuntimeStatus, Size]:
    """Return how many instances of the hub have each status, without counting those that are nearly all of them."""
    rows = Instance.objects.filter(hub=hub)
    everything = size_of(rows)
    # COMPLETED has no index of its own, all others share a small one: it is what they leave.
    sizes = {one: size_of(_of_status(rows, one)) for one in RuntimeStatus if one is not RuntimeStatus.COMPLETED}
    others = sum(size.count for size in sizes.values())
    is_estimate = everything.is_estimate or any(size.is_estimate for size in sizes.values())
    return sizes | {RuntimeStatus.COMPLETED: Size(max(0, everything.count - others), is_estimate)}


def size_of(rows: QuerySet[Any], among: QuerySet[Any] | None = None) -> Size:
    """Return how many rows a query finds, exactly or, of many, about.

    Args:
        rows: the query.
        among: one that finds these rows and others, and is cheaper: where it finds few, ``rows`` are counted.
    """
    if connection.vendor != "postgresql":
        return Size(rows.count())
    counted = (rows if among is None else among).order_by()[: EXACT + 1].count()
    if counted <= EXACT:
        return Size(counted if among is None else rows.count())
    planned = _planned_rows(rows)
    return Size(planned if among is not None else max(counted, planned), is_estimate=True)


def _planned_rows(rows: QuerySet[Any]) -> int:
    """Return how many rows the planner expects, from the statistics that autovacuum keeps."""
    (plan,) = from_json(rows.order_by().values("pk").explain(format="json"))
    return int(plan["Plan"]["Plan Rows"])


def _instances(hub: str) -> Iterator[Sample]:
    for status, size in count_by_status(hub).items():
        yield Sample(metrics.INSTANCES, size.count, status.value)
        yield Sample(metrics.INSTANCES_ESTIMATED, float(size.is_estimate), status.value)


def _stalled(hub: str) -> QuerySet[Instance]:
    return Instance.objects.filter(hub=hub).exclude(stall_reason="").exclude(status__in=FINISHED)


def _of_status(rows: QuerySet[Instance], status: RuntimeStatus) -> QuerySet[Instance]:
    """Return the instances of a status that is not COMPLETED; SQLite takes the index of those only if told so."""
    if connection.vendor != "postgresql":
        rows = rows.exclude(status=RuntimeStatus.COMPLETED)
    return rows.filter(status=status)


def _oldest_message(hub: str, now: datetime) -> float:
    """Return the age of the oldest message that a turn could take."""
    return _age(_first(hub, PendingEvent.objects.filter(visible_at=EPOCH), "timestamp"), now)


def _timer_lag(hub: str, now: datetime) -> float:
    due = PendingEvent.objects.filter(visible_at__gt=EPOCH, visible_at__lte=now)
    return _age(_first(hub, due, "visible_at"), now)


def _first(hub: str, rows: QuerySet[PendingEvent], column: str) -> datetime | None:
    """Return the first time in a column of rows whose instance is of the hub and not stalled.

    Page by page and not by a join: with a backlog, planners begin it with the table of all instances.
    """
    page = list(rows.order_by(column).values_list(column, "instance_id")[:_PAGE])
    while page:
        instances = Instance.objects.filter(pk__in={pk for _, pk in page}, hub=hub, stall_reason="")
        going = set(instances.values_list("pk", flat=True))
        first: datetime | None = next((at for at, pk in page if pk in going), None)
        if first is not None or len(page) < _PAGE:
            return first
        later = rows.filter(**{f"{column}__gt": page[-1][0]})
        page = list(later.order_by(column).values_list(column, "instance_id")[:_PAGE])
    return None


def _event_waits(hub: str) -> Size:
    rows = EventWait.objects.filter(Exists(Instance.objects.filter(pk=OuterRef("instance_id"), hub=hub)))
    return size_of(rows, among=EventWait.objects.all())


def _queues(hub: str, now: datetime) -> Iterator[Sample]:
    """Return the backlog of the queues that have activities or workers, and of the turn queue."""
    in_use = workers.queues_in_use(hub)
    live = workers.count_live_by_queue(hub, {host_settings().turn_queue, *in_use})
    for queue, count in sorted(live.items()):
        free = ActivityTask.objects.filter(hub=hub, queue=queue, lease_until__lte=now)
        first = free.order_by("id").values_list("created_at", flat=True).first() if queue in in_use else None
        yield Sample(metrics.WORKERS, count, queue)
        yield Sample(metrics.BACKLOG, size_of(free).count if first else 0, queue)
        yield Sample(metrics.OLDEST_ACTIVITY, _age(first, now), queue)


def _worker(worker: workers.WorkerInfo, now: datetime) -> Iterator[Sample]:
    report = worker.report
    values = {
        metrics.WORKER_SEEN_AGE: _age(worker.seen_at, now),
        metrics.WORKER_RUNNING: report.running_activities,
        metrics.WORKER_ROOM: report.max_activities,
        metrics.WORKER_ABANDONED: report.abandoned_activities,
        metrics.WORKER_RESIDENT: report.resident_executions,
        metrics.WORKER_HELD: report.held_instances,
        metrics.WORKER_CLOCK: worker.clock_offset,
    }
    for metric, value in values.items():
        if value is not None:
            yield Sample(metric, value, report.name)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
