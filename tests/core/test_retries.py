"""Retry policies: every field, judged by recorded time."""

import sys
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, OrchestratorCodeError, RetryOptions, RetryPolicy, TaskFailedError
from durable_host.core.errors import PayloadError
from durable_host.core.failure import FailureDetails
from durable_host.core.registry import Registry

from .story import (
    T0,
    Story,
    activity,
    at,
    child,
    child_completed,
    child_failed,
    completed,
    failed,
    fired,
    given,
    registry_of,
    started,
    timer,
)

SECOND = timedelta(seconds=1)


def retried(policy: RetryPolicy) -> Story:
    """Return the story of an orchestrator that calls one activity under this policy."""

    async def calling(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("flaky", 7, retry=policy)

    return given(calling).then(activity("flaky", 7))


def delays(story: Story, failures: int) -> list[float]:
    """Fail so many times, each time at the moment the attempt is due, and return the waits that were asked for."""
    waits = []
    for number in range(failures):
        story.when(failed(2 * number, ValueError(f"{number}")), after=0)
        if story.result.completion is not None:
            break
        [asked] = story.result.scheduled
        wait = (asked.fire_at - story.now).total_seconds()  # type: ignore[union-attr]
        waits.append(wait)
        story.when(fired(2 * number + 1), after=wait).then(activity("flaky", 7))
    return waits


def test_it_tries_again_after_a_timer() -> None:
    story = retried(RetryPolicy(first_retry_interval=10 * SECOND, max_number_of_attempts=3))
    story.when(failed(0, ValueError("no"))).then(timer(at(11)))
    story.evicted().when(fired(1), after=10).then(activity("flaky", 7))
    story.evicted().when(completed(2, "done")).then_completed("done")


def test_it_gives_up_after_the_last_attempt_with_its_failure() -> None:
    story = retried(RetryPolicy(first_retry_interval=10 * SECOND, max_number_of_attempts=3))
    assert delays(story, 9) == [10, 10]
    story.then_failed(TaskFailedError, "'flaky' (task 4)", "ValueError: 2")


def test_it_tries_once_only_where_the_policy_says_so() -> None:
    story = retried(RetryPolicy(max_number_of_attempts=1))
    story.when(failed(0, ValueError("no"))).then_failed(TaskFailedError)


def test_it_waits_longer_each_time_but_not_longer_than_the_maximum() -> None:
    policy = RetryPolicy(
        first_retry_interval=2 * SECOND,
        max_number_of_attempts=6,
        backoff_coefficient=3,
        max_retry_interval=20 * SECOND,
    )
    assert delays(retried(policy), 9) == [2, 6, 18, 20, 20]


def test_it_never_waits_longer_than_ten_years() -> None:
    policy = RetryPolicy(first_retry_interval=timedelta.max, max_number_of_attempts=9, backoff_coefficient=1e308)
    longest = timedelta(days=3650).total_seconds()
    assert delays(retried(policy), 3) == [longest] * 3


def test_it_begins_no_attempt_after_the_timeout() -> None:
    policy = RetryPolicy(
        first_retry_interval=10 * SECOND, max_number_of_attempts=99, retry_timeout=timedelta(seconds=35)
    )
    assert delays(retried(policy), 99) == [10, 10, 10]


def test_it_begins_an_attempt_exactly_at_the_timeout() -> None:
    policy = RetryPolicy(first_retry_interval=10 * SECOND, max_number_of_attempts=99, retry_timeout=20 * SECOND)
    assert delays(retried(policy), 99) == [10, 10]


def test_it_accepts_a_timeout_without_end() -> None:
    story = retried(RetryPolicy(first_retry_interval=10 * SECOND, retry_timeout=timedelta.max))
    story.when(failed(0, ValueError("no"))).then(timer(at(11)))


def test_it_counts_the_timeout_from_the_first_attempt_by_recorded_time() -> None:
    policy = RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=9, retry_timeout=timedelta(minutes=5))

    async def late(ctx: OrchestrationContext) -> Any:
        await ctx.call_activity("other")
        return await ctx.call_activity("flaky", retry=policy)

    story = given(late).when(completed(0), after=3600)
    story.when(failed(1, ValueError("no")), after=298).then(timer(at(3600 + 299)))
    given(late).when(completed(0), after=3600).when(failed(1, ValueError("no")), after=300).then_failed(TaskFailedError)


def test_it_asks_the_predicate() -> None:
    seen: list[str] = []

    def is_passing(error: TaskFailedError) -> bool:
        seen.append(error.error_message)
        return error.is_caused_by(TimeoutError)

    story = retried(RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=9, handle=is_passing))
    story.when(failed(0, TimeoutError("slow"))).then(timer(at(2)))
    story.when(fired(1)).when(failed(2, PermissionError("no"))).then_failed(TaskFailedError, "PermissionError")
    assert {"slow", "no"} == set(seen)


def test_it_fails_with_the_error_of_the_predicate() -> None:
    def broken(error: TaskFailedError) -> bool:
        raise LookupError("bug in the predicate")

    retried(RetryPolicy(handle=broken)).when(failed(0, ValueError())).then_failed(LookupError, "bug in the predicate")


