"""The bell: tells workers that rows wait for them. It carries no work, so losing one costs time and nothing else.

A bell is an RQ job that runs :func:`.answer.answer_bell`. It is rung after the commit, and only where none waits
already: one that still waits will be answered after our commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import django_rq
from django.db import transaction
from pydantic_core import to_json
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.command import send_command
from rq.job import Job
from rq.serializers import JSONSerializer

from durable_host.conf import host_settings
from durable_host.store.shapes import Wake

logger = logging.getLogger(__name__)

#: by name: the answering side imports the host, which rings
ANSWER = "durable_host.dispatch.answer.answer_bell"
RING_COMMAND = "durable-ring"

_BELL: dict[str, Any] = {"result_ttl": 0, "failure_ttl": 3600, "job_timeout": 3600, "description": "doorbell"}


#: seconds that a ring may take, and that it stays silent after Redis has failed: a commit must not wait for a bell
_QUICK = 1.0


class BellJob(Job):
    """An RQ job that can run the bell and nothing else: whoever can write to Redis must not run code of his choice."""

    #: RQ looks these up after a job that it refused, too
    success_callback = failure_callback = stopped_callback = None

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:
        super().__init__(id, connection, JSONSerializer)  # whatever the worker was told: never pickle

    def send_webhooks(self, *args: Any, **kwargs: Any) -> None:
        """Call nobody: addresses in Redis are not to be trusted either."""

    def perform(self) -> Any:
        """Run the bell.

        Raises:
            PermissionError: the job names another function, or carries callbacks.
        """
        callbacks = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        if self.func_name != ANSWER or any(isinstance(name, str) for name in callbacks):
            raise PermissionError(
                f"Job {self.id} asks for {self.func_name!r} with callbacks {callbacks}. Queues of the durable host run "
                f"its doorbell only; use another queue, with RQ's own Job class, for other jobs."
            )
        return super().perform()


def ring(wake: Wake) -> None:
    """Tell workers that there is something to do. Without Redis it stays silent: the sweep will find the rows."""
    for queue_name in wake.queues:
        _quietly(_ring_queue, queue_name)
    for owner in wake.owners:
        _quietly(_tell, owner)
    if wake.ended:
        _quietly(_announce, to_json(sorted(wake.ended)).decode())


def ring_after_commit(wake: Wake) -> None:
    """Ring once the caller's transaction has committed; at once where there is none."""
    transaction.on_commit(lambda: ring(wake), robust=True)


def ring_at(queue_name: str, when: datetime) -> None:
    """Have RQ's scheduler ring at a time. One bell a queue is kept: a new time replaces the one before."""

    def schedule(name: str) -> None:
        _queue(name).enqueue_at(when, ANSWER, name, job_id=f"durable-timer-{name}", **_BELL)

    _quietly(schedule, queue_name)


def _ring_queue(name: str) -> None:
    queue = _queue(name)
    if queue.connection.llen(queue.key) == 0:
        with queue.connection.pipeline() as commands:  # one round trip in place of two
            queue.enqueue(ANSWER, name, pipeline=commands, **_BELL)
            commands.execute()


def endings_channel(hub: str) -> str:
    """Return the channel on which workers announce which instances of a hub have ended."""
    return f"durable:ended:{hub}"


def connection_of(queue_name: str) -> Redis:
    """Return the connection by which a queue's bells go: quick to give up, where Redis does not answer.

    Raises:
        KeyError: the queue is not in RQ_QUEUES.
    """
    return _queue(queue_name).connection


@lru_cache
def _queue(name: str) -> Queue:
    connection = django_rq.get_connection(name)
    connection.connection_pool.connection_kwargs.update(socket_timeout=_QUICK, socket_connect_timeout=_QUICK)
    connection.set_retry(Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))
    queue: Queue = django_rq.get_queue(name, job_class=BellJob, commit_mode="auto", connection=connection)
    return queue


def _tell(owner: str) -> None:
    """Reach one worker through the channel that RQ keeps for commands to it."""
    send_command(_queue(host_settings().turn_queue).connection, owner, RING_COMMAND)


def _announce(ids: str) -> None:
    """Tell whoever waits for the end of instances of this worker's hub."""
    settings = host_settings()
    _queue(settings.turn_queue).connection.publish(endings_channel(settings.task_hub), ids)


class _Outage:
    """Whether Redis was away at the last ring: an outage is worth one line, not one for each ring."""

    is_known = False
    #: on the monotonic clock: until then nobody tries again
    until = 0.0


def is_silent() -> bool:
    """Tell whether Redis has failed a moment ago: then nobody tries it."""
    return time.monotonic() < _Outage.until


def note_outage(error: RedisError) -> None:
    """Note that Redis has failed."""
    if not _Outage.is_known:
        logger.warning("Redis is away: bells stay silent, sweeps find the work.", extra={"reason": str(error)})
    _Outage.is_known = True
    _Outage.until = time.monotonic() + _QUICK


def _quietly(act: Callable[[str], None], what: str) -> None:
    if is_silent():
        return
    try:
        act(what)
    except KeyError as error:
        logger.error("No such queue in RQ_QUEUES: nobody can be told.", extra={"queue": error.args[0]})
    except RedisError as error:
        note_outage(error)
    else:
        if _Outage.is_known:
            logger.info("Redis is back: bells ring again.")
        _Outage.is_known = False
