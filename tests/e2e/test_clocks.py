"""A worker on a machine whose clock is an hour wrong: timers keep the time of the database server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from subprocess import Popen

import pytest

from durable_host.client import DurableClient
from durable_host.core.events import TimerFired
from durable_host.models import EventWait, Instance
from tests.e2e.conftest import E2E, worker_env
from tests.services import wait_until

pytestmark = [
    *E2E,
    pytest.mark.skipif(os.environ.get("TEST_DATABASE") != "postgres", reason="SQLite's clock is the one machine's"),
]
HOUR = 3600


@pytest.mark.slow
@pytest.mark.case(27)
def test_a_wrong_clock_fires_nothing_early_nothing_late_and_nothing_twice(
    client: DurableClient, live_env: dict[str, str], worker_process: Callable[..., Popen[bytes]]
) -> None:
    env = worker_env(live_env)

    def fired(id_: str) -> int:
        return sum(isinstance(event, TimerFired) for event in client.get_history(id_))

    # given: a timer for in half an hour, by a clock that is right
    right = worker_process(**env)
    client.start_new("patient", 30 * 60.0, instance_id="half-hour")
    wait_until(lambda: EventWait.objects.filter(instance__instance_id="half-hour").exists(), "the timer to run")
    right.send_signal(signal.SIGTERM)
    assert right.wait(60) == 0

    # when: a worker takes over whose clock is an hour ahead; then: it works, and the timer is not due
    ahead = worker_process(**env, TEST_CLOCK_SHIFT=str(HOUR))
    assert client.wait_for_completion(client.start_new("chain", 3), 60).output == 3
    assert fired("half-hour") == 0
    client.raise_event("half-hour", "enough")
    assert client.wait_for_completion("half-hour", 60).output == "enough"
    # given: a short timer of this worker
    client.start_new("patient", 1.0, instance_id="second")
    wait_until(lambda: Instance.objects.filter(instance_id="second", revision__gt=0).exists(), "its first turn")
    ahead.send_signal(signal.SIGTERM)
    assert ahead.wait(60) == 0

    # when: the next clock is an hour behind; then: it fires all the same, once
    worker_process(**env, TEST_CLOCK_SHIFT=str(-HOUR))
    assert client.wait_for_completion("second", 60).output == "time"
    assert fired("second") == 1
