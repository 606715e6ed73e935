"""What takes more memory than there is: the kernel ends its process, for real, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.models import Instance
from tests.e2e.conftest import E2E, StartWorker
from tests.faults.memory import NoMemoryGroupsError, memory_group
from tests.faults.mishaps import ask, output
from tests.services import PATIENCE, wait_until

pytestmark = E2E

#: more than two workers need with all that stands beside them, less than what eats memory would take
LIMIT = 900 * 1024 * 1024
#: seconds: both workers and four processes die in turn, and memory that runs out slows everything that shares it
EATING = 3 * PATIENCE


@pytest.fixture
def scarce() -> Iterator[Path]:
    try:
        with memory_group(LIMIT) as group:
            yield group
    except NoMemoryGroupsError as error:
        pytest.skip(str(error))


@pytest.fixture
def start_scarce(scarce: Path, start_clumsy: StartWorker) -> StartWorker:
    """Start workers that have little memory together."""

    def start(*args: str, **settings: object) -> Popen[bytes]:
        process = start_clumsy(*args, **settings)
        (scarce / "cgroup.procs").write_text(str(process.pid))
        return process

    return start


@pytest.mark.once  # the kernel does not ask which database it is
@pytest.mark.case(26)
def test_only_the_work_that_eats_memory_fails(client: DurableClient, start_scarce: StartWorker) -> None:
    # given: a turn, an isolated activity and one among others that take all memory, and work that does not
    pool = start_scarce("--processes", "2", MAX_DELIVERY_ATTEMPTS=2, TURN_LEASE=6.0)
    bystanders = [client.start_new("innocent", 0.5) for _ in range(5)]
    isolated = ask(client, "isolated", "eat_memory")
    among_others = ask(client, "mishap", "eat_memory")
    turn = client.start_new("guilty", "eat_memory")
    # then: each has its end told, with what ended it
    for instance_id in (isolated, among_others):
        said = str(output(client, instance_id, EATING))
        assert said.startswith("PoisonousActivityError: "), said
        assert "killed by SIGKILL as memory ran out" in said
    wait_until(lambda: Instance.objects.exclude(parked_under="").exists(), "the turn to be parked", EATING)
    assert "killed by SIGKILL as memory ran out" in Instance.objects.get(instance_id=turn).stall_reason
    # and: everybody else went on, under the same supervisor
    assert [output(client, instance_id) for instance_id in bystanders] == ["fine"] * 5
    assert output(client, client.start_new("innocent", 0.0)) == "fine"
    assert pool.poll() is None
    client.terminate(turn)
    assert client.wait_for_completion(turn, PATIENCE).runtime_status is RuntimeStatus.TERMINATED