def test_a_predicate_that_exits_fails_the_instance_only() -> None:
    def leaving(error: TaskFailedError) -> bool:
        sys.exit(3)

    story = retried(RetryPolicy(handle=leaving)).when(failed(0, ValueError()))
    story.then_failed(OrchestratorCodeError, "SystemExit(3)")


def test_it_does_not_retry_what_says_that_it_must_not() -> None:
    class Refused(Exception):
        is_non_retriable = True

    story = retried(RetryPolicy(max_number_of_attempts=9))
    story.when(failed(0, Refused("never"))).then_failed(TaskFailedError, "Refused: never")


def test_it_does_not_retry_a_result_that_does_not_fit() -> None:
    async def calling(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("flaky", expected_type=int, retry=RetryPolicy())

    given(calling).when(completed(0, "one")).then_failed(PayloadError)


def test_it_uses_the_policy_of_the_activity_where_the_call_gives_none() -> None:
    def flaky(n: int) -> int:
        return n

    async def calling(ctx: OrchestrationContext, own: bool) -> Any:
        policy = RetryPolicy(first_retry_interval=9 * SECOND) if own else None
        return await ctx.call_activity(flaky, 7, retry=policy)

    registry = Registry()
    registry.add_orchestrator(calling)
    registry.add_activity(flaky, retry=RetryPolicy(first_retry_interval=4 * SECOND))
    for own, wait in ((False, 4), (True, 9)):
        given(calling, own, registry=registry).when(failed(0, ValueError())).then(timer(at(1 + wait)))


def test_it_retries_sub_orchestrations_each_time_as_a_new_instance() -> None:
    async def parent(ctx: OrchestrationContext) -> Any:
        policy = RetryOptions(5000, 2)
        return await ctx.call_sub_orchestrator_with_retry("child", policy, 1, version="2", expected_type=int)

    story = given(parent).then(child("child", 1, id="order-1:0:0000", version="2"))
    story.when(child_failed(0, ValueError())).then(timer(at(6)))
    story.when(fired(1), after=5).then(child("child", 1, id="order-1:0:0002", version="2"))
    story.when(child_completed(2, 5)).then_completed(5)


def test_it_combines_retries_with_other_tasks() -> None:
    async def fan(ctx: OrchestrationContext) -> Any:
        policy = RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=2)
        return await ctx.when_all([ctx.call_activity(name, retry=policy) for name in "ab"])

    story = given(fan).when(failed(1, ValueError()), completed(0, "A")).then(timer(at(2)))
    story.when(fired(2)).then(activity("b")).when(completed(3, "B")).then_completed(["A", "B"])


def test_a_retry_that_is_under_way_at_the_end_asks_for_nothing_more() -> None:
    async def racing(ctx: OrchestrationContext) -> str:
        flaky = ctx.call_activity("flaky", retry=RetryPolicy())
        await ctx.when_any([flaky, ctx.call_activity("quick")])
        return "done"

    story = given(racing).when(completed(1), failed(0, ValueError()))
    assert list(story.result.scheduled) == []
    story.then_completed("done")


def test_the_names_of_durable_functions_make_the_same_policy() -> None:
    assert RetryOptions(5000, 3) == RetryPolicy(first_retry_interval=5 * SECOND, max_number_of_attempts=3)
    options = RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=2)
    assert options.first_retry_interval == timedelta(milliseconds=100)


def test_a_policy_has_defaults() -> None:
    assert RetryPolicy() == RetryPolicy(
        first_retry_interval=timedelta(seconds=5), max_number_of_attempts=3, backoff_coefficient=1.0
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_retry_interval", timedelta(0)),
        ("first_retry_interval", timedelta(seconds=-1)),
        ("max_number_of_attempts", 0),
        ("backoff_coefficient", 0.5),
        ("backoff_coefficient", float("nan")),
        ("max_retry_interval", timedelta(0)),
        ("retry_timeout", timedelta(0)),
    ],
)
def test_it_refuses_a_policy_that_makes_no_sense(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        RetryPolicy(**{field: value})


def test_the_delay_depends_on_its_arguments_only() -> None:
    policy = RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=9, retry_timeout=10 * SECOND)
    error = TaskFailedError(FailureDetails(error_type="E", error_message=""), task_id=0, name="a")
    assert policy.next_delay(1, error, now=T0 + 9 * SECOND, first_attempt_at=T0) == SECOND
    assert policy.next_delay(1, error, now=T0 + 10 * SECOND, first_attempt_at=T0) is None
    assert policy.next_delay(9, error, now=T0, first_attempt_at=T0) is None


def test_a_retry_survives_suspension_and_eviction() -> None:
    async def calling(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("flaky", retry=RetryPolicy(first_retry_interval=SECOND))

    story = Story(registry_of(calling))
    story.when(started("calling"), after=0).evicted().when(failed(0, ValueError())).evicted()
    story.when(fired(1)).evicted().when(completed(2, 1)).then_completed(1)
