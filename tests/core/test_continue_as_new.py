"""Starting over with a fresh history."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, RuntimeStatus, Task
from durable_host.core import events as ev

from .story import Story, World, activity, completed, fired, given, raised, registry_of

CONTINUED = RuntimeStatus.CONTINUED_AS_NEW


def next_of(story: Story) -> ev.ExecutionStarted:
    """Return the first event of the next execution."""
    assert story.result.status is CONTINUED
    assert story.result.next_started is not None
    return story.result.next_started


def goes_on(story: Story) -> Story:
    """Return the story of the next execution, its first turn done."""
    event = next_of(story)
    following = Story(story.registry, story.instance_id, event.generation)
    following.now = story.now
    return following.when(event)


def test_it_starts_over_with_a_new_input() -> None:
    async def counting(ctx: OrchestrationContext, n: int) -> None:
        await ctx.call_activity("work", n)
        ctx.continue_as_new(n + 1)

    story = given(counting, 1, version="7", tags={"team": "a"}, parent_instance_id="mother").when(completed(0))
    story.then(status=CONTINUED)
    event = next_of(story)
    assert (event.name, event.input, event.version, event.generation) == ("counting", "2", "7", 1)
    assert (event.tags, event.parent_instance_id) == ({"team": "a"}, "mother")
    assert event.timestamp == story.now
    assert story.completion.orchestration_status is CONTINUED
    goes_on(story).then(activity("work", 2))


def test_it_counts_generations() -> None:
    async def eternal(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new()

    story = given(eternal)
    for generation in range(1, 6):
        assert next_of(story).generation == generation
        story = goes_on(story)


def test_it_may_take_a_new_version() -> None:
    async def upgrading(ctx: OrchestrationContext) -> str:
        if ctx.version != "2":
            ctx.continue_as_new(new_version="2")
        return ctx.version

    goes_on(given(upgrading, version="1")).then_completed("2")


def test_it_forgets_its_result() -> None:
    async def eternal(ctx: OrchestrationContext) -> str:
        ctx.continue_as_new()
        return "not kept"

    assert given(eternal).completion.result is None


def test_it_knows_that_it_will_continue() -> None:
    async def knowing(ctx: OrchestrationContext, n: int) -> list[bool]:
        before = ctx.will_continue_as_new
        if n:
            ctx.continue_as_new(0)
            assert ctx.will_continue_as_new
        return [before, ctx.will_continue_as_new]

    goes_on(given(knowing, 1)).then_completed([False, False])


def test_it_ignores_what_is_asked_for_afterwards() -> None:
    async def chatty(ctx: OrchestrationContext) -> None:
        ctx.call_activity("before")
        ctx.continue_as_new(1)
        ctx.call_activity("after")
        ctx.create_timer(timedelta(seconds=1)).cancel()
        ctx.call_sub_orchestrator("after")
        ctx.send_event("order-2", "after")

    given(chatty).then(activity("before"), status=CONTINUED)


def test_it_ends_where_the_code_awaits_something_afterwards() -> None:
    async def waiting(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new(1)
        await ctx.call_activity("after")
        raise AssertionError("not reached")

    given(waiting).then(status=CONTINUED)


def test_it_takes_the_last_of_several() -> None:
    async def undecided(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new(1)
        ctx.continue_as_new(2)

    assert next_of(given(undecided)).input == "2"


def test_it_fails_where_the_code_raises_afterwards() -> None:
    async def broken(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new(1)
        raise LookupError("after all")

    story = given(broken)
    story.then_failed(LookupError, "after all")
    assert story.result.next_started is None


async def collecting(ctx: OrchestrationContext, seen: list[Any]) -> list[Any]:
    """Take one event an execution; end after the third."""
    seen.append(await ctx.wait_for_external_event("go"))
    if len(seen) < 3:
        ctx.continue_as_new(seen)
    return seen


@pytest.mark.case(32)
def test_it_carries_events_that_nobody_took_in_order() -> None:
    story = given(collecting, []).when(raised("go", 1), raised("Other", 9), raised("GO", 2), raised("go", 3))
    event = next_of(story)
    assert [(one.name, one.input) for one in event.carried] == [("Other", "9"), ("GO", "2"), ("go", "3")]
    story = goes_on(story)
    assert [(one.name, one.input) for one in next_of(story).carried] == [("Other", "9"), ("go", "3")]
    goes_on(story).then_completed([1, 2, 3])


@pytest.mark.case(32)
def test_carried_events_come_before_new_ones() -> None:
    event = next_of(given(collecting, []).when(raised("go", 1), raised("go", 2)))
    following = Story(registry_of(collecting), generation=1).when(event, raised("go", 3))
    assert next_of(following).input == "[1,2]"
    assert [one.input for one in next_of(following).carried] == ["3"]


def test_it_may_leave_events_behind() -> None:
    async def forgetful(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("work")
        ctx.continue_as_new(save_events=False)

    assert next_of(given(forgetful, None, raised("go", 1)).when(completed(0))).carried == ()


def test_a_wait_that_nobody_answers_any_more_does_not_swallow_events() -> None:
    async def monitor(ctx: OrchestrationContext) -> str:
        stop = ctx.wait_for_external_event("stop")
        if await ctx.when_any([stop, ctx.create_timer(timedelta(seconds=10))]) is stop:
            return "stopped"
        await ctx.call_activity("poll")
        ctx.continue_as_new()
        return "not kept"

    in_the_turn_of_the_end = given(monitor).when(fired(0), after=10).when(completed(1), raised("stop"))
    goes_on(in_the_turn_of_the_end).then_completed("stopped")
    during_the_last_call = given(monitor).when(fired(0), after=10).when(raised("stop")).when(completed(1))
    goes_on(during_the_last_call).then_completed("stopped")


def test_a_wait_that_was_never_awaited_takes_no_event_after_the_end() -> None:
    async def careless(ctx: OrchestrationContext) -> None:
        ctx.wait_for_external_event("go")
        await ctx.call_activity("work")
        ctx.continue_as_new()

    event = next_of(given(careless).when(completed(0), raised("go", 1)))
    assert [one.input for one in event.carried] == ["1"]


def test_a_wait_after_it_takes_no_event_from_the_next_execution() -> None:
    async def chatty(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("work")
        ctx.continue_as_new()
        wait = ctx.wait_for_external_event("go")
        assert not wait.is_completed
        await wait
        raise AssertionError("not reached")

    event = next_of(given(chatty, None, raised("go", 1)).when(completed(0)))
    assert [one.input for one in event.carried] == ["1"]


def test_it_works_in_the_yielding_style() -> None:
    def yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, int]:
        n = context.get_input()
        yield context.call_activity("work", n)
        if n < 3:
            context.continue_as_new(n + 1)
        return int(n)

    def work(n: int) -> None:
        """Work."""

    world = World(registry_of(yielding, activities=[work])).start("yielding", 0).run()
    assert world.output_of() == 3
    assert world.ran == ["work"] * 4
