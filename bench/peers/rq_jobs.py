"""The usual way without a durable host: one RQ job for each turn and one for each activity.

It keeps the host's own rows, so that it records as much: a turn loads the history, finds out from it where the chain
stands, appends what came and what follows, and enqueues the next activity after its commit; an activity leaves its
outcome in the inbox and enqueues the next turn. RQ at its fastest: a SimpleWorker, which does not fork, and JSON. What
a real application would need besides, and what would slow it down, is left out: retries, leases, and a way to find the
jobs that Redis has lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

from bench.functions import add_one
from durable_host.core.status import RuntimeStatus
from durable_host.models import HistoryEvent, Instance, PendingEvent
from tests.services import wait_until

from .common import CHAIN_OF, WARM, Figures, Meter, command, processes, workers
from .site import redis, wait_for_all

ACTIVITIES: dict[str, Callable[[Any], Any]] = {"bench_add_one": add_one}


@cache
def queue() -> Queue:
    """Return the queue of all jobs."""
    return Queue("baseline", connection=Redis.from_url(settings.REDIS_URL), serializer=JSONSerializer)


# --- the worker's process ---------------------------------------------------------------------------------------------


def work(_: int) -> None:
    """Run jobs until told to stop."""
    worker = SimpleWorker([queue()], connection=queue().connection, serializer=JSONSerializer)
    worker.work(logging_level="WARNING")


def turn(instance_pk: int) -> None:
    """Take what is in the inbox, decide from history what follows, and write it."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update().get(pk=instance_pk)
        inbox = list(PendingEvent.objects.filter(instance_id=instance_pk).order_by("pk"))
        history = HistoryEvent.objects.filter(instance_id=instance_pk).order_by("sequence")
        known = list(history.values_list("event_type", "payload"))
        known += [(message.event_type, message.payload) for message in inbox]
        results = [json.loads(payload or "null") for event_type, payload in known if event_type == "TaskCompleted"]
        number = results[-1] if results else 0
        if len(results) < CHAIN_OF:
            task_id = len(results)
            decided = {
                "event_type": "TaskScheduled",
                "event_id": task_id,
                "name": "bench_add_one",
                "payload": str(number),
            }
            transaction.on_commit(lambda: _enqueue(run_activity, instance_pk, task_id))
        else:
            decided = {"event_type": "ExecutionCompleted", "payload": str(number)}
            instance.status, instance.output = RuntimeStatus.COMPLETED, str(number)
        _append(instance, inbox, decided)


def run_activity(instance_pk: int, task_id: int) -> None:
    """Run one activity and leave its outcome in the inbox."""
    scheduled = HistoryEvent.objects.values_list("name", "payload")
    name, payload = scheduled.get(instance_id=instance_pk, event_type="TaskScheduled", event_id=task_id)
    result = ACTIVITIES[name or ""](json.loads(payload or "null"))
    PendingEvent.objects.create(
        instance_id=instance_pk,
        generation=0,
        event_type="TaskCompleted",
        timestamp=timezone.now(),
        task_id=task_id,
        payload=json.dumps(result),
    )
    _enqueue(turn, instance_pk)


def _append(instance: Instance, inbox: list[PendingEvent], decided: dict[str, Any]) -> None:
    now = timezone.now()
    received: list[dict[str, Any]] = [
        {"event_type": one.event_type, "task_id": one.task_id, "payload": one.payload} for one in inbox
    ]
    events: list[dict[str, Any]] = [
        {"event_type": "OrchestratorStarted"},
        *received,
        decided,
        {"event_type": "OrchestratorCompleted"},
    ]
    HistoryEvent.objects.bulk_create(
        HistoryEvent(instance_id=instance.pk, generation=0, sequence=sequence, timestamp=now, **columns)
        for sequence, columns in enumerate(events, instance.next_sequence)
    )
    PendingEvent.objects.filter(pk__in=[one.pk for one in inbox]).delete()
    instance.next_sequence += len(events)
    instance.revision += 1
    instance.updated_at = now
    instance.save(update_fields=["status", "output", "next_sequence", "revision", "updated_at"])


def _enqueue(function: Callable[..., None], *arguments: int) -> None:
    queue().enqueue(function, *arguments)


# --- the client's process ---------------------------------------------------------------------------------------------


def chains(count: int) -> Figures:
    """Start many chains and wait for the last."""
    with redis(), processes([command("bench.peers.rq_jobs", "work", 0)] * workers()) as started:
        wait_until(lambda: Worker.count(queue().connection) == workers(), "the workers")
        _start(WARM)
        wait_for_all()
        meter = Meter(process.pid for process in started)
        _start(count)
        wait_for_all()
        figures = meter.figures()
    outputs = set(Instance.objects.values_list("output", flat=True))
    assert outputs == {str(CHAIN_OF)}, outputs
    return figures


def _start(count: int) -> None:
    now = timezone.now()
    first = Instance.objects.count()
    with transaction.atomic():
        rows = Instance.objects.bulk_create(
            Instance(
                hub=settings.DURABLE_HOST["TASK_HUB"],
                instance_id=str(number),
                name="bench_chain",
                status=RuntimeStatus.RUNNING,
                created_at=now,
                updated_at=now,
            )
            for number in range(first, first + count)
        )
        PendingEvent.objects.bulk_create(
            PendingEvent(instance_id=row.pk, generation=0, event_type="ExecutionStarted", timestamp=now) for row in rows
        )
    queue().enqueue_many([Queue.prepare_data(turn, args=(row.pk,)) for row in rows])
