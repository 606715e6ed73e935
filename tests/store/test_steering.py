"""Terminate, suspend, resume, rewind: what an operator does, and what becomes of the instance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, RetryPolicy, RuntimeStatus, TaskFailedError
from durable_host.core.errors import InvalidOperationError
from durable_host.models import ActivityTask, Instance
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_gap_free, assert_nothing_is_left, row_counts

pytestmark = STORE

Ctx = OrchestrationContext


class World:
    """Whether things work today."""

    def __init__(self) -> None:
        self.is_broken = True


@pytest.fixture
def world(bench: Workbench) -> World:
    """Activities that work always, or only on good days."""
    world = World()

    def flaky(value: Any) -> Any:
        if world.is_broken:
            raise ConnectionError("not today")
        return f"flaky {value}"

    bench.activity(lambda value: f"good {value}", name="good")
    bench.activity(lambda value: f"undo {value}", name="undo")
    bench.activity(flaky)
    return world


async def listening(ctx: Ctx, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


async def parent(ctx: Ctx, depth: int) -> Any:
    name, input_ = ("parent", depth - 1) if depth else ("listening", None)
    try:
        return await ctx.call_sub_orchestrator(name, input_, instance_id=f"{ctx.instance_id}.{depth}")
    except TaskFailedError as error:
        return f"caught {error.error_type}"


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    for function in (listening, parent):
        bench.orchestrator(function)


def statuses() -> dict[str, str]:
    return dict(Instance.objects.order_by("instance_id").values_list("instance_id", "status"))


# --- terminate ------------------------------------------------------------------------------------------------------


def test_it_terminates_before_the_first_turn(bench: Workbench) -> None:
    bench.client.start_new("listening", "x", instance_id="one")
    bench.client.terminate("one", "why")
    bench.run()
    status = bench.status("one")
    assert (status.runtime_status, status.output, status.input) == (RuntimeStatus.TERMINATED, "why", "x")
    assert_nothing_is_left()
    assert_gap_free("one")


def test_it_terminates_an_instance_that_was_to_start_later(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("listening", "x", instance_id="one", start_at=moving_clock.now() + timedelta(days=9))
    bench.client.terminate("one")
    bench.run()
    status = bench.status("one")
    assert (status.runtime_status, status.output, status.input) == (RuntimeStatus.TERMINATED, None, "x")
    assert_nothing_is_left()


def test_it_terminates_a_suspended_instance(bench: Workbench) -> None:
    bench.start("listening", instance_id="one")
    bench.client.suspend("one")
    bench.run()
    bench.client.terminate("one")
    bench.run()
    assert bench.status("one").runtime_status is RuntimeStatus.TERMINATED
    assert_nothing_is_left()


def test_it_terminates_with_sub_orchestrations_at_every_depth(bench: Workbench) -> None:
    bench.start("parent", 2, instance_id="p")
    assert len(statuses()) == 4
    bench.client.terminate("p", "all")
    bench.run()
    assert set(statuses().values()) == {"Terminated"}
    assert bench.status("p.2.1.0").output == "all"
    assert_nothing_is_left()


def test_it_leaves_sub_orchestrations_alone_when_told_so(bench: Workbench) -> None:
    bench.start("parent", 0, instance_id="p")
    bench.client.terminate("p", recursive=False)
    bench.run()
    assert statuses() == {"p": "Terminated", "p.0": "Running"}
    bench.client.raise_event("p.0", "go", 1)
    bench.run()
    assert statuses() == {"p": "Terminated", "p.0": "Completed"}
    assert_nothing_is_left()


def test_it_tells_the_parent_of_a_terminated_sub_orchestration(bench: Workbench) -> None:
    bench.start("parent", 0, instance_id="p")
    bench.client.terminate("p.0", "child only")
    bench.run()
    assert bench.output("p") == "caught Terminated"


@pytest.mark.parametrize("attempts", [5, 0])
def test_it_terminates_stalled_and_parked_sub_orchestrations_with_their_parent(bench: Workbench, attempts: int) -> None:
    bench.start("parent", 0, instance_id="p")
    bench.client.raise_event("p.0", "other")
    Instance.objects.filter(instance_id="p.0").update(turn_attempts=attempts)
    if not attempts:
        del bench.registry.orchestrators["listening"]
    bench.run()
    assert bench.status("p.0").stall_reason
    bench.client.terminate("p")
    bench.run()
    assert statuses() == {"p": "Terminated", "p.0": "Terminated"}


# --- suspend and resume ---------------------------------------------------------------------------------------------


def test_it_holds_what_comes_while_suspended_and_goes_on_in_order(bench: Workbench) -> None:
    async def collecting(ctx: Ctx) -> list[Any]:
        return [await ctx.wait_for_external_event("n") for _ in range(3)]

    bench.orchestrator(collecting)
    id_ = bench.start("collecting")
    bench.client.suspend(id_, "stock-taking")
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    for number in range(3):
        bench.client.raise_event(id_, "n", number)
        bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    bench.client.resume(id_)
    bench.run()
    assert bench.output(id_) == [0, 1, 2]
    assert_gap_free(id_)


def test_it_holds_timers_and_results_while_suspended(bench: Workbench, moving_clock: MovingClock, world: World) -> None:
    async def napping(ctx: Ctx) -> Any:
        await ctx.create_timer(timedelta(hours=1))
        return await ctx.call_activity("good", 1)

    bench.orchestrator(napping)
    id_ = bench.start("napping")
    bench.client.suspend(id_)
    moving_clock.advance(hours=2)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    assert bench.calls["good"] == 0
    bench.client.resume(id_)
    bench.run()
    assert bench.output(id_) == "good 1"


def test_it_suspends_before_a_scheduled_start_and_starts_after_the_resume(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    id_ = bench.start("listening", start_at=moving_clock.now() + timedelta(hours=1))
    bench.client.suspend(id_)
    bench.client.raise_event(id_, "go", "early")
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    moving_clock.advance(hours=2)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    bench.client.resume(id_)
    bench.run()
    assert bench.output(id_) == "early"


def test_it_resumes_what_is_about_to_be_suspended_and_suspends_what_is_about_to_resume(bench: Workbench) -> None:
    id_ = bench.start("listening")
    with pytest.raises(InvalidOperationError, match="resume"):
        bench.client.resume(id_)
    # when: nobody has taken the suspend yet
    bench.client.suspend(id_, "oops")
    bench.client.resume(id_)
    with pytest.raises(InvalidOperationError, match="resume"):
        bench.client.resume(id_)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.RUNNING
    # when: nobody has taken the resume yet
    bench.client.suspend(id_)
    bench.run()
    bench.client.resume(id_)
    bench.client.suspend(id_)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.SUSPENDED
    # when: it is to end as well
    bench.client.resume(id_)
    bench.client.suspend(id_)
    bench.client.terminate(id_)
    bench.client.resume(id_)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.TERMINATED
    with pytest.raises(InvalidOperationError, match="resume"):
        bench.client.resume(id_)


# --- rewind ---------------------------------------------------------------------------------------------------------


async def fragile(ctx: Ctx, name: str = "x") -> list[Any]:
    results = await ctx.when_all([ctx.call_activity("good", f"{name}{n}") for n in range(3)])
    return [*results, await ctx.call_activity("flaky", name)]


def test_it_rewinds_and_keeps_what_was_paid_for(bench: Workbench, world: World) -> None:
    bench.orchestrator(fragile)
    id_ = bench.start("fragile", "x")
    assert bench.status(id_).runtime_status is RuntimeStatus.FAILED
    failed = bench.client.get_history(id_)
    bench.client.rewind(id_, "try again")
    assert bench.status(id_).runtime_status is RuntimeStatus.RUNNING
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.FAILED  # still a bad day
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    assert bench.output(id_) == ["good x0", "good x1", "good x2", "flaky x"]
    assert bench.calls == {"good": 3, "flaky": 3}
    assert bench.status(id_).input == "x"
    assert bench.client.get_history(id_, generation=0) == failed
    assert_gap_free(id_)
    assert_nothing_is_left()


def test_it_rewinds_failed_sub_orchestrations_with_their_parent(bench: Workbench, world: World) -> None:
    async def family(ctx: Ctx) -> Any:
        children = [ctx.call_sub_orchestrator("fragile", n, instance_id=f"child-{n}") for n in "ab"]
        return await ctx.when_all([ctx.call_activity("good", "own"), *children])

    bench.orchestrator(fragile)
    bench.orchestrator(family)
    id_ = bench.start("family")
    assert set(statuses().values()) == {"Failed"}
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    assert bench.output(id_)[1] == ["good a0", "good a1", "good a2", "flaky a"]
    assert set(statuses().values()) == {"Completed"}
    assert bench.calls == {"good": 7, "flaky": 4}
    assert_nothing_is_left()


def test_it_starts_a_purged_sub_orchestration_anew_on_rewind(bench: Workbench, world: World) -> None:
    async def family(ctx: Ctx) -> Any:
        return await ctx.call_sub_orchestrator("fragile", "a", instance_id="child")

    bench.orchestrator(fragile)
    bench.orchestrator(family)
    id_ = bench.start("family")
    bench.client.purge("child")
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    assert bench.output(id_)[-1] == "flaky a"


def test_it_compensates_again_after_a_rewind(bench: Workbench, world: World) -> None:
    async def saga(ctx: Ctx) -> Any:
        await ctx.call_activity("good", "reserve")
        try:
            return await ctx.call_activity("flaky", "charge")
        except TaskFailedError as error:
            await ctx.call_activity("undo", "reserve")
            raise RuntimeError("cancelled") from error

    bench.orchestrator(saga)
    id_ = bench.start("saga")
    assert bench.calls == {"good": 1, "flaky": 1, "undo": 1}
    bench.client.rewind(id_)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.FAILED
    assert bench.calls == {"good": 1, "flaky": 2, "undo": 2}
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    assert bench.output(id_) == "flaky charge"
    assert bench.calls == {"good": 1, "flaky": 3, "undo": 2}


def test_it_gives_fresh_attempts_after_exhausted_retries(
    bench: Workbench, world: World, moving_clock: MovingClock
) -> None:
    policy = RetryPolicy(first_retry_interval=timedelta(minutes=1), max_number_of_attempts=2)

    async def stubborn(ctx: Ctx) -> Any:
        return await ctx.call_activity_with_retry("flaky", policy, "x")

    bench.orchestrator(stubborn)
    id_ = bench.start("stubborn")
    moving_clock.advance(minutes=2)
    bench.run()
    assert bench.status(id_).runtime_status is RuntimeStatus.FAILED
    assert bench.calls["flaky"] == 2
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    moving_clock.advance(minutes=2)
    bench.run()
    assert bench.output(id_) == "flaky x"


def test_it_rewinds_an_instance_whose_own_code_failed(bench: Workbench, world: World) -> None:
    async def careless(ctx: Ctx) -> Any:
        value = await ctx.call_activity("good", 1)
        if world.is_broken:
            raise ValueError("a bug")
        return value

    bench.orchestrator(careless)
    id_ = bench.start("careless")
    assert bench.status(id_).runtime_status is RuntimeStatus.FAILED
    world.is_broken = False
    bench.client.rewind(id_)
    bench.run()
    assert bench.output(id_) == "good 1"
    assert bench.calls["good"] == 1


def test_it_lets_running_activities_end_unheard_after_a_termination(bench: Workbench, world: World) -> None:
    async def calling(ctx: Ctx) -> Any:
        await ctx.call_activity("terminating", None)
        return await ctx.wait_for_external_event("never")

    bench.orchestrator(calling)
    bench.activity(lambda _: bench.client.terminate("one"), name="terminating")
    bench.start("calling", instance_id="one")
    assert bench.status("one").runtime_status is RuntimeStatus.TERMINATED
    assert ActivityTask.objects.count() == 0
    assert row_counts()["PendingEvent"] == 0
