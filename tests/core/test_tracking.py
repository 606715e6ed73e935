"""Tracking records: the states and fields of Durable Functions' Application Insights events, replays apart."""

from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings

from durable_host.core import events as ev
from durable_host.core.context import OrchestrationContext
from durable_host.core.retry import RetryPolicy
from durable_host.core.status import RuntimeStatus
from durable_host.core.tracking import (
    REPLAYED,
    FunctionType,
    Teller,
    Tracker,
    TrackingRecord,
    TrackingState,
    activity_ended,
    activity_started,
    inherited,
    replay_of,
    told_by_client,
    tracking_log,
)

from .lives import History, five_patterns, log_of, play, ran, sketch, turns_of
from .story import (
    Story,
    at,
    child_completed,
    completed,
    failed,
    fired,
    given,
    raised,
    registry_of,
    started,
)
from .test_random_stories import happenings, steps


async def chain(ctx: OrchestrationContext) -> int:
    """Five activities, one after the other."""
    for number in range(5):
        await ctx.call_activity(f"step{number}", number)
    return 5


def chained() -> Story:
    story = given(chain)
    for number in range(5):
        story.when(ran(number, began=2 * number + 1), after=2)
    return story


def test_a_chain_of_five_activities_is_told_step_by_step() -> None:
    expected = ["client chain Scheduled NewInstance", "turn chain Started"]
    for number in range(5):
        expected += [
            f"turn step{number} Scheduled chain",
            "turn chain Awaited",
            f"activity step{number} Started",
            f"activity step{number} Completed",
        ]
    assert sketch(log_of(chained())) == [*expected, "turn chain Completed"]


def test_the_replays_of_a_chain_are_those_of_durable_functions() -> None:
    """Six turns; each but the first runs the orchestrator's code from its beginning.

    The turn that receives the result of step k replays (TaskOrchestrationShim, DurableOrchestrationContext):

    - Started, once;
    - Scheduled of the steps 0 to k: these calls are in history;
    - Completed "(replayed)" of the steps 0 to k - 1: their results are in history, that of step k is news.

    Awaited is not repeated: a turn tells only its own end. So turn k replays 1 + (k + 1) + k = 2k + 2 records, in the
    order Started, then for each step Scheduled and Completed. For k = 0 to 4 that makes 2 + 4 + 6 + 8 + 10 = 30. They
    come after what the worker of the activity told, and before what the turn does anew.
    """
    log = log_of(chained(), replays=True)
    expected = ["client chain Scheduled NewInstance", "turn chain Started"]
    for step in range(5):
        expected += [f"turn step{step} Scheduled chain", "turn chain Awaited"]
        expected += [f"activity step{step} Started", f"activity step{step} Completed", "turn chain Started REPLAY"]
        for former in range(step):
            expected += [f"turn step{former} Scheduled chain REPLAY", f"turn step{former} Completed REPLAY"]
        expected += [f"turn step{step} Scheduled chain REPLAY"]
    assert sketch(log) == [*expected, "turn chain Completed"]

    replayed = [one for one in log if one.is_replay]
    assert len(replayed) == 30
    assert [len(list(group)) for _, group in groupby(replayed, key=lambda one: one.at)] == [2, 4, 6, 8, 10]
    assert {one.output for one in replayed if one.state is TrackingState.COMPLETED} == {REPLAYED}
    assert [one for one in log if not one.is_replay] == log_of(chained())


def test_records_have_all_fields_of_the_extension() -> None:
    story = given(chain, registry=registry_of(chain))
    story.when(ran(0, '"seven"', began=1), after=2)
    begun = _ORCHESTRATOR._replace(at=at(0))

    assert log_of(story) == [
        begun._replace(
            state=TrackingState.SCHEDULED,
            teller=Teller.CLIENT,
            runtime_status=RuntimeStatus.PENDING,
            reason="NewInstance",
        ),
        begun._replace(state=TrackingState.STARTED, runtime_status=RuntimeStatus.RUNNING),
        begun._replace(
            state=TrackingState.SCHEDULED,
            function_name="step0",
            function_type=FunctionType.ACTIVITY,
            runtime_status=RuntimeStatus.PENDING,
            reason="chain",
        ),
        begun._replace(state=TrackingState.AWAITED),
        TrackingRecord(
            at=at(1),
            state=TrackingState.STARTED,
            function_name="step0",
            function_type=FunctionType.ACTIVITY,
            instance_id="order-1",
            teller=Teller.ACTIVITY,
            runtime_status=RuntimeStatus.RUNNING,
            input="0",
            task_event_id=0,
        ),
        TrackingRecord(
            at=at(2),
            state=TrackingState.COMPLETED,
            function_name="step0",
            function_type=FunctionType.ACTIVITY,
            instance_id="order-1",
            teller=Teller.ACTIVITY,
            runtime_status=RuntimeStatus.COMPLETED,
            output='"seven"',
            task_event_id=0,
        ),
        begun._replace(
            at=at(2),
            state=TrackingState.SCHEDULED,
            function_name="step1",
            function_type=FunctionType.ACTIVITY,
            runtime_status=RuntimeStatus.PENDING,
            reason="chain",
        ),
        begun._replace(at=at(2), state=TrackingState.AWAITED),
    ]


