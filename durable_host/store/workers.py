"""The workers as they last showed themselves: who is there, on which queues, and what each has counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import transaction
from pydantic_core import to_json

from durable_host.conf import host_settings
from durable_host.core import metrics
from durable_host.core.metrics import Tallies
from durable_host.models import ActivityTask, WorkerState

from . import clock
from .sql import Statement

#: how long a worker that has left or died is kept, so that what it counted last is still scraped
KEPT = timedelta(minutes=10)
_LEAST_PATIENCE = timedelta(seconds=15)
_SWEEPS_MISSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker tells of itself."""

    hub: str
    name: str
    queue: str
    hostname: str
    pid: int
    version: str
    started_at: datetime
    #: activities that it runs, and how many it could
    running_activities: int = 0
    max_activities: int = 0
    #: activities that outran their limit, cannot be stopped, and still hold a thread each
    abandoned_activities: int = 0
    #: executions that it keeps in memory
    resident_executions: int = 0
    #: instances that stay with it while their activities run
    held_instances: int = 0
    counters: Tallies = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker, for reading."""

    report: WorkerReport
    seen_at: datetime
    left_at: datetime | None
    #: its clock minus the database server's, in seconds; None where they are the same machine's or nobody measured
    clock_offset: float | None
    #: whether it was seen lately and has not left
    is_live: bool

    @property
    def is_lost(self) -> bool:
        """Whether it went silent without a good-bye: killed, or cut off."""
        return not self.is_live and self.left_at is None


def show(report: WorkerReport) -> None:
    """Write that a worker is there, in one statement. Set its clock by the server's."""
    ahead = clock.synchronise()
    _write(report, {"left_at": None, "clock_offset": None if ahead is None else ahead.total_seconds()})


def leave(report: WorkerReport) -> None:
    """Write that a worker has left. Its row stays for :data:`KEPT`, so that its last counts are not lost."""
    _write(report, {"left_at": clock.now()})


def visit(report: WorkerReport) -> None:
    """Add what a host counted that lived for one bell only. All such visits of a machine share one row."""
    with transaction.atomic():
        rows = WorkerState.objects.filter(hub=report.hub, name=report.name)
        present = rows.select_for_update().first()
        counters = metrics.total(report.counters, present.counters) if present else report.counters
        started_at = present.started_at if present else report.started_at
        values = _columns(report) | {"counters": counters, "started_at": started_at, "left_at": clock.now()}
        WorkerState.objects.update_or_create(hub=report.hub, name=report.name, defaults=values)


def forget_gone(hub: str) -> int:
    """Remove workers that were not seen for :data:`KEPT`; return how many."""
    removed, _ = WorkerState.objects.filter(hub=hub, seen_at__lt=clock.now() - KEPT).delete()
    return removed


def list_workers(hub: str) -> list[WorkerInfo]:
    """Return the workers of the hub, those that left or died lately too, in the order of queue and start."""
    now = clock.now()
    rows = WorkerState.objects.filter(hub=hub, seen_at__gte=now - KEPT).order_by("queue", "started_at", "name")
    return [_info(row, now) for row in rows]


def list_live_workers(hub: str) -> list[WorkerInfo]:
    """Return the workers of the hub that are there now."""
    return [worker for worker in list_workers(hub) if worker.is_live]


def places(hub: str, names: Collection[str]) -> dict[str, str]:
    """Return where these workers are, as people look for them: name → host and process. Forgotten ones are left out."""
    if not names:
        return {}
    rows = WorkerState.objects.filter(hub=hub, name__in=names).values_list("name", "hostname", "pid")
    return {name: f"{hostname} process {pid}" for name, hostname, pid in rows}


def count_live_by_queue(hub: str, queues: Collection[str]) -> dict[str, int]:
    """Return how many workers are there now for each of these queues, and for every other that has some."""
    counts = dict.fromkeys(queues, 0)
    rows = WorkerState.objects.filter(hub=hub, seen_at__gte=clock.now() - patience(), left_at=None)
    for queue in rows.values_list("queue", flat=True):
        counts[queue] = counts.get(queue, 0) + 1
    return counts


def queues_without_worker(hub: str) -> list[str]:
    """Return the queues whose work nobody does: the turn queue, and those in which activities are."""
    wanted = {host_settings().turn_queue, *queues_in_use(hub)}
    served = count_live_by_queue(hub, wanted)
    return sorted(queue for queue in wanted if not served[queue])


def queues_in_use(hub: str) -> list[str]:
    """Return the queues that have activities, by one look into the index each, however many activities there are."""
    found: list[str] = []
    rows = ActivityTask.objects.filter(hub=hub).order_by("hub", "queue").values_list("queue", flat=True)
    queue = rows.first()
    while queue is not None:
        found.append(queue)
        queue = rows.filter(queue__gt=queue).first()
    return found


def patience() -> timedelta:
    """Return how long a worker may be silent before it counts as gone."""
    return max(_LEAST_PATIENCE, _SWEEPS_MISSED * host_settings().sweep_interval)


def _write(report: WorkerReport, more: dict[str, Any]) -> None:
    values = {"hub": report.hub, "name": report.name, **_columns(report), **more}
    values["counters"] = to_json(report.counters).decode()
    _writing(tuple(values)).run(*values.values())


@cache
def _writing(names: tuple[str, ...]) -> Statement:
    """Return what writes these columns of a worker's row, which it makes the first time."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    return Statement(
        f"INSERT INTO durable_host_workerstate ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608
        f" ON CONFLICT (hub, name) DO UPDATE SET {changes}"
    )


def _columns(report: WorkerReport) -> dict[str, Any]:
    return {
        "queue": report.queue,
        "hostname": report.hostname,
        "pid": report.pid,
        "version": report.version,
        "started_at": report.started_at,
        "seen_at": clock.now(),
        "running_activities": report.running_activities,
        "max_activities": report.max_activities,
        "abandoned_activities": report.abandoned_activities,
        "resident_executions": report.resident_executions,
        "held_instances": report.held_instances,
        "counters": report.counters,
    }


def _info(row: WorkerState, now: datetime) -> WorkerInfo:
    report = WorkerReport(
        hub=row.hub,
        name=row.name,
        queue=row.queue,
        hostname=row.hostname,
        pid=row.pid,
        version=row.version,
        started_at=row.started_at,
        running_activities=row.running_activities,
        max_activities=row.max_activities,
        abandoned_activities=row.abandoned_activities,
        resident_executions=row.resident_executions,
        held_instances=row.held_instances,
        counters=row.counters,
    )
    return WorkerInfo(
        report=report,
        seen_at=row.seen_at,
        left_at=row.left_at,
        clock_offset=row.clock_offset,
        is_live=row.left_at is None and now - row.seen_at <= patience(),
    )
