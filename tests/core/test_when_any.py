"""The first of several: the losers go on."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, OrchestratorCodeError, Task, TaskFailedError

from .story import Story, activity, completed, failed, fired, given, raised, registry_of, started


def test_it_gives_the_task_that_ended_first() -> None:
    async def race(ctx: OrchestrationContext) -> str:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        winner = await ctx.when_any([a, b])
        assert winner is b
        assert winner == b
        assert not a.is_completed
        return f"{winner.result} {b.is_completed} {b.is_failed} {b.is_faulted}"

    given(race).when(completed(1, "B")).then_completed("B True False False")


def test_it_gives_a_failed_task_without_raising() -> None:
    async def race(ctx: OrchestrationContext) -> Any:
        winner = await ctx.when_any([ctx.call_activity("a"), ctx.call_activity("b")])
        assert winner.is_failed
        assert winner.is_faulted
        assert isinstance(winner.exception, TaskFailedError)
        return await winner

    given(race).when(failed(0, ValueError("a"))).then_failed(TaskFailedError, "'a' (task 0)")


def test_it_lets_the_losers_go_on() -> None:
    async def race(ctx: OrchestrationContext) -> list[Any]:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        winner = await ctx.when_any([a, b])
        return [winner.result, await a]

    given(race).when(completed(1, "B")).then().when(completed(0, "A")).then_completed(["B", "A"])


def test_it_gives_the_first_of_the_list_when_several_have_ended_before() -> None:
    async def race(ctx: OrchestrationContext) -> Any:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        await ctx.when_all([a, b])
        return (await ctx.when_any([a, b])).result

    given(race).when(completed(1, "B"), completed(0, "A")).then_completed("A")


def test_it_gives_the_first_received_when_several_end_in_one_turn() -> None:
    async def race(ctx: OrchestrationContext) -> Any:
        return (await ctx.when_any([ctx.call_activity("a"), ctx.call_activity("b")])).result

    given(race).when(completed(1, "B"), completed(0, "A")).then_completed("B")


def test_it_works_through_all_as_they_come() -> None:
    async def as_completed(ctx: OrchestrationContext) -> list[Any]:
        pending: list[Task[Any]] = [ctx.call_activity(name) for name in "abc"]
        results = []
        while pending:
            done = await ctx.when_any(pending)
            pending.remove(done)
            results.append(done.result)
        return results

    story = given(as_completed).then(activity("a"), activity("b"), activity("c"))
    story.when(completed(2, "C"), completed(0, "A")).then().when(completed(1, "B")).then_completed(["C", "A", "B"])


def test_it_lets_a_task_lose_many_races() -> None:
    async def patient(ctx: OrchestrationContext) -> int:
        answer = ctx.call_activity("answer")
        ticks = 0
        while True:
            tick = ctx.create_timer(timedelta(seconds=10))
            if await ctx.when_any([answer, tick]) is answer:
                tick.cancel()
                return ticks
            ticks += 1

    story = given(patient)
    for n in range(1, 41):
        story.when(fired(n), after=10)
    story.when(completed(0)).then_completed(40)


def test_a_task_forgets_the_races_that_it_lost() -> None:
    kept: list[Task[Any]] = []

    async def patient(ctx: OrchestrationContext) -> None:
        kept.append(ctx.call_activity("answer"))
        while True:
            await ctx.when_any([kept[0], ctx.create_timer(timedelta(seconds=10))])

    story = Story(registry_of(patient))
    story.live.turn([started("patient")], story.now)
    for n in range(1, 200):
        story.live.turn([fired(n)], story.now)
    assert len(kept[0]._parents) <= 8


def test_it_yields_like_task_any() -> None:
    def race(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        approval = context.wait_for_external_event("approval")
        timeout = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        winner = yield context.task_any([approval, timeout])
        return "approved" if winner == approval else "timed out"

    given(race).when(raised("Approval")).then_completed("approved")
    given(race).when(fired(0), after=3600).then_completed("timed out")


def test_it_nests_in_when_all_and_in_itself() -> None:
    async def nested(ctx: OrchestrationContext) -> list[Any]:
        a, b, c, d = (ctx.call_activity(name) for name in "abcd")
        first, second = await ctx.when_all([ctx.when_any([a, b]), ctx.when_any([ctx.when_any([c]), d])])
        return [first.result, second.result.result]

    given(nested).when(completed(1, "B")).then().when(completed(2, "C")).then_completed(["B", "C"])


@pytest.mark.parametrize("combine", ["when_all", "when_any"])
def test_it_refuses_a_nest_that_grows_without_end(combine: str) -> None:
    async def growing(ctx: OrchestrationContext, depth: int) -> str:
        nest: Any = ctx.call_activity("innermost")
        for _ in range(depth):
            nest = getattr(ctx, combine)([nest])
        await nest
        return "done"

    given(growing, 100).when(completed(0)).then_completed("done")
    given(growing, 101).then_failed(OrchestratorCodeError, f"{combine} was nested more than 100 times", "a list")


@pytest.mark.parametrize("combine", ["when_any", "task_any"])
def test_it_refuses_to_wait_for_nothing(combine: str) -> None:
    async def empty(ctx: OrchestrationContext) -> None:
        await getattr(ctx, combine)([])

    given(empty).then_failed(OrchestratorCodeError, "no tasks")


def test_it_says_that_a_task_has_no_result_yet() -> None:
    async def hasty(ctx: OrchestrationContext) -> Any:
        return ctx.call_activity("a").result

    given(hasty).then_failed(OrchestratorCodeError, "no result yet", "await it first")
