"""How a host shows that it is there: its row in the table of workers, and the gauges of its exporter."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from importlib import metadata

from django.db import connections

from durable_host.conf import host_settings
from durable_host.core import metrics
from durable_host.core.metrics import Sample
from durable_host.core.registry import Registry
from durable_host.store import clock, gauges, workers
from durable_host.telemetry import gauges as exported_gauges
from durable_host.telemetry import meters

_FORGET_INTERVAL = 60.0


class Presence:
    """The row of one host in the table of workers.

    Args:
        name: the worker's.
        queue: whose activities it runs.
        max_activities: how many at a time.
        registry: whose names label what it counts.
        is_visit: whether the host lives for one bell only.
    """

    def __init__(
        self, name: str, queue: str, max_activities: int, registry: Registry, *, is_visit: bool = False
    ) -> None:
        meters.know(registry)
        hostname = platform.node() or "localhost"
        self._is_visit = is_visit
        self._name = f"{hostname}-{queue}-bells" if is_visit else name
        self._queue, self._hostname, self._max_activities = queue, hostname, max_activities
        self._version = metadata.version("durable-host")  # looked for on the disk: once, not in each sweep
        self._started_at = clock.now()
        #: instruments belong to the process, which may have had other hosts
        self._counted_before = meters.read_all()
        self._next_forgetting = time.monotonic() + _FORGET_INTERVAL

    def show(self, running: int, abandoned: int, resident: int, held: int) -> None:
        """Write that the host is there, with what it runs, keeps and holds; set the clock. Call it once in a sweep."""
        if self._is_visit:
            clock.synchronise()
            return
        now = replace(
            self._report(),
            running_activities=running,
            abandoned_activities=abandoned,
            resident_executions=resident,
            held_instances=held,
        )
        workers.show(now)
        if time.monotonic() >= self._next_forgetting:
            self._next_forgetting = time.monotonic() + _FORGET_INTERVAL
            workers.forget_gone(host_settings().task_hub)

    def leave(self) -> None:
        """Write that the host has left, and what it counted last."""
        if self._is_visit:
            workers.visit(self._report())
        else:
            workers.leave(self._report())

    def _report(self) -> workers.WorkerReport:
        return workers.WorkerReport(
            hub=host_settings().task_hub,
            name=self._name,
            queue=self._queue,
            hostname=self._hostname,
            pid=os.getpid(),
            version=self._version,
            started_at=self._started_at,
            max_activities=self._max_activities,
            counters=metrics.total(meters.read_all(), self._counted_before, sign=-1),
        )


def feed_gauges() -> None:
    """Let this process's exporter, where there is one, show the gauges of the hub."""
    exported_gauges.feed(_read_gauges)


def _read_gauges() -> list[Sample]:
    """Read them on the exporter's thread, which keeps no connection."""
    try:
        return gauges.read_hub(host_settings().task_hub)
    finally:
        connections.close_all()
