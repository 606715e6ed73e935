"""The RQ worker in which a host lives."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError, StopRequested
from rq.job import Job
from rq.worker_registration import REDIS_WORKER_KEYS

from durable_host.telemetry import pipeline

from . import redis_state, scarcity
from .doorbell import ANSWER, RING_COMMAND
from .host import Host

logger = logging.getLogger(__name__)

#: seconds; RQ gives up a worker that has been silent for some minutes
_HEARTBEAT_INTERVAL = 10.0
#: objects that are made before the collector of garbage looks at them
_NEW_OBJECTS = 10_000
#: seconds that handing back may take before a further signal ends the process
_INSISTENCE = 5.0


class DurableWorker(SimpleWorker):
    """Answers the bell of one queue with a host that stays alive between bells.

    RQ gives distribution, registration and signals; the host does the work, in a thread of its own, and goes on (by
    sweep) while Redis is away.
    """

    #: how many activities run at a time; None for the setting
    max_activities: ClassVar[int | None] = None
    log_job_description = False
    #: seconds between tries to reach a Redis that is away, at most
    max_connection_wait_time = 2.0
    #: seconds that it listens before it shows that it is alive
    dequeue_timeout = 15

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until asked to stop.

        Raises:
            ValueError: more than one queue is named. RQ loses a job whose worker dies between taking it from one of two
                queues and registering it.
        """
        if len(self.queues) != 1:
            raise ValueError(
                f"A DurableWorker serves exactly one queue, it was given {self.queue_names()}. Start one for each."
            )
        pipeline.start("worker")
        redis_state.warn_of_eviction()
        self._host = Host(self.name, self.queues[0].name, max_activities=self.max_activities)
        self.queue_class = _telling(self.queue_class, self._hear)
        self._install_signal_handlers()  # type: ignore[no-untyped-call]  # RQ does so only once it has reached Redis
        kwargs["with_scheduler"] = False
        if kwargs.get("burst"):
            return self._work_until_idle(*args, **kwargs)
        _relieve_collector()
        scarcity.go_early(scarcity.WORKER)
        thread = threading.Thread(target=self._run_host, name="durable-host", daemon=True)
        thread.start()
        try:
            return self._answer_until_stopped(*args, **kwargs)
        finally:
            self._host.stop()
            thread.join()
            pipeline.stop()  # children of a pool leave without Python's farewell
            self._leave_abandoned_threads()
            if self._is_broken:
                raise SystemExit(1)

    def _work_until_idle(self, *args: Any, **kwargs: Any) -> bool:
        worked = self._answer_until_stopped(*args, **kwargs)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: self._host.stop())
        self._host.run_until_idle()
        pipeline.flush()
        return worked

    _is_broken = False

    def _run_host(self) -> None:
        """Run the host; when it ends, end the process: a supervisor starts a new one, a silent worker helps nobody."""
        try:
            self._host.run()
        except BaseException:
            logger.critical("The host broke; this worker ends.", exc_info=True)
            self._is_broken = True
        if not self._is_asked_to_stop:
            os.kill(os.getpid(), signal.SIGTERM)

    def _answer_until_stopped(self, *args: Any, **kwargs: Any) -> bool:
        """Run RQ's loop, again and again: it gives up when Redis goes away, our host does not."""
        worked = False
        with suppress(StopRequested):
            self._is_listening = True
            while self._is_wanted():
                try:
                    worked = super().work(*args, **kwargs)
                except RedisError as error:
                    logger.warning("Redis is away; working by sweep.", extra={"reason": str(error)})
                if not self._is_wanted() or kwargs.get("max_jobs") or kwargs.get("burst"):
                    break
                time.sleep(1)
        self._is_listening = False
        return worked

    def _is_wanted(self) -> bool:
        return not self._is_asked_to_stop

    _is_asked_to_stop = False
    #: whether RQ's loop runs, and with it the handler of the exception by which RQ stops
    _is_listening = False

    def request_stop(self, signum: Any, frame: Any) -> None:
        """Remember that the end was asked for, which RQ's own flag does not tell while it waits for a job.

        RQ raises at whatever line the signal meets; outside its loop, as while the host's thread starts, the flag is
        enough.
        """
        self._is_asked_to_stop = True
        try:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
        except StopRequested:
            if self._is_listening:
                raise

    #: on the monotonic clock: when somebody lost patience
    _hurried_at: float | None = None

    def request_force_stop(self, signum: Any, frame: Any) -> None:
        """Hand back at once what runs. Whoever still insists some seconds later ends the process as it is.

        RQ would leave at whatever line the signal meets: what this worker holds would be missing until its leases end.
        """
        try:
            super().request_force_stop(signum, frame)  # not within its first second
        except SystemExit:
            if self._hurried_at is None:
                self._hurried_at = time.monotonic()
                self._host.stop(at_once=True)
            elif time.monotonic() > self._hurried_at + _INSISTENCE:
                logger.warning("Leaving without handing back what runs: its leases must end first.")
                os._exit(1)

    #: on the monotonic clock
    _next_heartbeat = 0.0

    def register_birth(self) -> None:
        """Register, also where an earlier registration of this very worker was left behind."""
        if self.birth_date is not None:
            self.connection.delete(self.key)
        super().register_birth()  # type: ignore[no-untyped-call]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Show that this worker is alive; register again where Redis has lost its memory.

        RQ asks for it four times a bell, one of them before the bell is answered: once in a while is enough.
        """
        if timeout is None and time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + _HEARTBEAT_INTERVAL
        if not self.connection.sismember(REDIS_WORKER_KEYS, self.key):
            self.register_birth()
        super().heartbeat(timeout, pipeline)

    def _set_ip_address(self, connection: Redis) -> None:
        try:
            super()._set_ip_address(connection)
        except RedisError:  # it may come later: the host works without
            self.ip_address = "unknown"

    def handle_payload(self, message: Any) -> None:
        """Wake the host when another worker or a client says that an instance which lives here has a message."""
        if RING_COMMAND.encode() in message["data"]:
            self._host.wake()
        else:
            super().handle_payload(message)  # type: ignore[no-untyped-call]

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Answer a bell without RQ's bookkeeping, which costs twenty round trips; run anything else as RQ does."""
        bell, self._bell = self._bell or self._host.hear(), None
        if not _is_bell(job):
            super().execute_job(job, queue)
            return
        self._host.wait_until_answered(bell)
        with self.connection.pipeline() as commands:
            queue.intermediate_queue.remove(job.id)
            commands.delete(job.key)
            commands.execute()

    #: that has rung, and whose job RQ is about to fetch
    _bell: threading.Event | None = None

    def _hear(self) -> None:
        self._bell = self._host.hear()

    def _leave_abandoned_threads(self) -> None:
        """End the process although a plain activity outran its limit: its thread would keep Python waiting for ever."""
        stuck = [thread for thread in threading.enumerate() if thread.name.startswith(("activity_", "asyncio_"))]
        end = time.monotonic() + 1
        for thread in stuck:
            thread.join(max(0.0, end - time.monotonic()))  # an idle one needs a moment to end
        if any(thread.is_alive() for thread in stuck):
            logger.warning("Leaving with activities still running.")
            logging.shutdown()
            os._exit(int(self._is_broken))


def _relieve_collector() -> None:
    """Have Python's collector of garbage pass over what is loaded by now, and look at new objects less often.

    A batch of turns makes and keeps so many that it was a fifth of a worker's time, most of it spent on modules.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])


def _telling(queue_class: type[Queue], tell: Callable[[], None]) -> type[Queue]:
    """Return a class of queues that tells when something is taken out.

    RQ then fetches the job and prepares for it, which takes as long as a claim: the host looks meanwhile.
    """

    class TellingQueue(queue_class):  # type: ignore[misc, valid-type]
        @classmethod
        def lmove(cls, *args: Any) -> Any:
            taken = super().lmove(*args)
            if taken is not None:
                tell()
            return taken

    return TellingQueue


def _is_bell(job: Job) -> bool:
    try:
        return job.func_name == ANSWER
    except DeserializationError:
        return False
