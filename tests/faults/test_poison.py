"""Code that ends its process is found out and set aside, and nobody else suffers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.explain import explain
from durable_host.models import ActivityTask, Instance
from durable_host.store import clock
from durable_host.store.shapes import SHARED_TRIES
from durable_host.store.standing import standing
from tests.e2e.conftest import E2E, StartWorker
from tests.faults.mishaps import ask, output
from tests.recovery import Recovery
from tests.services import PATIENCE, wait_until

pytestmark = E2E

#: what an orchestrator does → what is said of its process's end
ENDINGS = {
    "exit_hard": "exit code 9",
    "segfault": "killed by SIGSEGV at ",
}

#: more turns than the limit, where a worker was so slow that others took the instance over before it saw the end
PARKED = re.compile(r"Parked: (?P<turns>\d+) turns in a row ended with the death of their process\. The last one: ")


def sentence(instance_id: str) -> str:
    found = standing(host_settings().task_hub, instance_id)
    assert found is not None
    return explain(found, clock.now())


@pytest.mark.case(26, 29)
def test_orchestrators_that_end_their_process_are_parked_alone_until_a_person_acts(
    client: DurableClient, start_clumsy: StartWorker, tmp_path: Path, recovery: Recovery
) -> None:
    bystanders = [client.start_new("innocent", 0.5) for _ in range(5)]
    first = {mishap: client.start_new("guilty", mishap) for mishap in ("exit_hard", "segfault")}
    later = {mishap: client.start_new("guilty_later", mishap) for mishap in ("exit_hard", "segfault")}
    # A lease that ends while a slow machine still starts the suspect's own process would be a try whose end nobody saw.
    pool = start_clumsy("--processes", "2", MAX_DELIVERY_ATTEMPTS=3, TURN_LEASE=6.0)
    assert [output(client, instance_id) for instance_id in bystanders] == ["fine"] * 5
    sign = tmp_path / "sign"
    guilty = [*first.values(), *later.values(), client.start_new("mended", str(sign))]
    parked = Instance.objects.filter(instance_id__in=guilty).exclude(parked_under="")
    wait_until(lambda: parked.count() == len(guilty), "all of the guilty to be parked")
    for mishap, instance_id in [*first.items(), *later.items()]:
        said = sentence(instance_id)
        found = PARKED.match(said)
        assert found, said
        assert int(found["turns"]) >= 3, said
        assert ENDINGS[mishap] in said
        assert said.endswith("try again (release) as it is, or terminate it."), said
    assert "mishaps.py:" in sentence(first["segfault"])
    sign.touch()
    client.release(guilty[-1])
    assert output(client, guilty[-1]) == "mended"
    with recovery.timed(29, "a bell"):
        for instance_id in guilty[:-1]:
            client.terminate(instance_id)
        for instance_id in guilty[:-1]:
            status = client.wait_for_completion(instance_id, PATIENCE)
            assert status.runtime_status is RuntimeStatus.TERMINATED
    assert pool.poll() is None


@pytest.mark.case(24)
def test_a_turn_that_never_comes_back_ends_its_worker_once_and_is_parked(
    client: DurableClient, start_clumsy: StartWorker, recovery: Recovery
) -> None:
    worker = start_clumsy(TURN_TIMEOUT=5.0, TURN_LEASE=60.0, ACTIVITY_LEASE=60.0, AFFINITY=60.0)
    waiting = ask(client, "here", 3600.0)
    wait_until(lambda: ActivityTask.objects.exclude(owner="").exists(), "the activity to begin")
    endless = client.start_new("guilty", "loop")
    with recovery.timed(24, "turn limit 5 s"):  # from then on all that it held is free for others
        assert worker.wait(PATIENCE) == 1
    row = Instance.objects.get(instance_id=endless)
    assert "Its turn ran longer than 5 s at " in row.stall_reason
    assert "mishaps.py:" in row.stall_reason
    assert row.turn_attempts == SHARED_TRIES
    assert not Instance.objects.exclude(owner="").exists()
    assert ActivityTask.objects.values_list("instance__instance_id", "owner", "attempt").get() == (waiting, "", 0)
    start_clumsy(TURN_TIMEOUT=1.0, MAX_DELIVERY_ATTEMPTS=2)
    wait_until(lambda: Instance.objects.exclude(parked_under="").exists(), "it to be parked")
    assert "2 turns in a row ended with the death of their process. The last one: ran out of time" in sentence(endless)


@pytest.mark.case(26)
def test_what_python_survives_is_a_failure_of_the_instance_alone(
    client: DurableClient, start_clumsy: StartWorker
) -> None:
    worker = start_clumsy()
    deep = client.start_new("guilty", "recurse")
    large = client.start_new("guilty", "run_out_of_memory")
    called = [ask(client, "mishap", mishap) for mishap in ("recurse", "run_out_of_memory")]
    failures = [client.wait_for_completion(instance_id, PATIENCE).failure for instance_id in (deep, large)]
    assert [failure.error_type for failure in failures if failure] == ["RecursionError", "MemoryError"]
    assert str(output(client, called[0])).startswith("RecursionError: maximum recursion depth exceeded")
    assert str(output(client, called[1])).startswith("MemoryError")
    assert worker.poll() is None


@pytest.mark.case(26)
def test_an_activity_that_ends_its_worker_ends_no_other(
    client: DurableClient, start_clumsy: StartWorker, recovery: Recovery
) -> None:
    start_clumsy("--processes", "2", MAX_DELIVERY_ATTEMPTS=3)
    bystanders = [client.start_new("innocent", 0.5) for _ in range(3)]
    deadly = ask(client, "mishap", "segfault")
    with recovery.timed(26, "the start of a worker, three deaths, lease 1 s each"):
        said = str(output(client, deadly))
    assert said.startswith("PoisonousActivityError: Activity 'mishap' was run 3 times by processes that died over it.")
    assert "killed by SIGSEGV at " in said
    assert [output(client, instance_id) for instance_id in bystanders] == ["fine"] * 3
