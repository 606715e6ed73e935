"""Microsoft's Durable Task SDK on its backend for tests, which keeps everything in memory, over gRPC.

Nothing survives here, so its figures say what the SDK and its protocol cost without durability.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from durabletask.client import TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.task import ActivityContext, OrchestrationContext, when_all
from durabletask.testing import InMemoryOrchestrationBackend
from durabletask.worker import TaskHubGrpcWorker

from .common import (
    CHAIN_OF,
    IDLE,
    LONGEST,
    WARM,
    Figures,
    await_lines,
    command,
    free_port,
    percentiles,
    processes,
    workers,
)

# Its lines about each task cost it a tenth of its speed.
_QUIET = logging.getLogger("bench")
_QUIET.setLevel(logging.WARNING)
_MODULE = "bench.peers.durabletask"
Steps = Generator[Any, Any, Any]
Orchestrator = Callable[[OrchestrationContext, Any], Steps]


def add_one(_: ActivityContext, number: int) -> int:
    """Return a small JSON value."""
    return number + 1


def chain(ctx: OrchestrationContext, length: int) -> Steps:
    """Call one activity after the other."""
    number = 0
    for _ in range(length):
        number = yield ctx.call_activity(add_one, input=number)
    return number


def fan(ctx: OrchestrationContext, width: int) -> Steps:
    """Call all activities at once."""
    return sum((yield when_all([ctx.call_activity(add_one, input=number) for number in range(width)])))


def listen(ctx: OrchestrationContext, _: Any) -> Steps:
    """Wait for one event."""
    return (yield ctx.wait_for_external_event("go"))


def sleep_until(ctx: OrchestrationContext, due: float) -> Steps:
    """Wait for a moment; return how late it was."""
    yield ctx.create_timer(datetime.fromtimestamp(due, UTC).replace(tzinfo=None))
    return time.time() - due


def backend(port: int) -> None:
    """Serve the backend, on the loopback address alone, which its own way to start does not offer."""
    server = grpc.server(ThreadPoolExecutor(32))
    stubs.add_TaskHubSidecarServiceServicer_to_server(InMemoryOrchestrationBackend(max_history_size=100_000), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    threading.Event().wait()


def work(port: int) -> None:
    """Run orchestrators and activities until told to stop."""
    with TaskHubGrpcWorker(host_address=f"127.0.0.1:{port}", logger=_QUIET, emit_trace_spans=False) as worker:
        for orchestrator in (chain, fan, listen, sleep_until):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(add_one)
        worker.start()
        print("ready", flush=True)
        threading.Event().wait()


def chains(count: int) -> Figures:
    """Start chains and wait for the last."""
    with _fleet() as client:
        begin = time.perf_counter()
        _run(client, count)
        return {"seconds": time.perf_counter() - begin}


def fan_out(width: int) -> Figures:
    """Run one orchestration that calls its activities at once."""
    return _run_one(fan, width, expected=width * (width + 1) // 2)


def long_chain(length: int) -> Figures:
    """Run one orchestration that calls its activities one after the other."""
    return _run_one(chain, length, expected=length)


def latency(samples: int) -> Figures:
    """Start an orchestration of one activity, again and again."""
    taken = []
    with _fleet() as client:
        for _ in range(samples):
            time.sleep(IDLE)
            begin = time.perf_counter()
            assert _output(client, client.schedule_new_orchestration(chain, input=1)) == 1
            taken.append(time.perf_counter() - begin)
    return percentiles(taken)


def events(samples: int) -> Figures:
    """Send an event to an orchestration that waits for it, again and again."""
    taken = []
    with _fleet() as client:
        for _ in range(samples):
            instance_id = client.schedule_new_orchestration(listen)
            time.sleep(2 * IDLE)
            begin = time.perf_counter()
            client.raise_orchestration_event(instance_id, "go", data=1)
            assert _output(client, instance_id) == 1
            taken.append(time.perf_counter() - begin)
    return percentiles(taken)


def timers(count: int) -> Figures:
    """Have orchestrations wait for one moment."""
    with _fleet() as client:
        due = time.time() + 3
        ids = [client.schedule_new_orchestration(sleep_until, input=due) for _ in range(count)]
        return percentiles([_output(client, instance_id) for instance_id in ids])


# --- details ----------------------------------------------------------------------------------------------------------


@contextmanager
def _fleet() -> Iterator[TaskHubGrpcClient]:
    """Run the backend and warm workers; give a client."""
    port = free_port()
    with ExitStack() as cleanup:
        await_lines(cleanup.enter_context(processes([command(_MODULE, "backend", port)])), "ready")
        await_lines(cleanup.enter_context(processes([command(_MODULE, "work", port)] * workers())), "ready")
        client = TaskHubGrpcClient(host_address=f"127.0.0.1:{port}", logger=_QUIET, emit_trace_spans=False)
        cleanup.callback(client.close)
        _run(client, WARM)
        yield client


def _run(client: TaskHubGrpcClient, count: int) -> None:
    ids = [client.schedule_new_orchestration(chain, input=CHAIN_OF) for _ in range(count)]
    assert {_output(client, instance_id) for instance_id in ids} == {CHAIN_OF}


def _run_one(orchestrator: Orchestrator, size: int, *, expected: int) -> Figures:
    with _fleet() as client:
        begin = time.perf_counter()
        output = _output(client, client.schedule_new_orchestration(orchestrator, input=size))
        assert output == expected, output
        return {"seconds": time.perf_counter() - begin}


def _output(client: TaskHubGrpcClient, instance_id: str) -> Any:
    state = client.wait_for_orchestration_completion(instance_id, timeout=LONGEST)
    assert state is not None
    return state.get_output()
