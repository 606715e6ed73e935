"""Stopping under load: nothing is lost, nothing that ended is done again, and nobody waits longer than agreed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.models import ActivityTask, Instance, PendingEvent, WorkerState
from tests.e2e.conftest import E2E, StartWorker
from tests.services import PATIENCE, group_members, wait_until

pytestmark = E2E

#: ``TEST_ROLLING_CHAINS=1000`` for the run whose figures are in docs/reliability.md
CHAINS = int(os.environ.get("TEST_ROLLING_CHAINS", "150"))
QUICK_STEPS = 5
SLOW, SLOW_STEPS = 20, 8
FEWEST_RESTARTS = 3
#: what is not handed back would be missing until the test fails: no lease ends before
NO_LEASE_ENDS = {"ACTIVITY_LEASE": 60 * PATIENCE, "TURN_LEASE": 60 * PATIENCE, "SHUTDOWN_GRACE": PATIENCE}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def finished() -> int:
    return Instance.objects.exclude(completed_at=None).count()


def ready(worker: Popen[bytes]) -> Popen[bytes]:
    """Wait until a worker works: a deploy stops no old one before."""
    wait_until(WorkerState.objects.filter(pid=worker.pid).exists, "the worker to show itself")
    return worker


@pytest.mark.case(30)
def test_rolling_restarts_under_load_lose_nothing_and_repeat_nothing(
    client: DurableClient, start_worker: StartWorker, traces: Path
) -> None:
    # given: chains of quick and of slow activities, on two workers
    effects = traces / "effects"
    load = [(QUICK_STEPS, 0.1)] * CHAINS + [(SLOW_STEPS, 1.0)] * SLOW
    inputs = [{"path": str(effects), "steps": steps, "seconds": seconds} for steps, seconds in load]
    workers = [ready(start_worker(**NO_LEASE_ENDS)) for _ in range(2)]
    ids = client.start_many("tolls", inputs)
    wait_until(lambda: lines(effects), "work to begin")
    # when: the older one is replaced, again and again until all is done
    stops: list[float] = []
    while finished() < len(ids) or len(stops) < FEWEST_RESTARTS:
        workers.append(ready(start_worker(**NO_LEASE_ENDS)))
        oldest, began = workers.pop(0), time.monotonic()
        oldest.send_signal(signal.SIGTERM)
        assert oldest.wait(PATIENCE) == 0
        stops.append(time.monotonic() - began)
    print(f"{len(ids)} instances, {len(stops)} restarts; the longest stop took {max(stops):.2f} s")
    # then
    assert set(Instance.objects.values_list("status", flat=True)) == {"Completed"}
    done = Counter(lines(effects))
    assert len(done) == sum(steps for steps, _ in load)
    assert set(done.values()) == {1}
    assert not ActivityTask.objects.exists()
    assert not PendingEvent.objects.exists()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_second_interrupt_hands_back_at_once(
    client: DurableClient, start_worker: StartWorker, traces: Path, processes: str
) -> None:
    # given: a worker whose grace is long, and an activity that is longer
    worker = start_worker("--processes", processes, **NO_LEASE_ENDS)
    trace = {"path": str(traces / "one"), "seconds": 3600.0}
    id_ = client.start_new("call", {"activity": "traced", "trace": trace})
    wait_until(lambda: lines(traces / "one"), "the activity to begin")
    # when: an impatient person presses Ctrl-C until it ends; RQ takes two within a second for one
    until = time.monotonic() + PATIENCE / 2
    while worker.poll() is None and time.monotonic() < until:
        os.killpg(worker.pid, signal.SIGINT)
        with suppress(TimeoutExpired):
            worker.wait(1.2)
    # then: it is gone long before the grace, and the next worker has it
    assert worker.poll() is not None
    assert not group_members(worker.pid)
    assert ActivityTask.objects.values_list("owner", "attempt").get() == ("", 0)
    assert Instance.objects.values_list("owner", flat=True).get() == ""
    client.terminate(id_)
    start_worker()
    assert client.wait_for_completion(id_, PATIENCE).runtime_status is RuntimeStatus.TERMINATED
