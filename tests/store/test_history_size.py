"""What a history holds is counted as it grows, so that people hear of it before it is too much."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.models import HistoryEvent, Instance
from tests.store.workbench import STORE, Workbench, row_of

pytestmark = STORE

LARGE = 10_000


async def collecting(ctx: OrchestrationContext, rounds: int) -> int:
    """Ask for one large answer after another, and wait between them."""
    for n in range(rounds):
        await ctx.call_activity("large", n)
        await ctx.wait_for_external_event("go")
    return rounds


@pytest.fixture
def begun(bench: Workbench) -> str:
    bench.orchestrator(collecting)
    bench.activity(lambda n: "é" * (LARGE // 2), name="large")
    return bench.start(collecting, 5, instance_id="i")


def go_on(bench: Workbench) -> None:
    bench.client.raise_event("i", "go", None)
    bench.run()


def stored(instance_id: str) -> int:
    """Look at the rows themselves."""
    events = HistoryEvent.objects.filter(instance=row_of(instance_id), generation=row_of(instance_id).generation)
    return sum(len(payload.encode()) for payload in events.values_list("payload", flat=True) if payload)


def test_its_row_says_how_many_bytes_its_history_has(bench: Workbench, begun: str) -> None:
    for _ in range(3):
        assert row_of("i").history_bytes == stored("i") > LARGE
        go_on(bench)


def test_what_a_worker_of_the_release_before_has_written_is_counted_by_the_next_turn(
    bench: Workbench, begun: str
) -> None:
    # given: its turns did not touch the column
    Instance.objects.update(history_bytes=None)
    go_on(bench)
    assert row_of("i").history_bytes == stored("i") > 2 * LARGE


@pytest.mark.case(25)
def test_it_warns_once_and_then_fails(
    bench: Workbench, begun: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "MAX_HISTORY_BYTES": 3 * LARGE + 1000}
    go_on(bench)
    assert "MAX_HISTORY_BYTES" not in caplog.text
    go_on(bench)
    assert bench.status("i").runtime_status is RuntimeStatus.RUNNING
    go_on(bench)
    warned = [record for record in caplog.records if "MAX_HISTORY_BYTES" in record.getMessage()]
    assert [record.__dict__["instance_id"] for record in warned] == ["i"]
    # then: the next answer is too much; what was counted still says how it stands
    status = bench.status("i")
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.failure is not None
    assert status.failure.error_type == "LimitExceededError"
    assert "MAX_HISTORY_BYTES allows 31,000" in status.failure.error_message


def test_a_new_execution_begins_to_count_anew(bench: Workbench) -> None:
    async def again(ctx: OrchestrationContext, n: int) -> None:
        await ctx.call_activity("large", n)
        if n < 3:
            ctx.continue_as_new(n + 1)

    bench.orchestrator(again)
    bench.activity(lambda n: "x" * LARGE, name="large")
    bench.start(again, 0, instance_id="i")
    assert bench.status("i").runtime_status is RuntimeStatus.COMPLETED
    assert row_of("i").history_bytes == stored("i") < 2 * LARGE


def test_a_rewound_execution_counts_what_it_has_kept(bench: Workbench) -> None:
    broken = [True]

    def fragile(n: int) -> str:
        if broken:
            raise ValueError("no")
        return "well"

    async def two(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("large", 1)
        await ctx.call_activity("fragile", 1)

    bench.orchestrator(two)
    bench.activity(lambda n: "x" * LARGE, name="large")
    bench.activity(fragile)
    bench.start(two, instance_id="i")
    broken.clear()
    bench.client.rewind("i", "mended")
    assert row_of("i").history_bytes == stored("i") > LARGE
    bench.run()
    assert bench.status("i").runtime_status is RuntimeStatus.COMPLETED
    assert row_of("i").history_bytes == stored("i")
