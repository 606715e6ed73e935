"""Orchestrators and activities that the workers under test run."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from opentelemetry.propagate import inject
from opentelemetry.trace import get_tracer

from durable_host import ActivityContext, OrchestrationContext, RetryPolicy, TaskFailedError, activity, orchestrator
from tests.services import wait_until

SOON = RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=5)


@activity
async def add_one(n: int) -> int:
    await asyncio.sleep(0.02)
    return n + 1


@activity
def square(n: int) -> int:
    time.sleep(0.03)
    return n * n


@activity(retry=SOON)
async def third_time_lucky(n: int, context: ActivityContext) -> int:
    """Fail as task 0 and, after a timer, as task 2: what history says decides, not what a dead worker did."""
    await asyncio.sleep(0.01)
    if context.task_id < 4:
        raise ConnectionError(f"not yet: task {context.task_id}")
    return n


@orchestrator
async def chain(ctx: OrchestrationContext, steps: int) -> int:
    total = 0
    for _ in range(steps):
        total = await ctx.call_activity(add_one, total)
    return total


@orchestrator
async def fan(ctx: OrchestrationContext, width: int) -> int:
    return sum(await ctx.when_all([ctx.call_activity(square, n) for n in range(width)]))


@orchestrator
async def naps(ctx: OrchestrationContext, count: int) -> int:
    total = 0
    for number in range(count):
        never = ctx.create_timer(timedelta(days=1))
        await ctx.when_any([never, ctx.create_timer(timedelta(milliseconds=40))])
        never.cancel()
        total += await ctx.call_activity(square, number)
    return total


@orchestrator
async def letters(ctx: OrchestrationContext, count: int) -> list[int]:
    return [await ctx.wait_for_external_event("letter", int) for _ in range(count)]


@orchestrator
async def retried(ctx: OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(third_time_lucky, n)


@orchestrator
async def family(ctx: OrchestrationContext, size: int) -> int:
    chains = [ctx.call_sub_orchestrator(chain, n) for n in range(size)]
    return sum(await ctx.when_all([*chains, ctx.call_sub_orchestrator(fan, size)]))


@orchestrator
async def rounds(ctx: OrchestrationContext, left: int) -> int:
    last = await ctx.call_activity(add_one, left)
    if left > 0:
        ctx.continue_as_new(left - 1)
    return last


@orchestrator
async def meeting(ctx: OrchestrationContext, path: str) -> int:
    """Fan out to two processes, and return how many there were."""
    pids = await ctx.when_all([ctx.call_activity(met, Trace(Path(path))) for _ in range(2)])
    return len(set(pids))


@dataclass(frozen=True)
class Trace:
    """What a traced activity shall do, and where it writes that it did."""

    path: Path
    seconds: float = 0.0


def leave_trace(trace: Trace, what: str) -> None:
    """Add a line to the trace: activities run at least once, so a test may count how often."""
    with open(trace.path, "a", encoding="utf-8") as file:
        file.write(f"{what} {os.getpid()}\n")


@activity
def traced(trace: Trace) -> int:
    leave_trace(trace, "begin")
    time.sleep(trace.seconds)
    leave_trace(trace, "end")
    return os.getpid()


@activity
def tracing(context: ActivityContext) -> str:
    """Open a span, hang at the first attempt, and return the context in which the activity runs."""
    with get_tracer(__name__).start_as_current_span("inside"):
        pass
    if context.attempt == 1:
        time.sleep(60)
    headers: dict[str, str] = {}
    inject(headers)
    return headers.get("traceparent", "")


@activity
def met(trace: Trace) -> int:
    """Return once another process is at it, too."""
    leave_trace(trace, "begin")
    wait_until(lambda: len({line.split()[1] for line in trace.path.read_text().splitlines()}) > 1, "another process")
    return os.getpid()


@activity
def gated(trace: Trace) -> int:
    """Return once somebody has put a file "open" beside the trace."""
    leave_trace(trace, "begin")
    wait_until(trace.path.with_name("open").exists, "the gate to be opened")
    return os.getpid()


@activity(queue="other")
def elsewhere(trace: Trace) -> int:
    leave_trace(trace, "begin")
    return os.getpid()


@activity(timeout=timedelta(milliseconds=300))
def endless(trace: Trace) -> None:
    leave_trace(trace, "begin")
    time.sleep(3600)


@activity(timeout=timedelta(milliseconds=300))
async def endless_async(trace: Trace) -> None:
    try:
        leave_trace(trace, "begin")
        await asyncio.sleep(3600)
    finally:
        leave_trace(trace, "cancelled")


@activity
def leave_by_exit(trace: Trace) -> None:
    leave_trace(trace, "begin")
    raise SystemExit(3)


@orchestrator
async def call(ctx: OrchestrationContext, request: dict[str, Any]) -> Any:
    """Call the activity that the request names; tell how it failed, if it does."""
    try:
        return await ctx.call_activity(request["activity"], request.get("trace"))
    except TaskFailedError as error:
        return f"{error.error_type}: {error.error_message}"


@orchestrator
async def two_letters(ctx: OrchestrationContext) -> list[Any]:
    first = await ctx.wait_for_external_event("a")
    return [first, await ctx.wait_for_external_event("b")]


def forged_callback(*args: Any) -> None:
    """What nobody may make a worker call."""
    (Path(os.environ["DURABLE_VAR"]) / "traces" / "callback").mkdir()


@orchestrator
async def patient(ctx: OrchestrationContext, seconds: float) -> str:
    """Wait for an event, but not longer than that."""
    enough = ctx.wait_for_external_event("enough")
    time_is_over = ctx.create_timer(timedelta(seconds=seconds))
    return "time" if await ctx.when_any([enough, time_is_over]) is time_is_over else "enough"


@activity
def toll(trace: Trace, context: ActivityContext) -> None:
    """Take its time, then leave a line that is the same whenever this call is run again."""
    time.sleep(trace.seconds)
    with open(trace.path, "a", encoding="utf-8") as file:
        file.write(f"{context.idempotency_key}\n")


@orchestrator
async def tolls(ctx: OrchestrationContext, request: dict[str, Any]) -> None:
    """Pay one toll after the other."""
    for _ in range(request["steps"]):
        await ctx.call_activity(toll, {"path": request["path"], "seconds": request["seconds"]})
