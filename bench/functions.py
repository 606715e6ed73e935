"""What the measured host runs: orchestrators whose activities do next to nothing.

Tests of the bench run beside others in one process, so names that others may have, too, are its own.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from durable_host import OrchestrationContext, activity, orchestrator


@activity(name="bench_add_one")
def add_one(number: int) -> int:
    """Return a small JSON value."""
    return number + 1


@activity
async def wait_async(seconds: float) -> int:
    """Wait as for a network, on the event loop."""
    await asyncio.sleep(seconds)
    return 1


@activity
def wait_in_thread(seconds: float) -> int:
    """Wait as for a network, in a thread."""
    time.sleep(seconds)
    return 1


@orchestrator(name="bench_chain")
async def chain(ctx: OrchestrationContext, length: int) -> int:
    """Call one activity after the other; the result is their number."""
    number = 0
    for _ in range(length):
        number = await ctx.call_activity(add_one, number)
    return number


@orchestrator
async def fan_out(ctx: OrchestrationContext, width: int) -> int:
    """Call all activities at once; the result is the sum of 1 to ``width``."""
    return sum(await ctx.when_all([ctx.call_activity(add_one, number) for number in range(width)]))


@orchestrator
async def wait_on_loop(ctx: OrchestrationContext, width: int) -> int:
    """Wait a second in many coroutines."""
    return sum(await ctx.when_all([ctx.call_activity(wait_async, 1.0) for _ in range(width)]))


@orchestrator
async def wait_in_threads(ctx: OrchestrationContext, width: int) -> int:
    """Wait a second in many plain functions."""
    return sum(await ctx.when_all([ctx.call_activity(wait_in_thread, 1.0) for _ in range(width)]))


@orchestrator
async def listen(ctx: OrchestrationContext) -> int:
    """Wait for one event and return what it carries."""
    number: int = await ctx.wait_for_external_event("go", int)
    return number


@orchestrator
async def sleep_until(ctx: OrchestrationContext, due: datetime) -> None:
    """Wait for a moment."""
    await ctx.create_timer(due)
