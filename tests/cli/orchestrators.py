"""Orchestrators that the tests of the command line start."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from durable_host import OrchestrationContext, activity, orchestrator


@activity
def cli_upper(text: str) -> str:
    """Return the text in capitals."""
    return text.upper()


@activity
def cli_needs(path: str) -> str:
    """Fail until the file is there."""
    return Path(path).read_text()


@orchestrator
async def cli_shout(ctx: OrchestrationContext, text: str = "hello") -> str:
    """Shout a text.

    More about it.
    """
    return await ctx.call_activity(cli_upper, text)


@orchestrator
async def cli_read(ctx: OrchestrationContext, path: str) -> str:
    """Read a file, or fail."""
    return await ctx.call_activity(cli_needs, path)


@orchestrator
async def cli_listen(ctx: OrchestrationContext) -> Any:
    """Wait for an event, beside a timer, then call a sub-orchestration with its data."""
    ctx.set_custom_status({"listens": "Go"})
    timer = ctx.create_timer(timedelta(days=3))
    event = ctx.wait_for_external_event("Go", str)
    await ctx.when_any([timer, event])
    timer.cancel()
    return await ctx.call_sub_orchestrator(cli_shout, event.result, instance_id=f"{ctx.instance_id}-shout")