_ORCHESTRATOR = TrackingRecord(
    at=at(0), state=TrackingState.AWAITED, function_name="chain", instance_id="order-1", teller=Teller.TURN
)


def test_a_worker_tells_of_an_activity_what_history_tells_later() -> None:
    story = given(chain).when(ran(0, "7", began=1), after=2)
    outcome = next(event for event in story.history if isinstance(event, ev.TaskCompleted))

    assert [one for one in log_of(story) if one.teller is Teller.ACTIVITY] == [
        activity_started("order-1", "step0", 0, at(1), "0"),
        activity_ended("order-1", "step0", outcome),
    ]


async def flaky(ctx: OrchestrationContext) -> None:
    policy = RetryPolicy(first_retry_interval=timedelta(seconds=10), max_number_of_attempts=2)
    await ctx.call_activity("work", retry=policy)


def test_each_attempt_of_a_retried_activity_is_scheduled() -> None:
    story = given(flaky)
    story.when(replace(failed(0, ValueError("no")), started_at=at(1)), after=2).when(fired(1), after=10)
    story.when(failed(2, ValueError("never")), after=2)
    log = log_of(story)

    assert sketch(log)[2:] == [
        "turn work Scheduled flaky",
        "turn flaky Awaited",
        "activity work Started",
        "activity work Failed ValueError: no",
        "turn flaky Listening CreateTimer:2024-05-01T12:00:12.0000000Z",
        "turn flaky Awaited",
        "turn flaky TimerExpired 12:00:00",
        "turn work Scheduled flaky",
        "turn flaky Awaited",
        "activity work Failed ValueError: never",
        "turn flaky Failed TaskFailedError: The activity 'work' (task 2) failed: ValueError: never",
    ]
    assert [one.runtime_status for one in log if one.state is TrackingState.FAILED] == [RuntimeStatus.FAILED] * 3
    assert log[-1].failure is not None
    assert log[-1].failure.error_type == "TaskFailedError"


def test_a_replayed_failure_says_why() -> None:
    story = given(flaky).when(failed(0, ValueError("no")))
    again = replay_of(story.history, "order-1", 0, at=at(9))

    assert sketch(again) == [
        "turn flaky Started REPLAY",
        "turn work Scheduled flaky REPLAY",
        "turn work Failed ValueError: no REPLAY",
        "turn flaky Listening CreateTimer:2024-05-01T12:00:11.0000000Z REPLAY",
    ]
    assert {one.at for one in again} == {at(9)}
    assert {one.at for one in replay_of(story.history, "order-1", 0)} == {at(1)}
    assert replay_of([], "order-1", 0) == []


async def parent(ctx: OrchestrationContext) -> None:
    await ctx.call_sub_orchestrator("kid")
    await ctx.call_sub_orchestrator("kid")


def test_a_sub_orchestration_is_scheduled_by_its_parent_and_tells_the_rest_itself() -> None:
    story = given(parent).when(child_completed(0)).when(child_completed(1))
    called = Story(story.registry, "kid-1").when(started("parent", parent_instance_id="order-1"))
    scheduled = log_of(story)[2]

    assert sketch(log_of(story)) == [
        "client parent Scheduled NewInstance",
        "turn parent Started",
        "turn kid Scheduled parent",
        "turn parent Awaited",
        "turn kid Scheduled parent",
        "turn parent Awaited",
        "turn parent Completed",
    ]
    assert (scheduled.function_type, scheduled.instance_id) == (FunctionType.ORCHESTRATOR, "order-1")
    assert sketch(log_of(called)) == ["turn parent Started", "turn kid Scheduled parent", "turn parent Awaited"]
    assert sketch(log_of(story, replays=True))[-5:] == [
        "turn parent Started REPLAY",
        "turn kid Scheduled parent REPLAY",
        "turn kid Completed REPLAY",
        "turn kid Scheduled parent REPLAY",
        "turn parent Completed",
    ]


async def wide(ctx: OrchestrationContext) -> None:
    await ctx.wait_for_external_event("go")
    await ctx.when_all([ctx.call_activity("one"), ctx.call_activity("two"), ctx.call_activity("three")])


