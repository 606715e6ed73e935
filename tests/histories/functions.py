"""The code that made the recorded histories. Never change an orchestrator here; add another one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durable_host import OrchestrationContext, RetryPolicy, TaskFailedError
from durable_host.core.registry import Registry

REGISTRY = Registry()
Ctx = OrchestrationContext
PATIENT = RetryPolicy(first_retry_interval=timedelta(seconds=5), max_number_of_attempts=3, backoff_coefficient=2)


@dataclass
class Order:
    """A typed payload."""

    number: int
    items: list[str]


@REGISTRY.add_activity
def double(number: int) -> int:
    return number * 2


@REGISTRY.add_activity
def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@REGISTRY.add_activity
def price(order: Order) -> float:
    return 2.5 * len(order.items)


@REGISTRY.add_orchestrator
async def chaining(ctx: Ctx, number: int) -> int:
    for _ in range(3):
        number = await ctx.call_activity("double", number)
        ctx.set_custom_status({"number": number})
    return number


@REGISTRY.add_orchestrator
async def typed(ctx: Ctx, order: Order) -> float:
    return float(await ctx.call_activity(price, order))


@REGISTRY.add_orchestrator
async def fan_out(ctx: Ctx, width: int) -> int:
    return sum(await ctx.when_all([ctx.call_activity("double", number) for number in range(width)]))


@REGISTRY.add_orchestrator
async def failing(ctx: Ctx) -> str:
    try:
        await ctx.when_all([ctx.call_activity("double", 1), ctx.call_activity("refuse", 2)])
    except TaskFailedError as error:
        await ctx.call_activity("double", 3)
        raise RuntimeError("compensated") from error
    return "never"


@REGISTRY.add_orchestrator
async def retried(ctx: Ctx) -> str:
    try:
        await ctx.call_activity("refuse", 1, retry=PATIENT)
    except TaskFailedError as error:
        return str(error)
    return "never"


@REGISTRY.add_orchestrator
async def timers(ctx: Ctx) -> list[Any]:
    begun = ctx.current_utc_datetime
    never = ctx.create_timer(timedelta(days=3650))
    first = await ctx.when_any([never, ctx.create_timer(timedelta(hours=1))])
    never.cancel()
    return [first is never, (ctx.current_utc_datetime - begun).total_seconds(), str(ctx.new_uuid())]


@REGISTRY.add_orchestrator
async def approval(ctx: Ctx) -> Any:
    ctx.set_custom_status("asked")
    try:
        answer = await ctx.wait_for_external_event("Answer", bool, timeout=timedelta(days=3), title="Well?")
    except TimeoutError:
        return "too late"
    return [answer, await ctx.wait_for_external_event("more"), await ctx.wait_for_external_event("MORE")]


@REGISTRY.add_orchestrator
async def family(ctx: Ctx) -> list[Any]:
    ctx.send_event("somebody", "news", {"from": ctx.instance_id})
    good = await ctx.call_sub_orchestrator("chaining", 1, instance_id="chosen")
    try:
        await ctx.call_sub_orchestrator("failing")
    except Exception as error:
        return [good, type(error).__name__]
    return ["never"]


@REGISTRY.add_orchestrator
async def monitor(ctx: Ctx, rounds: int) -> str:
    await ctx.create_timer(timedelta(minutes=1))
    news = ctx.wait_for_external_event("news")
    if rounds > 1:
        ctx.continue_as_new(rounds - 1)
        return "again"
    return f"done: {await news}"


@REGISTRY.add_orchestrator
def azure_style(context: Any) -> Generator[Any, Any, Any]:
    given = context.get_input()
    found = yield context.call_activity("double", given)
    both = yield context.task_all([context.call_activity("double", found), context.call_activity("double", 1)])
    winner = yield context.task_any([context.wait_for_external_event("go"), context.create_timer(_later(context))])
    context.set_custom_status("nearly")
    return [both, winner.result]


def _later(context: Any) -> Any:
    return context.current_utc_datetime + timedelta(hours=2)


@REGISTRY.add_orchestrator
async def http(ctx: Ctx) -> int:
    answer = await ctx.call_http("GET", "https://service.test/report")
    return answer.status_code
