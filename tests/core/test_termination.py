"""The end that needs no user code."""

from collections.abc import Sequence

import pytest

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.core import events as ev
from durable_host.core.closing import is_terminated_by, outcome_for_parent, terminated_turn
from durable_host.core.failure import FailureDetails

from .story import T0, completed, given, raised, started, suspended, terminate, terminated


async def chain(ctx: OrchestrationContext) -> None:
    """Two steps."""
    await ctx.call_activity("first")
    await ctx.call_activity("second")


def test_it_ends_with_the_reason_as_output() -> None:
    result, recurse = terminate(given(chain), reason="budget cut")
    assert result.status is RuntimeStatus.TERMINATED
    assert result.completion is not None
    assert result.completion.result == '"budget cut"'
    assert recurse
    assert result.waits == ()
    assert list(result.scheduled) == []


def test_it_records_everything_that_arrived_with_the_order() -> None:
    result, _ = terminate(given(chain), completed(0), raised("go"))
    assert [event.event_type for event in result.events] == [
        *("OrchestratorStarted", "TaskCompleted", "EventRaised", "ExecutionTerminated"),
        *("ExecutionCompleted", "OrchestratorCompleted"),
    ]


def test_it_keeps_the_custom_status() -> None:
    async def telling(ctx: OrchestrationContext) -> None:
        ctx.set_custom_status("half way")
        await ctx.call_activity("first")

    result, _ = terminate(given(telling))
    assert result.custom_status == '"half way"'


def test_it_may_spare_the_children() -> None:
    order = ev.ExecutionTerminated(timestamp=T0, input=None, recurse=False)
    _, recurse = terminated_turn([order], T0, None)
    assert not recurse


@pytest.mark.parametrize("received", [[], [started("x")], [raised("terminate")]])
def test_only_the_order_terminates(received: Sequence[ev.HistoryEvent]) -> None:
    assert not is_terminated_by(received)
    assert is_terminated_by([*received, terminated()])


@pytest.mark.parametrize("together", [[], [completed(0)], [completed(0), completed(0)], [suspended(), completed(0)]])
def test_a_terminated_history_replays(together: list[ev.HistoryEvent]) -> None:
    story = given(chain)
    terminate(story, *together)
    assert story.replayed().is_finished


def test_a_terminated_history_replays_where_the_code_would_have_ended() -> None:
    story = given(chain).when(completed(0))
    terminate(story, completed(1))
    assert story.replayed().is_finished


def test_an_instance_that_is_suspended_or_has_not_started_ends_too() -> None:
    story = given(chain).when(suspended())
    terminate(story)
    assert story.replayed().is_finished
    result, _ = terminated_turn([started("unknown here"), terminated()], T0, None)
    assert result.status is RuntimeStatus.TERMINATED


@pytest.mark.parametrize(
    ("status", "details", "told"),
    [
        (RuntimeStatus.FAILED, FailureDetails(error_type="E", error_message="m"), "E: m"),
        (RuntimeStatus.TERMINATED, None, 'Terminated: The sub-orchestration was terminated: "why"'),
    ],
)
def test_a_parent_is_told(status: RuntimeStatus, details: FailureDetails | None, told: str) -> None:
    ended = ev.ExecutionCompleted(timestamp=T0, orchestration_status=status, result='"why"', failure_details=details)
    outcome = outcome_for_parent(ended, 3)
    assert isinstance(outcome, ev.SubOrchestrationInstanceFailed)
    assert (outcome.task_scheduled_id, str(outcome.failure_details), outcome.timestamp) == (3, told, T0)


def test_a_parent_is_told_the_result() -> None:
    ended = ev.ExecutionCompleted(timestamp=T0, orchestration_status=RuntimeStatus.COMPLETED, result="[1]")
    outcome = outcome_for_parent(ended, 3)
    assert isinstance(outcome, ev.SubOrchestrationInstanceCompleted)
    assert (outcome.task_scheduled_id, outcome.result) == (3, "[1]")
