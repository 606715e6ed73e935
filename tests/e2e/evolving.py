"""One orchestrator in two versions, and one that the new code has not: a worker has it where TEST_CODE says so."""

from __future__ import annotations

import os

from durable_host import OrchestrationContext, activity, orchestrator

IS_NEW = os.environ.get("TEST_CODE") == "new"


@activity
def old_step(n: int) -> str:
    return f"old {n}"


if IS_NEW:

    @activity
    def new_step(n: int) -> str:
        return f"new {n}"

    @orchestrator
    async def evolving(ctx: OrchestrationContext) -> list[str]:
        first = await ctx.call_activity(new_step, 1)
        await ctx.wait_for_external_event("go")
        return [first, await ctx.call_activity(new_step, 2)]

else:

    @orchestrator
    async def evolving(ctx: OrchestrationContext) -> list[str]:
        first = await ctx.call_activity(old_step, 1)
        await ctx.wait_for_external_event("go")
        return [first, await ctx.call_activity(old_step, 2)]

    @orchestrator
    async def discontinued(ctx: OrchestrationContext) -> str:
        await ctx.wait_for_external_event("go")
        return "gone"
