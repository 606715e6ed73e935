"""Orchestrators that call orchestrators."""

from typing import Any

import pytest

from durable_host import (
    InvalidInstanceIdError,
    OrchestrationContext,
    OrchestratorCodeError,
    RuntimeStatus,
    SubOrchestrationFailedError,
)
from durable_host.core import events as ev
from durable_host.core.closing import outcome_for_parent
from durable_host.core.names import child_id

from .story import T0, Story, World, activity, child, child_completed, child_failed, given, registry_of, started


async def parent(ctx: OrchestrationContext, id_: str | None = None) -> Any:
    """Call a child."""
    return await ctx.call_sub_orchestrator("kid", {"a": 1}, id_)


async def kid(ctx: OrchestrationContext, data: Any) -> Any:
    """Be called."""
    return [ctx.parent_instance_id, ctx.version, data, await ctx.call_activity("double", 4)]


def double(n: int) -> int:
    """Double."""
    return 2 * n


def test_it_gives_the_result_of_the_child() -> None:
    story = given(parent).then(child("kid", {"a": 1}, id="order-1:0:0000"))
    story.when(child_completed(0, 5)).then_completed(5)


def test_it_passes_its_version_on() -> None:
    given(parent, version="1.5").then(child("kid", {"a": 1}, id="order-1:0:0000", version="1.5"))


def test_it_takes_a_chosen_version() -> None:
    async def versioned(ctx: OrchestrationContext) -> None:
        await ctx.call_sub_orchestrator("kid", version="")

    given(versioned, version="1.5").then(child("kid", id="order-1:0:0000", version=""))


def test_it_takes_a_chosen_id() -> None:
    given(parent, "mine").then(child("kid", {"a": 1}, id="mine"))


@pytest.mark.parametrize("taken", ["order-1", "grandmother"])
def test_it_refuses_its_own_id_and_its_parents(taken: str) -> None:
    story = given(parent, taken, parent_instance_id="grandmother")
    story.then_failed(OrchestratorCodeError, f"'{taken}'", "own or its parent's")


@pytest.mark.parametrize("refused", ["", "@entity", "a/b", "a\\b", "a#b", "a?b", "a\x00", "a\n", "x" * 257, "\ud800"])
def test_it_refuses_an_id_that_cannot_be_stored_or_addressed(refused: str) -> None:
    async def mistaken(ctx: OrchestrationContext) -> None:
        await ctx.call_sub_orchestrator("kid", instance_id=refused)

    given(mistaken).then_failed(InvalidInstanceIdError, "An instance id must be 1 to 256 printable characters")


def test_default_ids_are_unique_within_and_across_executions() -> None:
    async def eternal(ctx: OrchestrationContext) -> None:
        ctx.call_sub_orchestrator("kid")
        ctx.call_sub_orchestrator("kid")
        ctx.continue_as_new()

    ids: list[str] = []
    event = started("eternal")
    for generation in range(20):
        story = Story(registry_of(eternal), generation=generation).when(event)
        ids += [one.instance_id for one in story.result.scheduled]  # type: ignore[union-attr]
        assert story.result.next_started is not None
        event = story.result.next_started
    assert len(set(ids)) == 40
    assert ids[0] == "order-1:0:0000"
    assert ids[-1] == "order-1:13:0001"


def test_a_default_id_never_grows_beyond_what_is_stored() -> None:
    names = {child_id("x" * 250, generation, event_id) for generation in range(3) for event_id in range(3)}
    assert len(names) == 9
    assert all(len(name) <= 256 for name in names)
    nested = "order-1"
    for _ in range(100):
        nested = child_id(nested, 0, 0)
        assert len(nested) <= 256


def test_it_raises_the_failure_of_the_child_with_its_causes() -> None:
    async def handling(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_sub_orchestrator("kid")
        except SubOrchestrationFailedError as error:
            return [str(error), error.is_caused_by(ZeroDivisionError), error.is_caused_by(KeyError)]

    story = given(handling).when(child_failed(0, ZeroDivisionError("one over none")))
    text = "The sub-orchestration 'kid' (task 0) failed: ZeroDivisionError: one over none"
    story.then_completed([text, True, False])


def test_a_terminated_child_fails_its_parent() -> None:
    ended = ev.ExecutionCompleted(timestamp=T0, orchestration_status=RuntimeStatus.TERMINATED, result='"too late"')
    outcome = outcome_for_parent(ended, 0)
    story = given(parent).when(outcome)
    story.then_failed(SubOrchestrationFailedError, "Terminated", "too late")
    assert isinstance(outcome, ev.SubOrchestrationInstanceFailed)
    assert outcome.failure_details.is_non_retriable


def test_it_converts_the_result_of_the_child() -> None:
    async def typed(ctx: OrchestrationContext, n: int) -> set[int]:
        return {n}

    async def calling(ctx: OrchestrationContext) -> str:
        return repr(await ctx.call_sub_orchestrator(typed, 3))

    registry = registry_of(typed, calling)
    given(calling, registry=registry).when(child_completed(0, [3])).then_completed("{3}")


def test_a_family_runs_to_its_end() -> None:
    async def grandmother(ctx: OrchestrationContext) -> Any:
        return await ctx.when_all([ctx.call_sub_orchestrator("parent") for _ in range(3)])

    world = World(registry_of(grandmother, parent, kid, activities=[double])).start("grandmother").run()
    assert world.output_of() == [[f"order-1:0:000{n}", "", {"a": 1}, 8] for n in range(3)]
    assert sorted(world.instances)[:3] == ["order-1", "order-1:0:0000", "order-1:0:0000:0:0000"]


def test_a_failure_deep_down_rises_with_its_causes() -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("deep down")

    async def bad_kid(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("broken", 1)

    async def mother(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_sub_orchestrator("bad_kid")
        except SubOrchestrationFailedError as error:
            return [details.error_type for details in error.causes()]

    world = World(registry_of(bad_kid, mother, activities=[broken])).start("mother").run()
    assert world.output_of() == ["TaskFailedError", "ZeroDivisionError"]


def test_a_child_may_go_on_as_new_before_it_answers() -> None:
    async def counting(ctx: OrchestrationContext, n: int) -> int:
        if n < 5:
            ctx.continue_as_new(n + 1)
        return n

    async def mother(ctx: OrchestrationContext) -> Any:
        return await ctx.call_sub_orchestrator("counting", 0)

    assert World(registry_of(counting, mother)).start("mother").run().output_of() == 5


def test_a_name_that_is_not_registered_here_may_be_elsewhere() -> None:
    async def trusting(ctx: OrchestrationContext) -> None:
        await ctx.when_all([ctx.call_sub_orchestrator("elsewhere"), ctx.call_activity("elsewhere")])

    given(trusting).then(child("elsewhere", id="order-1:0:0000"), activity("elsewhere"))


def test_a_function_that_is_not_registered_is_refused() -> None:
    def unregistered(n: int) -> int:
        return n

    async def mistaken(ctx: OrchestrationContext, kind: str) -> None:
        await getattr(ctx, kind)(unregistered, 1)

    for kind in ("call_activity", "call_sub_orchestrator"):
        given(mistaken, kind).then_failed(TypeError, "unregistered is not registered: decorate it")
