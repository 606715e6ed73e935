"""Durable timers."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from durable_host import OrchestrationContext, Task, TimerTask
from durable_host.core.actions import timer_of
from durable_host.core.events import TimerCreated

from .story import T0, World, activity, at, completed, fired, given, registry_of, timer


def test_it_takes_a_time_or_a_duration() -> None:
    async def both(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(timedelta(minutes=5))
        await ctx.create_timer(datetime(2030, 1, 1, tzinfo=UTC))

    story = given(both).then(timer(at(300)))
    story.when(fired(0), after=300).then(timer(datetime(2030, 1, 1, tzinfo=UTC)))
    story.when(fired(1)).then_completed(None)


def test_it_reads_a_time_without_zone_as_utc() -> None:
    async def naive(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(datetime(2030, 1, 1))

    given(naive).then(timer(datetime(2030, 1, 1, tzinfo=UTC)))


def test_it_stores_every_time_in_utc() -> None:
    async def zoned(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    story = given(zoned).then(timer(datetime(2030, 1, 1, tzinfo=UTC)))
    [created] = story.result.scheduled
    assert isinstance(created, TimerCreated)
    assert created.fire_at.tzinfo is UTC


def test_it_counts_a_duration_from_the_clock_of_the_turn() -> None:
    async def later(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("a")
        await ctx.create_timer(timedelta(seconds=10))

    given(later).when(completed(0), after=50).then(timer(at(60)))


def test_it_tells_which_timers_were_cancelled() -> None:
    async def cancelling(ctx: OrchestrationContext) -> bool:
        waiting = ctx.create_timer(timedelta(days=1))
        await ctx.call_activity("a")
        waiting.cancel()
        waiting.cancel()
        await ctx.call_activity("b")
        return waiting.is_cancelled

    story = given(cancelling)
    assert list(story.result.cancelled_timers) == []
    story.when(completed(1)).then(activity("b"))
    assert list(story.result.cancelled_timers) == [0]
    story.evicted().when(completed(2)).then_completed(True)
    assert list(story.result.cancelled_timers) == []


def test_it_drops_the_firing_of_a_cancelled_timer() -> None:
    async def cancelling(ctx: OrchestrationContext) -> None:
        ctx.create_timer(timedelta(days=1)).cancel()
        await ctx.call_activity("a")

    story = given(cancelling)
    assert list(story.result.cancelled_timers) == [0]
    story.when(fired(0)).then()
    assert len(story.result.events) == 2


def test_it_ignores_a_timer_that_fires_in_the_turn_that_cancels_it() -> None:
    async def racing(ctx: OrchestrationContext) -> str:
        timeout, work = ctx.create_timer(timedelta(seconds=5)), ctx.call_activity("a")
        winner = await ctx.when_any([work, timeout])
        if winner is work:
            timeout.cancel()
        await ctx.call_activity("b")
        return f"{timeout.is_cancelled} {timeout.is_completed}"

    given(racing).when(completed(1), fired(0), after=5).then(activity("b")).when(completed(2)).then_completed(
        "True False"
    )
    given(racing).when(fired(0), completed(1), after=5).then(activity("b")).when(completed(2)).then_completed(
        "False True"
    )


def test_it_refuses_to_cancel_a_timer_that_has_fired() -> None:
    async def late(ctx: OrchestrationContext) -> None:
        waiting = ctx.create_timer(timedelta(seconds=5))
        await waiting
        waiting.cancel()

    given(late).when(fired(0)).then_failed(ValueError, "Cannot cancel a completed task.")


def test_a_timer_knows_when_it_fires() -> None:
    async def knowing(ctx: OrchestrationContext) -> Any:
        waiting = ctx.create_timer(timedelta(seconds=5))
        assert isinstance(waiting, TimerTask)
        await waiting
        return waiting.fire_at

    given(knowing).when(fired(0)).then_completed("2024-05-01T12:00:05Z")


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def alarms(ctx: OrchestrationContext) -> list[str]:
        heard = []
        pending: dict[Task[Any], str] = {
            ctx.create_timer(timedelta(seconds=seconds)): f"{seconds}" for seconds in (30, 10, 20)
        }
        while pending:
            winner = await ctx.when_any(list(pending))
            heard.append(pending.pop(winner))
        return heard

    world = World(registry_of(alarms)).start("alarms").run()
    assert world.output_of() == ["10", "20", "30"]
    assert world.now == at(30)


def test_a_timer_for_months_is_one_event() -> None:
    async def patient(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(timedelta(days=400))

    given(patient).then(timer(T0 + timedelta(days=400)))


def test_a_time_in_the_past_fires_at_once() -> None:
    async def late(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(T0 - timedelta(days=1))

    world = World(registry_of(late)).start("late").run()
    assert world.output_of() is None
    assert world.now == T0


def test_the_firing_says_when_and_which() -> None:
    created = TimerCreated(timestamp=T0, event_id=4, fire_at=at(9))
    action = timer_of(created)
    assert action.fired.fire_at == at(9)
    assert action.task_id == action.fired.task_scheduled_id == 4
    assert action.fired.timestamp == at(9)


@pytest.mark.parametrize("nonsense", [5, "tomorrow"])
def test_it_fails_where_the_time_is_none(nonsense: Any) -> None:
    async def mistaken(ctx: OrchestrationContext) -> None:
        await ctx.create_timer(nonsense)

    given(mistaken).then_failed(AttributeError)
