"""One call after the other."""

from collections.abc import Generator
from typing import Any

import pytest

from durable_host import OrchestrationContext, Task, TaskFailedError

from .story import World, activity, completed, failed, given, registry_of


def reserve(order: str) -> str:
    """Reserve."""
    return f"reserved {order}"


def charge(reservation: str) -> str:
    """Charge."""
    return f"charged for {reservation}"


def decline(reservation: str) -> str:
    """Refuse to charge."""
    raise PermissionError(f"no credit for {reservation}")


def release(reservation: str) -> None:
    """Release what was reserved."""


async def order(ctx: OrchestrationContext, order: str) -> str:
    """The awaiting style."""
    reservation = await ctx.call_activity("reserve", order)
    return str(await ctx.call_activity("charge", reservation))


def order_yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, str]:
    """The yielding style."""
    reservation = yield context.call_activity("reserve", context.get_input())
    receipt = yield context.call_activity("charge", reservation)
    return str(receipt)


@pytest.mark.parametrize("style", [order, order_yielding])
def test_it_asks_for_the_next_step_with_the_result_of_the_last(style: Any) -> None:
    story = given(style, "tea").then(activity("reserve", "tea"))
    story.when(completed(0, "shelf 3")).then(activity("charge", "shelf 3"))
    story.when(completed(1, "receipt 9")).then_completed("receipt 9")


@pytest.mark.parametrize("style", [order, order_yielding])
def test_it_goes_on_in_another_worker_after_every_turn(style: Any) -> None:
    story = given(style, "tea").evicted()
    story.when(completed(0, "shelf 3")).evicted().then(activity("charge", "shelf 3"))
    story.when(completed(1, "receipt 9")).evicted().then_completed("receipt 9")


def test_it_records_a_turn_as_started_received_scheduled_completed() -> None:
    story = given(order, "tea").when(completed(0, "shelf 3"))
    names = [event.event_type for event in story.history]
    assert names == [
        *("OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorCompleted"),
        *("OrchestratorStarted", "TaskCompleted", "TaskScheduled", "OrchestratorCompleted"),
    ]
    story.when(completed(1, "receipt"))
    assert [event.event_type for event in story.result.events] == [
        *("OrchestratorStarted", "TaskCompleted", "ExecutionCompleted", "OrchestratorCompleted"),
    ]


def test_it_numbers_calls_from_zero_and_received_events_with_minus_one() -> None:
    story = given(order, "tea").when(completed(0, "shelf 3"))
    assert [event.event_id for event in story.history] == [-1, -1, 0, -1, -1, -1, 1, -1]


def test_it_raises_the_failure_of_a_step_where_the_step_was_awaited() -> None:
    async def compensating(ctx: OrchestrationContext) -> str:
        reservation = await ctx.call_activity("reserve", "tea")
        try:
            await ctx.call_activity("decline", reservation)
        except TaskFailedError as error:
            await ctx.call_activity("release", reservation)
            return f"{error.name} failed with {error.error_type}: {error.error_message}"
        return "not reached"

    world = World(registry_of(compensating, activities=[reserve, decline, release])).start("compensating").run()
    assert world.ran == ["reserve", "decline", "release"]
    assert world.output_of() == "decline failed with PermissionError: no credit for reserved tea"


def test_it_raises_failures_in_the_yielding_style_too() -> None:
    def yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, str]:
        try:
            yield context.call_activity("decline")
        except TaskFailedError as error:
            return error.error_message
        return "not reached"

    given(yielding).when(failed(0, ValueError("no"))).then_completed("no")


def test_it_fails_with_a_failure_that_nobody_catches() -> None:
    story = given(order, "tea").when(failed(0, KeyError("shelf")))
    story.then_failed(TaskFailedError, "The activity 'reserve' (task 0) failed: KeyError: 'shelf'")


def test_it_lets_a_task_be_awaited_again() -> None:
    async def twice(ctx: OrchestrationContext) -> list[int]:
        task = ctx.call_activity("reserve")
        return [await task, await task]

    given(twice).when(completed(0, 5)).then_completed([5, 5])


def test_it_lets_a_failed_task_be_awaited_again() -> None:
    def twice(context: OrchestrationContext) -> Generator[Task[Any], Any, int]:
        task = context.call_activity("reserve")
        failures = 0
        for _ in range(2):
            try:
                yield task
            except TaskFailedError:
                failures += 1
        return failures

    given(twice).when(failed(0, ValueError("no"))).then_completed(2)


def test_it_lets_helpers_await_for_the_orchestrator() -> None:
    async def helper(ctx: OrchestrationContext, name: str) -> Any:
        return await ctx.call_activity(name)

    async def outer(ctx: OrchestrationContext) -> Any:
        return [await helper(ctx, "reserve"), await helper(ctx, "charge")]

    given(outer).when(completed(0, 1)).then(activity("charge")).when(completed(1, 2)).then_completed([1, 2])


def test_it_lets_generators_delegate_to_generators() -> None:
    def helper(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        result = yield context.call_activity("reserve")
        return result

    def outer(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        result = yield from helper(context)
        return result

    given(outer).when(completed(0, 7)).then_completed(7)


def test_it_completes_at_once_when_there_is_nothing_to_wait_for() -> None:
    def plain(ctx: OrchestrationContext) -> int:
        return 42

    async def coroutine(ctx: OrchestrationContext) -> int:
        return 42

    given(plain).then_completed(42)
    given(coroutine).then_completed(42)


def test_it_schedules_a_call_that_nobody_awaits() -> None:
    def forgetful(ctx: OrchestrationContext) -> None:
        ctx.call_activity("reserve", 1)

    story = given(forgetful)
    assert [event.event_type for event in story.result.scheduled] == ["TaskScheduled"]
    story.then_completed(None)


def test_it_drops_a_second_outcome_of_the_same_step() -> None:
    story = given(order, "tea").when(completed(0, "first"), completed(0, "second"), failed(0, ValueError("third")))
    story.then(activity("charge", "first"))
    assert len(story.result.events) == 4
    story.when(completed(0, "late")).then()
    assert [event.event_type for event in story.result.events] == ["OrchestratorStarted", "OrchestratorCompleted"]


def test_it_drops_an_outcome_of_a_step_that_was_never_asked_for() -> None:
    given(order, "tea").when(completed(7, "what?")).then()


def test_it_passes_a_default_where_no_input_was_given() -> None:
    async def defaulting(ctx: OrchestrationContext, count: int = 3) -> int:
        return count

    given(defaulting).then_completed(3)
    given(defaulting, 5).then_completed(5)


def test_it_knows_what_it_is() -> None:
    async def who(ctx: OrchestrationContext) -> list[Any]:
        return [ctx.name, ctx.instance_id, ctx.parent_instance_id, ctx.version]

    given(who, version="1.2", parent_instance_id="mother").then_completed(["who", "order-1", "mother", "1.2"])
