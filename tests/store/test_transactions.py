"""A start or an event belongs to the caller's transaction, and its bell rings after that has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import django_rq
import pytest
from django.db import transaction

from durable_host import InstanceAlreadyExistsError, OrchestrationContext, RuntimeStatus
from durable_host.client import DurableClient
from durable_host.dispatch import doorbell
from durable_host.embedded import EmbeddedRedis
from durable_host.models import Instance
from durable_host.store.shapes import Wake
from tests.bells import Bells
from tests.store.workbench import STORE, Workbench, row_counts

pytestmark = STORE


async def listening(ctx: OrchestrationContext, value: Any = None) -> Any:
    if value == "fail":
        raise ValueError("as told")
    return await ctx.wait_for_external_event("go")


class Rollback(Exception):
    """Undo what the block did."""


ACTS: dict[str, Callable[[DurableClient], Any]] = {
    "start_new": lambda client: client.start_new("listening", instance_id="new"),
    "start_many": lambda client: client.start_many("listening", [1, 2]),
    "start_or_get": lambda client: client.start_or_get("listening", instance_id="new"),
    "raise_event": lambda client: client.raise_event("one", "go"),
    "terminate": lambda client: client.terminate("one"),
    "suspend": lambda client: client.suspend("one"),
    "rewind": lambda client: client.rewind("failed"),
    "restart": lambda client: client.restart("failed"),
    "purge": lambda client: client.purge("failed"),
}


@pytest.fixture(autouse=True)
def instances(bench: Workbench, bells: Bells) -> None:
    bench.orchestrator(listening)
    bench.start("listening", instance_id="one")
    bench.start("listening", "fail", instance_id="failed")
    bells.queues.clear()


@pytest.mark.parametrize("act", ACTS)
def test_it_leaves_nothing_and_rings_nothing_when_the_caller_rolls_back(
    bench: Workbench, bells: Bells, act: str
) -> None:
    before = row_counts()
    with suppress(Rollback), transaction.atomic():
        ACTS[act](bench.client)
        raise Rollback
    assert row_counts() == before
    assert (bells.queues, bells.workers) == ([], [])
    assert bench.status("one").runtime_status is RuntimeStatus.RUNNING
    assert bench.status("failed").runtime_status is RuntimeStatus.FAILED


@pytest.mark.parametrize("act", ACTS)
def test_it_rings_after_the_callers_commit_and_not_before(bench: Workbench, bells: Bells, act: str) -> None:
    before = row_counts()
    with transaction.atomic():
        with transaction.atomic():
            ACTS[act](bench.client)
        assert bells.queues == []
    assert bells.queues == ([] if act == "purge" else ["default"])
    assert row_counts() != before


def test_it_goes_on_in_the_callers_transaction_after_a_refusal(bench: Workbench) -> None:
    with transaction.atomic():
        bench.client.start_new("listening", instance_id="before")
        with pytest.raises(InstanceAlreadyExistsError):
            bench.client.start_new("listening", instance_id="one")
        bench.client.start_new("listening", instance_id="after")
    assert Instance.objects.count() == 4


def test_it_starts_and_steers_in_one_transaction(bench: Workbench) -> None:
    with transaction.atomic():
        bench.client.start_new("listening", instance_id="new")
        bench.client.raise_event("new", "go", 42)
        assert bench.status("new").runtime_status is RuntimeStatus.PENDING
    bench.run()
    assert bench.output("new") == 42


def test_it_tells_the_worker_that_holds_the_instance(bench: Workbench, bells: Bells) -> None:
    host = bench.host("holder")
    bench.client.raise_event("one", "other")
    claimed = host._claim_turns()
    assert [one.head.instance_id for one in claimed] == ["one"]
    bells.queues.clear()
    bench.client.raise_event("one", "go")
    assert (bells.queues, bells.workers) == ([], ["holder"])


@pytest.fixture
def real_bells(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, bells: Bells) -> Iterator[Any]:
    """The queue in Redis, empty, and the bell that rings there."""
    monkeypatch.undo()
    queue = django_rq.get_queue("default", job_class=doorbell.BellJob)
    queue.connection.flushall()
    yield queue
    queue.connection.flushall()
    queue.connection.close()


def test_it_puts_one_bell_into_redis_after_the_commit(bench: Workbench, real_bells: Any) -> None:
    with transaction.atomic():
        bench.client.start_new("listening", instance_id="new")
        assert real_bells.count == 0
    assert real_bells.count == 1
    bench.client.start_many("listening", [1, 2, 3])
    bench.client.raise_event("new", "go")
    assert real_bells.count == 1  # one that waits is enough
    (job,) = real_bells.jobs
    assert (job.func_name, list(job.args)) == (doorbell.ANSWER, ["default"])


def test_it_puts_no_bell_into_redis_after_a_rollback(bench: Workbench, real_bells: Any) -> None:
    with suppress(Rollback), transaction.atomic():
        bench.client.start_new("listening", instance_id="new")
        raise Rollback
    assert real_bells.count == 0


def test_it_survives_a_queue_that_is_not_configured(
    bench: Workbench, real_bells: Any, caplog: pytest.LogCaptureFixture
) -> None:
    doorbell.ring(Wake(frozenset({"nowhere", "default"})))
    assert "No such queue in RQ_QUEUES" in caplog.text
    assert real_bells.count == 1
