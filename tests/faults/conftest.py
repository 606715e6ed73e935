"""Fixtures: workers with fault points, and a client of their database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host.client import DurableClient
from tests.e2e.conftest import BRIEF_LEASES, StartWorker, worker_env
from tests.faults import mishaps, patterns
from tests.faults.environment import EFFECTS, FUSE
from tests.faults.points import Fuse

StartPool = Callable[[], "Popen[bytes]"]


@pytest.fixture
def client(live_env: dict[str, str]) -> DurableClient:
    """A client of the database that the workers work on."""
    return DurableClient()


@pytest.fixture
def fuse(tmp_path: Path) -> Fuse:
    """Arms one fault point of the processes that have :func:`fault_env`."""
    return Fuse(tmp_path / "fuse")


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the activities leave their traces, those of this process too."""
    monkeypatch.setenv(EFFECTS, str(tmp_path / "effects"))
    return tmp_path / "effects"


@pytest.fixture
def fault_env(live_env: dict[str, str], fuse: Fuse, effects: Path) -> dict[str, str]:
    """The environment of a process with fault points and the patterns."""
    env = worker_env(live_env, MAX_DELIVERY_ATTEMPTS=1000, **BRIEF_LEASES)
    modules = f"{patterns.__name__},tests.faults.armed"
    return {**env, "DURABLE_MODULES": modules, FUSE: str(fuse.path), EFFECTS: str(effects)}


@pytest.fixture
def start_pool(worker_process: Callable[..., Popen[bytes]], fault_env: dict[str, str]) -> StartPool:
    """Start three workers under the supervisor that replaces the dead by forks of itself, which is quick."""
    return lambda: worker_process("--processes", "3", "--max-activities", "3", **fault_env)


@pytest.fixture
def start_clumsy(worker_process: Callable[..., Popen[bytes]], live_env: dict[str, str]) -> StartWorker:
    """Start a worker that knows the mishaps, with arguments and, by name, settings of the host."""

    def start(*args: str, **settings: object) -> Popen[bytes]:
        env = worker_env(live_env, **{**BRIEF_LEASES, **settings})
        return worker_process(*args, **env | {"DURABLE_MODULES": mishaps.__name__})

    return start
