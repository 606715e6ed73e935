"""External events: buffered, first in, first out, names without case, never lost and never used twice."""

from collections.abc import Generator
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from durable_host import OrchestrationContext, RuntimeStatus, Task
from durable_host.core.errors import PayloadError

from .story import T0, Story, activity, at, completed, fired, given, message, raised, registry_of, started, timer


async def one(ctx: OrchestrationContext) -> Any:
    """Wait for one event."""
    return await ctx.wait_for_external_event("Go")


async def many(ctx: OrchestrationContext, count: int) -> list[Any]:
    """Work, then wait for events one after the other."""
    await ctx.call_activity("work")
    return [await ctx.wait_for_external_event("go") for _ in range(count)]


@pytest.mark.parametrize("name", ["Go", "go", "GO"])
def test_it_takes_an_event_whatever_the_case_of_its_name(name: str) -> None:
    given(one).when(raised(name, {"a": 1})).then_completed({"a": 1})


def test_it_compares_names_as_unicode_does() -> None:
    async def street(ctx: OrchestrationContext) -> Any:
        return await ctx.wait_for_external_event("Straße")

    given(street).when(raised("STRASSE", 1)).then_completed(1)


def test_it_keeps_early_events_in_order() -> None:
    story = given(many, 3, raised("go", 1)).when(raised("GO", 2), raised("other", 9), raised("go", 3)).then()
    story.evicted().when(completed(0)).then_completed([1, 2, 3])


def test_it_keeps_events_that_came_before_the_start() -> None:
    story = given(many, 1, raised("go", "together with the start")).when(completed(0))
    story.then_completed(["together with the start"])


def test_it_starts_first_whatever_arrived_first() -> None:
    story = Story(registry_of(one))
    story.when(raised("go", 1), started("one")).then_completed(1)
    assert [event.event_type for event in story.history][1:3] == ["ExecutionStarted", "EventRaised"]


def test_it_keeps_events_of_an_instance_that_starts_later() -> None:
    story = Story(registry_of(one))
    story.when(raised("go", 1)).then(status=RuntimeStatus.PENDING)
    story.evicted().when(started("one"), after=3600).then_completed(1)


def test_it_gives_one_event_to_one_wait_only() -> None:
    async def two(ctx: OrchestrationContext) -> list[Any]:
        await ctx.call_activity("work")
        first, second = ctx.wait_for_external_event("go"), ctx.wait_for_external_event("go")
        done = await ctx.when_any([first, second])
        assert [first.is_completed, second.is_completed] == [True, False]
        return [done.result, await second]

    story = given(two, None, raised("go", 1)).when(completed(0)).then()
    story.when(raised("go", 2)).then_completed([1, 2])


def test_it_gives_events_to_waits_in_the_order_of_the_waits() -> None:
    async def three(ctx: OrchestrationContext) -> list[Any]:
        return await ctx.when_all([ctx.wait_for_external_event("go") for _ in range(3)])

    given(three).when(raised("go", 1), raised("go", 2)).then().when(raised("go", 3)).then_completed([1, 2, 3])


def test_it_gives_events_to_waits_that_are_awaited_later_in_the_order_of_the_waits() -> None:
    async def later(ctx: OrchestrationContext) -> list[Any]:
        first = ctx.wait_for_external_event("go")
        await ctx.call_activity("work")
        second = ctx.wait_for_external_event("go")
        return await ctx.when_all([second, first])

    given(later).when(raised("go", 1), raised("go", 2)).when(completed(0)).then_completed([2, 1])


def test_it_shows_an_event_to_code_that_only_looks() -> None:
    async def polling(ctx: OrchestrationContext) -> int:
        stop = ctx.wait_for_external_event("stop")
        rounds = 0
        while not stop.is_completed:
            await ctx.call_activity("work")
            rounds += 1
        return rounds

    story = given(polling).when(completed(0)).when(raised("stop")).then()
    story.when(completed(1)).then_completed(2)


def test_it_prefers_the_wait_that_the_code_is_suspended_on() -> None:
    async def forgetful(ctx: OrchestrationContext) -> Any:
        ctx.wait_for_external_event("go")
        return await ctx.wait_for_external_event("go")

    given(forgetful).when(raised("go", 1)).then_completed(1)


# --- waits that lost a when_any ---------------------------------------------------------------------------------------


async def watch(ctx: OrchestrationContext, rounds: int) -> str:
    """Poll, with a new wait for the same event in each round: what monitors do."""
    for number in range(rounds):
        stop = ctx.wait_for_external_event("stop")
        tick = ctx.create_timer(timedelta(seconds=10))
        if await ctx.when_any([stop, tick]) is stop:
            return f"stopped in round {number}: {await stop}"
        await ctx.call_activity("poll")
    return "never stopped"


