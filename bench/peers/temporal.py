"""Temporal: its server, which is native code, its Python SDK in worker processes, and a client in a process of its own.

The server is the one inside Temporal's command line: all its services in one process, on a SQLite file. In two styles:
with activities that any worker may take, and with local ones that run beside the workflow, to which
``BENCH_TEMPORAL_STYLE`` switches.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from .common import (
    CHAIN_OF,
    IDLE,
    LONGEST,
    WARM,
    Figures,
    await_lines,
    command,
    directory,
    free_port,
    percentiles,
    processes,
    workers,
)

_ARE_LOCAL = os.environ.get("BENCH_TEMPORAL_STYLE") == "local"
_QUEUE = "bench"
#: starts of the client at a time
_IN_FLIGHT = 200
#: turns and activities of a worker at a time
_AT_A_TIME = 200

#: as safe as everybody else's
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL")
#: what would stop the work at a size, or slow it down, and is there to protect a server that many share
_LIMITS = {
    "limit.numPendingActivities.error": 20_000,
    "frontend.rps": 100_000,
    "frontend.namespaceRPS": 100_000,
    "history.rps": 100_000,
    "matching.rps": 100_000,
    # A shard looks for its tasks 20 times a second at most, and a server of this kind has one shard.
    "history.transferProcessorMaxPollRPS": 10_000,
    "history.timerProcessorMaxPollRPS": 10_000,
}


@activity.defn
async def add_one(number: int) -> int:
    """Return a small JSON value."""
    return number + 1


def _add_one(number: int) -> Awaitable[int]:
    start = workflow.start_local_activity if _ARE_LOCAL else workflow.start_activity
    started: Awaitable[int] = start(add_one, number, start_to_close_timeout=timedelta(seconds=LONGEST))
    return started


@workflow.defn
class Chain:
    """Call one activity after the other."""

    @workflow.run
    async def run(self, length: int) -> int:
        """Return the length."""
        number = 0
        for _ in range(length):
            number = await _add_one(number)
        return number


@workflow.defn
class Fan:
    """Call all activities at once."""

    @workflow.run
    async def run(self, width: int) -> int:
        """Return the sum of what they return."""
        return sum(await asyncio.gather(*[_add_one(number) for number in range(width)]))


@workflow.defn
class Listen:
    """Wait for one event."""

    def __init__(self) -> None:
        self._heard: int | None = None

    @workflow.run
    async def run(self) -> int:
        """Return what it brought."""
        await workflow.wait_condition(lambda: self._heard is not None)
        assert self._heard is not None
        return self._heard

    @workflow.signal
    def go(self, number: int) -> None:
        """Take it."""
        self._heard = number


@workflow.defn
class SleepUntil:
    """Wait for a moment."""

    @workflow.run
    async def run(self, due: float) -> float:
        """Return how late it was."""
        await asyncio.sleep(due - time.time())
        return time.time() - due


def work(port: int) -> None:
    """Run workflows and activities until told to stop."""

    async def forever() -> None:
        autoscaling = PollerBehaviorAutoscaling()
        worker = Worker(
            await _connect(port),
            task_queue=_QUEUE,
            workflows=[Chain, Fan, Listen, SleepUntil],
            activities=[add_one],
            workflow_runner=UnsandboxedWorkflowRunner(),  # the sandbox costs time at every start
            max_cached_workflows=10_000,
            max_concurrent_workflow_tasks=_AT_A_TIME,
            max_concurrent_activities=_AT_A_TIME,
            max_concurrent_local_activities=_AT_A_TIME,
            workflow_task_poller_behavior=autoscaling,
            activity_task_poller_behavior=autoscaling,
        )
        async with worker:
            print("ready", flush=True)
            await asyncio.Event().wait()

    asyncio.run(forever())


def chains(count: int) -> Figures:
    """Start chains and wait for the last."""

    async def measure(client: Client) -> Figures:
        begin = time.perf_counter()
        await _run(client, count)
        return {"seconds": time.perf_counter() - begin}

    return asyncio.run(_with_fleet(measure))


def fan_out(width: int) -> Figures:
    """Run one workflow that calls its activities at once."""
    return asyncio.run(_with_fleet(lambda client: _run_one(client, Fan, width, width * (width + 1) // 2)))


def long_chain(length: int) -> Figures:
    """Run one workflow that calls its activities one after the other."""
    return asyncio.run(_with_fleet(lambda client: _run_one(client, Chain, length, length)))


def latency(samples: int) -> Figures:
    """Start a workflow of one activity, again and again."""

    async def measure(client: Client) -> Figures:
        taken = []
        for _ in range(samples):
            await asyncio.sleep(IDLE)
            begin = time.perf_counter()
            handle = await _start(client, Chain, 1)
            assert await handle.result() == 1
            taken.append(time.perf_counter() - begin)
        return percentiles(taken)

    return asyncio.run(_with_fleet(measure))


def events(samples: int) -> Figures:
    """Send a signal to a workflow that waits for it, again and again."""

    async def measure(client: Client) -> Figures:
        taken = []
        for _ in range(samples):
            handle = await _start(client, Listen)
            await asyncio.sleep(2 * IDLE)
            begin = time.perf_counter()
            await handle.signal("go", 1)
            assert await handle.result() == 1
            taken.append(time.perf_counter() - begin)
        return percentiles(taken)

    return asyncio.run(_with_fleet(measure))


def timers(count: int) -> Figures:
    """Have workflows wait for one moment."""

    async def measure(client: Client) -> Figures:
        due = time.time() + 3
        handles = await _start_all(client, SleepUntil, due, count)
        return percentiles([await handle.result() for handle in handles])

    return asyncio.run(_with_fleet(measure))


# --- details ----------------------------------------------------------------------------------------------------------


async def _with_fleet(measure: Callable[[Client], Awaitable[Figures]]) -> Figures:
    """Run the server and warm workers, and measure with a client."""
    port = free_port()
    program = Path(sys.executable).with_name("temporal")
    server = [str(program), "server", "start-dev", "--headless", "--ip=127.0.0.1", f"--port={port}"]
    server += ["--log-level=error", f"--db-filename={directory() / 'temporal.sqlite3'}"]
    server += [f"--sqlite-pragma={pragma}" for pragma in _PRAGMAS]
    server += [f"--dynamic-config-value={name}={limit}" for name, limit in _LIMITS.items()]
    with ExitStack() as cleanup:
        cleanup.enter_context(processes([server]))
        client = await _connect(port)
        fleet = cleanup.enter_context(processes([command("bench.peers.temporal", "work", port)] * workers()))
        await_lines(fleet, "ready")
        await _run(client, WARM)
        return await measure(client)


async def _connect(port: int) -> Client:
    """Return a client, as soon as the server answers it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except (RuntimeError, RPCError):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


async def _start(client: Client, kind: type, *arguments: Any) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(kind.__name__, args=arguments, id=uuid.uuid4().hex, task_queue=_QUEUE)


async def _start_all(client: Client, kind: type, argument: Any, count: int) -> list[WorkflowHandle[Any, Any]]:
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one() -> WorkflowHandle[Any, Any]:
        async with gate:
            return await _start(client, kind, argument)

    return await asyncio.gather(*[one() for _ in range(count)])


async def _run(client: Client, count: int) -> None:
    """Run chains, many at a time, each awaited as soon as it is started."""
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one() -> Any:
        async with gate:
            handle = await _start(client, Chain, CHAIN_OF)
            return await handle.result()

    assert set(await asyncio.gather(*[one() for _ in range(count)])) == {CHAIN_OF}


async def _run_one(client: Client, kind: type, size: int, expected: int) -> Figures:
    begin = time.perf_counter()
    handle = await _start(client, kind, size)
    output = await handle.result()
    assert output == expected, output
    return {"seconds": time.perf_counter() - begin}
