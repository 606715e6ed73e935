"""Code that no longer fits history sets its instance aside, and destroys nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.core.registry import Registry
from durable_host.models import HistoryEvent
from durable_host.store import clock, stalls
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_gap_free, row_counts, row_of

pytestmark = STORE

Ctx = OrchestrationContext
Body = Callable[[Ctx], Any]


async def leaf(ctx: Ctx) -> str:
    return "leaf"


async def recorded(ctx: Ctx) -> str:
    """Every kind of call, then a wait."""
    await ctx.call_activity("step", 1)
    await ctx.call_sub_orchestrator("leaf", instance_id="leaf-1")
    timer = ctx.create_timer(timedelta(days=1))
    ctx.send_event("somebody", "hello")
    await ctx.wait_for_external_event("go")
    timer.cancel()
    await ctx.call_activity("step", 2)
    return "done"


def changed(
    first: Body = lambda ctx: ctx.call_activity("step", 1),
    second: Body = lambda ctx: ctx.call_sub_orchestrator("leaf", instance_id="leaf-1"),
    third: Body = lambda ctx: ctx.create_timer(timedelta(days=1)),
    fourth: Body = lambda ctx: ctx.send_event("somebody", "hello"),
    extra: Body = lambda ctx: None,
) -> Callable[..., Any]:
    """Return the orchestrator with some of its calls replaced."""

    async def recorded(ctx: Ctx) -> str:
        for call in (first, second):
            if (task := call(ctx)) is not None:
                await task
        third(ctx)
        fourth(ctx)
        extra(ctx)
        await ctx.wait_for_external_event("go")
        return "changed"

    return recorded


def nothing(ctx: Ctx) -> None:
    return None


CHANGES: dict[str, tuple[Callable[..., Any], str]] = {
    "another activity": (changed(first=lambda ctx: ctx.call_activity("other", 1)), "call_activity('step')"),
    "a timer for an activity": (changed(first=lambda ctx: ctx.create_timer(timedelta(1))), "call_activity('step')"),
    "no activity": (changed(first=nothing), "call_activity('step')"),
    "another orchestrator": (
        changed(second=lambda ctx: ctx.call_sub_orchestrator("twig", instance_id="leaf-1")),
        "call_sub_orchestrator('leaf'",
    ),
    "another instance": (
        changed(second=lambda ctx: ctx.call_sub_orchestrator("leaf", instance_id="leaf-2")),
        "instance_id='leaf-1'",
    ),
    "no timer": (changed(third=nothing), "create_timer("),
    "an activity for a timer": (changed(third=lambda ctx: ctx.call_activity("step", 9)), "create_timer("),
    "another event": (changed(fourth=lambda ctx: ctx.send_event("somebody", "bye")), "send_event('somebody', 'hello')"),
    "no event": (changed(fourth=nothing), "send_event('somebody', 'hello')"),
    "one call more": (changed(extra=lambda ctx: ctx.call_activity("step", 9)), "no further call"),
    "an early end": (changed(extra=lambda ctx: 1 / 0), "ends here"),
}


def registry(bench: Workbench, function: Callable[..., Any]) -> Registry:
    """Return the functions of another version of the code."""
    new = Registry(dict(bench.registry.orchestrators), dict(bench.registry.activities))
    new.orchestrators.pop("recorded", None)
    new.add_orchestrator(function, "recorded")
    return new


@pytest.fixture
def waiting(bench: Workbench) -> str:
    """An instance that waits for its event."""
    bench.orchestrator(leaf)
    bench.orchestrator(recorded)
    bench.activity(lambda n: n, name="step")
    id_ = bench.start("recorded", instance_id="one")
    bench.client.raise_event(id_, "go")
    return id_


@pytest.mark.parametrize(("function", "says"), [pytest.param(*change, id=name) for name, change in CHANGES.items()])
@pytest.mark.case(21)
def test_it_stalls_when_the_code_does_something_else(
    bench: Workbench, moving_clock: MovingClock, waiting: str, function: Callable[..., Any], says: str
) -> None:
    history, before = bench.history(waiting), row_counts()
    bench.host(registry=registry(bench, function)).run_until_idle()
    status = bench.status(waiting)
    assert status.runtime_status is RuntimeStatus.RUNNING
    assert "Non-deterministic orchestrator: at event" in status.stall_reason
    assert says in status.stall_reason
    assert bench.history(waiting) == history
    assert row_counts() == before
    bench.run()
    assert bench.status(waiting).runtime_status is RuntimeStatus.RUNNING  # not before its time
    moving_clock.advance(seconds=31)
    bench.run()
    assert bench.output(waiting) == "done"
    assert bench.status(waiting).stall_reason == ""
    assert_gap_free(waiting)


@pytest.mark.case(22)
def test_it_stalls_when_the_orchestrator_is_not_registered(bench: Workbench, waiting: str) -> None:
    other = registry(bench, recorded)
    del other.orchestrators["recorded"]
    other.add_orchestrator(leaf, "recorder")
    bench.host(registry=other).run_until_idle()
    status = bench.status(waiting)
    assert status.runtime_status is RuntimeStatus.RUNNING
    assert "No orchestrator 'recorded' is registered here. Did you mean 'recorder'?" in status.stall_reason
    assert stalls.retry_stalled("default", "new") == 1
    bench.run()
    assert bench.output(waiting) == "done"


def test_it_stalls_before_the_first_turn_too(bench: Workbench, waiting: str) -> None:
    bench.client.start_new("leaf", instance_id="new")
    other = Registry({}, dict(bench.registry.activities))
    bench.host(registry=other).run_until_idle()
    status = bench.status("new")
    assert (status.runtime_status, bench.history("new")) == (RuntimeStatus.PENDING, [])
    assert "None is registered" in status.stall_reason
    stalls.retry_stalled("default", "new")
    bench.run()
    assert bench.output("new") == "leaf"


def test_it_keeps_messages_of_a_stalled_instance_in_order(bench: Workbench) -> None:
    async def collecting(ctx: Ctx) -> list[Any]:
        return [await ctx.wait_for_external_event("n") for _ in range(4)]

    bench.orchestrator(collecting)
    id_ = bench.start("collecting")
    for number in range(4):
        bench.client.raise_event(id_, "n", number)
        bench.host(registry=Registry()).run_until_idle()
    assert bench.status(id_).stall_reason
    stalls.retry_stalled("default", "new")
    bench.run()
    assert bench.output(id_) == [0, 1, 2, 3]


@pytest.mark.case(29)
def test_it_terminates_a_stalled_instance_without_running_code(bench: Workbench, waiting: str) -> None:
    other = registry(bench, CHANGES["another activity"][0])
    bench.host(registry=other).run_until_idle()
    bench.client.terminate(waiting, "enough")
    bench.host(registry=other).run_until_idle()
    status = bench.status(waiting)
    assert (status.runtime_status, status.output, status.stall_reason) == (RuntimeStatus.TERMINATED, "enough", "")


@pytest.mark.case(22)
def test_it_fails_a_task_whose_activity_is_not_registered(bench: Workbench) -> None:
    async def misspelt(ctx: Ctx) -> str:
        try:
            return str(await ctx.call_activity("stepp", 1))
        except Exception as error:
            return str(error)

    bench.orchestrator(misspelt)
    bench.activity(lambda n: n, name="step")
    output = bench.output(bench.start("misspelt"))
    assert "No activity 'stepp' is registered" in output
    assert "Did you mean 'step'?" in output


def test_it_sets_only_the_instance_aside_whose_turn_breaks_the_host(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from durable_host.dispatch import turns

    bench.orchestrator(leaf)
    ids = [bench.client.start_new("leaf", instance_id=f"i{n}") for n in range(3)]
    original = turns.TurnRunner._execution

    def breaking(self: Any, head: Any, history: Any) -> Any:
        if head.instance_id == "i1":
            raise AttributeError("a fault of the host")
        return original(self, head, history)

    with monkeypatch.context() as patch:
        patch.setattr(turns.TurnRunner, "_execution", breaking)
        bench.run()
    assert [bench.status(id_).output for id_ in ids] == ["leaf", None, "leaf"]
    assert "AttributeError: a fault of the host" in bench.status("i1").stall_reason
    stalls.retry_stalled("default", "new")
    bench.run()
    assert bench.output("i1") == "leaf"


def test_each_worker_gets_its_turn_with_what_has_stalled(
    bench: Workbench, moving_clock: MovingClock, waiting: str
) -> None:
    pauses = set()
    for _ in range(8):
        bench.host(registry=registry(bench, CHANGES["another activity"][0])).run_until_idle()
        pause = row_of(waiting).available_at - clock.now()
        assert timedelta(seconds=5) < pause <= timedelta(seconds=30)
        pauses.add(pause)
        moving_clock.advance(seconds=31)
    assert max(pauses) - min(pauses) > timedelta(seconds=1)  # not in step with anybody's sweeps


@pytest.mark.parametrize("where", ["history", "inbox"])
def test_it_stalls_at_an_event_that_a_newer_host_wrote(
    bench: Workbench, moving_clock: MovingClock, waiting: str, where: str
) -> None:
    # given: beside one that is well, an instance with an event of a type that this host does not know
    bench.client.start_new("leaf", instance_id="well")
    rows = HistoryEvent.objects.filter(instance=row_of(waiting)) if where == "history" else row_of(waiting).inbox.all()
    newer = rows.filter(event_type="TimerCreated" if where == "history" else "EventRaised")
    known = newer.values_list("event_type", flat=True).get()
    pk = newer.values_list("pk", flat=True).get()
    rows.filter(pk=pk).update(event_type="SomethingNewer")
    # when: a host works that replays
    bench.run()
    # then: it stalls and says why, and the other one goes on
    assert "an event of type 'SomethingNewer'" in bench.status(waiting).stall_reason
    assert "A newer version wrote it" in bench.status(waiting).stall_reason
    assert bench.output("well") == "leaf"
    # when: the newer host has it
    rows.filter(pk=pk).update(event_type=known)
    moving_clock.advance(seconds=31)
    bench.run()
    assert bench.output(waiting) == "done"
