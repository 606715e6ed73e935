"""What clients ask of an instance: legal in some statuses, refused with a typed error in the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durable_host import InstanceNotFoundError, InvalidOperationError, OrchestrationContext, RuntimeStatus
from durable_host.client import DurableClient, InstanceFilter
from durable_host.core.status import LEGAL_IN
from durable_host.store.shapes import OrchestrationStatus
from tests.bells import Bells
from tests.store.workbench import STORE, Workbench, row_counts, row_of

pytestmark = STORE

Act = Callable[[DurableClient, str], Any]

#: name in the table of legal statuses → the call
ACTS: dict[str, Act] = {
    "raise an event to": lambda client, id_: client.raise_event(id_, "go", 1),
    "terminate": lambda client, id_: client.terminate(id_, "why"),
    "suspend": lambda client, id_: client.suspend(id_, "why"),
    "resume": lambda client, id_: client.resume(id_, "why"),
    "rewind": lambda client, id_: client.rewind(id_, "why"),
    "restart": lambda client, id_: client.restart(id_, restart_with_new_instance_id=False),
    "purge": lambda client, id_: client.purge(id_),
}
REACHABLE = tuple(one for one in RuntimeStatus if one not in (RuntimeStatus.CANCELED, RuntimeStatus.CONTINUED_AS_NEW))


async def waiting(ctx: OrchestrationContext, fate: str = "complete") -> str:
    await ctx.wait_for_external_event("go")
    if fate == "fail":
        raise ValueError("as told")
    return "done"


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(waiting)


def bring_to(bench: Workbench, status: RuntimeStatus) -> str:
    """Start an instance and bring it to a status."""
    id_ = bench.client.start_new("waiting", "fail" if status is RuntimeStatus.FAILED else "complete", instance_id="one")
    if status is RuntimeStatus.PENDING:
        return id_
    bench.run()
    match status:
        case RuntimeStatus.SUSPENDED:
            bench.client.suspend(id_)
        case RuntimeStatus.TERMINATED:
            bench.client.terminate(id_)
        case RuntimeStatus.COMPLETED | RuntimeStatus.FAILED:
            bench.client.raise_event(id_, "go")
    bench.run()
    assert bench.status(id_).runtime_status is status
    return id_


@pytest.mark.parametrize("status", REACHABLE)
@pytest.mark.parametrize("operation", ACTS)
def test_it_allows_what_the_table_allows_and_refuses_the_rest(
    bench: Workbench, bells: Bells, operation: str, status: RuntimeStatus
) -> None:
    id_ = bring_to(bench, status)
    before, rung = row_counts(), len(bells.queues)
    if status in LEGAL_IN[operation]:
        ACTS[operation](bench.client, id_)
        assert row_counts() != before
        assert len(bells.queues) == rung + (operation != "purge")
        return
    with pytest.raises(InvalidOperationError, match=f"Cannot {operation} instance 'one': it is {status}") as refused:
        ACTS[operation](bench.client, id_)
    assert refused.value.status == status
    assert (row_counts(), len(bells.queues)) == (before, rung)
    bench.run()
    assert bench.status(id_).runtime_status is (RuntimeStatus.RUNNING if status is RuntimeStatus.PENDING else status)


@pytest.mark.parametrize("id_", ["nobody", "", "a\x00b", "\ud800", "x" * 5000, "a/b"])
@pytest.mark.parametrize("operation", ACTS)
def test_it_says_that_an_instance_is_unknown(bench: Workbench, bells: Bells, operation: str, id_: str) -> None:
    with pytest.raises(InstanceNotFoundError, match="No instance"):
        ACTS[operation](bench.client, id_)
    assert set(row_counts().values()) == {0}
    assert bells.queues == []


def test_it_purges_an_instance_with_all_its_rows(bench: Workbench) -> None:
    id_ = bring_to(bench, RuntimeStatus.COMPLETED)
    assert bench.client.purge(id_) == 1
    assert set(row_counts().values()) == {0}
    assert bench.client.get_status(id_) is None


async def leaf(ctx: OrchestrationContext) -> str:
    return "leaf"


async def branch(ctx: OrchestrationContext) -> Any:
    return await ctx.call_sub_orchestrator("leaf", instance_id=f"{ctx.instance_id}-leaf")


async def root(ctx: OrchestrationContext) -> Any:
    results = await ctx.when_all(
        [ctx.call_sub_orchestrator("branch", instance_id=f"{ctx.instance_id}-{n}") for n in "ab"]
    )
    return results


def test_it_purges_with_sub_orchestrations_at_every_depth(bench: Workbench) -> None:
    for function in (leaf, branch, root):
        bench.orchestrator(function)
    bench.start("root", instance_id="r")
    assert bench.output("r") == ["leaf", "leaf"]
    assert bench.status("r-a-leaf").parent_instance_id == "r-a"
    assert row_counts()["Instance"] == 5
    assert bench.client.purge("r-a", recursive=False) == 1
    assert bench.status("r-a-leaf").parent_instance_id is None
    assert bench.client.purge("r") == 3
    assert row_counts()["Instance"] == 1
    assert bench.client.purge("r-a-leaf") == 1
    assert set(row_counts().values()) == {0}


def test_it_purges_the_finished_ones_that_a_filter_means(bench: Workbench) -> None:
    for function in (leaf, branch, root):
        bench.orchestrator(function)
    bench.client.start_many("root", [None] * 3, instance_ids=["r1", "r2", "x3"])
    bench.client.start_new("waiting", instance_id="r4")
    bench.run()
    assert bench.client.purge_by(InstanceFilter(instance_id_prefix="r", name="root")) == 10
    assert bench.client.purge_by(InstanceFilter(statuses=(RuntimeStatus.RUNNING,))) == 0
    assert bench.status("r4").runtime_status is RuntimeStatus.RUNNING
    assert bench.client.purge_by(InstanceFilter(), recursive=False) == 5
    assert row_counts()["Instance"] == 1


def test_it_restarts_under_a_new_id_or_its_own(bench: Workbench) -> None:
    bench.client.start_new("waiting", "complete", instance_id="one", tags={"k": "v"}, version="3")
    bench.run()
    second = bench.client.restart("one")
    assert second != "one"
    status = bench.status(second)
    assert (status.name, status.input, status.tags, status.version) == ("waiting", "complete", {"k": "v"}, "3")
    bench.client.terminate("one")
    bench.run()
    before = row_of("one").pk
    assert bench.client.restart("one", restart_with_new_instance_id=False) == "one"
    bench.run()
    assert bench.status("one").runtime_status is RuntimeStatus.RUNNING
    assert row_of("one").pk != before


def test_it_waits_for_completion_and_shows_each_look(bench: Workbench) -> None:
    id_ = bring_to(bench, RuntimeStatus.COMPLETED)
    seen: list[OrchestrationStatus] = []
    status = bench.client.wait_for_completion(id_, 1, on_poll=seen.append)
    assert (status.output, seen) == ("done", [status])


def test_it_announces_what_has_ended_and_nothing_else(bench: Workbench, bells: Bells) -> None:
    bring_to(bench, RuntimeStatus.RUNNING)
    assert bells.ended == []
    bench.client.terminate("one")
    bench.run()
    assert bells.ended == ["one"]


def test_it_gives_up_waiting_after_the_timeout(bench: Workbench) -> None:
    id_ = bring_to(bench, RuntimeStatus.RUNNING)
    with pytest.raises(TimeoutError, match=r"'one' is still Running after 0\.05 s"):
        bench.client.wait_for_completion(id_, 0.05)
    with pytest.raises(InstanceNotFoundError):
        bench.client.wait_for_completion("nobody", 0.05)


def test_it_keeps_the_reason_of_a_termination_as_output(bench: Workbench) -> None:
    id_ = bring_to(bench, RuntimeStatus.RUNNING)
    bench.client.terminate(id_, "no longer needed")
    bench.run()
    status = bench.status(id_)
    assert (status.runtime_status, status.output) == (RuntimeStatus.TERMINATED, "no longer needed")
    assert status.completed_at is not None
