"""What an execution did, told from real histories: one act for each thing that happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from dashboard.presenters.acts import Act, ActKind, OpenNow, Story, tell
from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core import events as ev
from durable_host.core.digest import Outcome
from tests.core import story as tale
from tests.core.story import at, child_completed, child_failed, completed, failed, fired, given, raised, registry_of


def pay(order: int) -> int:
    return order


async def retry(ctx: OrchestrationContext, n: int) -> int:
    policy = RetryPolicy(max_number_of_attempts=3, first_retry_interval=timedelta(seconds=5))
    return int(await ctx.call_activity(pay, n, retry=policy))


async def ask(ctx: OrchestrationContext) -> Any:
    timer = ctx.create_timer(ctx.current_utc_datetime + timedelta(days=3))
    answer = ctx.wait_for_external_event("Approval")
    first = await ctx.when_any([timer, answer])
    if first is answer:
        timer.cancel()
        return await ctx.call_activity(pay, 1)
    return await ctx.call_activity(pay, 2)


async def kids(ctx: OrchestrationContext) -> Any:
    policy = RetryPolicy(max_number_of_attempts=2, first_retry_interval=timedelta(seconds=5))
    return await ctx.call_sub_orchestrator("kid", 1, retry=policy)


def told(one: tale.Story, open_now: OpenNow | None = None) -> Story:
    return tell(enumerate(one.history), open_now)


def only(story: Story, kind: ActKind) -> Act:
    (found,) = [act for act in story.acts if act.kind is kind]
    return found


def outcomes(story: Story) -> list[tuple[ActKind, Outcome]]:
    return [(act.kind, act.outcome) for act in story.acts]


def ran_from(started: float, events: Iterable[ev.HistoryEvent]) -> list[ev.HistoryEvent]:
    """Say when the activity began to run."""
    return [replace(one, started_at=at(started)) if isinstance(one, ev.TaskCompleted) else one for one in events]


def test_an_activity_is_one_act_that_tells_waiting_from_running() -> None:
    one = given(retry, 7, activities=[pay]).when(completed(0, 7), after=10)
    act = only(tell(enumerate(ran_from(4, one.history))), ActKind.ACTIVITY)
    assert (act.name, act.outcome, act.sequence, act.end_sequence) == ("pay", Outcome.COMPLETED, 2, 5)
    assert (act.waited, act.ran, act.duration) == (timedelta(seconds=4), timedelta(seconds=6), timedelta(seconds=10))


def test_retries_come_together_with_the_pauses_between_them() -> None:
    one = given(retry, 7, activities=[pay]).when(failed(0, OSError("no line"))).when(fired(1), after=5)
    waiting = told(one)
    assert only(waiting, ActKind.ACTIVITY).outcome is Outcome.RUNNING
    act = only(told(one.when(completed(2, 7))), ActKind.ACTIVITY)
    assert act.outcome is Outcome.COMPLETED
    assert [str(attempt.failure or "good") for attempt in act.attempts] == ["OSError: no line", "good"]
    assert [(pause.attempt, pause.limit, pause.until - pause.since) for pause in act.pauses] == [
        (2, 3, timedelta(seconds=5))
    ]
    assert not [one for one in told(one).acts if one.kind is ActKind.TIMER]


def test_a_call_that_pauses_says_which_attempt_comes_next() -> None:
    act = only(told(given(retry, 7, activities=[pay]).when(failed(0, OSError("no line")))), ActKind.ACTIVITY)
    assert act.outcome is Outcome.WAITING
    assert act.next_attempt is not None
    assert (act.next_attempt.attempt, act.next_attempt.until) == (2, at(6))


def test_the_last_failure_is_the_outcome() -> None:
    one = given(retry, 7, activities=[pay])
    for task in (0, 2, 4):
        one.when(failed(task, OSError(f"line {task}")))
        if task < 4:
            one.when(fired(task + 1), after=60)
    act = only(told(one), ActKind.ACTIVITY)
    assert (act.outcome, len(act.attempts), str(act.failure)) == (Outcome.FAILED, 3, "OSError: line 4")


def test_a_retried_sub_orchestration_is_one_act_too() -> None:
    one = given(kids, registry=registry_of(kids)).when(child_failed(0, OSError("lost"))).when(fired(1), after=5)
    act = only(told(one.when(child_completed(2, 8))), ActKind.SUB_ORCHESTRATION)
    assert (act.outcome, len(act.attempts), len(act.pauses)) == (Outcome.COMPLETED, 2, 1)
    assert act.instance_id is not None


def test_a_wait_lasts_from_listening_to_the_event() -> None:
    one = given(ask, activities=[pay]).when(raised("approval", True), after=60)
    story = told(one, OpenNow([], set()))
    wait = only(story, ActKind.WAIT)
    assert (wait.name, wait.outcome, wait.duration) == ("Approval", Outcome.RECEIVED, timedelta(seconds=60))
    assert only(story, ActKind.TIMER).outcome is Outcome.CANCELLED
    assert not [act for act in story.acts if act.kind is ActKind.EVENT]


def test_what_is_open_now_is_told_from_what_the_code_let_go() -> None:
    waiting = told(given(ask, activities=[pay]), OpenNow(["Approval"], {at(3 * 86_400)}))
    assert only(waiting, ActKind.WAIT).outcome is Outcome.WAITING
    assert only(waiting, ActKind.TIMER).outcome is Outcome.WAITING
    late = told(given(ask, activities=[pay]).when(fired(0), after=3 * 86_400), OpenNow([], set()))
    assert only(late, ActKind.TIMER).outcome is Outcome.FIRED
    assert only(late, ActKind.WAIT).outcome is Outcome.CANCELLED


def test_an_event_that_comes_before_anybody_waits_is_an_act_of_its_own() -> None:
    async def slow(ctx: OrchestrationContext) -> Any:
        await ctx.call_activity(pay, 1)
        return await ctx.wait_for_external_event("Go")

    story = told(given(slow, activities=[pay]).when(raised("Go", 1)).when(completed(0, 1)))
    assert only(story, ActKind.EVENT).outcome is Outcome.RECEIVED
    assert not [act for act in story.acts if act.kind is ActKind.WAIT]


def test_a_suspension_lasts_until_it_is_resumed() -> None:
    one = given(ask, activities=[pay]).when(tale.suspended("lunch")).when(tale.resumed("back"), after=30)
    spell = only(told(one), ActKind.SUSPENSION)
    assert (spell.reason, spell.duration) == ("lunch", timedelta(seconds=30))


def test_what_has_no_outcome_when_the_execution_ends_was_not_awaited() -> None:
    one = given(retry, 7, activities=[pay])
    tale.terminate(one, reason="enough")
    story = told(one)
    assert outcomes(story) == [
        (ActKind.LIFECYCLE, Outcome.STARTED),
        (ActKind.ACTIVITY, Outcome.NOT_AWAITED),
        (ActKind.LIFECYCLE, Outcome.TERMINATE_ASKED),
        (ActKind.LIFECYCLE, Outcome.TERMINATED),
    ]
    assert story.acts[2].reason == "enough"
    assert story.ended_at is not None


def test_markers_are_counted_and_in_no_act() -> None:
    one = given(retry, 7, activities=[pay]).when(completed(0, 7))
    assert told(one).markers == 4
    assert told(one).markers + 4 == len(one.history)


def test_a_rewound_execution_goes_on() -> None:
    one = given(retry, 7, activities=[pay])
    for task in (0, 2, 4):
        one.when(failed(task, OSError("down")))
        if task < 4:
            one.when(fired(task + 1), after=60)
    again, _ = one.rewound()
    story = told(again)
    assert (ActKind.LIFECYCLE, Outcome.REWOUND) in outcomes(story)
    assert story.ended_at is None
