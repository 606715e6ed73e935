"""Many calls at once: when_all, and task_all, which does not wait for the rest once one has failed."""

from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, OrchestratorCodeError, TaskFailedError
from durable_host.core.errors import PayloadError

from .story import World, activity, completed, failed, fired, given, raised, registry_of


async def all_of(ctx: OrchestrationContext, names: list[str]) -> list[Any]:
    """Wait for all."""
    return await ctx.when_all([ctx.call_activity(name) for name in names])


async def fail_fast(ctx: OrchestrationContext, names: list[str]) -> list[Any]:
    """Wait for all, or for the first failure."""
    return await ctx.task_all([ctx.call_activity(name) for name in names])


def square(n: int) -> int:
    """Square."""
    return n * n


@pytest.mark.parametrize("combination", [all_of, fail_fast])
def test_it_gives_results_in_the_order_of_the_calls(combination: Any) -> None:
    story = given(combination, ["a", "b", "c"]).then(activity("a"), activity("b"), activity("c"))
    story.when(completed(2, "C")).then()
    story.when(completed(0, "A"), completed(1, "B")).then_completed(["A", "B", "C"])


@pytest.mark.parametrize("combination", [all_of, fail_fast])
def test_it_completes_at_once_when_there_is_nothing_to_do(combination: Any) -> None:
    given(combination, []).then_completed([])


def test_it_waits_for_the_others_when_one_has_failed() -> None:
    story = given(all_of, ["a", "b", "c"]).when(failed(1, ValueError("b"))).then()
    story.when(completed(0)).then()
    story.when(completed(2)).then_failed(TaskFailedError, "'b' (task 1)")


def test_it_raises_the_failure_that_came_first() -> None:
    story = given(all_of, ["a", "b", "c"]).when(failed(2, ValueError("c")), failed(0, ValueError("a"))).then()
    story.when(completed(1)).then_failed(TaskFailedError, "'c' (task 2)")


def test_task_all_fails_with_the_first_failure() -> None:
    story = given(fail_fast, ["a", "b", "c"]).when(completed(0)).then()
    story.when(failed(1, ValueError("b"))).then_failed(TaskFailedError, "'b' (task 1)")


def test_task_all_lets_the_others_go_on_and_be_awaited() -> None:
    async def patient(ctx: OrchestrationContext) -> Any:
        slow, broken = ctx.call_activity("slow"), ctx.call_activity("broken")
        try:
            await ctx.task_all([slow, broken])
        except TaskFailedError:
            return await slow

    story = given(patient).when(failed(1, ValueError("no"))).then()
    story.when(completed(0, "at last")).then_completed("at last")


@pytest.mark.parametrize("combine", ["when_all", "task_all"])
def test_it_takes_tasks_that_have_ended_before(combine: str) -> None:
    async def late(ctx: OrchestrationContext) -> Any:
        first = ctx.call_activity("a")
        await first
        return await getattr(ctx, combine)([first, ctx.call_activity("b")])

    given(late).when(completed(0, 1)).then(activity("b")).when(completed(1, 2)).then_completed([1, 2])


@pytest.mark.parametrize("combine", ["when_all", "task_all"])
def test_it_takes_tasks_that_have_failed_before(combine: str) -> None:
    async def late(ctx: OrchestrationContext) -> Any:
        first, second = ctx.call_activity("a"), ctx.call_activity("b")
        await second
        return await getattr(ctx, combine)([first, second])

    given(late).when(failed(0, ValueError("a")), completed(1, 2)).then_failed(TaskFailedError, "'a' (task 0)")


def test_it_combines_combinations() -> None:
    async def nested(ctx: OrchestrationContext) -> Any:
        pairs = [ctx.when_all([ctx.call_activity("a"), ctx.call_activity("b")]) for _ in range(2)]
        return await ctx.when_all(pairs)

    story = given(nested).when(completed(3, 4), completed(0, 1), completed(2, 3))
    story.when(completed(1, 2)).then_completed([[1, 2], [3, 4]])


def test_it_combines_timers_and_events_with_calls() -> None:
    async def mixed(ctx: OrchestrationContext) -> Any:
        timer = ctx.create_timer(timedelta(seconds=9))
        return await ctx.when_all([ctx.call_activity("a"), timer, ctx.wait_for_external_event("e")])

    story = given(mixed).when(raised("E", "data")).then()
    story.when(completed(1, "done"), fired(0), after=9).then_completed(["done", None, "data"])


def test_it_takes_the_same_task_twice() -> None:
    async def doubled(ctx: OrchestrationContext) -> Any:
        task = ctx.call_activity("a")
        return await ctx.when_all([task, task])

    given(doubled).when(completed(0, 1)).then_completed([1, 1])


@pytest.mark.parametrize("combine", ["when_all", "task_all", "when_any", "task_any"])
def test_it_refuses_what_is_not_a_task(combine: str) -> None:
    async def mistaken(ctx: OrchestrationContext) -> None:
        await getattr(ctx, combine)([ctx.call_activity("a"), 5])

    given(mistaken).then_failed(OrchestratorCodeError, "given a int", "without awaiting")


def test_it_fails_with_a_result_that_does_not_fit() -> None:
    async def typed(ctx: OrchestrationContext) -> Any:
        return await ctx.when_all([ctx.call_activity("square", 1, int), ctx.call_activity("square", 2, int)])

    given(typed).when(completed(0, "one"), completed(1, 4)).then_failed(PayloadError, "'square'")


def test_it_fans_out_wide() -> None:
    async def wide(ctx: OrchestrationContext, width: int) -> int:
        return sum(await ctx.when_all([ctx.call_activity(square, n) for n in range(width)]))

    width = 300
    story = given(wide, width, activities=[square])
    assert len(story.result.scheduled) == width
    story.when(*(completed(n, n * n) for n in reversed(range(width))))
    story.then_completed(sum(n * n for n in range(width)))


def test_it_runs_a_fan_out_to_its_end() -> None:
    async def sum_of_squares(ctx: OrchestrationContext, upto: int) -> int:
        return sum(await ctx.when_all([ctx.call_activity(square, n) for n in range(upto)]))

    assert World(registry_of(sum_of_squares, activities=[square])).start("sum_of_squares", 5).run().output_of() == 30
