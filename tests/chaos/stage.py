"""The servers and workers of one run, all its own, and what can be done to them."""

from __future__ import annotations

import heapq
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Self

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from durable_host.embedded import EmbeddedRedis
from durable_host.localdata import redis_socket_url
from tests.faults.environment import EFFECTS
from tests.services import PROJECT, PostgresCluster, running

from .plan import Fault, Kind

#: short, so that what the dead held is taken over soon; but not so short that a busy machine looks like a dead one
_TIMES = {"ACTIVITY_LEASE": 3.0, "TURN_LEASE": 2.0, "AFFINITY": 0.5, "SWEEP_INTERVAL": 1.0, "STALL_RETRY": 1.0}
_POOLS = 2
_QUEUE = "default"
_REDIS = "the server"
_BELL = "durable_host.dispatch.answer.answer_bell"


class Stage:
    """Private servers, and workers under two supervisors that stand for two machines.

    Args:
        database: ``postgres`` or ``sqlite``.
        directory: for its files and logs; must exist.
    """

    def __init__(self, database: str, directory: Path) -> None:
        self._database = database
        self.directory = directory
        self._redis = EmbeddedRedis(Path(tempfile.mkdtemp(prefix="durable-chaos-")) / "redis", directory)
        self._cluster = PostgresCluster() if database == "postgres" else None
        self._pools: list[tuple[subprocess.Popen[bytes], ExitStack]] = []
        self._cleanup = ExitStack()
        #: what ends when, on the monotonic clock
        self._ends: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            cleanup.callback(self._redis.socket.parent.rmdir)
            self._redis.start()
            cleanup.callback(self._redis.stop)
            if self._cluster:
                self._cluster.start()
                cleanup.callback(self._cluster.stop)
            self.run(["manage.py", "migrate", "-v", "0"])
            cleanup.callback(self._end_pools)
            for _ in range(_POOLS):
                self._pools.append(self._start_pool())
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process that works here."""
        sqlite = f"sqlite:///{self.directory / 'chaos.sqlite3'}"
        return {
            **os.environ,
            "DATABASE_URL": self._cluster.url if self._cluster else sqlite,
            "REDIS_URL": redis_socket_url(self._redis.socket),
            "DURABLE_VAR": str(self.directory),
            "DURABLE_EMBEDDED": "1",
            "DJANGO_SETTINGS_MODULE": "tests.e2e.worker_settings",
            "DURABLE_MODULES": "tests.faults.patterns,tests.e2e.functions",
            "DURABLE_QUEUES": "default,other",
            # Whatever a worker was doing when it was killed is innocent: none shall be parked.
            "TEST_HOST_SETTINGS": json.dumps({**_TIMES, "MAX_DELIVERY_ATTEMPTS": 1000}),
            EFFECTS: str(self.directory / "effects"),
        }

    def run(self, argv: list[str]) -> None:
        """Run a Python program here, to its end."""
        subprocess.run([sys.executable, *argv], env=self.env, cwd=PROJECT, check=True)

    # --- faults ----------------------------------------------------------------------------------------------------

    def inflict(self, fault: Fault) -> str:
        """Make a fault happen, and see to its end; return what was hit, or nothing where there was nothing to hit."""
        return _HARM[fault.kind](self, fault)

    def tend(self) -> None:
        """Start a supervisor of workers again that could not start, as where it found no database."""
        for number, (pool, cleanup) in enumerate(self._pools):
            if pool.poll() is not None:
                cleanup.close()
                self._pools[number] = self._start_pool()

    def wait(self, moment: float = float("inf")) -> None:
        """Wait until a moment on the monotonic clock, or until the last fault is over; end those that are."""
        while self._ends and self._ends[0][0] <= moment:
            at, _, end = heapq.heappop(self._ends)
            time.sleep(max(0.0, at - time.monotonic()))
            end()
        if moment < float("inf"):
            time.sleep(max(0.0, moment - time.monotonic()))

    def _kill_worker(self, fault: Fault) -> str:
        return self._signal_worker(fault, signal.SIGKILL)

    def _pause_worker(self, fault: Fault) -> str:
        hit = self._signal_worker(fault, signal.SIGSTOP)
        if hit:
            self._later(fault.lasts, lambda: _signal(int(hit), signal.SIGCONT))
        return hit

    def _signal_worker(self, fault: Fault, signum: int) -> str:
        workers = [worker for pool, _ in self._pools for worker in _children(pool.pid)]
        if not workers:
            return ""
        victim = workers[int(fault.whom * len(workers))]
        _signal(victim, signum)
        return str(victim)

    def _kill_pool(self, fault: Fault) -> str:
        number = int(fault.whom * len(self._pools))
        pool, cleanup = self._pools[number]
        os.killpg(pool.pid, signal.SIGKILL)
        cleanup.close()
        self._pools[number] = self._start_pool()
        return str(pool.pid)

    def _flush_redis(self, fault: Fault) -> str:
        with suppress(RedisError), self._redis_client() as redis:
            redis.flushall()
            return _REDIS
        return ""

    def _restart_redis(self, fault: Fault) -> str:
        if self._redis.has_ended():
            return ""
        self._redis.stop()
        self._later(fault.lasts, self._redis.start)
        return _REDIS

    def _double_bells(self, fault: Fault) -> str:
        with suppress(RedisError), self._redis_client() as redis:
            queue = Queue(_QUEUE, connection=redis, serializer=JSONSerializer)
            for _ in range(10):
                queue.enqueue(_BELL, _QUEUE, result_ttl=0)
            return _REDIS
        return ""

    def _withhold_bells(self, fault: Fault) -> str:
        """Take the bells away before anybody hears them, now and then while the fault lasts."""
        for tenth in range(10):
            self._later(fault.lasts * tenth / 10, self._take_bells)
        return _REDIS

    def _take_bells(self) -> None:
        with suppress(RedisError), self._redis_client() as redis:
            redis.delete(f"rq:queue:{_QUEUE}")

    def _crash_database(self, fault: Fault) -> str:
        assert self._cluster is not None
        if self._cluster.process is None:
            return ""
        self._cluster.halt(signal.SIGQUIT)
        self._later(fault.lasts, self._cluster.resume)
        return "the server"

    def _drop_connections(self, fault: Fault) -> str:
        assert self._cluster is not None
        others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename IS NOT NULL AND pid <> %s"
        with suppress(psycopg.OperationalError), psycopg.connect(self._cluster.url) as connection:
            dropped = connection.execute(others, [connection.info.backend_pid]).fetchone()
            return f"{dropped[0]} of them" if dropped else ""
        return ""

    def _lock_database(self, fault: Fault) -> str:
        connection = sqlite3.connect(self.directory / "chaos.sqlite3", timeout=1, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # by another such fault, or by a worker that is paused
            connection.close()
            return ""
        self._later(fault.lasts, connection.close)
        return "the file"

    # --- helpers ---------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._ends, (time.monotonic() + seconds, next(self._numbers), act))

    def _redis_client(self) -> Redis:
        return Redis.from_url(redis_socket_url(self._redis.socket))

    def _start_pool(self) -> tuple[subprocess.Popen[bytes], ExitStack]:
        cleanup = ExitStack()
        argv = [sys.executable, "manage.py", "durable_worker", "--processes", "2", "--max-activities", "8"]
        return cleanup.enter_context(running(argv, self.env, self.directory / "workers.log")), cleanup

    def _end_pools(self) -> None:
        for _, cleanup in self._pools:
            cleanup.close()


def _children(process: int) -> list[int]:
    """Return the living children of a process."""
    command = ["ps", "-o", "pid=,stat=", "--ppid", str(process)]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    found = (line.split() for line in listing.stdout.splitlines())
    return sorted(int(pid) for pid, state in found if not state.startswith("Z"))


def _signal(process: int, signum: int) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(process, signum)


_HARM: dict[Kind, Callable[[Stage, Fault], str]] = {
    Kind.KILL_WORKER: Stage._kill_worker,
    Kind.PAUSE_WORKER: Stage._pause_worker,
    Kind.KILL_POOL: Stage._kill_pool,
    Kind.FLUSH_REDIS: Stage._flush_redis,
    Kind.RESTART_REDIS: Stage._restart_redis,
    Kind.DOUBLE_BELLS: Stage._double_bells,
    Kind.WITHHOLD_BELLS: Stage._withhold_bells,
    Kind.CRASH_DATABASE: Stage._crash_database,
    Kind.DROP_CONNECTIONS: Stage._drop_connections,
    Kind.LOCK_DATABASE: Stage._lock_database,
}
