"""Code that ends its process is found out and set aside, and nobody else suffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.explain import explain
from durable_host.models import Instance
from durable_host.store import clock
from durable_host.store.standing import standing
from tests.e2e.conftest import E2E
from tests.faults.test_activities_in_time import ask, output, start
from tests.services import PATIENCE, wait_until

pytestmark = E2E
__all__ = ["start"]
Start = Callable[..., "Popen[bytes]"]

#: what an orchestrator does → what is said of its process's end
ENDINGS = {
    "exit_hard": "exit code 9",
    "segfault": "killed by SIGSEGV at ",
    "loop": "ran out of time at ",
    "loop_in_c": "ran out of time at ",
}


def sentence(instance_id: str) -> str:
    found = standing(host_settings().task_hub, instance_id)
    assert found is not None
    return explain(found, clock.now())


def test_orchestrators_that_end_their_process_are_parked_alone(client: DurableClient, start: Start) -> None:
    bystanders = [client.start_new("innocent", 0.5) for _ in range(5)]
    first = {mishap: client.start_new("guilty", mishap) for mishap in ("exit_hard", "segfault", "loop")}
    later = {mishap: client.start_new("guilty_later", mishap) for mishap in ("exit_hard", "loop_in_c")}
    pool = start("--processes", "2", MAX_DELIVERY_ATTEMPTS=2, TURN_TIMEOUT=1.0, TURN_LEASE=3.0)
    assert [output(client, instance_id) for instance_id in bystanders] == ["fine"] * 5
    guilty = [*first.values(), *later.values()]
    parked = Instance.objects.filter(instance_id__in=guilty).exclude(parked_under="")
    wait_until(lambda: parked.count() == len(guilty), "all of the guilty to be parked")
    for mishap, instance_id in [*first.items(), *later.items()]:
        said = sentence(instance_id)
        assert said.startswith("Parked: 2 turns in a row ended with the death of their process. The last one: "), said
        assert ENDINGS[mishap] in said
        assert said.endswith("release the instance to try it as it is, or terminate it."), said
    assert "mishaps.py:" in sentence(first["loop"])
    for instance_id in guilty:
        client.terminate(instance_id)
    for instance_id in guilty:
        status = client.wait_for_completion(instance_id, PATIENCE)
        assert status.runtime_status is RuntimeStatus.TERMINATED
    assert pool.poll() is None


def test_what_python_survives_is_a_failure_of_the_instance_alone(client: DurableClient, start: Start) -> None:
    worker = start()
    deep = client.start_new("guilty", "recurse")
    large = client.start_new("guilty", "run_out_of_memory")
    called = [ask(client, "mishap", mishap) for mishap in ("recurse", "run_out_of_memory")]
    failures = [client.wait_for_completion(instance_id, PATIENCE).failure for instance_id in (deep, large)]
    assert [failure.error_type for failure in failures if failure] == ["RecursionError", "MemoryError"]
    assert str(output(client, called[0])).startswith("RecursionError: maximum recursion depth exceeded")
    assert str(output(client, called[1])).startswith("MemoryError")
    assert worker.poll() is None


def test_an_activity_that_ends_its_worker_ends_no_other(client: DurableClient, start: Start) -> None:
    start("--processes", "2", MAX_DELIVERY_ATTEMPTS=3)
    bystanders = [client.start_new("innocent", 0.5) for _ in range(3)]
    deadly = ask(client, "mishap", "segfault")
    said = str(output(client, deadly))
    assert said.startswith("PoisonousActivityError: Activity 'mishap' was run 3 times by processes that died over it.")
    assert "killed by SIGSEGV at " in said
    assert [output(client, instance_id) for instance_id in bystanders] == ["fine"] * 3


def test_a_parked_instance_goes_on_when_a_person_releases_it(
    client: DurableClient, start: Start, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    instance_id = client.start_new("mended", str(sign))
    start("--processes", "2", MAX_DELIVERY_ATTEMPTS=2)
    wait_until(lambda: Instance.objects.exclude(parked_under="").exists(), "it to be parked")
    with pytest.raises(TimeoutError):
        client.wait_for_completion(instance_id, 0.5)
    sign.touch()
    client.release(instance_id)
    assert output(client, instance_id) == "mended"
