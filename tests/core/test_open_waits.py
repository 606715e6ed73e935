"""What an instance listens for, as the person who answers sees it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from durable_host import OrchestrationContext
from durable_host.core.context import _MAX_DESCRIPTION
from durable_host.core.mailbox import WaitInfo

from .story import Story, at, given, raised


def shown(story: Story) -> tuple[WaitInfo, ...] | None:
    """Return what a turn said about its waits; None where it changed nothing."""
    return story.result.waits


def test_it_shows_what_it_waits_for() -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        await ctx.wait_for_external_event(
            "Approval",
            Literal["yes", "no"],
            title="Trip to Rome",
            description="3 days,\nwith the train",
            assignees=["ann", "bob"],
            timeout=timedelta(hours=1),
        )

    story = given(asking)
    [wait] = shown(story) or ()
    assert (wait.name, wait.title, wait.description) == ("Approval", "Trip to Rome", "3 days,\nwith the train")
    assert wait.assignees == ("ann", "bob")
    assert wait.due == at(3600)
    assert wait.schema == '{"enum":["yes","no"],"type":"string"}'
    story.when(raised("other"))
    assert shown(story) is None
    assert shown(story.when(raised("approval", "no"))) == ()


def test_it_shows_one_wait_a_name_and_the_newest_speaks_for_it() -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        waits = [ctx.wait_for_external_event(name, title=title) for name, title in (("a", "1"), ("b", "2"), ("A", "3"))]
        await ctx.when_all(waits)

    waits = given(asking).result.waits
    assert waits is not None
    assert [(wait.name, wait.title) for wait in waits] == [("A", "3"), ("b", "2")]


def test_it_takes_one_assignee_without_a_list_and_a_due_time_without_zone() -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        await ctx.wait_for_external_event("a", assignees="ann", due=datetime(2030, 1, 1))

    waits = given(asking).result.waits
    assert waits is not None
    assert waits[0].assignees == ("ann",)
    assert waits[0].due == datetime(2030, 1, 1, tzinfo=UTC)
    assert waits[0].schema is None


def test_it_stores_no_text_that_a_database_refuses() -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        await ctx.wait_for_external_event("a", title="\x00\ud800", description="x" * 99_999)

    waits = given(asking).result.waits
    assert waits is not None
    assert waits[0].title == "\ufffd?"
    assert len(waits[0].description) <= _MAX_DESCRIPTION
