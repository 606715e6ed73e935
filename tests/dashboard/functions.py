"""Orchestrators that the tests of the pages start."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from durable_host import OrchestrationContext
from durable_host.core.registry import Registry


def shout(text: str) -> str:
    """Return a text in capitals."""
    return text.upper()


async def page_echo(ctx: OrchestrationContext, text: str) -> str:
    """Shout a text, and say so."""
    ctx.set_custom_status({"doing": text})
    return str(await ctx.call_activity(shout, text))


async def page_failure(ctx: OrchestrationContext, text: str) -> None:
    """Fail with a text."""
    raise ValueError(text)


async def page_patience(ctx: OrchestrationContext) -> str:
    """Wait for somebody to say go on."""
    return str(await ctx.wait_for_external_event("GoOn", str))


class Visit(BaseModel):
    """When somebody comes, and with whom."""

    day: date = Field(description="The day of the visit.")
    guests: int = Field(default=1, ge=1, le=20)
    place: Literal["office", "by_video"] = "office"


ANSWERS: dict[str, Any] = {
    "bool": bool,
    "release": Annotated[bool, Field(title="Release / Hold back", description="It goes to all customers.")],
    "choice": Literal["in_person", "by_video", "not_at_all"],
    "model": Visit,
    "any": Any,
}


class Ask(BaseModel):
    """What is asked, of whom, and for how long."""

    kind: str = "bool"
    title: str = "May it go on?"
    text: str = ""
    to: list[str] = []
    seconds: float | None = None
    #: after that time, ask these
    then_to: list[str] = []


async def page_question(ctx: OrchestrationContext, ask: Ask) -> Any:
    """Ask somebody something; when time runs out, ask somebody else."""
    for people in filter(None, (ask.to or ["*"], ask.then_to)):
        due = None if ask.seconds is None else ctx.current_utc_datetime + timedelta(seconds=ask.seconds)
        answer = ctx.wait_for_external_event(
            "Answer",
            ANSWERS[ask.kind],
            title=ask.title,
            description=ask.text,
            assignees=[name for name in people if name != "*"],
            due=due,
        )
        deadline = None if due is None else ctx.create_timer(due)
        if deadline is None:
            return await answer
        if await ctx.when_any([answer, deadline]) is answer:
            deadline.cancel()
            return answer.result
    return "nobody answered"


async def page_twice(ctx: OrchestrationContext) -> list[bool]:
    """Ask the same twice, one after the other."""
    return [await ctx.wait_for_external_event("Answer", bool) for _ in range(2)]


#: while something stands here, ``brittle`` fails with it
BROKEN: list[str] = []


def brittle(text: str) -> str:
    """Fail while it is broken."""
    if BROKEN:
        raise ConnectionError(BROKEN[-1])
    return text


async def page_brittle(ctx: OrchestrationContext, text: str) -> str:
    """Shout, wait for a sub-orchestration, then do what can fail."""
    loud = await ctx.call_activity(shout, text)
    await ctx.call_sub_orchestrator(page_echo, text)
    return str(await ctx.call_activity(brittle, loud))


async def page_parent(ctx: OrchestrationContext) -> None:
    """Wait for two sub-orchestrations that wait themselves."""
    await ctx.when_all([ctx.call_sub_orchestrator(page_patience) for _ in range(2)])


def register(registry: Registry) -> None:
    """Make them known."""
    for each in (shout, brittle):
        registry.add_activity(each)
    for one in (page_echo, page_failure, page_patience, page_question, page_twice, page_brittle, page_parent):
        registry.add_orchestrator(one)
