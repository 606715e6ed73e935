"""What the rows say of the hub's health, on both databases; and that asking stays cheap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from durable_host import OrchestrationContext
from durable_host.core import metrics
from durable_host.core.metrics import Metric
from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from durable_host.store import clock, gauges, workers
from durable_host.store.gauges import Size
from tests.store.conftest import MovingClock
from tests.store.test_workers import report, start_unknown
from tests.store.workbench import STORE, Workbench

pytestmark = STORE

Ctx = OrchestrationContext
HUB = "default"


def values(metric: Metric) -> dict[str, float]:
    """The samples of a gauge by label."""
    return {sample.label: sample.value for sample in gauges.read_hub(HUB) if sample.metric is metric}


def value(metric: Metric) -> float:
    """The value of a gauge without label."""
    return values(metric)[""]


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    async def quick(ctx: Ctx) -> None:
        return None

    async def listening(ctx: Ctx) -> Any:
        return await ctx.wait_for_external_event("go")

    async def naps(ctx: Ctx) -> None:
        await ctx.create_timer(timedelta(hours=1))

    async def spreads(ctx: Ctx, width: int) -> None:
        await ctx.when_all([ctx.call_activity("far") for _ in range(width)])

    for function in (quick, listening, naps, spreads):
        bench.orchestrator(function)
    bench.activity(lambda _: None, name="far", queue="far")


def test_an_empty_hub_has_nothing_to_tell() -> None:
    samples = gauges.read_hub(HUB)
    assert {sample.metric for sample in samples} == set(metrics.HUB_GAUGES)
    assert {sample.value for sample in samples} == {0}
    assert values(metrics.INSTANCES) == dict.fromkeys(RuntimeStatus, 0)


def test_instances_are_counted_by_status(bench: Workbench) -> None:
    for name in ("quick", "quick", "quick", "listening"):
        bench.client.start_new(name)
    bench.run()
    bench.client.start_new("quick")
    found = {status: count for status, count in values(metrics.INSTANCES).items() if count}
    assert found == {"Completed": 3, "Running": 1, "Pending": 1}
    assert set(values(metrics.INSTANCES_ESTIMATED).values()) == {0}


def test_messages_that_no_turn_has_taken_age(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("naps")
    assert value(metrics.OLDEST_MESSAGE) == 0
    bench.client.start_new("quick")
    moving_clock.advance(seconds=40)
    bench.client.start_new("quick")
    assert value(metrics.OLDEST_MESSAGE) == pytest.approx(40, abs=5)


def test_a_timer_lags_once_it_is_due(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("naps")
    moving_clock.advance(minutes=59)
    assert value(metrics.TIMER_LAG) == 0
    moving_clock.advance(minutes=2)
    assert value(metrics.TIMER_LAG) == pytest.approx(60, abs=10)
    assert value(metrics.OLDEST_MESSAGE) == 0


def test_a_stalled_instance_counts_as_stalled_and_not_as_late(bench: Workbench, moving_clock: MovingClock) -> None:
    start_unknown(bench, "nobody_knows_it")
    bench.run()
    moving_clock.advance(minutes=10)
    assert value(metrics.INSTANCES_STALLED) == 1
    assert value(metrics.OLDEST_MESSAGE) == 0


def test_each_queue_has_its_backlog(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("spreads", 7)
    workers.show(report("afar", queue="idle"))
    moving_clock.advance(seconds=10)
    assert values(metrics.BACKLOG) == {"default": 0, "far": 7, "idle": 0}
    assert values(metrics.WORKERS) == {"default": 0, "far": 0, "idle": 1}
    waits = values(metrics.OLDEST_ACTIVITY)
    assert waits["far"] == pytest.approx(10, abs=5)
    assert (waits["default"], waits["idle"]) == (0, 0)


def test_open_waits_are_counted(bench: Workbench) -> None:
    for _ in range(3):
        bench.client.start_new("listening")
    bench.run()
    assert value(metrics.EVENT_WAITS) == 3


def test_another_hub_is_another_world(bench: Workbench) -> None:
    bench.start("spreads", 2)
    bench.start("listening")
    bench.client.start_new("quick")
    assert {sample.value for sample in gauges.read_hub("elsewhere")} == {0}


def test_workers_tell_of_themselves_until_they_leave(moving_clock: MovingClock) -> None:
    workers.show(
        report(
            "one",
            running_activities=3,
            max_activities=10,
            abandoned_activities=1,
            resident_executions=5,
            held_instances=2,
        )
    )
    workers.show(report("two"))
    workers.leave(report("two"))
    moving_clock.advance(seconds=9)
    found = {sample.metric: sample.value for sample in gauges.read_workers(HUB) if sample.label == "one"}
    assert found.pop(metrics.WORKER_SEEN_AGE) == pytest.approx(9, abs=3)
    found.pop(metrics.WORKER_CLOCK, None)
    assert found == {
        metrics.WORKER_RUNNING: 3,
        metrics.WORKER_ROOM: 10,
        metrics.WORKER_ABANDONED: 1,
        metrics.WORKER_RESIDENT: 5,
        metrics.WORKER_HELD: 2,
    }
    assert {sample.label for sample in gauges.read_workers(HUB)} == {"one"}


# --- many rows --------------------------------------------------------------------------------------------------------

MANY = 5_000


@pytest.fixture
def grown_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """More finished instances than are counted one by one."""
    monkeypatch.setattr(gauges, "EXACT", MANY // 10)
    now = clock.now()
    row = {"hub": HUB, "name": "old", "created_at": now, "updated_at": now}
    statuses = [RuntimeStatus.COMPLETED] * (MANY - 30) + [RuntimeStatus.FAILED] * 30
    Instance.objects.bulk_create(
        [Instance(instance_id=f"old-{n}", status=status, **row) for n, status in enumerate(statuses)], batch_size=1000
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.usefixtures("grown_table")
def test_a_grown_table_is_estimated_where_that_is_cheaper_and_says_so() -> None:
    sizes = gauges.count_by_status(HUB)
    assert sizes[RuntimeStatus.FAILED] == Size(30)
    if connection.vendor == "postgresql":
        assert sizes[RuntimeStatus.COMPLETED].is_estimate
        assert sizes[RuntimeStatus.COMPLETED].count == pytest.approx(MANY - 30, rel=0.1)
        assert values(metrics.INSTANCES_ESTIMATED)["Completed"] == 1
    else:
        assert sizes[RuntimeStatus.COMPLETED] == Size(MANY - 30)


def plan_of(sql: str) -> str:
    """How the database runs a query."""
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + sql)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.usefixtures("grown_table")
def test_no_query_reads_the_grown_table(django_assert_max_num_queries: Any) -> None:
    """Every question is answered from an index, or ends at the limit."""
    with django_assert_max_num_queries(22) as captured:
        gauges.read_hub(HUB)
    for query in captured.captured_queries:
        if query["sql"].startswith("EXPLAIN") or "LIMIT" in query["sql"]:
            continue
        for line in plan_of(query["sql"]).splitlines():
            assert "Seq Scan on durable_host_instance" not in line, query["sql"]
            assert "SCAN durable_host_instance" not in line or "COVERING INDEX" in line, query["sql"]
