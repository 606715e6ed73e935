"""Worker processes: queues, limits, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from durable_host.client import DurableClient
from durable_host.core.events import TaskCompleted
from durable_host.models import ActivityTask, Instance
from durable_host.store import queries
from tests.e2e.conftest import BRIEF_LEASES, E2E, ONE_LEASE, ONE_SWEEP, StartWorker, worker_env
from tests.recovery import Recovery
from tests.services import PATIENCE, group_members, running, wait_until

pytestmark = E2E


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def call(client: DurableClient, activity: str, path: Path, seconds: float = 0.0) -> str:
    """Start an instance that calls one traced activity."""
    return client.start_new("call", {"activity": activity, "trace": {"path": str(path), "seconds": seconds}})


def test_it_runs_an_activity_on_the_workers_of_its_queue(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    turns = start_worker()
    id_ = call(client, "elsewhere", traces / "one")
    wait_until(lambda: ActivityTask.objects.filter(queue="other").exists(), "the activity to be scheduled")
    assert lines(traces / "one") == []
    other = start_worker("--queues", "other")
    assert client.wait_for_completion(id_, PATIENCE).output == other.pid
    again = call(client, "elsewhere", traces / "two")
    assert client.wait_for_completion(again, PATIENCE).output == other.pid != turns.pid


def test_it_runs_several_processes_under_one_supervisor(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    pool = start_worker("--processes", "2", "--max-activities", "1")
    ids = [call(client, "met", traces / "both") for _ in range(2)]
    pids = {client.wait_for_completion(id_, PATIENCE).output for id_ in ids}
    assert len(pids) == 2
    assert pool.pid not in pids
    # and: where memory runs out, the kernel ends them before the supervisor that would start others
    assert all(earliness(pool.pid) < earliness(pid) for pid in pids)
    os.kill(pids.pop(), signal.SIGKILL)  # the supervisor starts another one
    wait_until(lambda: len(group_members(pool.pid)) == 3, "the dead process to be replaced")
    assert client.wait_for_completion(client.start_new("chain", 3), PATIENCE).output == 3
    pool.send_signal(signal.SIGTERM)
    assert pool.wait(PATIENCE) == 0
    wait_until(lambda: not group_members(pool.pid), "all processes to end")


def earliness(pid: int) -> int:
    """Return how early Linux ends a process where memory runs out."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def has_left(path: Path, trace: list[str]) -> bool:
    return [line.split()[0] for line in lines(path)] == trace


@pytest.mark.once
def test_it_fails_activities_that_outrun_their_limits_and_can_still_stop(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    worker = start_worker("--max-activities", "1")
    for activity, trace in (("endless", ["begin"]), ("endless_async", ["begin", "cancelled"])):
        id_ = call(client, activity, traces / activity)
        output = client.wait_for_completion(id_, PATIENCE).output
        assert output == f"TimeoutError: Activity '{activity}' ran longer than its limit of 0:00:00.300000."
        wait_until(partial(has_left, traces / activity, trace), "the trace")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0


@pytest.mark.case(3, 5)
def test_what_a_paused_worker_ran_is_given_to_another_and_its_late_result_is_dropped(
    client: DurableClient, start_worker: StartWorker, traces: Path, tmp_path: Path, recovery: Recovery
) -> None:
    # given: two workers, and an activity that one of them runs
    workers = {start_worker(**BRIEF_LEASES).pid: tmp_path / f"worker-{number}.log" for number in (1, 2)}
    id_ = call(client, "gated", traces / "one")
    wait_until(lambda: lines(traces / "one"), "the activity to begin")
    # when: that one is paused; then: the other takes it over
    paused = int(lines(traces / "one")[0].split()[1])
    (other,) = set(workers) - {paused}
    os.kill(paused, signal.SIGSTOP)
    with recovery.timed(5, f"{ONE_LEASE}, {ONE_SWEEP}"):
        wait_until(lambda: f"begin {other}" in lines(traces / "one"), "the other worker to take it over")
    assert ActivityTask.objects.get().attempt > 1
    (traces / "open").touch()
    assert client.wait_for_completion(id_, PATIENCE).output == other
    # when: the first goes on; then: its result is told as late, and history has that of the other alone
    os.kill(paused, signal.SIGCONT)
    wait_until(lambda: "late result dropped" in workers[paused].read_text(), "the late result to be dropped")
    results = [event.result for event in client.get_history(id_) if isinstance(event, TaskCompleted)]
    assert results == [str(other)]


@pytest.mark.case(30)
def test_it_lets_a_running_activity_end_before_it_stops(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    worker = start_worker(SHUTDOWN_GRACE=PATIENCE)
    id_ = call(client, "traced", traces / "one", 1.0)
    wait_until(lambda: lines(traces / "one"), "the activity to begin")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    status = client.get_status(id_)
    assert status is not None
    assert status.output == worker.pid
    assert len(lines(traces / "one")) == 2


@pytest.mark.case(30)
def test_it_hands_back_what_does_not_end_within_the_grace(
    client: DurableClient, start_worker: StartWorker, traces: Path, recovery: Recovery
) -> None:
    untimed = {"ACTIVITY_LEASE": 60 * PATIENCE, "SWEEP_INTERVAL": 60 * PATIENCE, "AFFINITY": 60 * PATIENCE}
    first = start_worker(SHUTDOWN_GRACE=0.3, **untimed)
    id_ = call(client, "gated", traces / "one")
    wait_until(lambda: lines(traces / "one"), "the activity to begin")
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    assert ActivityTask.objects.values_list("owner", "attempt").get() == ("", 0)
    assert Instance.objects.values_list("owner", flat=True).get() == ""
    (traces / "open").touch()
    second = start_worker(**untimed)
    with recovery.timed(30, "the start of a worker: no lease"):
        assert client.wait_for_completion(id_, PATIENCE).output == second.pid


#: a worker to which the signal comes at the worst line: while its host's thread starts
_SIGNALLED_AT_ITS_START = """
import os, signal, threading
import django
django.setup()
from durable_host.dispatch.pool import run_workers
begin = threading.Thread.start
def begin_signalled(thread):
    if thread.name == "durable-host":
        os.kill(os.getpid(), signal.SIGINT)
    begin(thread)
threading.Thread.start = begin_signalled
run_workers(["default"], 1)
"""


@pytest.mark.once
def test_it_stops_in_order_when_it_is_told_to_while_it_starts(live_env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with running([sys.executable, "-c", _SIGNALLED_AT_ITS_START], worker_env(live_env), log) as worker:
        assert worker.wait(PATIENCE) == 0
    assert "Host stopped." in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.once
@pytest.mark.parametrize("option", [["--queues", "nowhere"], ["--processes", "0"], ["--max-activities", "0"]])
def test_it_refuses_options_that_make_no_sense(option: list[str]) -> None:
    with pytest.raises(CommandError, match=r"nowhere|must be at least 1"):
        call_command("durable_worker", *option)


def test_it_stops_by_itself_when_idle_if_told_so(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    ids = [client.start_new("chain", 5) for _ in range(3)]
    assert start_worker("--burst").wait(PATIENCE) == 0
    assert [client.get_status(id_).output for id_ in ids] == [5, 5, 5]  # type: ignore[union-attr]


@pytest.mark.case(23)
def test_it_survives_an_activity_that_exits(client: DurableClient, start_worker: StartWorker, traces: Path) -> None:
    worker = start_worker()
    output = client.wait_for_completion(call(client, "leave_by_exit", traces / "one"), PATIENCE).output
    assert output == "SystemExit: 3"
    assert worker.poll() is None
    assert not any(queries.count_open_work("default").values())
