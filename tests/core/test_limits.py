"""What runs away ends with a failure that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durable_host import OrchestrationContext
from durable_host.core import events as ev
from durable_host.core.failure import FailureDetails
from durable_host.core.limits import Limits
from durable_host.core.sizes import stored_bytes
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


@pytest.mark.case(25)
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


def test_a_history_of_large_payloads_fails_when_they_are_too_large_together() -> None:
    large = "x" * 10_000
    execution = Execution(registry_of(endless), CODEC, "order-1", 0, Limits(history_bytes=25_000))
    result = execution.turn([started("endless")], T0)
    for number in range(2):
        result = execution.turn([completed(number, large)], T0)
    assert result.completion is None
    assert result.history_bytes == 2 * 10_002  # with the quotes of JSON
    failure = failure_of(execution.turn([completed(2, large)], T0))
    assert failure.startswith(
        "LimitExceededError: The payloads in the history have 30,006 bytes; MAX_HISTORY_BYTES allows 25,000."
    )
    assert "references" in failure


def test_a_replay_counts_the_same_bytes() -> None:
    live = Execution(registry_of(endless), CODEC, "order-1", 0)
    history = [*live.turn([started("endless", "ü" * 50)], T0).events]
    for number in range(3):
        result = live.turn([completed(number, "é" * 1000)], T0)
        history += result.events
    assert result.history_bytes == stored_bytes(history) == 102 + 3 * 2002
    again = Execution(registry_of(endless), CODEC, "order-1", 0, Limits(history_bytes=8_000))
    again.replay(history)
    assert "MAX_HISTORY_BYTES" in failure_of(again.turn([completed(3, "é" * 1000)], T0))


@pytest.mark.parametrize("kind", ["input", "carried", "failure", "event", "sub", "sent"])
def test_every_text_of_any_length_counts(kind: str) -> None:
    failure = FailureDetails(error_type="E", error_message="m" * 600, stack_trace="s" * 400)
    carried = ev.CarriedEvent(name="go", input="x" * 1000, timestamp=T0)
    events: dict[str, ev.HistoryEvent] = {
        "input": ev.TaskScheduled(timestamp=T0, name="a", input="x" * 1000),
        "carried": ev.ExecutionStarted(timestamp=T0, name="a", input=None, carried=(carried,)),
        "failure": ev.TaskFailed(timestamp=T0, task_scheduled_id=0, failure_details=failure),
        "event": ev.EventRaised(timestamp=T0, name="go", input="x" * 1000),
        "sub": ev.SubOrchestrationInstanceCompleted(timestamp=T0, task_scheduled_id=0, result="x" * 1000),
        "sent": ev.EventSent(timestamp=T0, instance_id="i", name="go", input="x" * 1000),
    }
    assert stored_bytes([events[kind]]) == 1000


def test_it_warns_before_either_limit() -> None:
    limits = Limits(history_events=100, history_bytes=1000)
    assert limits.warning(80, 800) == ""
    assert "81 of 100 events (MAX_HISTORY_EVENTS)" in limits.warning(81, 0)
    assert "801 of 1,000 bytes of payloads (MAX_HISTORY_BYTES)" in limits.warning(1, 801)


@pytest.mark.case(25)
def test_a_turn_that_asks_without_end_fails() -> None:
    result = decide(spreading, Limits(turn_tasks=7), turns=0)
    failure = failure_of(result)
    assert failure.startswith("LimitExceededError: This turn has asked for 8 tasks; MAX_TURN_TASKS allows 7.")
    assert len(result.scheduled) == 7


def test_an_execution_that_ends_in_the_turn_which_reaches_the_limit_ends_well() -> None:
    result = decide(starting_anew, Limits(history_events=13), turns=3, input_=0)
    assert result.completion is not None
    assert result.completion.orchestration_status is RuntimeStatus.CONTINUED_AS_NEW
