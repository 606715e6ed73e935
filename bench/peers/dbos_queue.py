"""DBOS as a worker fleet: a client in a process of its own fills its queue, worker processes take from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dbos import DBOS, DBOSClient

from .common import CHAIN_OF, IDLE, WARM, Figures, await_lines, command, percentiles, processes, workers
from .dbos import chain, configuration, launch

_QUEUE = "bench"
#: seconds between two looks of a worker into the queue
_POLL = 0.01
#: seconds between two looks of a client at a result: where many keep the database busy, and where one is awaited
_LOOK_EVERY, _LOOK_OFTEN = 0.05, 0.002


@DBOS.workflow()
def one(number: int) -> int:
    """Be one activity of a fan-out: a queue takes workflows, not steps."""
    return number + 1


@DBOS.workflow()
def fan(width: int) -> int:
    """Put all children into the queue, then wait for them."""
    queue = DBOS.retrieve_queue(_QUEUE)
    assert queue is not None
    handles = [queue.enqueue(one, number) for number in range(width)]
    return sum(handle.get_result(polling_interval_sec=_LOOK_EVERY) for handle in handles)


def work(_: int) -> None:
    """Take workflows from the queue until told to stop."""
    launch()
    DBOS.register_queue(_QUEUE, polling_interval_sec=_POLL)
    print("ready", flush=True)
    threading.Event().wait()


def chains(count: int) -> Figures:
    """Enqueue chains and wait for the last."""
    with _fleet() as client:
        begin = time.perf_counter()
        _run(client, count)
        return {"seconds": time.perf_counter() - begin}


def fan_out(width: int) -> Figures:
    """Enqueue one workflow that enqueues all its children."""
    with _fleet() as client:
        begin = time.perf_counter()
        handle: Any = client.enqueue({"queue_name": _QUEUE, "workflow_name": "fan"}, width)
        assert handle.get_result(polling_interval_sec=_LOOK_EVERY) == width * (width + 1) // 2
        return {"seconds": time.perf_counter() - begin}


def latency(samples: int) -> Figures:
    """Enqueue a workflow of one step, again and again."""
    taken = []
    with _fleet() as client:
        for _ in range(samples):
            time.sleep(IDLE)
            begin = time.perf_counter()
            handle: Any = client.enqueue({"queue_name": _QUEUE, "workflow_name": chain.__qualname__}, 1)
            assert handle.get_result(polling_interval_sec=_LOOK_OFTEN) == 1
            taken.append(time.perf_counter() - begin)
    return percentiles(taken)


# --- details ----------------------------------------------------------------------------------------------------------


@contextmanager
def _fleet() -> Iterator[DBOSClient]:
    """Run warm workers; give a client."""
    worker = command("bench.peers.dbos_queue", "work", 0)
    # One after the other: the first makes the tables.
    with ExitStack() as cleanup:
        for _ in range(workers()):
            await_lines(cleanup.enter_context(processes([worker])), "ready")
        client = DBOSClient(system_database_url=configuration()["system_database_url"], application_name="bench")
        cleanup.callback(client.destroy)
        _run(client, WARM)
        yield client


def _run(client: DBOSClient, count: int) -> None:
    options: Any = {"queue_name": _QUEUE, "workflow_name": chain.__qualname__}
    handles: list[Any] = [client.enqueue(options, CHAIN_OF) for _ in range(count)]
    assert {handle.get_result(polling_interval_sec=_LOOK_EVERY) for handle in handles} == {CHAIN_OF}
