"""Activities that run too long, or die: alone, in time, and with one outcome."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.models import EPOCH, ActivityTask, AuditRecord, Instance
from durable_host.store import queries
from tests.e2e.conftest import E2E, StartWorker
from tests.faults.mishaps import ask, output
from tests.services import group_members, wait_until

pytestmark = E2E


def workers_of(pool: Popen[bytes]) -> set[int]:
    """The processes of a supervisor but for itself, and for those that Python's multiprocessing adds to each worker."""
    rows = [row.split(None, 1) for row in group_members(pool.pid)]
    return {int(pid) for pid, command in rows if int(pid) != pool.pid and "multiprocessing" not in command}


#: what an isolated activity does → how the orchestrator sees it
ENDINGS = {
    "exit_hard": "PoisonousActivityError: Activity 'isolated' was run 2 times by processes that died over it. "
    "The last one: exit code 9. It is not tried again.",
    "segfault": "killed by SIGSEGV at ",
    "be_killed": "killed by SIGKILL",
    "loop": "TimeoutError: Activity 'isolated_briefly' ran longer than its limit of 0:00:01.",
    "loop_in_c": "TimeoutError: Activity 'isolated_briefly' ran longer than its limit of 0:00:01.",
    "recurse": "RecursionError: maximum recursion depth exceeded",
    "run_out_of_memory": "MemoryError: ",
}


@pytest.mark.case(26)
def test_an_isolated_activity_dies_alone(client: DurableClient, start_clumsy: StartWorker) -> None:
    worker = start_clumsy(MAX_DELIVERY_ATTEMPTS=2, ACTIVITY_LEASE=30.0)
    innocent = ask(client, "here", 2.0)
    deaths = {one: ask(client, "isolated_briefly" if "loop" in one else "isolated", one) for one in ENDINGS}
    reborn = ask(client, "isolated_async")
    apart = ask(client, "isolated")
    assert output(client, apart) not in (worker.pid, None)
    assert output(client, reborn) == 2
    for mishap, instance_id in deaths.items():
        assert ENDINGS[mishap] in str(output(client, instance_id)), mishap
    assert output(client, innocent) == worker.pid
    assert worker.poll() is None
    assert "mishaps.py:" in str(output(client, deaths["segfault"]))


def test_what_a_killed_worker_ran_goes_on_within_the_next(client: DurableClient, start_clumsy: StartWorker) -> None:
    first = start_clumsy(ACTIVITY_LEASE=60.0)
    left = [ask(client, "here", 1.0) for _ in range(12)]  # more than a worker has children at a time
    wait_until(lambda: ActivityTask.objects.exclude(owner="").count() == 12, "all of them to run")
    first.kill()
    first.wait()
    ActivityTask.objects.update(lease_until=EPOCH)  # a minute later
    second = start_clumsy(ACTIVITY_LEASE=60.0)
    assert {output(client, instance_id) for instance_id in left} == {second.pid}


def test_a_child_ends_with_its_worker(client: DurableClient, start_clumsy: StartWorker) -> None:
    worker = start_clumsy()
    ask(client, "isolated", "exit_hard")
    wait_until(lambda: len(group_members(worker.pid)) > 1, "the fork server to start")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not group_members(worker.pid), "the children to end")


def test_functions_that_outrun_their_limit_are_replaced_and_then_the_worker_is(
    client: DurableClient, start_clumsy: StartWorker
) -> None:
    pool = start_clumsy("--processes", "2", "--max-activities", "1", MAX_ABANDONED=2, ACTIVITY_LEASE=30.0)
    wait_until(lambda: len(workers_of(pool)) == 2, "the workers to start")
    before = workers_of(pool)
    late = [ask(client, "sleeper", 3600.0) for _ in range(5)]
    for instance_id in late:  # more than there are threads that work at a time: those that are stuck were replaced
        assert str(output(client, instance_id)).startswith("TimeoutError")
    wait_until(lambda: before - workers_of(pool) and len(workers_of(pool)) == 2, "a worker to be replaced")
    assert output(client, ask(client, "here", 0.0)) in workers_of(pool)
    assert pool.poll() is None


@pytest.mark.case(4)
def test_an_activity_knows_a_key_that_is_the_same_on_each_attempt(
    client: DurableClient, start_clumsy: StartWorker, tmp_path: Path
) -> None:
    start_clumsy()
    key = output(client, ask(client, "charge", str(tmp_path / "effects")))
    assert (tmp_path / "effects").read_text().splitlines() == [key] * 3


KILLS = 4


@pytest.mark.slow
def test_a_transactional_activity_has_its_effect_exactly_once_whenever_its_worker_is_killed(
    client: DurableClient, start_clumsy: StartWorker
) -> None:
    pool = start_clumsy("--processes", "2", MAX_DELIVERY_ATTEMPTS=1000)
    ids = [client.start_new("bookkeeping", f"book-{number}", instance_id=f"book-{number}") for number in range(4)]

    def booked() -> int:
        return AuditRecord.objects.filter(hub="ledger").count()

    for kill in range(KILLS):
        wait_until(lambda at_least=8 * kill + 4: booked() >= at_least, "some entries")  # type: ignore[misc]
        wait_until(lambda: workers_of(pool), "a worker")
        os.kill(min(workers_of(pool)), signal.SIGKILL)
    for instance_id in ids:
        assert output(client, instance_id) == 10
    entries = Counter(AuditRecord.objects.filter(hub="ledger").values_list("target", flat=True))
    assert entries == Counter({f"{id_}-{number}": 1 for id_ in ids for number in range(10)})
    assert not ActivityTask.objects.exists()
    assert not any(queries.count_open_work("default").values())
    assert not Instance.objects.exclude(status=RuntimeStatus.COMPLETED).exists()
