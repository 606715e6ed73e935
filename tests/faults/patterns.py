"""The five patterns, with activities that leave a trace of what they did."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

from durable_host import ActivityContext, OrchestrationContext, RetryPolicy, activity, orchestrator
from tests.faults.environment import EFFECTS
from tests.faults.points import Point, reach

SOON = RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=3)


@activity
def effect(what: str, context: ActivityContext) -> str:
    _have_effect(context, what)
    return what.upper()


@activity(retry=SOON)
async def effect_at_second_try(what: str, context: ActivityContext) -> str:
    """Fail the first time that it is called for: history decides which one that is, not what a dead worker did."""
    await asyncio.sleep(0)
    if context.task_id == int(context.idempotency_key.rpartition(".")[2]):
        raise ConnectionError("not yet")
    _have_effect(context, what)
    return what.upper()


def _have_effect(context: ActivityContext, what: str) -> None:
    reach(Point.BEFORE_EFFECT)
    with open(os.environ[EFFECTS], "a", encoding="utf-8") as file:
        file.write(f"{context.instance_id} {what}\n")
    reach(Point.AFTER_EFFECT)


@orchestrator
async def function_chain(ctx: OrchestrationContext) -> str:
    first = await ctx.call_activity(effect, "a")
    second = await ctx.call_activity(effect_at_second_try, "b")
    return first + second + await ctx.call_activity(effect, "c")


@orchestrator
async def fan_out_and_in(ctx: OrchestrationContext) -> list[str]:
    """Fan out to activities and to a chain of its own."""
    parts = [ctx.call_activity(effect, letter) for letter in "abcdef"]
    return await ctx.when_all([*parts, ctx.call_sub_orchestrator(function_chain)])


@orchestrator
async def long_operation(ctx: OrchestrationContext, left: int) -> str:
    """Show its progress to whoever asks, and continue as new."""
    ctx.set_custom_status({"left": left})
    await ctx.call_activity(effect, f"part {left}")
    if left:
        ctx.continue_as_new(left - 1)
    return "done"


@orchestrator
async def watch(ctx: OrchestrationContext) -> list[str]:
    """Look, sleep, and look again."""
    seen = []
    for number in range(3):
        seen.append(await ctx.call_activity(effect, f"look {number}"))
        await ctx.create_timer(timedelta(milliseconds=50))
    return seen


@orchestrator
async def approval(ctx: OrchestrationContext) -> list[Any]:
    """Ask, wait for two answers, and do as told."""
    await ctx.call_activity(effect, "ask")
    answers = [await ctx.wait_for_external_event(name, bool) for name in ("first", "second")]
    return [answers, await ctx.call_activity(effect, "settle")]


#: pattern → input, events that it waits for, output
PATTERNS: dict[str, tuple[Any, tuple[str, ...], Any]] = {
    "function_chain": (None, (), "ABC"),
    "fan_out_and_in": (None, (), [*"ABCDEF", "ABC"]),
    "long_operation": (2, (), "done"),
    "watch": (None, (), ["LOOK 0", "LOOK 1", "LOOK 2"]),
    "approval": (None, ("first", "second"), [[True, True], "SETTLE"]),
}
