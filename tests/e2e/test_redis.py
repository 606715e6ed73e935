"""Redis away, empty or back: it costs time, never work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import django_rq
import pytest
from django_rq.settings import QUEUES
from redis import Redis

from durable_host import client as client_module
from durable_host.client import DurableClient
from durable_host.dispatch import doorbell
from durable_host.embedded import EmbeddedRedis
from tests.e2e.conftest import E2E, ONE_SWEEP, worker_env
from tests.recovery import Recovery
from tests.services import PATIENCE, wait_until

pytestmark = E2E

StartWorker = Callable[..., "Popen[bytes]"]


@pytest.fixture
def redis(client: DurableClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, not started yet, to which clients and workers ring."""
    server = EmbeddedRedis(tmp_path / "own.sock", tmp_path)
    monkeypatch.setitem(QUEUES["default"], "URL", url(server))
    doorbell._queue.cache_clear()
    monkeypatch.setattr(doorbell._Outage, "until", 0.0)
    monkeypatch.setattr(doorbell._Outage, "is_known", False)
    yield server
    doorbell._queue("default").connection.close()
    doorbell._queue.cache_clear()
    server.stop()


@pytest.fixture
def start_worker(
    redis: EmbeddedRedis, worker_process: Callable[..., Popen[bytes]], live_env: dict[str, str]
) -> StartWorker:
    """Start a worker on that Redis."""
    return lambda *args: worker_process(*args, **{**worker_env(live_env), "REDIS_URL": url(redis)})


def url(server: EmbeddedRedis) -> str:
    return f"unix://{server.socket}?db=0"


def registered(redis: EmbeddedRedis) -> int:
    """Return how many workers Redis knows."""
    with Redis.from_url(url(redis)) as connection:
        return len(connection.smembers("rq:workers"))


def finishes(client: DurableClient) -> bool:
    output: int = client.wait_for_completion(client.start_new("chain", 3), PATIENCE).output
    return output == 3


@pytest.mark.case(7)
def test_it_works_without_redis_from_the_start_and_registers_when_it_comes(
    client: DurableClient, redis: EmbeddedRedis, start_worker: StartWorker
) -> None:
    worker = start_worker()
    assert finishes(client)
    redis.start()
    wait_until(lambda: registered(redis) == 1, "the worker to be registered")
    assert finishes(client)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0


@pytest.mark.once
def test_it_stops_in_order_while_redis_is_away(
    client: DurableClient, redis: EmbeddedRedis, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker()
    assert finishes(client)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert "Host stopped." in (tmp_path / "worker-1.log").read_text()


@pytest.mark.case(7, 12)
def test_it_survives_a_restart_of_redis_and_is_registered_again(
    client: DurableClient, redis: EmbeddedRedis, start_worker: StartWorker, recovery: Recovery
) -> None:
    redis.start()
    worker = start_worker()
    wait_until(lambda: registered(redis) == 1, "the worker to be registered")
    assert finishes(client)
    ids = client.start_many("chain", [40] * 5)
    redis.stop()
    assert [client.wait_for_completion(id_, PATIENCE).output for id_ in ids] == [40] * 5
    with recovery.timed(12, ONE_SWEEP):
        assert finishes(client)
    redis.start()
    with recovery.timed(7, "a worker's next try of Redis; meanwhile it works by sweep"):
        wait_until(lambda: registered(redis) == 1, "the worker to be registered again")
    assert finishes(client)
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0


def test_who_has_waited_before_a_restart_of_redis_is_told_of_ends_after_it(
    client: DurableClient, redis: EmbeddedRedis, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a client that keeps the connection of its wait, and would look again when this test is long over
    redis.start()
    start_worker()
    wait_until(lambda: registered(redis) == 1, "the worker to be registered")
    assert finishes(client)
    monkeypatch.setattr(client_module, "_POLL_LONGEST", 10 * PATIENCE)
    # when
    redis.stop()
    redis.start()
    # then
    begin = time.monotonic()
    assert finishes(client)
    assert time.monotonic() - begin < PATIENCE


@pytest.mark.case(6)
def test_it_survives_the_loss_of_all_that_redis_knew(
    client: DurableClient, redis: EmbeddedRedis, start_worker: StartWorker, recovery: Recovery
) -> None:
    redis.start()
    start_worker()
    wait_until(lambda: registered(redis) == 1, "the worker to be registered")
    ids = client.start_many("chain", [30] * 5)
    with Redis.from_url(url(redis)) as connection:
        for _ in range(5):
            connection.flushall()
            time.sleep(0.05)  # not a wait: while they run
    with recovery.timed(6, ONE_SWEEP):
        assert [client.wait_for_completion(id_, PATIENCE).output for id_ in ids] == [30] * 5
    assert finishes(client)
    wait_until(lambda: registered(redis) == 1, "the worker to be registered again")


@pytest.mark.once
@pytest.mark.case(7)
def test_it_takes_calls_while_redis_is_away_or_hangs_and_tries_it_once(
    client: DurableClient, redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    ring = doorbell._ring_queue

    def counted(name: str) -> None:
        tries.append(name)
        ring(name)

    monkeypatch.setattr(doorbell, "_ring_queue", counted)
    doorbell._queue("default")  # made before an outage is made to last: it gives up within a second
    monkeypatch.setattr(doorbell, "_QUICK", 3600.0)

    # given: it is away; then: all calls but the first do without
    ids = [client.start_new("letters", 1) for _ in range(20)]
    for id_ in ids:
        client.raise_event(id_, "letter", 1)
    assert len(tries) == 1

    # given: it is back, and the outage over; then: the bell rings
    redis.start()
    assert redis.process is not None
    monkeypatch.setattr(doorbell._Outage, "until", 0.0)
    client.start_new("letters", 1)
    assert django_rq.get_queue("default", connection=doorbell._queue("default").connection).count == 1

    # given: it hangs; then: the first call gives it up, and the others do without
    tries.clear()
    os.killpg(redis.process.pid, signal.SIGSTOP)
    try:
        for _ in range(20):
            client.start_new("letters", 1)
        assert len(tries) == 1
    finally:
        os.killpg(redis.process.pid, signal.SIGCONT)
