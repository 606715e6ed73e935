"""Answering the bell: the function that its RQ job names."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from durable_host.conf import host_settings
from durable_host.store import claims
from durable_host.telemetry import pipeline

from . import doorbell
from .host import Host
from .overtime import keeps_time

#: set by the process that has a host of its own; it is told instead of working inside the job
_resident: list[Callable[[], None]] = []


def become_resident(wake: Callable[[], None]) -> None:
    """Have bells answered by ``wake`` in this process."""
    _resident[:] = [wake]


def answer_bell(queue_name: str) -> None:
    """Work until nothing is ready.

    In a :class:`~.worker.DurableWorker` the host that lives there is woken. Under any other RQ worker a host is made
    for this one call: slower, and never wrong. Such a worker has no sweep, so the next timer is left to RQ's scheduler.
    """
    if _resident:
        _resident[0]()
        return
    pipeline.start("worker")
    host = Host(f"bell-{uuid.uuid4().hex}", queue_name, is_visit=True)
    with keeps_time(host.give_up):
        host.run_until_idle()
    pipeline.flush()  # a forked work horse leaves without any farewell
    next_timer = claims.next_message_at(host_settings().task_hub, after=host.looked_at)
    if host.runs_turns and next_timer is not None:
        doorbell.ring_at(queue_name, next_timer)