def test_an_abandoned_wait_does_not_swallow_an_event_for_a_newer_one() -> None:
    story = given(watch, 9).when(fired(0), after=10).when(completed(1)).when(fired(2), after=10).when(completed(3))
    story.when(raised("stop", "now")).then_completed("stopped in round 2: now")


def test_an_abandoned_wait_does_not_swallow_an_event_while_nobody_waits() -> None:
    story = given(watch, 9).when(fired(0), after=10).then(activity("poll"))
    story.when(raised("stop", "now")).then()
    story.evicted().when(completed(1)).then_completed("stopped in round 1: now")


def test_an_event_in_the_turn_of_the_timer_is_kept() -> None:
    story = given(watch, 9).when(fired(0), raised("stop", "now"), after=10).then(activity("poll"))
    story.when(completed(1)).then_completed("stopped in round 1: now")


def test_a_wait_that_is_used_again_takes_what_came_meanwhile() -> None:
    async def reusing(ctx: OrchestrationContext) -> Any:
        stop = ctx.wait_for_external_event("stop")
        while True:
            winner = await ctx.when_any([stop, ctx.create_timer(timedelta(seconds=10))])
            if winner is stop:
                return await stop
            await ctx.call_activity("poll")

    story = given(reusing).when(fired(0), after=10).then(activity("poll"))
    story.when(raised("stop", "now")).then().evicted()
    story.when(completed(1))
    story.then_completed("now")


def test_a_combination_that_is_used_again_takes_what_came_meanwhile() -> None:
    async def reusing(ctx: OrchestrationContext) -> Any:
        waits = [ctx.wait_for_external_event("approve"), ctx.wait_for_external_event("reject")]
        answer = ctx.when_any(waits)
        while True:
            winner = await ctx.when_any([answer, ctx.create_timer(timedelta(days=1))])
            if winner is answer:
                return (await answer).result
            await ctx.call_activity("remind")

    story = given(reusing).when(fired(0), after=86_400).then(activity("remind"))
    story.when(raised("reject", 2), raised("approve", 1)).then().evicted()
    story.when(completed(1))
    assert [event.event_type for event in story.result.scheduled] == ["TimerCreated"]
    story.then_completed(2)


def test_all_waits_that_are_used_again_take_what_came_meanwhile() -> None:
    async def reusing(ctx: OrchestrationContext) -> Any:
        both = ctx.when_all([ctx.wait_for_external_event("a"), ctx.wait_for_external_event("b")])
        await ctx.when_any([both, ctx.create_timer(timedelta(days=1))])
        await ctx.call_activity("remind")
        return await both

    story = given(reusing).when(fired(0), after=86_400).when(raised("b", 2), raised("a", 1)).then()
    story.when(completed(1)).then_completed([1, 2])


def test_an_abandoned_wait_that_is_looked_at_takes_what_came_meanwhile() -> None:
    async def looking(ctx: OrchestrationContext) -> Any:
        stop = ctx.wait_for_external_event("stop")
        rounds = 0
        while not stop.is_completed:
            rounds += 1
            await ctx.when_any([stop, ctx.create_timer(timedelta(seconds=10))])
            await ctx.call_activity("poll")
        return [rounds, stop.result]

    story = given(looking).when(fired(0), after=10).when(raised("stop", "x")).then()
    story.when(completed(1)).then_completed([1, "x"])


def test_a_cancelled_wait_takes_nothing() -> None:
    async def cancelling(ctx: OrchestrationContext) -> Any:
        unwanted = ctx.wait_for_external_event("go")
        unwanted.cancel()
        await ctx.call_activity("work")
        assert not unwanted.is_completed
        return await ctx.wait_for_external_event("go")

    story = given(cancelling)
    assert story.waits == []
    story.when(raised("go", 5)).when(completed(0)).then_completed(5)


def test_it_refuses_to_cancel_a_wait_that_has_its_event() -> None:
    async def late(ctx: OrchestrationContext) -> None:
        wait = ctx.wait_for_external_event("go")
        await wait
        wait.cancel()

    given(late).when(raised("go")).then_failed(ValueError, "Cannot cancel a completed task.")


# --- time limits ------------------------------------------------------------------------------------------------------


async def limited(ctx: OrchestrationContext) -> Any:
    """Wait for an hour, then take what comes."""
    try:
        return await ctx.wait_for_external_event("go", timeout=timedelta(hours=1))
    except TimeoutError as error:
        return [str(error), await ctx.wait_for_external_event("go")]


def test_a_time_limit_is_a_timer_that_the_event_cancels() -> None:
    story = given(limited).then(timer(at(3600))).when(raised("go", 1)).then_completed(1)
    assert list(story.result.cancelled_timers) == [0]


