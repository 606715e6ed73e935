"""Answering the bell: the function that its RQ job names."""

from __future__ import annotations

import uuid

from durable_host.conf import host_settings
from durable_host.store import claims
from durable_host.telemetry import pipeline

from . import doorbell
from .host import Host
from .overtime import keeps_time


def answer_bell(queue_name: str) -> None:
    """Work until nothing is ready, by a host that is made for this one call: slower, and never wrong.

    So it is under any RQ worker but a :class:`~.worker.DurableWorker`, whose own host answers. Such a worker has no
    sweep, so the next timer is left to RQ's scheduler.
    """
    pipeline.start("worker")
    host = Host(f"bell-{uuid.uuid4().hex}", queue_name, is_visit=True)
    with keeps_time(host.give_up):
        host.run_until_idle()
    pipeline.flush()  # a forked work horse leaves without any farewell
    next_timer = claims.next_message_at(host_settings().task_hub, after=host.looked_at)
    if host.runs_turns and next_timer is not None:
        doorbell.ring_at(queue_name, next_timer)
