"""Pausing an instance: what arrives meanwhile is recorded, and applied when it goes on."""

from datetime import timedelta
from typing import Any

from durable_host import OrchestrationContext, RuntimeStatus

from .story import Story, activity, at, completed, fired, given, raised, registry_of, resumed, started, suspended, timer

SUSPENDED = RuntimeStatus.SUSPENDED


async def chain(ctx: OrchestrationContext) -> list[Any]:
    """Two steps and an event."""
    first = await ctx.call_activity("first")
    second = await ctx.wait_for_external_event("go")
    return [first, second, await ctx.call_activity("third")]


def test_it_asks_for_nothing_while_it_is_suspended() -> None:
    story = given(chain).when(suspended("lunch")).then(status=SUSPENDED)
    story.when(completed(0, 1)).then(status=SUSPENDED)
    story.when(raised("go", 2)).then(status=SUSPENDED)
    assert [event.event_type for event in story.history if event.event_type not in ("TaskScheduled",)][2:] == [
        *("OrchestratorCompleted", "OrchestratorStarted", "ExecutionSuspended"),
        *("OrchestratorCompleted", "OrchestratorStarted", "TaskCompleted"),
        *("OrchestratorCompleted", "OrchestratorStarted", "EventRaised", "OrchestratorCompleted"),
    ]


def test_it_applies_in_order_what_arrived_meanwhile() -> None:
    story = given(chain).when(suspended()).when(raised("go", 2), completed(0, 1)).evicted()
    story.when(resumed("back")).then(activity("third"))
    story.when(completed(1, 3)).then_completed([1, 2, 3])


def test_it_goes_on_in_the_turn_of_its_suspension() -> None:
    story = given(chain).when(suspended(), completed(0, 1), resumed(), raised("go", 2)).then(activity("third"))
    story.when(completed(1, 3)).then_completed([1, 2, 3])


def test_it_applies_first_what_arrived_before_the_suspension() -> None:
    story = given(chain).when(completed(0, 1), suspended(), raised("go", 2)).then(status=SUSPENDED)
    story.when(resumed()).then(activity("third"))


def test_its_clock_is_that_of_the_turn_in_which_it_goes_on() -> None:
    async def waiting(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("first")
        await ctx.create_timer(timedelta(seconds=10))

    story = given(waiting).when(suspended()).when(completed(0), after=5).when(resumed(), after=1000)
    story.then(timer(at(1 + 5 + 1000 + 10)))


def count(story: Story) -> int:
    """Return how many events the last turn recorded."""
    return len(story.result.events)


def test_it_drops_duplicates_of_what_it_holds() -> None:
    story = given(chain).when(suspended()).when(completed(0, 1), completed(0, "same turn"))
    assert count(story) == 3
    story.evicted().when(completed(0, "next turn"))
    assert count(story) == 2
    story.when(resumed()).when(completed(0, "after")).when(raised("go", 2)).when(completed(1, 3))
    story.then_completed([1, 2, 3])


def test_a_second_suspension_or_resumption_changes_nothing() -> None:
    story = given(chain).when(resumed()).then().when(suspended()).when(suspended()).then(status=SUSPENDED)
    story.when(completed(0, 1)).then(status=SUSPENDED)
    story.when(resumed()).then().when(resumed()).then().when(raised("go", 2)).then(activity("third"))


def test_it_can_be_suspended_again_and_again() -> None:
    story = given(chain)
    for event, reply in ((completed(0, 1), ()), (raised("go", 2), (activity("third"),))):
        story.when(suspended()).when(event).then(status=SUSPENDED).when(resumed()).then(*reply)
    story.when(completed(1, 3)).then_completed([1, 2, 3])


def test_it_can_be_suspended_before_it_starts() -> None:
    story = Story(registry_of(chain)).when(suspended()).then(status=SUSPENDED)
    story.evicted().when(started("chain"), raised("go", 2)).then(status=SUSPENDED)
    story.evicted().when(resumed()).then(activity("first"))
    story.when(completed(0, 1)).then(activity("third"))


def test_it_runs_its_first_turn_when_started_and_suspended_together() -> None:
    given(chain, None, suspended()).then(activity("first"), status=SUSPENDED)


def test_an_end_in_the_turn_of_a_suspension_is_an_end() -> None:
    async def short(ctx: OrchestrationContext) -> int:
        return int(await ctx.call_activity("first"))

    given(short).when(completed(0, 1), suspended()).then_completed(1)
    given(short).when(suspended()).when(completed(0, 1)).when(resumed(), suspended()).then_completed(1)


def test_a_timer_that_fires_meanwhile_loses_against_an_earlier_event() -> None:
    async def racing(ctx: OrchestrationContext) -> str:
        approval, timeout = ctx.wait_for_external_event("go"), ctx.create_timer(timedelta(seconds=10))
        winner = await ctx.when_any([approval, timeout])
        if winner is approval:
            timeout.cancel()
        return "approved" if winner is approval else "late"

    story = given(racing).when(suspended()).when(raised("go")).when(fired(0), after=10)
    story.when(resumed()).then_completed("approved")
    given(racing).when(suspended()).when(fired(0), raised("go")).when(resumed()).then_completed("late")


def test_it_keeps_showing_its_waits_while_it_is_suspended() -> None:
    story = given(chain).when(completed(0)).when(suspended())
    assert story.result.waits is None
    assert story.waits == ["go"]
