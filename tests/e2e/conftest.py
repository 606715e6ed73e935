"""Fixtures: workers with the functions of these tests, and short times."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from durable_host.client import DurableClient
from tests.e2e import functions  # registers them for the client of this process

#: what workers look for by the clock, they find soon
SHORT = {"AFFINITY": 0.5, "SWEEP_INTERVAL": 0.5, "STALL_RETRY": 0.5}
#: where workers die, their work is taken over soon; a living one that the machine starves may lose its work, too
BRIEF_LEASES = {"ACTIVITY_LEASE": 1.0, "TURN_LEASE": 1.0}
#: what a recovery waits for at the longest, with these times
ONE_SWEEP = f"sweep {SHORT['SWEEP_INTERVAL']:g} s"
ONE_LEASE = f"lease {BRIEF_LEASES['TURN_LEASE']:g} s"
StartWorker = Callable[..., "Popen[bytes]"]
#: marks of a module
E2E = [pytest.mark.e2e, pytest.mark.django_db(transaction=True, available_apps=["durable_host"])]


def worker_env(live_env: dict[str, str], **host_settings: Any) -> dict[str, str]:
    """Return the environment of a process that works with the functions and times of these tests."""
    return {
        **live_env,
        "DJANGO_SETTINGS_MODULE": "tests.e2e.worker_settings",
        "DURABLE_MODULES": f"orchestrations,{functions.__name__}",
        "DURABLE_QUEUES": "default,other",
        "TEST_HOST_SETTINGS": json.dumps({**SHORT, **host_settings}),
    }


@pytest.fixture
def start_worker(worker_process: Callable[..., Popen[bytes]], live_env: dict[str, str]) -> StartWorker:
    """Start ``manage.py durable_worker`` with arguments and, by name, settings of the host."""

    def start(*args: str, **host_settings: Any) -> Popen[bytes]:
        return worker_process(*args, **worker_env(live_env, **host_settings))

    return start


@pytest.fixture
def client(live_env: dict[str, str]) -> DurableClient:
    """A client of the database that the workers work on."""
    return DurableClient()


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A directory in which activities can leave a trace."""
    directory = tmp_path / "traces"
    directory.mkdir()
    return directory
