"""Orchestrators that the tests of the HTTP API start; registered by DURABLE_MODULES=tests.api.functions."""

import os
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from durable_host import OrchestrationContext, activity, orchestrator
from tests.services import wait_until


class Order(BaseModel, extra="forbid"):
    """What Typed takes."""

    item: str
    amount: int


@activity
def say_hello(name: str) -> str:
    """Greet; where a test has put up a gate, once it is open."""
    if gate := os.environ.get("TEST_GATE"):
        wait_until(Path(gate).exists, "the gate to be opened")
    return f"Hello {name}!"


@activity
def break_unless_mended(path: str) -> str:
    """Fail until the file is there."""
    if not Path(path).exists():
        raise ValueError("not mended yet")
    return "mended"


@orchestrator
async def DoWork(ctx: OrchestrationContext, name: Any = "Tokyo") -> str:
    """Take a second, then greet: long enough to be seen running."""
    ctx.set_custom_status({"percent": 50, "note": 'a "quoted" word'})
    await ctx.create_timer(ctx.current_utc_datetime + timedelta(seconds=1))
    return str(await ctx.call_activity(say_hello, str(name)))


@orchestrator
async def Echo(ctx: OrchestrationContext, value: Any = None) -> Any:
    """Return the input."""
    return value


@orchestrator
def Cities(context: OrchestrationContext) -> Generator[Any, Any, list[str]]:
    """Greet three cities, as the first sample of azure-functions-durable does."""
    first = yield context.call_activity("say_hello", "Tokyo")
    second = yield context.call_activity("say_hello", "Seattle")
    third = yield context.call_activity("say_hello", "London")
    return [first, second, third]


@orchestrator
async def Approval(ctx: OrchestrationContext, what: Any = None) -> Any:
    """Wait for an answer."""
    answer = await ctx.wait_for_external_event("Approval")
    return {"what": what, "answer": answer}


@orchestrator
async def Fragile(ctx: OrchestrationContext, path: str) -> str:
    """Fail until a file is there."""
    return str(await ctx.call_activity(break_unless_mended, path))


@orchestrator
async def Typed(ctx: OrchestrationContext, order: Order) -> int:
    """Take a typed input."""
    return order.amount


@orchestrator
async def Parent(ctx: OrchestrationContext) -> Any:
    """Call a sub-orchestration that waits."""
    return await ctx.call_sub_orchestrator("Approval", "child")
