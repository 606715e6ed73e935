"""Old and new code side by side, as during a deploy: each instance ends by the code that began it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from subprocess import Popen

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.models import EventWait, Instance
from tests.e2e import evolving
from tests.e2e.conftest import E2E, worker_env
from tests.recovery import Recovery
from tests.services import wait_until

pytestmark = E2E

OLD, NEW = ["old 1", "old 2"], ["new 1", "new 2"]


def listen(ids: Iterable[str]) -> bool:
    wanted = set(ids)
    return EventWait.objects.filter(instance__instance_id__in=wanted).count() == len(wanted)


def ended(client: DurableClient, id_: str) -> object:
    status = client.wait_for_completion(id_, 60)
    assert status.runtime_status is RuntimeStatus.COMPLETED, status
    return status.output


@pytest.mark.slow
@pytest.mark.case(21, 22, 30)
def test_an_instance_is_left_for_the_worker_that_knows_its_code(
    client: DurableClient, live_env: dict[str, str], worker_process: Callable[..., Popen[bytes]], recovery: Recovery
) -> None:
    env = {**worker_env(live_env), "DURABLE_MODULES": evolving.__name__}
    # given: instances that old code has begun
    old = worker_process(**env)
    begun = [client.start_new("evolving", instance_id=f"begun-{n}") for n in range(6)]
    gone = client.start_new("discontinued", instance_id="gone")
    wait_until(lambda: listen([*begun, gone]), "the instances to listen")

    # when: a worker with new code works beside the old one
    new = worker_process(**env, TEST_CODE="new")
    fresh = client.start_new("evolving", instance_id="fresh")
    wait_until(lambda: listen([fresh]), "the fresh one to listen")
    for id_ in [*begun[:4], fresh]:
        client.raise_event(id_, "go")

    # then: whoever takes them, each goes on with the code that began it
    assert [ended(client, id_) for id_ in begun[:4]] == [OLD] * 4
    assert ended(client, fresh) in (OLD, NEW)

    # when: the last old worker is gone; then: what it began stalls, and what is new goes on
    old.send_signal(signal.SIGTERM)
    assert old.wait(60) == 0
    client.raise_event(begun[4], "go")
    wait_until(lambda: Instance.objects.exclude(stall_reason="").exists(), "the old instance to stall")
    status = client.get_status(begun[4])
    assert status is not None
    assert status.runtime_status is RuntimeStatus.RUNNING
    assert "call_activity('old_step')" in status.stall_reason
    client.raise_event(gone, "go")
    wait_until(lambda: Instance.objects.exclude(stall_reason="").count() == 2, "the removed one to stall, too")
    assert "No orchestrator 'discontinued' is registered here." in Instance.objects.get(instance_id=gone).stall_reason
    newer = client.start_new("evolving", instance_id="newer")
    client.raise_event(newer, "go")
    assert ended(client, newer) == NEW

    # when: the deploy is taken back; then: it goes on where it was
    new.send_signal(signal.SIGTERM)
    assert new.wait(60) == 0
    worker_process(**env)
    client.raise_event(begun[5], "go")
    with recovery.timed(21, "the start of a worker"), recovery.timed(22, "the start of a worker"):
        assert [ended(client, id_) for id_ in begun[4:]] == [OLD] * 2
        assert ended(client, gone) == "gone"
