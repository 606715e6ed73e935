"""Several worker processes under RQ's own supervisor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import django_rq
from django.db import connections
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from .doorbell import BellJob
from .worker import DurableWorker


def run_workers(
    queue_names: Sequence[str], processes: int, *, max_activities: int | None = None, until_idle: bool = False
) -> None:
    """Run workers until they are told to stop.

    Args:
        queue_names: queues to serve, each by processes of its own.
        processes: worker processes for each queue; a single one in all runs in this process.
        max_activities: activities that one process runs at a time; by default the setting.
        until_idle: return when nothing is left to do.
    """
    DurableWorker.max_activities = max_activities
    if len(queue_names) * processes > 1:
        DurablePool(queue_names, processes).start(burst=until_idle, logging_level="WARNING")
        return
    queue = django_rq.get_queue(queue_names[0], job_class=BellJob)
    worker = DurableWorker([queue], connection=queue.connection, job_class=BellJob, serializer=JSONSerializer)
    worker.work(burst=until_idle, logging_level=None)


class DurablePool(WorkerPool):
    """RQ's worker pool with one queue a process: it starts workers, replaces dead ones, stops them together.

    Args:
        queue_names: queues to serve.
        processes: worker processes for each queue.
    """

    def __init__(self, queue_names: Sequence[str], processes: int) -> None:
        super().__init__(
            queue_names,
            django_rq.get_connection(queue_names[0]),
            num_workers=processes * len(queue_names),
            worker_class=DurableWorker,
            serializer=JSONSerializer,
            job_class=BellJob,
        )
        self._all_queues = list(queue_names)
        self._queue_of: dict[str, str] = {}

    def get_worker_process(self, name: str, *args: Any, **kwargs: Any) -> BaseProcess:
        """Give the new worker the queue that has the fewest."""
        alive = Counter(queue for worker, queue in self._queue_of.items() if worker in self.worker_dict)
        chosen = min(self._all_queues, key=lambda queue: alive[queue])
        self._queue_of[name] = chosen
        self._queue_names = [chosen]
        connections.close_all()  # a forked child must not share them
        return super().get_worker_process(name, *args, **kwargs)
