"""Floods cost latency: what a worker holds at a time stays bounded, and everything is done in the end."""

from __future__ import annotations

from typing import Any

import pytest

from durable_host import OrchestrationContext
from durable_host.dispatch import host
from durable_host.models import Instance
from durable_host.store import claims
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


@pytest.mark.usefixtures("small")
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


def test_a_host_that_is_far_behind_is_told_no_more(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_MOST_WAKES", 5)
    worker = bench.host()
    for _ in range(100):
        worker.wake()
    assert worker._inbox.qsize() == 5
