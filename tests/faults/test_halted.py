"""A worker that is halted in the middle of its commit keeps nobody waiting."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from subprocess import Popen

import pytest
from django.db import connection

from durable_host.client import DurableClient
from durable_host.models import Instance
from tests.e2e.conftest import E2E
from tests.faults.histories import assert_whole
from tests.faults.patterns import PATTERNS
from tests.faults.points import Action, Fuse, Point
from tests.services import PATIENCE, wait_until

pytestmark = E2E


def test_others_go_on_while_a_worker_is_halted_with_locks_and_it_loses_when_it_wakes(
    client: DurableClient, worker_process: Callable[..., Popen[bytes]], fault_env: dict[str, str], fuse: Fuse
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite frees its one lock when the process ends, and not before")
    settings = json.loads(fault_env["TEST_HOST_SETTINGS"]) | {"IDLE_TRANSACTION_LIMIT": 1.0}
    env = {**fault_env, "TEST_HOST_SETTINGS": json.dumps(settings)}
    # given: a worker that is halted when its checkpoint is written and not committed
    burnt = fuse.arm(Point.CHECKPOINT_WRITTEN, 1, Action.STOP)
    halted = worker_process(**env)
    client.start_new("function_chain", instance_id="one")
    wait_until(burnt.exists, "the worker to halt")
    # when: another one looks for work
    worker_process(**env)
    # then: it does what the first one holds
    assert client.wait_for_completion("one", PATIENCE).output == PATTERNS["function_chain"][2]
    # and: the first one has lost that turn, and works on
    os.kill(int(burnt.read_text()), signal.SIGCONT)
    client.start_many("function_chain", [None] * 20)
    wait_until(lambda: not Instance.objects.filter(completed_at=None).exists(), "all to end")
    assert halted.poll() is None
    assert_whole()
