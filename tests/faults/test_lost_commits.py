"""The connection is lost around a commit: whether or not the server heard of it, the turn is there once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from durable_host import OrchestrationContext
from durable_host.dispatch import committing, doorbell
from durable_host.dispatch.host import Host
from durable_host.store import checkpoint as store_checkpoint
from durable_host.store.checkpoint import checkpoint
from tests.faults.histories import assert_whole
from tests.recovery import Recovery
from tests.services import wait_until
from tests.store.workbench import STORE, Workbench, row_of

pytestmark = STORE
STEPS = 3


async def steps(ctx: OrchestrationContext) -> list[Any]:
    return [await ctx.call_activity("step", number) for number in range(STEPS)]


@pytest.fixture
def bench(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Functions, and leases that a test can wait for."""
    brief = {"ACTIVITY_LEASE": timedelta(seconds=1), "SWEEP_INTERVAL": timedelta(milliseconds=100)}
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, **brief}
    monkeypatch.setattr(doorbell, "ring", lambda wake: None)
    found = Workbench()
    found.orchestrator(steps)
    found.activity(lambda number: number * 10, name="step")
    return found


def cut_off() -> None:
    """Have the server end this connection; SQLite has no server, so that its driver must say so itself."""
    if connection.vendor == "postgresql":
        info = connection.connection.info
        with psycopg.connect(info.dsn) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [info.backend_pid])


def before_the_commit(commit: Callable[[], object]) -> None:
    cut_off()
    if connection.vendor == "sqlite":
        raise OperationalError("disk I/O error")
    commit()


def after_the_commit(commit: Callable[[], object]) -> None:
    commit()
    cut_off()
    raise OperationalError("server closed the connection unexpectedly")


@contextmanager
def at_work(host: Host) -> Iterator[None]:
    """Have a host work in a thread of its own."""
    thread = threading.Thread(target=host.run)
    thread.start()
    try:
        yield
    finally:
        host.stop()
        thread.join()


@pytest.mark.parametrize("lose", [before_the_commit, after_the_commit])
@pytest.mark.case(10)
def test_a_turn_whose_commit_is_in_doubt_is_there_once(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Callable[[], object]], None], recovery: Recovery
) -> None:
    revisions = []

    def doubtful(*args: Any) -> Any:
        """Commit, but lose the connection at every second attempt."""
        revisions.append(row_of("one").revision)
        if len(revisions) % 2 == 0:
            return checkpoint(*args)
        commit, in_one = connection.commit, store_checkpoint._in_one_statement
        with monkeypatch.context() as patch:
            patch.setattr(connection, "commit", lambda: lose(commit))
            patch.setattr(store_checkpoint, "_in_one_statement", lambda *given: lose(lambda: in_one(*given)))
            return checkpoint(*args)

    monkeypatch.setattr(committing, "checkpoint", doubtful)
    with transaction.atomic():
        bench.client.start_new("steps", instance_id="one")
    with at_work(bench.host()), recovery.timed(10, "lease 1 s, four times"):
        wait_until(lambda: bench.status("one").is_finished, "the instance to end")
    assert bench.output("one") == [number * 10 for number in range(STEPS)]
    assert bench.kinds("one").count("TaskCompleted") == STEPS
    assert len(revisions) > STEPS + 1
    assert_whole()
