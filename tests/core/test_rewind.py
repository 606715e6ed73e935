"""Back to just before the failure."""

from datetime import timedelta
from typing import Any

from durable_host import OrchestrationContext, RetryPolicy, RuntimeStatus, SubOrchestrationFailedError, TaskFailedError
from durable_host.core import events as ev
from durable_host.core.actions import actions_of
from durable_host.core.failure import FailureDetails
from durable_host.core.rewind import RewindPlan, plan_rewind, with_origin

from .story import (
    activity,
    at,
    child,
    child_completed,
    child_failed,
    completed,
    failed,
    fired,
    given,
    raised,
    resumed,
    suspended,
    timer,
)

ERROR = ValueError("no")


def owed(plan: RewindPlan) -> list[tuple[str, int]]:
    """Return the work that must be done again."""
    return [(event.event_type, event.event_id) for event in plan.owed]


def redelivered(plan: RewindPlan) -> list[str]:
    """Return the types of the events that are delivered again."""
    return [event.event_type for event in plan.redelivered]


async def chain(ctx: OrchestrationContext) -> list[Any]:
    """Three steps."""
    return [await ctx.call_activity(name) for name in "abc"]


def test_a_failed_step_runs_again() -> None:
    story = given(chain).when(completed(0, "A")).when(failed(1, ERROR)).then_failed(TaskFailedError)
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 1)]
    assert redelivered(plan) == []
    after.then()
    after.evicted().when(completed(1, "B")).then(activity("c"))
    after.evicted().when(completed(2, "C")).then_completed(["A", "B", "C"])


def test_it_may_fail_and_be_rewound_again_and_again() -> None:
    story = given(chain).when(completed(0, "A")).when(failed(1, ERROR))
    for _ in range(3):
        story, plan = story.rewound()
        assert owed(plan) == [("TaskScheduled", 1)]
        story.then().when(failed(1, ERROR)).then_failed(TaskFailedError)
    story, _ = story.rewound()
    story.when(completed(1, "B")).when(completed(2, "C")).then_completed(["A", "B", "C"])
    assert [event.event_type for event in story.history].count("TaskFailed") == 0


def test_the_compensation_is_taken_back_together_with_the_failure() -> None:
    async def compensating(ctx: OrchestrationContext) -> Any:
        reservation = await ctx.call_activity("reserve")
        try:
            return await ctx.call_activity("charge", reservation)
        except TaskFailedError:
            await ctx.call_activity("release", reservation)
            raise

    story = given(compensating).when(completed(0, "r")).when(failed(1, ERROR)).then(activity("release", "r"))
    story.when(completed(2)).then_failed(TaskFailedError, "'charge' (task 1)")
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 1)]
    assert redelivered(plan) == [], "the outcome of work that never happened is not delivered"
    after.then().when(completed(1, "receipt")).then_completed("receipt")


def test_an_error_raised_from_a_failure_is_cut_at_the_failure() -> None:
    async def wrapping(ctx: OrchestrationContext) -> None:
        try:
            await ctx.call_activity("charge")
        except TaskFailedError as error:
            await ctx.call_activity("tell")
            raise LookupError("no money") from error

    story = given(wrapping).when(failed(0, ERROR)).when(completed(1)).then_failed(LookupError)
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 0)]
    after.when(completed(0)).then_completed(None)


def test_exhausted_retries_get_one_more_attempt() -> None:
    async def retrying(ctx: OrchestrationContext) -> Any:
        policy = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=2)
        return await ctx.call_activity("flaky", retry=policy)

    story = given(retrying).when(failed(0, ERROR)).when(fired(1)).when(failed(2, ERROR)).then_failed(TaskFailedError)
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 2)]
    again, _ = after.then().when(failed(2, ERROR)).then_failed(TaskFailedError).rewound()
    again.when(completed(2, "at last")).then_completed("at last")


async def fan(ctx: OrchestrationContext) -> list[Any]:
    """Four at once."""
    return await ctx.when_all([ctx.call_activity(name) for name in "abcd"])


def test_all_failures_of_a_fan_out_run_again_and_no_result_is_computed_twice() -> None:
    story = given(fan).when(completed(0, "A")).when(failed(1, ERROR)).when(completed(2, "C")).when(failed(3, ERROR))
    story.then_failed(TaskFailedError, "'b' (task 1)")
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 1), ("TaskScheduled", 3)]
    assert redelivered(plan) == ["TaskCompleted"]
    after.evicted().then().when(completed(3, "D"), completed(1, "B")).then_completed(["A", "B", "C", "D"])


