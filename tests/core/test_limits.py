"""What runs away ends with a failure that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durable_host import OrchestrationContext
from durable_host.core.limits import Limits
from durable_host.core.status import RuntimeStatus
from durable_host.core.turn import Execution, TurnResult
from tests.core.story import CODEC, T0, completed, registry_of, started

Ctx = OrchestrationContext


async def endless(ctx: Ctx) -> None:
    while True:
        await ctx.call_activity("step")


async def spreading(ctx: Ctx) -> None:
    while True:
        ctx.call_activity("step")


async def starting_anew(ctx: Ctx, rounds: int) -> None:
    for _ in range(3):
        await ctx.call_activity("step")
    ctx.continue_as_new(rounds + 1)


def decide(body: Callable[..., Any], limits: Limits, turns: int, input_: Any = None) -> TurnResult:
    """Decide turns, in each of which the activity of the one before has ended."""
    execution = Execution(registry_of(body), CODEC, "order-1", 0, limits)
    result = execution.turn([started(body.__name__, input_)], T0)
    for number in range(turns):
        if result.completion is not None:
            break
        result = execution.turn([completed(number)], T0)
    return result


def failure_of(result: TurnResult) -> str:
    completion = result.completion
    assert completion is not None
    assert completion.orchestration_status is RuntimeStatus.FAILED
    assert completion.failure_details is not None
    return str(completion.failure_details)


def test_an_endless_chain_fails_when_its_history_is_too_long() -> None:
    failure = failure_of(decide(endless, Limits(history_events=50), turns=1000))
    assert failure.startswith("LimitExceededError: The history has 52 events; MAX_HISTORY_EVENTS allows 50.")
    assert "continue_as_new" in failure


def test_the_limit_counts_what_was_replayed() -> None:
    live = Execution(registry_of(endless), CODEC, "order-1", 0)
    history = [*live.turn([started("endless")], T0).events]
    for number in range(20):
        history += live.turn([completed(number)], T0).events
    again = Execution(registry_of(endless), CODEC, "order-1", 0, Limits(history_events=len(history)))
    again.replay(history)
    assert "LimitExceededError" in failure_of(again.turn([completed(20)], T0))


def test_a_turn_that_asks_without_end_fails() -> None:
    result = decide(spreading, Limits(turn_tasks=7), turns=0)
    failure = failure_of(result)
    assert failure.startswith("LimitExceededError: This turn has asked for 8 tasks; MAX_TURN_TASKS allows 7.")
    assert len(result.scheduled) == 7


def test_an_execution_that_ends_in_the_turn_which_reaches_the_limit_ends_well() -> None:
    result = decide(starting_anew, Limits(history_events=13), turns=3, input_=0)
    assert result.completion is not None
    assert result.completion.orchestration_status is RuntimeStatus.CONTINUED_AS_NEW
