"""One operation on many instances: worked off in parts, resumed, stopped, and audited one by one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from durable_host import BadRequestError, OrchestrationContext, RuntimeStatus, desk
from durable_host.client import InstanceFilter
from durable_host.core.access import Operation
from durable_host.models import Instance
from durable_host.store import audit, batches
from durable_host.store.audit import Asked
from durable_host.store.batches import BatchRequest, BatchState
from durable_host.store.shapes import Wake
from tests.bells import Bells
from tests.store.workbench import STORE, Workbench

pytestmark = STORE
HUB = "default"
ASKED = Asked(hub=HUB, actor_kind="user", actor="ann", address="::1", operation=Operation.LIST)
BROKEN = {"is": True}


async def wait(ctx: OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("Go")


async def fail(ctx: OrchestrationContext, number: int) -> int:
    return int(await ctx.call_activity("sometimes", number))


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(wait)
    bench.orchestrator(fail)
    BROKEN["is"] = True

    def sometimes(number: int) -> int:
        if BROKEN["is"]:
            raise ValueError(number)
        return number

    bench.activity(sometimes)


def start_many(bench: Workbench, name: str, count: int) -> list[str]:
    ids = [f"{name}{number:03}" for number in range(count)]
    bench.client.start_many(name, range(count) if name == "fail" else [None] * count, instance_ids=ids)
    bench.run()
    return ids


def ask(operation: Operation, **more: Any) -> str:
    return desk.start_batch(BatchRequest(operation=operation, **more), ASKED)


def status(batch_id: str) -> batches.BatchStatus:
    found = batches.get(HUB, batch_id)
    assert found is not None
    return found


def statuses() -> set[str]:
    return set(Instance.objects.values_list("status", flat=True))


def test_all_that_match_are_terminated_and_each_is_audited(bench: Workbench, bells: Bells) -> None:
    start_many(bench, "wait", 60)
    bells.queues.clear()
    batch_id = ask(Operation.TERMINATE, filter=InstanceFilter(name="wait"), reason="cleaning up")
    assert bells.queues == ["default"]
    assert (status(batch_id).state, status(batch_id).estimate.value) == (BatchState.WAITING, 60)
    bench.run()
    over = status(batch_id)
    assert (over.state, over.done, over.skipped, over.failed, over.percent) == (BatchState.FINISHED, 60, 0, 0, 100)
    assert statuses() == {"Terminated"}
    record = audit.latest(HUB, instance_id="wait007")[0]
    assert (record.asked.actor, record.asked.operation) == ("ann", Operation.TERMINATE)
    assert record.asked.detail == f"batch {batch_id}; cleaning up"
    assert bench.status("wait007").output == "cleaning up"
    assert batches.latest(HUB) == (over,)


def test_the_other_operations(bench: Workbench) -> None:
    start_many(bench, "wait", 3)
    for operation, expected in ((Operation.SUSPEND, "Suspended"), (Operation.RESUME, "Running")):
        batch_id = ask(operation, filter=InstanceFilter())
        bench.run()
        assert status(batch_id).done == 3
        assert statuses() == {expected}
    ask(Operation.RAISE_EVENT, filter=InstanceFilter(), event_name="Go", event_data="7")
    bench.run()
    assert bench.output("wait001") == 7
    restarted = ask(Operation.RESTART, filter=InstanceFilter(statuses=(RuntimeStatus.COMPLETED,)))
    bench.run()
    assert status(restarted).done == 3
    assert Instance.objects.filter(status="Running").count() == 3
    purged = ask(Operation.PURGE, filter=InstanceFilter())
    bench.run()
    assert status(purged).done == 3
    assert Instance.objects.count() == 3


def test_failed_ones_are_rewound_and_those_that_moved_on_are_skipped(bench: Workbench) -> None:
    ids = start_many(bench, "fail", 4)
    BROKEN["is"] = False
    bench.client.rewind("fail002")
    bench.run()
    batch_id = ask(Operation.REWIND, instance_ids=(*ids, "nobody"))
    bench.run()
    over = status(batch_id)
    assert (over.done, over.skipped, over.failed, over.handled) == (3, 2, 0, 5)
    assert statuses() == {"Completed"}


def test_what_is_wrong_with_one_does_not_stop_the_others(bench: Workbench) -> None:
    start_many(bench, "fail", 2)
    start_many(bench, "wait", 1)
    bench.client.terminate("wait000")
    bench.run()
    del bench.registry.orchestrators["wait"]
    batch_id = ask(Operation.RESTART, filter=InstanceFilter())
    bench.run()
    over = status(batch_id)
    assert (over.done, over.failed) == (2, 1)
    assert over.errors[0].instance_id == "wait000"
    assert over.errors[0].message.startswith("UnknownOrchestratorError: No orchestrator 'wait'")
    assert audit.latest(HUB, instance_id="wait000")[0].outcome == "refused"


def test_a_part_that_the_database_breaks_off_is_done_again_and_nothing_twice(bench: Workbench) -> None:
    start_many(bench, "wait", 5)
    batch_id = ask(Operation.SUSPEND, filter=InstanceFilter())
    touched: list[str] = []

    def broken(request: BatchRequest, instance_id: str) -> Wake:
        touched.append(instance_id)
        if len(touched) == 4:
            raise OperationalError("the connection is gone")
        return Wake()

    assert batches.work_part(HUB, broken, size=2) is not None
    assert status(batch_id).done == 2
    with pytest.raises(OperationalError):
        batches.work_part(HUB, broken, size=2)
    assert (status(batch_id).done, status(batch_id).state) == (2, BatchState.RUNNING)
    while batches.work_part(HUB, broken, size=2) is not None:
        pass
    assert status(batch_id).done == 5
    done = [*touched[:2], *touched[4:]]
    assert sorted(done) == sorted(set(done)) == [f"wait{number:03}" for number in range(5)]


def test_a_batch_can_be_stopped(bench: Workbench) -> None:
    start_many(bench, "wait", 6)
    batch_id = ask(Operation.TERMINATE, filter=InstanceFilter())
    assert batches.work_part(HUB, lambda request, instance_id: Wake(), size=2) is not None
    assert batches.cancel(HUB, batch_id)
    assert status(batch_id).state is BatchState.CANCELLING
    assert not batches.cancel(HUB, batch_id)
    bench.run()
    over = status(batch_id)
    assert (over.state, over.done) == (BatchState.CANCELLED, 2)
    assert not batches.is_any_open(HUB)
    assert statuses() == {"Running"}


def test_only_those_that_were_there_are_meant(bench: Workbench) -> None:
    start_many(bench, "wait", 2)
    batch_id = ask(Operation.TERMINATE, filter=InstanceFilter())
    bench.client.start_new("wait", instance_id="later")
    bench.run()
    assert status(batch_id).done == 2
    assert bench.status("later").runtime_status is RuntimeStatus.RUNNING


def test_what_no_batch_can_do(bench: Workbench) -> None:
    for wrong in (
        BatchRequest(operation=Operation.START, filter=InstanceFilter()),
        BatchRequest(operation=Operation.PURGE),
        BatchRequest(operation=Operation.PURGE, filter=InstanceFilter(), instance_ids=("a",)),
        BatchRequest(operation=Operation.RAISE_EVENT, filter=InstanceFilter()),
    ):
        with pytest.raises(BadRequestError):
            desk.start_batch(wrong, ASKED)
    nothing = ask(Operation.RESUME, filter=InstanceFilter(statuses=(RuntimeStatus.COMPLETED,)))
    assert batches.get(HUB, "nobody") is None
    bench.run()
    assert (status(nothing).state, status(nothing).handled) == (BatchState.FINISHED, 0)


def test_a_filter_survives_being_stored(bench: Workbench) -> None:
    start_many(bench, "wait", 1)
    begun = Instance.objects.get().created_at
    wanted = InstanceFilter(
        statuses=(RuntimeStatus.RUNNING,),
        name="wait",
        tags={"a": "b"},
        created_from=begun - timedelta(days=1),
        roots_only=True,
    )
    assert status(ask(Operation.TERMINATE, filter=wanted)).request.filter == wanted