def test_results_of_the_turn_that_failed_are_kept() -> None:
    story = given(fan).when(completed(0, "A"), failed(1, ERROR), completed(2, "C"), completed(3, "D"))
    after, plan = story.rewound()
    assert owed(plan) == [("TaskScheduled", 1)]
    assert redelivered(plan) == ["TaskCompleted"] * 3
    after.when(completed(1, "B")).then_completed(["A", "B", "C", "D"])


def test_work_that_was_still_under_way_runs_again() -> None:
    async def hasty(ctx: OrchestrationContext) -> list[Any]:
        return await ctx.task_all([ctx.call_activity(name) for name in "ab"])

    after, plan = given(hasty).when(failed(0, ERROR)).then_failed(TaskFailedError).rewound()
    assert owed(plan) == [("TaskScheduled", 0), ("TaskScheduled", 1)]
    after.when(completed(1, "B")).then().when(completed(0, "A")).then_completed(["A", "B"])


def test_events_that_came_after_the_cut_are_delivered_again_in_order() -> None:
    async def listening(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_activity("a")
        except TaskFailedError:
            await ctx.wait_for_external_event("go")
            raise
        return [await ctx.wait_for_external_event("go") for _ in range(2)]

    story = given(listening).when(failed(0, ERROR)).when(raised("go", 1), raised("go", 2)).then_failed(TaskFailedError)
    after, plan = story.rewound()
    assert redelivered(plan) == ["EventRaised", "EventRaised"]
    after.then().when(completed(0)).then_completed([1, 2])


def test_events_that_came_before_the_cut_are_not_delivered_twice() -> None:
    async def listening(ctx: OrchestrationContext) -> Any:
        await ctx.call_activity("a")
        first = await ctx.wait_for_external_event("go")
        return [first, await ctx.wait_for_external_event("go")]

    story = given(listening).when(raised("go", 1)).when(failed(0, ERROR))
    after, plan = story.rewound()
    assert redelivered(plan) == []
    after.when(completed(0)).then().when(raised("go", 2)).then_completed([1, 2])


async def with_timer(ctx: OrchestrationContext) -> str:
    """Work against a time limit."""
    work, limit = ctx.call_activity("work"), ctx.create_timer(timedelta(seconds=10))
    winner = await ctx.when_any([work, limit])
    return "late" if winner is limit else str(await work)


def test_a_timer_that_was_running_runs_again() -> None:
    after, plan = given(with_timer).when(failed(0, ERROR)).then_failed(TaskFailedError).rewound()
    assert owed(plan) == [("TaskScheduled", 0), ("TimerCreated", 1)]
    after.then().when(fired(1)).then_completed("late")


def test_a_timer_that_fired_after_the_cut_is_delivered_again() -> None:
    async def both(ctx: OrchestrationContext) -> None:
        await ctx.when_all([ctx.call_activity("work"), ctx.create_timer(timedelta(seconds=10))])

    story = given(both).then(activity("work"), timer(at(10))).when(failed(0, ERROR)).when(fired(1))
    after, plan = story.then_failed(TaskFailedError).rewound()
    assert owed(plan) == [("TaskScheduled", 0)]
    assert redelivered(plan) == ["TimerFired"]
    after.when(completed(0)).then_completed(None)


def test_a_bug_in_the_code_is_taken_back_by_one_turn() -> None:
    mended: list[bool] = []

    async def buggy(ctx: OrchestrationContext) -> Any:
        first = await ctx.call_activity("a")
        second = await ctx.call_activity("b")
        if not mended:
            raise LookupError("bug")
        return [first, second]

    story = given(buggy).when(completed(0, "A")).when(completed(1, "B")).then_failed(LookupError)
    mended.append(True)
    after, plan = story.rewound()
    assert owed(plan) == []
    assert redelivered(plan) == ["TaskCompleted"]
    after.then_completed(["A", "B"])


def test_a_bug_in_the_first_turn_starts_over() -> None:
    mended: list[bool] = []

    async def buggy(ctx: OrchestrationContext) -> Any:
        if not mended:
            ctx.call_activity("never")
            raise LookupError("bug")
        return await ctx.call_activity("a", ctx.get_input())

    story = given(buggy, 7, raised("go")).then_failed(LookupError)
    mended.append(True)
    after, plan = story.rewound()
    assert plan.kept == ()
    assert owed(plan) == []
    assert redelivered(plan) == ["ExecutionStarted", "EventRaised"]
    after.then(activity("a", 7)).evicted().when(completed(0, 1)).then_completed(1)


async def family(ctx: OrchestrationContext) -> list[Any]:
    """Call two children and then an activity."""
    results = await ctx.when_all([ctx.call_sub_orchestrator("kid", n) for n in range(2)])
    return [*results, await ctx.call_activity("a")]


def test_a_failed_child_is_owed_under_its_own_id() -> None:
    story = given(family).then(child("kid", 0, id="order-1:0:0000"), child("kid", 1, id="order-1:0:0001"))
    story.when(child_completed(1, "B")).when(child_failed(0, ERROR)).then_failed(SubOrchestrationFailedError)
    after, plan = story.rewound()
    assert owed(plan) == [("SubOrchestrationInstanceCreated", 0)]
    [rerun] = plan.owed
    assert isinstance(rerun, ev.SubOrchestrationInstanceCreated)
    assert rerun.instance_id == "order-1:0:0000"
    assert after.generation == 1
    after.evicted().when(child_completed(0, "A")).then(activity("a"))
    after.evicted().when(completed(2, "C")).then_completed(["A", "B", "C"])


def test_children_that_are_called_after_a_rewind_are_new_ones() -> None:
    async def trying(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_activity("a")
        except TaskFailedError:
            await ctx.call_sub_orchestrator("undo")
            raise
        return await ctx.call_sub_orchestrator("kid")

    story = given(trying).when(failed(0, ERROR)).then(child("undo", id="order-1:0:0001"))
    after, plan = story.when(child_completed(1)).then_failed(TaskFailedError).rewound()
    assert owed(plan) == [("TaskScheduled", 0)]
    after.when(completed(0)).then(child("kid", id="order-1:1:0001"))
    again, _ = after.when(child_failed(1, ERROR)).then_failed(SubOrchestrationFailedError).rewound()
    again.evicted().when(child_completed(1, "yes")).then_completed("yes")


def test_a_failure_that_a_child_wraps_is_the_childs_own() -> None:
    # The numbers of the tasks in a child's failure are the child's, not the parent's.
    story = given(family).when(child_completed(1, "B"))
    details = FailureDetails(error_type="TaskFailedError", error_message="", task_ids=(1,))
    failure = ev.SubOrchestrationInstanceFailed(timestamp=story.now, task_scheduled_id=0, failure_details=details)
    _, plan = story.when(failure).then_failed(SubOrchestrationFailedError).rewound()
    assert owed(plan) == [("SubOrchestrationInstanceCreated", 0)]


def test_a_suspension_is_kept_and_a_resumption_delivered_again() -> None:
    story = given(chain).when(suspended()).when(failed(0, ERROR)).when(resumed()).then_failed(TaskFailedError)
    after, plan = story.rewound()
    assert redelivered(plan) == ["ExecutionResumed"]
    after.then(status=RuntimeStatus.RUNNING).when(completed(0, "A")).then(activity("b"))


def test_a_failure_without_a_failed_task_is_that_of_the_last_turn() -> None:
    async def limited(ctx: OrchestrationContext) -> Any:
        return await ctx.wait_for_external_event("go", timeout=timedelta(seconds=5))

    story = given(limited).when(raised("other")).when(fired(0)).then_failed(TimeoutError)
    plan = plan_rewind(story.history)
    assert redelivered(plan) == ["TimerFired"]
    assert len(plan.kept) == len(story.history) - 4


def test_the_rewound_history_replays() -> None:
    story = given(fan).when(completed(0, "A")).when(failed(1, ERROR)).when(completed(2, "C")).when(completed(3, "D"))
    after, plan = story.rewound()
    after.when(completed(1, "B"))
    assert after.replayed().is_finished
    assert [event.event_type for event in after.history[len(plan.kept) :]][:2] == [
        *("OrchestratorStarted", "ExecutionRewound"),
    ]


def test_kept_activities_remember_the_execution_that_scheduled_them() -> None:
    story = given(chain).when(completed(0, "A")).when(failed(1, ERROR))
    plan = with_origin(plan_rewind(story.history), generation=0)
    again = with_origin(RewindPlan(plan.kept, (), plan.owed), generation=1)
    for one in (plan, again):
        kept = [event.origin for event in one.kept if isinstance(event, ev.TaskScheduled)]
        assert kept == [0, 0]
        assert [event.origin for event in one.owed if isinstance(event, ev.TaskScheduled)] == [0]
    [action] = actions_of(again.owed, "order-1", story.registry).activities
    assert (action.task_id, action.origin) == (1, 0)