def test_a_time_limit_raises_and_leaves_the_event_to_the_next_wait() -> None:
    story = given(limited).when(fired(0), raised("go", 2), after=3600)
    story.then_completed(["Event go not received in 1:00:00.", 2])


def test_a_time_limit_needs_no_timer_where_the_event_is_there() -> None:
    given(limited, None, raised("go", 1)).then_completed(1)


def test_a_limited_wait_can_lose_a_race_and_be_cancelled() -> None:
    async def racing(ctx: OrchestrationContext) -> Any:
        limited = ctx.wait_for_external_event("go", timeout=timedelta(hours=1))
        await ctx.when_any([limited, ctx.call_activity("work")])
        limited.cancel()
        return await ctx.wait_for_external_event("go")

    story = given(racing).when(completed(1)).then()
    assert list(story.result.cancelled_timers) == [0]
    story.when(fired(0)).when(raised("go", 1)).then_completed(1)


# --- data -------------------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """An answer."""

    YES = "yes"
    NO = "no"


async def judged(ctx: OrchestrationContext) -> str:
    """Wait for an answer of a type."""
    verdict = await ctx.wait_for_external_event("verdict", Verdict)
    return f"{verdict!r}"


def test_it_converts_the_data() -> None:
    given(judged).when(raised("verdict", "yes")).then_completed("<Verdict.YES: 'yes'>")


def test_it_fails_the_wait_with_data_that_do_not_fit() -> None:
    given(judged).when(raised("Verdict", "perhaps")).then_failed(PayloadError, "The data of event 'Verdict'", "Verdict")


def test_it_lets_the_code_ask_again_after_data_that_do_not_fit() -> None:
    async def patient(ctx: OrchestrationContext) -> bool:
        while True:
            try:
                return bool(await ctx.wait_for_external_event("approved", bool))
            except PayloadError:
                await ctx.call_activity("complain")

    story = given(patient).when(raised("approved", [1])).then(activity("complain"))
    story.when(completed(0)).when(raised("approved", True)).then_completed(True)


def test_a_type_that_pydantic_does_not_know_fails_the_instance_only() -> None:
    class Opaque:
        pass

    async def hopeless(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("a", None, Opaque)

    given(hopeless).when(completed(0, 1)).then_failed(PayloadError, "Opaque")


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "\ud800", "x" * 257, None])
def test_it_refuses_a_name_that_a_database_refuses(name: Any) -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        await ctx.wait_for_external_event(name)

    given(asking).then_failed(PayloadError, "The name of an event must be 1 to 256 printable characters")


# --- sending ----------------------------------------------------------------------------------------------------------


def test_it_sends_events() -> None:
    async def sending(ctx: OrchestrationContext) -> None:
        ctx.send_event("order-2", "go", [1])
        ctx.send_event("order-3", "go")
        await ctx.call_activity("work")

    story = given(sending).then(message("order-2", "go", [1]), message("order-3", "go"), activity("work"))
    assert story.result.scheduled[2].event_id == 2
    story.when(completed(2)).then_completed(None)


@pytest.mark.parametrize(("target", "name"), [("", "go"), ("order-2", "\x00"), ("order-2", "")])
def test_it_refuses_to_send_what_no_database_stores(target: str, name: str) -> None:
    async def sending(ctx: OrchestrationContext) -> None:
        ctx.send_event(target, name)

    given(sending).then_failed(PayloadError, "1 to 256 printable characters")


def test_it_waits_in_the_yielding_style_too() -> None:
    def yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, Any]:
        approved = yield context.wait_for_external_event("Approval", expected_type=bool)
        return "yes" if approved is True else "no"

    given(yielding).when(raised("approval", True), after=5).then_completed("yes")


def test_it_delivers_ten_thousand_early_events() -> None:
    count = 10_000
    story = given(many, count)
    story.live.turn([raised("noise", n) for n in range(count)] + [raised("go", n) for n in range(count)], T0)
    result = story.live.turn([completed(0)], T0)
    assert result.completion is not None
    assert result.completion.result == f"[{','.join(map(str, range(count)))}]"


def test_it_delivers_to_ten_thousand_waits() -> None:
    async def wide(ctx: OrchestrationContext, count: int) -> list[Any]:
        return await ctx.when_all([ctx.wait_for_external_event(f"go{n % 100}") for n in range(count)])

    count = 10_000
    story = given(wide, count)
    result = story.live.turn([raised(f"GO{n % 100}", n) for n in range(count)], T0)
    assert result.completion is not None
    assert result.completion.result == f"[{','.join(map(str, range(count)))}]"
