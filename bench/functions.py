"""What the measured host runs: orchestrators whose activities do next to nothing."""

from __future__ import annotations

from durable_host import OrchestrationContext, activity, orchestrator


@activity
def add_one(number: int) -> int:
    """Return a small JSON value."""
    return number + 1


@orchestrator
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