def test_a_rewound_execution_tells_only_what_is_its_own() -> None:
    """Result 1 came after the failure of 0, so it is delivered again; 0 runs again."""
    story = given(wide).when(raised("go")).when(failed(0, ValueError("no"))).when(completed(1)).when(completed(2))
    again, plan = story.rewound()
    again.when(ran(0, began=70), after=20)
    history = again.history

    assert inherited(history) == len(plan.kept)
    assert inherited(story.history) == 0
    assert sketch(log_of(again)) == [
        "client wide Rewound mended",
        "turn wide Awaited",
        "activity one Started",
        "activity one Completed",
        "turn wide Completed",
    ]
    assert sketch(log_of(again, replays=True))[1:8] == [
        "turn wide Started REPLAY",
        "turn wide Listening WaitForExternalEvent:go REPLAY",
        "turn wide ExternalEventRaised go REPLAY",
        "turn one Scheduled wide REPLAY",
        "turn two Scheduled wide REPLAY",
        "turn three Scheduled wide REPLAY",
        "turn wide Awaited",
    ]


async def broken(ctx: OrchestrationContext) -> None:
    await ctx.wait_for_external_event("go")
    raise ValueError("no")


def test_what_a_rewind_delivers_again_is_told_by_the_turn_alone() -> None:
    """The code failed in the turn that received the event: the new execution receives it again."""
    story = given(broken).when(raised("go"))
    again, plan = story.rewound()

    assert [type(event) for event in plan.redelivered] == [ev.EventRaised]
    assert sketch(log_of(again)) == [
        "client broken Rewound mended",
        "turn broken ExternalEventRaised go",
        "turn broken Failed ValueError: no",
    ]


async def wrong(ctx: OrchestrationContext) -> None:
    raise ValueError("no")


def test_an_execution_that_failed_at_once_begins_anew_when_it_is_rewound() -> None:
    again, plan = given(wrong).rewound()

    assert plan.kept == ()
    assert sketch(log_of(again, replays=True)) == [
        "client wrong Rewound mended",
        "turn wrong Started",
        "turn wrong Failed ValueError: no",
    ]


@pytest.mark.parametrize(
    "event",
    [started("order", parent_instance_id="p"), started("order", generation=1), completed(0), fired(0)],
    ids=["called", "continued", "activity", "timer"],
)
def test_no_client_tells_of_what_no_client_asked_for(event: ev.HistoryEvent) -> None:
    assert told_by_client("order-1", "order", event) is None


def test_the_five_patterns_are_told_turn_by_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_VAR", str(tmp_path))
    patterns = five_patterns(tmp_path)
    for executions in patterns.values():
        for generation, history in enumerate(executions):
            check_fold(history, generation)
    human = tracking_log(patterns["human_interaction"][0], "test-instance", 0, replays=False)

    assert sketch(human) == [
        "client human_interaction Scheduled NewInstance",
        "turn human_interaction Started",
        "turn request_approval Scheduled human_interaction",
        "turn human_interaction Awaited",
        "activity request_approval Completed",
        "turn human_interaction Listening CreateTimer:2026-01-08T09:00:00.0000000Z",
        "turn human_interaction Listening WaitForExternalEvent:ApprovalEvent",
        "turn human_interaction Awaited",
        "client human_interaction Scheduled RaiseEvent:approvalEVENT",
        "turn human_interaction ExternalEventRaised approvalEVENT",
        "turn process_approval Scheduled human_interaction",
        "turn human_interaction Awaited",
        "activity process_approval Completed",
        "turn human_interaction Completed",
    ]


@settings(max_examples=100, deadline=None)
@for_all(script=steps, arrivals=happenings)
def test_any_history_is_told_live_as_it_is_read_back(script: Any, arrivals: list[tuple[int, int, bool]]) -> None:
    check_fold(play(script, arrivals).history, 0)


def check_fold(history: History, generation: int) -> None:
    """Check that any process may tell any turn, and that replays are the same live and read back."""
    plain = tracking_log(history, "order-1", generation, replays=False)
    full = tracking_log(history, "order-1", generation, replays=True)
    live: list[TrackingRecord] = []
    replayed: list[TrackingRecord] = []
    lasting = Tracker("order-1", generation)
    for before, turn in turns_of(history):
        tracker = Tracker("order-1", generation)
        for event in before:
            tracker.take(event)
        told = [record for event in turn for record in tracker.take(event)]
        assert told == [record for event in turn for record in lasting.take(event)]
        live += told
        replayed += replay_of(before, "order-1", generation, at=turn[-1].timestamp)
    assert live == plain == [record for record in full if not record.is_replay]
    assert replayed == [record for record in full if record.is_replay]
    assert all(record.teller is Teller.TURN for record in replayed)
