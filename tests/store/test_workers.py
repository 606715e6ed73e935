"""The table of workers: who is there, who is lost, and what each has counted."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core import metrics
from durable_host.core.metrics import Metric
from durable_host.dispatch.host import Host
from durable_host.models import WorkerState
from durable_host.store import clock, sql, stalls, workers
from durable_host.store.workers import WorkerReport
from tests.services import PATIENCE, wait_until
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, statements

pytestmark = STORE

Ctx = OrchestrationContext
HUB = "default"


def report(name: str = "one", **changes: Any) -> WorkerReport:
    """What a worker of these tests tells."""
    given: dict[str, Any] = {
        "hub": HUB,
        "name": name,
        "queue": "default",
        "hostname": "here",
        "pid": 7,
        "version": "1",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return WorkerReport(**{**given, **changes})


def counted(metric: Metric, worker: str = "worker") -> dict[str, list[float]]:
    """What the row of a worker has of a metric."""
    series: dict[str, list[float]] = WorkerState.objects.get(name=worker).counters.get(metric.name, {})
    return series


def count(metric: Metric, worker: str = "worker") -> dict[str, float]:
    """The counts of a counter, or how many values a histogram has seen."""
    return {
        label: sum(numbers[1:]) if metric.bounds else numbers[0] for label, numbers in counted(metric, worker).items()
    }


def start_unknown(bench: Workbench, name: str) -> None:
    """Start an orchestrator that is not registered any more when its turn comes."""

    async def gone(ctx: Ctx) -> None:
        return None

    bench.registry.add_orchestrator(gone, name)
    bench.client.start_new(name)
    del bench.registry.orchestrators[name]


# --- who is there -----------------------------------------------------------------------------------------------------


def test_a_worker_shows_itself_in_one_row() -> None:
    workers.show(report(running_activities=3, held_instances=2))
    workers.show(report(running_activities=4, resident_executions=9))
    (one,) = workers.list_live_workers(HUB)
    assert (one.report.running_activities, one.report.resident_executions, one.report.held_instances) == (4, 9, 0)
    assert one.is_live
    assert not one.is_lost


def test_to_show_itself_costs_one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        with statements(monkeypatch) as sent:
            workers.show(report(running_activities=number))
        asked_for_the_time = ["SELECT"] if sql.is_postgresql() else []
        assert [text.split()[0] for text in sent] == [*asked_for_the_time, "INSERT"]
    assert [one.report.running_activities for one in workers.list_workers(HUB)] == [1]


def test_a_silent_worker_is_lost_and_one_that_left_is_not(moving_clock: MovingClock) -> None:
    workers.show(report("silent"))
    workers.show(report("polite"))
    workers.leave(report("polite"))
    moving_clock.advance(seconds=workers.patience().total_seconds() + 1)
    assert workers.list_live_workers(HUB) == []
    assert {one.report.name: one.is_lost for one in workers.list_workers(HUB)} == {"silent": True, "polite": False}


def test_workers_that_were_not_seen_for_long_are_removed(moving_clock: MovingClock) -> None:
    workers.show(report("old"))
    moving_clock.advance(seconds=workers.KEPT.total_seconds() + 1)
    workers.show(report("new"))
    assert [one.report.name for one in workers.list_workers(HUB)] == ["new"]
    assert workers.forget_gone(HUB) == 1
    assert list(WorkerState.objects.values_list("name", flat=True)) == ["new"]


def test_workers_of_another_hub_are_not_seen() -> None:
    workers.show(report(hub="elsewhere"))
    assert workers.list_workers(HUB) == []
    assert workers.queues_without_worker(HUB) == ["default"]


def test_queues_without_a_worker_are_named(bench: Workbench) -> None:
    async def calls_all(ctx: Ctx) -> None:
        await ctx.when_all([ctx.call_activity(name) for name in ("a", "b", "c")])

    bench.orchestrator(calls_all)
    for name, queue in (("a", "default"), ("b", "gpu"), ("c", "mail")):
        bench.activity(lambda _: None, name=name, queue=queue)
    bench.client.start_new("calls_all")
    bench.run()
    workers.show(report("mailer", queue="mail"))
    assert workers.queues_in_use(HUB) == ["gpu", "mail"]
    assert workers.queues_without_worker(HUB) == ["default", "gpu"]  # the host of the bench has left
    assert workers.count_live_by_queue(HUB, ["gpu"]) == {"gpu": 0, "mail": 1}


def test_the_clock_is_held_against_the_database_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "machine_now", lambda: timezone.now() + timedelta(seconds=90))
    workers.show(report())
    (one,) = workers.list_live_workers(HUB)
    if connection.vendor == "postgresql":
        assert one.clock_offset == pytest.approx(90, abs=2)
    else:
        assert one.clock_offset is None


# --- what a host counts -----------------------------------------------------------------------------------------------


def test_a_host_writes_its_row_and_says_good_bye(bench: Workbench) -> None:
    seen: list[WorkerState] = []

    async def looks(ctx: Ctx) -> None:
        await ctx.call_activity("look")

    bench.orchestrator(looks)
    bench.activity(lambda _: seen.append(WorkerState.objects.get(name="worker")), name="look")
    bench.start("looks")
    row = seen[0]
    assert (row.queue, row.pid, row.max_activities, row.left_at) == ("default", os.getpid(), 100, None)
    assert WorkerState.objects.get(name="worker").left_at is not None


def test_a_host_tells_how_many_activities_it_could_not_stop(bench: Workbench) -> None:
    may_end = threading.Event()

    async def asks(ctx: Ctx) -> None:
        await ctx.call_activity("hangs")

    bench.orchestrator(asks)
    bench.activity(lambda _: may_end.wait(PATIENCE), name="hangs", timeout=timedelta(seconds=0.05))
    host = bench.host()
    pool = host._pool

    def shown_with(abandoned: int) -> int:
        def is_so() -> bool:
            host._cycle()
            return pool.abandoned == abandoned

        wait_until(is_so, f"{abandoned} to be abandoned")
        host._next_sweep = 0
        host._cycle()
        return WorkerState.objects.get(name="worker").abandoned_activities

    bench.client.start_new("asks")
    assert shown_with(1) == 1
    may_end.set()
    assert shown_with(0) == 0
    pool.close(0)


def test_every_act_counts_once(bench: Workbench) -> None:
    async def chain(ctx: Ctx) -> None:
        for number in range(5):
            await ctx.call_activity("step", number)

    async def fails(ctx: Ctx) -> None:
        policy = RetryPolicy(first_retry_interval=timedelta(milliseconds=1), max_number_of_attempts=3)
        await ctx.call_activity("breaks", retry=policy)

    async def goes_round(ctx: Ctx, left: int) -> None:
        if left:
            ctx.continue_as_new(left - 1)

    for function in (chain, fails, goes_round):
        bench.orchestrator(function)
    bench.activity(lambda n: n, name="step")
    bench.activity(lambda _: 1 / 0, name="breaks")
    for _ in range(3):
        bench.client.start_new("chain")
    bench.client.start_new("fails")
    bench.client.start_new("goes_round", 4)
    ended = bench.client.start_new("chain")
    bench.client.terminate(ended, "enough")
    bench.run()
    assert count(metrics.ORCHESTRATIONS_STARTED) == {"chain": 4, "fails": 1, "goes_round": 1}
    assert count(metrics.ORCHESTRATIONS_COMPLETED) == {"chain": 3, "goes_round": 1}
    assert count(metrics.ORCHESTRATIONS_FAILED) == {"fails": 1}
    assert count(metrics.ORCHESTRATIONS_TERMINATED) == {"chain": 1}
    assert count(metrics.ORCHESTRATIONS_CONTINUED) == {"goes_round": 4}
    assert count(metrics.END_TO_END) == {"chain": 4, "fails": 1, "goes_round": 1}
    assert count(metrics.ACTIVITIES_STARTED) == {"step": 15, "breaks": 3}
    assert count(metrics.ACTIVITIES_COMPLETED) == {"step": 15}
    assert count(metrics.ACTIVITIES_FAILED) == {"breaks": 3}
    assert count(metrics.ACTIVITIES_RETRIED) == {"breaks": 2}
    assert count(metrics.ACTIVITY_WAIT) == {"step": 15, "breaks": 3}
    assert count(metrics.ACTIVITY_DURATION) == {"step": 15, "breaks": 3}
    turns = {"chain": 3 * 6, "fails": 4, "goes_round": 5}
    # Suspension of a retry's pause is a turn of its own: the timer's.
    assert count(metrics.TURN_DURATION)["chain"] == turns["chain"]
    assert count(metrics.TURN_DURATION)["goes_round"] == turns["goes_round"]
    assert count(metrics.TURN_WAIT)["chain"] == turns["chain"] + 1  # the termination runs no code, and is a turn
    assert metrics.STALLS.name not in WorkerState.objects.get(name="worker").counters


def test_a_turn_that_resumes_replays_nothing(bench: Workbench) -> None:
    async def waits(ctx: Ctx) -> None:
        await ctx.call_activity("step")
        await ctx.wait_for_external_event("go")

    bench.orchestrator(waits)
    bench.activity(lambda _: None, name="step")
    id_ = bench.start("waits")
    assert counted(metrics.TURN_REPLAYED)["waits"][:2] == [0, 2]  # nothing, in two turns
    bench.client.raise_event(id_, "go")
    bench.run()
    assert counted(metrics.TURN_REPLAYED)["waits"][0] == len(bench.history(id_)) - 4  # its own turn's four came later


def test_a_scheduled_start_waits_for_nobody(bench: Workbench, moving_clock: MovingClock) -> None:
    async def quick(ctx: Ctx) -> None:
        return None

    bench.orchestrator(quick)
    bench.client.start_new("quick", start_at=clock.now() + timedelta(days=1))
    moving_clock.advance(days=1, seconds=2)
    bench.run()
    (waited, *_) = counted(metrics.TURN_WAIT)["quick"]
    (took, *_) = counted(metrics.END_TO_END)["quick"]
    assert 2 <= waited < 60
    assert 2 <= took < 60


def test_names_that_nobody_registered_share_one_label(bench: Workbench) -> None:
    for number in range(5):
        start_unknown(bench, f"made-up-{number}")
    bench.run()
    assert count(metrics.STALLS) == {"other": 5}
    assert count(metrics.ORCHESTRATIONS_STARTED) == {}


def test_a_dead_workers_activity_counts_as_redelivered_and_its_late_result_as_late(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    async def slow(ctx: Ctx) -> Any:
        return await ctx.call_activity("sleeps")

    began, may_end = threading.Event(), threading.Event()

    def sleeps(_: Any) -> str:
        if began.is_set():
            return "second"
        began.set()
        may_end.wait(PATIENCE)
        return "first"

    bench.orchestrator(slow)
    bench.activity(sleeps, name="sleeps")
    bench.client.start_new("slow", instance_id="slow")
    first = bench.host("first")

    def run() -> None:
        first.run_until_idle()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(PATIENCE)
    moving_clock.advance(seconds=31)  # the lease and the affinity of the first are over
    bench.host("second").run_until_idle()
    may_end.set()
    thread.join(PATIENCE)
    assert bench.status("slow").output == "second"
    # Both hosts live in this process, and so do their instruments: the first one's row has all of it.
    assert count(metrics.ACTIVITIES_REDELIVERED, "first") == {"sleeps": 1}
    assert count(metrics.LATE_RESULTS, "first") == {"sleeps": 1}
    assert count(metrics.ACTIVITIES_COMPLETED, "first") == {"sleeps": 1}


def test_the_visits_of_one_machine_add_up_in_one_row(bench: Workbench) -> None:
    async def quick(ctx: Ctx) -> None:
        return None

    bench.orchestrator(quick)
    for _ in range(3):
        bench.client.start_new("quick")
        Host("bell-1", "default", registry=bench.registry, is_visit=True).run_until_idle()
    (row,) = WorkerState.objects.all()
    assert row.name.endswith("-default-bells")
    assert count(metrics.ORCHESTRATIONS_COMPLETED, row.name) == {"quick": 3}
    assert row.left_at is not None


# --- what only a sweep finds ------------------------------------------------------------------------------------------


class Cycles:
    """A host whose cycles a test calls one by one."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def sweep(self) -> None:
        """One cycle, with a sweep."""
        self.host._next_sweep = 0
        self.host._cycle()

    def settle(self) -> None:
        """Cycles until the host knows of nothing to do."""
        while self.host._cycle():
            pass


