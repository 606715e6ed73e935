"""Bells: nothing waits for the sweep, any RQ worker may answer them, and nobody can make them do more."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

import django_rq
import pytest
from django.db import connection, transaction
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from durable_host.client import DurableClient
from durable_host.dispatch import doorbell
from durable_host.store import queries
from tests.e2e.conftest import E2E, StartWorker, worker_env
from tests.recovery import Recovery
from tests.services import PATIENCE, PROJECT, running, wait_until

pytestmark = E2E

#: nobody may live on the sweep: it comes long after a test has lost its patience
NO_SWEEP = {"SWEEP_INTERVAL": 60 * PATIENCE, "AFFINITY": 5.0}


@pytest.fixture
def queue(client: DurableClient) -> Iterator[Any]:
    """The queue of the bells, empty."""
    queue = django_rq.get_queue("default", job_class=doorbell.BellJob)
    queue.connection.flushall()
    yield queue
    queue.connection.close()


def is_idle() -> bool:
    return not any(queries.count_open_work("default").values())


@pytest.mark.case(13, 14)
def test_it_lets_no_message_wait_for_the_sweep(
    client: DurableClient, start_worker: StartWorker, queue: Any, recovery: Recovery
) -> None:
    for _ in range(2):
        start_worker(**NO_SWEEP)
    ids = [client.start_new("two_letters") for _ in range(150)]
    wait_until(lambda: queries.count_open_work("default")["waits"] == 150, "all to listen")
    for number, id_ in enumerate(ids):
        client.raise_event(id_, "a", number)
        time.sleep(number % 5 / 1000)  # a few ms apart: while the first one's turn runs
        client.raise_event(id_, "b", -number)
    with recovery.timed(14, "nothing: no sweep, no lease"):
        wait_until(is_idle, "all to end")
    assert [client.get_status(id_).output for id_ in ids] == [[n, -n] for n in range(150)]  # type: ignore[union-attr]


@pytest.mark.case(11)
def test_bells_that_are_heard_many_times_do_nothing_twice(
    client: DurableClient, start_worker: StartWorker, queue: Any, traces: Path
) -> None:
    for _ in range(2):
        start_worker("--max-activities", "2", **NO_SWEEP)
    wait_until(lambda: len(queue.connection.smembers("rq:workers")) == 2, "both workers")
    requests = [{"activity": "traced", "trace": {"path": str(traces / f"{n}"), "seconds": 0.02}} for n in range(30)]
    ids = [client.start_new("call", request) for request in requests]
    for _ in range(60):
        queue.enqueue(doorbell.ANSWER, "default", result_ttl=0)
    wait_until(is_idle, "all to end")
    wait_until(lambda: queue.count == 0, "all bells to be heard")
    assert all(
        [line.split()[0] for line in trace.read_text().splitlines()] == ["begin", "end"] for trace in traces.iterdir()
    )
    kinds = [[event.event_type for event in client.get_history(id_)] for id_ in ids]
    assert {events.count("TaskCompleted") for events in kinds} == {1}
    assert {events.count("ExecutionCompleted") for events in kinds} == {1}


def test_it_lets_no_timer_wait_for_the_sweep(client: DurableClient, start_worker: StartWorker, queue: Any) -> None:
    for _ in range(2):
        start_worker(**NO_SWEEP)
    ids = client.start_many("naps", [4] * 60)
    wait_until(lambda: all(client.get_status(id_).is_finished for id_ in ids), "all naps")  # type: ignore[union-attr]


def test_it_lets_no_activity_of_another_queue_wait_for_the_sweep(
    client: DurableClient, start_worker: StartWorker, queue: Any, traces: Path
) -> None:
    start_worker(**NO_SWEEP)
    start_worker("--queues", "other", **NO_SWEEP)
    wait_until(lambda: len(queue.connection.smembers("rq:workers")) == 2, "both workers")
    request = {"activity": "elsewhere", "trace": {"path": str(traces / "one")}}
    for _ in range(10):
        client.wait_for_completion(client.start_new("call", request), PATIENCE)


def test_it_shows_a_start_to_workers_only_after_the_commit(
    client: DurableClient, start_worker: StartWorker, queue: Any
) -> None:
    start_worker(**NO_SWEEP)
    assert client.wait_for_completion(client.start_new("chain", 1), PATIENCE).output == 1
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer: the worker cannot even look for work meanwhile")
    with transaction.atomic():
        id_ = client.start_new("chain", 2)
        other = client.start_new("chain", 3)
        time.sleep(0.5)  # not a wait: the time in which a worker would have seen it
        assert [client.get_status(one).runtime_status for one in (id_, other)] == ["Pending", "Pending"]  # type: ignore[union-attr]
    assert client.wait_for_completion(id_, PATIENCE).output == 2


@pytest.fixture
def stock_worker(live_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Popen[bytes]]]:
    """Start ``manage.py rqworker`` with these arguments."""
    with ExitStack() as cleanup:

        def start(*args: str) -> Popen[bytes]:
            argv = [sys.executable, str(PROJECT / "manage.py"), "rqworker", *args]
            return cleanup.enter_context(running(argv, worker_env(live_env), tmp_path / "stock.log"))

        yield start


@pytest.mark.parametrize("worker_class", ["rq.Worker", "rq.SimpleWorker"])
@pytest.mark.parametrize(
    "serializer", [(), pytest.param(("--serializer", "rq.serializers.JSONSerializer"), marks=pytest.mark.once)]
)
def test_it_works_under_stock_rq_workers(
    client: DurableClient,
    stock_worker: Callable[..., Popen[bytes]],
    queue: Any,
    traces: Path,
    worker_class: str,
    serializer: tuple[str, ...],
) -> None:
    stock_worker("default", "--worker-class", worker_class, "--with-scheduler", *serializer)
    ids = [client.start_new("chain", 3), client.start_new("fan", 5), client.start_new("family", 2)]
    assert [client.wait_for_completion(id_, PATIENCE).output for id_ in ids] == [3, 30, 2]
    request = {"activity": "elsewhere", "trace": {"path": str(traces / "one")}}
    elsewhere = client.start_new("call", request)
    wait_until(lambda: queries.count_open_work("default")["activities"], "the activity")
    stock_worker("other", "--worker-class", worker_class, *serializer)
    assert client.wait_for_completion(elsewhere, PATIENCE).runtime_status == "Completed"
    assert FailedJobRegistry(queue=queue).count == 0


def test_it_works_under_rqworker_with_the_projects_own_settings(
    client: DurableClient, stock_worker: Callable[..., Popen[bytes]], queue: Any
) -> None:
    stock_worker("default")
    ids = [client.start_new("chain", 3), client.start_new("naps", 2)]
    assert [client.wait_for_completion(id_, PATIENCE).output for id_ in ids] == [3, 1]


class Bomb:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def forge(queue: Any, traces: Path) -> list[str]:
    """Put jobs into the queue that someone with access to Redis might; return their ids."""

    def job(func: str, *args: Any, **callbacks: str) -> Job:
        forged = Job.create(func, args=args, connection=queue.connection, serializer=JSONSerializer)
        for kind, name in callbacks.items():
            setattr(forged, f"_{kind}_callback_name", name)
        return forged

    jobs = [
        job("os.mkdir", str(traces / "func")),
        job(doorbell.ANSWER, "default", success="tests.e2e.functions.forged_callback"),
        job("os.mkdir", str(traces / "two"), failure="tests.e2e.functions.forged_callback"),
        job("tests.e2e.functions.forged_callback", failure="tests.e2e.functions.forged_callback"),
    ]
    for one in jobs:
        one.origin = queue.name
        one.save()
    pickled = Job.create("x", connection=queue.connection)
    pickled.origin = queue.name
    pickled._data = pickle.dumps(Bomb(traces / "pickle"))
    pickled.save()
    ids = [one.id for one in (*jobs, pickled)]
    for id_ in ids:
        queue.push_job_id(id_)
    return ids


@pytest.mark.once
@pytest.mark.parametrize("worker_class", ["durable", "rq.Worker", "rq.SimpleWorker"])
def test_it_refuses_forged_jobs_and_goes_on(
    client: DurableClient,
    start_worker: StartWorker,
    stock_worker: Callable[..., Popen[bytes]],
    queue: Any,
    traces: Path,
    worker_class: str,
) -> None:
    forge(queue, traces)
    if worker_class == "durable":
        start_worker(**NO_SWEEP)
    else:
        stock_worker("default", "--worker-class", worker_class)
    wait_until(lambda: queue.count == 0, "the forged jobs to be taken")
    id_ = client.start_new("chain", 2)
    assert client.wait_for_completion(id_, PATIENCE).output == 2
    wait_until(lambda: FailedJobRegistry(queue=queue).count >= 4, "the forged jobs to be shown as failed")
    assert list(traces.iterdir()) == []
