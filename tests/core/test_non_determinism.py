"""Code that no longer asks for what history says it asked for."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durable_host import NonDeterminismError, OrchestrationContext, RetryPolicy, RuntimeStatus, UnknownOrchestratorError
from durable_host.core.turn import Execution

from .story import CODEC, Story, completed, failed, fired, given, raised, registry_of, resumed, started, suspended

Code = Callable[[OrchestrationContext], Any]
SECOND = timedelta(seconds=1)

CALLS: dict[str, Callable[[OrchestrationContext], Any]] = {
    "call_activity('charge')": lambda ctx: ctx.call_activity("charge", 5),
    "call_activity('ship')": lambda ctx: ctx.call_activity("ship", 5),
    "create_timer(2024-05-01T12:00:01+00:00)": lambda ctx: ctx.create_timer(SECOND),
    "call_sub_orchestrator('kid', instance_id='order-1:0:0000')": lambda ctx: ctx.call_sub_orchestrator("kid"),
    "call_sub_orchestrator('son', instance_id='order-1:0:0000')": lambda ctx: ctx.call_sub_orchestrator("son"),
    "call_sub_orchestrator('kid', instance_id='mine')": lambda ctx: ctx.call_sub_orchestrator("kid", None, "mine"),
    "send_event('order-2', 'go')": lambda ctx: ctx.send_event("order-2", "go"),
    "send_event('order-3', 'go')": lambda ctx: ctx.send_event("order-3", "go"),
    "send_event('order-2', 'stop')": lambda ctx: ctx.send_event("order-2", "stop"),
}


def story_of(code: Code) -> Story:
    """Return the story of an orchestrator named ``order`` with this code."""
    story = Story(registry_of())
    story.registry.add_orchestrator(code, "order")
    story.live = story._new_execution()
    return story.when(started("order"), after=0)


def replay_with(story: Story, code: Code) -> Execution:
    """Replay a history with other code."""
    registry = registry_of()
    registry.add_orchestrator(code, "order")
    execution = Execution(registry, CODEC, story.instance_id, story.generation)
    execution.replay(story.history)
    return execution


def complaint(story: Story, code: Code) -> str:
    """Return the error of a replay with other code."""
    with pytest.raises(NonDeterminismError) as caught:
        replay_with(story, code)
    return str(caught.value)


def calling(*calls: Callable[[OrchestrationContext], Any]) -> Code:
    """Return code that makes these calls, and then waits for an event."""

    async def order(ctx: OrchestrationContext) -> None:
        for call in calls:
            call(ctx)
        await ctx.wait_for_external_event("end")

    return order


PAIRS = [(one, other) for one in CALLS for other in CALLS if one != other]


@pytest.mark.parametrize(("recorded", "now"), PAIRS)
def test_it_detects_another_call(recorded: str, now: str) -> None:
    message = complaint(story_of(calling(CALLS[recorded])), calling(CALLS[now]))
    assert message.startswith(
        f"Non-deterministic orchestrator: at event 2 of 'order-1' history recorded {recorded} as task 0, but the code "
        f"now calls {now} as task 0. "
    )
    assert "bring the former code back, publish the change under a new name or version, or terminate" in message


@pytest.mark.parametrize("call", CALLS)
def test_it_detects_a_missing_call(call: str) -> None:
    story = story_of(calling(CALLS["call_activity('charge')"], CALLS[call]))
    message = complaint(story, calling(CALLS["call_activity('charge')"]))
    expected = call.replace(":0000", ":0001")
    assert f"at event 3 of 'order-1' history recorded {expected} as task 1, but the code now does nothing" in message


@pytest.mark.parametrize("call", CALLS)
def test_it_detects_a_call_too_many(call: str) -> None:
    message = complaint(story_of(calling()), calling(CALLS[call]))
    assert f"at event 2 of 'order-1' history recorded no further call in this turn, but the code now calls {call}" in (
        message
    )


@pytest.mark.parametrize("call", CALLS)
def test_it_accepts_the_same_call(call: str) -> None:
    replay_with(story_of(calling(CALLS[call])), calling(CALLS[call]))


def test_it_detects_a_call_in_an_earlier_turn() -> None:
    async def chained(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("a")
        await ctx.call_activity("b")

    async def parallel(ctx: OrchestrationContext) -> None:
        await ctx.when_all([ctx.call_activity("a"), ctx.call_activity("b")])

    story = story_of(chained).when(completed(0))
    assert "at event 3 of 'order-1' history recorded no further call in this turn" in complaint(story, parallel)
    assert "call_activity('b') as task 1, but the code now does nothing" in complaint(story_of(parallel), chained)


@pytest.mark.case(21)
def test_it_names_the_position_in_a_long_history() -> None:
    async def before(ctx: OrchestrationContext) -> None:
        for name in "abcde":
            await ctx.call_activity(name)

    async def after(ctx: OrchestrationContext) -> None:
        for name in "abcxe":
            await ctx.call_activity(name)

    story = story_of(before)
    for task_id in range(4):
        story.when(completed(task_id))
    message = complaint(story, after)
    found = re.search(r"at event (\d+) of", message)
    assert found is not None
    assert story.history[int(found[1])].event_id == 3
    assert "history recorded call_activity('d') as task 3, but the code now calls call_activity('x') as task 3" in (
        message
    )


async def two_steps(ctx: OrchestrationContext) -> str:
    """Work twice."""
    await ctx.call_activity("a")
    return str(await ctx.call_activity("b"))


async def one_step(ctx: OrchestrationContext) -> str:
    """Work once."""
    return str(await ctx.call_activity("a"))


async def no_step(ctx: OrchestrationContext) -> None:
    """Do nothing."""


async def broken(ctx: OrchestrationContext) -> None:
    """Fail where there was work."""
    raise LookupError("new bug")


def test_it_detects_that_the_code_ends_early() -> None:
    story = story_of(two_steps).when(completed(0))
    message = complaint(story, one_step)
    assert "call_activity('b') as task 1, but the code now has already ended (Completed)" in message
    assert "call_activity('a') as task 0, but the code now has already ended (Failed: LookupError: new bug)" in (
        complaint(story, broken)
    )


def test_it_detects_that_the_code_ends_where_history_only_waits() -> None:
    async def waiting(ctx: OrchestrationContext) -> None:
        await ctx.wait_for_external_event("go")

    message = complaint(story_of(waiting), no_step)
    assert "at event 2 of 'order-1' history goes on after this turn, but the code now ends here (Completed)" in message


def test_it_detects_that_the_code_does_not_end() -> None:
    async def waiting(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("a")
        await ctx.wait_for_external_event("go")

    story = story_of(one_step).when(completed(0, "x"))
    message = complaint(story, waiting)
    assert "history recorded that the orchestrator ended (Completed), but the code still waits" in message


def test_it_detects_that_the_code_asks_for_more_at_the_end() -> None:
    message = complaint(story_of(one_step).when(completed(0, "x")), two_steps)
    assert "history recorded that the orchestrator ended (Completed), but the code still waits" in message


def test_it_detects_another_end() -> None:
    async def failing(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("a")
        raise LookupError("new bug")

    message = complaint(story_of(one_step).when(completed(0, "x")), failing)
    assert "ended (Completed), but the code now ends differently (Failed: LookupError: new bug)" in message


def test_it_detects_that_the_code_continues_as_new_no_more() -> None:
    async def eternal(ctx: OrchestrationContext) -> None:
        ctx.continue_as_new()

    message = complaint(story_of(eternal), no_step)
    assert "ended (ContinuedAsNew), but the code now ends differently (Completed)" in message


def test_it_detects_changes_while_the_instance_is_suspended() -> None:
    story = story_of(two_steps).when(suspended()).when(completed(0)).when(resumed())
    assert "'b'" in complaint(story, one_step)


def test_it_accepts_other_inputs_and_other_times() -> None:
    async def before(ctx: OrchestrationContext) -> None:
        ctx.call_activity("a", 1)
        ctx.send_event("order-2", "go", 1)
        await ctx.create_timer(SECOND)

    async def after(ctx: OrchestrationContext) -> None:
        ctx.call_activity("a", 2)
        ctx.send_event("order-2", "go", 2)
        await ctx.create_timer(2 * SECOND)

    replay_with(story_of(before), after)


def test_it_continues_when_the_right_code_is_back() -> None:
    story = story_of(two_steps).when(completed(0))
    complaint(story, one_step)
    result = replay_with(story, two_steps).turn([completed(1, "done")], story.now)
    assert result.status is RuntimeStatus.COMPLETED


def test_it_says_which_orchestrator_is_not_registered_here() -> None:
    story = story_of(two_steps)
    registry = registry_of()
    registry.add_orchestrator(two_steps, "ordre")
    with pytest.raises(UnknownOrchestratorError, match=r"No orchestrator 'order' is registered here\. Did you mean"):
        Execution(registry, CODEC, "order-1").replay(story.history)
    with pytest.raises(UnknownOrchestratorError):
        Execution(registry, CODEC, "order-1").turn([started("order")], story.now)


def test_it_finds_no_fault_with_retries_races_and_events() -> None:
    async def busy(ctx: OrchestrationContext) -> Any:
        flaky = ctx.call_activity("flaky", retry=RetryPolicy(first_retry_interval=SECOND))
        go = ctx.wait_for_external_event("go", timeout=9 * SECOND)
        await ctx.when_any([flaky, go])
        ctx.send_event("order-2", "hello")
        return await ctx.when_all([flaky, go])

    story = given(busy).when(failed(0, ValueError())).when(raised("go", 1)).when(fired(2)).when(completed(4, 2))
    story.then_completed([2, 1])
    for end in range(len(story.history)):
        if story.history[end].event_type == "OrchestratorStarted":
            story._new_execution().replay(story.history[:end])