@pytest.fixture
def cycles(bench: Workbench) -> Cycles:
    async def quick(ctx: Ctx) -> None:
        return None

    bench.orchestrator(quick)
    host = Cycles(bench.host())
    host.settle()
    return host


def recovered(cycles: Cycles) -> float:
    cycles.host._presence.leave()
    return count(metrics.SWEEP_RECOVERIES).get("", 0)


def test_work_that_no_bell_announced_is_a_recovery(bench: Workbench, cycles: Cycles, moving_clock: MovingClock) -> None:
    bench.client.start_new("quick")
    moving_clock.advance(seconds=3)
    cycles.sweep()
    assert recovered(cycles) == 1


def test_work_that_a_bell_announced_is_none(bench: Workbench, cycles: Cycles, moving_clock: MovingClock) -> None:
    bench.client.start_new("quick")
    moving_clock.advance(seconds=3)
    cycles.host.wake()
    cycles.sweep()
    bench.client.start_new("quick")  # its bell may be on the way yet
    cycles.sweep()
    assert recovered(cycles) == 0


def test_a_stalled_instance_that_stalls_again_is_none(
    bench: Workbench, cycles: Cycles, moving_clock: MovingClock
) -> None:
    start_unknown(bench, "nobody_knows_it")
    cycles.host.wake()
    cycles.settle()
    moving_clock.advance(minutes=5)
    cycles.sweep()
    assert recovered(cycles) == 0
    assert stalls.retry_stalled(HUB, "new") == 1


def test_a_failing_database_is_counted(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    host = bench.host()

    def away() -> None:
        raise OperationalError("gone")

    assert host._guarded(away) is None
    host._presence.leave()
    assert count(metrics.DATABASE_FAILURES) == {"": 1}
