"""Floods cost latency: what a worker holds at a time stays bounded, and everything is done in the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from durable_host import OrchestrationContext
from durable_host.core.registry import default_registry
from durable_host.dispatch import host
from durable_host.dispatch.activities import ActivityPool
from durable_host.dispatch.attempt import Attempt
from durable_host.models import Instance
from durable_host.store import claims
from durable_host.store.shapes import ActivityOutcome
from tests.store.workbench import STORE, Workbench, assert_gap_free, assert_nothing_is_left

pytestmark = STORE

BATCH = 50
FLOOD = 500


@pytest.fixture
def small(settings: Any) -> None:
    """A host that takes little at a time."""
    settings.DURABLE_HOST = {
        **settings.DURABLE_HOST, "TURN_BATCH": BATCH, "MAX_ACTIVITIES": 10, "RESIDENT_EXECUTIONS": 20,
    }  # fmt: skip


@pytest.fixture
def few_processes(settings: Any) -> None:
    """A host with two processes for activities of their own."""
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "MAX_ISOLATED": 2}


@pytest.mark.usefixtures("small")
@pytest.mark.case(36)
def test_a_flood_of_starts_is_worked_off_in_batches(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def short(ctx: OrchestrationContext, n: int) -> int:
        return int(await ctx.call_activity("echo", n))

    bench.orchestrator(short)
    bench.activity(lambda n: n, name="echo")
    held: list[tuple[int, int, int]] = []
    worker = bench.host()
    claim = claims.claim_turns

    def watched(*args: Any, **options: Any) -> Any:
        claimed, has_more = claim(*args, **options)
        held.append((len(claimed), len(worker._turns.resident), worker._inbox.qsize()))
        return claimed, has_more

    monkeypatch.setattr(claims, "claim_turns", watched)
    # given: all at once, while nobody works
    bench.client.start_many("short", range(FLOOD))
    # when
    worker.run_until_idle()
    # then
    claimed, resident, queued = map(max, zip(*held, strict=True))
    assert claimed == BATCH
    assert resident <= 20 + BATCH
    assert queued <= 10 + 1
    assert Instance.objects.filter(status="Completed").count() == FLOOD
    assert bench.calls["echo"] == FLOOD
    assert_nothing_is_left()


@pytest.mark.case(36)
def test_a_flood_of_events_is_taken_in_parts_and_in_order(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def collecting(ctx: OrchestrationContext) -> list[Any]:
        return [await ctx.wait_for_external_event("n") for _ in range(40)]

    monkeypatch.setattr(claims, "_MOST_MESSAGES", 7)
    bench.orchestrator(collecting)
    ids = [bench.start("collecting", instance_id=name) for name in ("one", "two")]
    # given: far more than one turn takes
    for number in range(40):
        for id_ in ids:
            bench.client.raise_event(id_, "n", number)
    # when
    bench.run()
    # then
    for id_ in ids:
        assert bench.output(id_) == list(range(40))
        assert len(bench.kinds(id_, "OrchestratorStarted")) > 40 // 7
        assert_gap_free(id_)
    assert_nothing_is_left()


def test_a_flood_of_outcomes_is_committed_in_parts(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wide(ctx: OrchestrationContext) -> int:
        return sum(await ctx.when_all([ctx.call_activity("echo", n) for n in range(60)]))

    monkeypatch.setattr(host, "_MOST_OUTCOMES", 5)
    bench.orchestrator(wide)
    bench.activity(lambda n: n, name="echo")
    worker = bench.host()
    decide, parts = worker._turns.decide, []

    def watched(claimed: Any, outcomes: Any, busy: Any) -> Any:
        parts.append(len(outcomes))
        return decide(claimed, outcomes, busy)

    monkeypatch.setattr(worker._turns, "decide", watched)
    id_ = bench.client.start_new("wide")
    worker.run_until_idle()
    assert bench.output(id_) == sum(range(60))
    assert max(parts) <= 5
    assert sum(parts) == bench.calls["echo"] == 60


@pytest.mark.usefixtures("few_processes")
def test_activities_wait_for_a_process_of_their_own(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wide(ctx: OrchestrationContext) -> int:
        return sum(await ctx.when_all([ctx.call_activity("apart", n) for n in range(6)]))

    bench.orchestrator(wide)
    bench.activity(lambda n: n, name="apart", isolated=True)
    monkeypatch.setitem(default_registry.activities, "apart", bench.registry.activities["apart"])
    # given: children of which each waits for another one beside it
    pair, lock, here, most = threading.Barrier(2, timeout=60), threading.Lock(), [], []

    def child(pool: ActivityPool, attempt: Attempt) -> ActivityOutcome:
        with lock:
            here.append(attempt)
            most.append(len(here))
        pair.wait()
        with lock:
            here.remove(attempt)
        return attempt.completed(1)

    monkeypatch.setattr(ActivityPool, "_ask_child", child)
    # then: two are there at a time, never a third, and all have their turn
    assert bench.output(bench.start("wide")) == 6
    assert max(most) == 2


def test_a_host_that_is_far_behind_is_told_no_more(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_MOST_WAKES", 5)
    worker = bench.host()
    for _ in range(100):
        worker.wake()
    assert worker._inbox.qsize() == 5
