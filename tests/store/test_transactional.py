"""A transactional activity: its writes and its completion are there together, or neither is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models import F

from durable_host import OrchestrationContext, TaskFailedError
from durable_host.models import ActivityTask, AuditRecord
from tests.store.workbench import STORE, Workbench, assert_nothing_is_left

pytestmark = STORE


def book(entry: str) -> str:
    AuditRecord.objects.create(
        hub="ledger", at=datetime.now(UTC), actor_kind="test", operation="start", target=entry, outcome="done"
    )
    return entry


def booked() -> list[str]:
    return list(AuditRecord.objects.filter(hub="ledger").order_by("pk").values_list("target", flat=True))


async def calling(ctx: OrchestrationContext, name: str) -> Any:
    try:
        return await ctx.call_activity(name, "one")
    except TaskFailedError as error:
        return str(error.details)


@pytest.fixture(autouse=True)
def orchestrator(bench: Workbench) -> None:
    bench.orchestrator(calling)


def test_its_writes_commit_with_its_completion(bench: Workbench) -> None:
    bench.activity(book, transactional=True)
    assert bench.output(bench.start("calling", "book")) == "one"
    assert booked() == ["one"]
    assert_nothing_is_left()


def test_its_writes_are_undone_when_it_fails(bench: Workbench) -> None:
    def regretting(entry: str) -> None:
        book(entry)
        raise ValueError("after all, no")

    bench.activity(regretting, transactional=True)
    assert bench.output(bench.start("calling", "regretting")) == "ValueError: after all, no"
    assert booked() == []


def test_its_writes_are_undone_when_its_result_cannot_be_stored(bench: Workbench) -> None:
    def unsaid(entry: str) -> float:
        book(entry)
        return float("nan")

    bench.activity(unsaid, transactional=True)
    assert "PayloadError" in bench.output(bench.start("calling", "unsaid"))
    assert booked() == []


def test_its_writes_are_undone_when_another_delivery_was_faster(bench: Workbench) -> None:
    def overtaken(entry: str) -> str:
        ActivityTask.objects.update(attempt=F("attempt") + 1)
        return book(entry)

    bench.activity(overtaken, transactional=True)
    bench.start("calling", "overtaken")
    assert booked() == []
    assert ActivityTask.objects.values_list("attempt", flat=True).get() == 1  # that was undone, too


def test_an_error_of_the_database_in_it_is_its_failure(bench: Workbench) -> None:
    def clashing(entry: str) -> None:
        book(entry)
        raise IntegrityError("there is one already")

    bench.activity(clashing, transactional=True)
    assert bench.output(bench.start("calling", "clashing")) == "IntegrityError: there is one already"
    assert booked() == []


def test_writes_to_another_database_are_refused(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = connections.create_connection("default")
    other.alias = "other"
    other.inc_thread_sharing()
    monkeypatch.setattr(connections, "all", lambda **_: [connection, other])

    def straying(entry: str) -> None:
        book(entry)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("DELETE FROM durable_host_auditrecord")

    bench.activity(straying, transactional=True)
    said = bench.output(bench.start("calling", "straying"))
    assert "OtherDatabaseError: Activity 'straying' is transactional and writes to database 'other'" in said
    assert booked() == []
    other.close()
    if isinstance(other, DatabaseWrapper):
        other.close_pool()


def test_options_that_exclude_each_other_are_refused(bench: Workbench) -> None:
    async def waiting(entry: str) -> None: ...

    with pytest.raises(TypeError, match=r"waiting at .* is async def and transactional"):
        bench.registry.add_activity(waiting, transactional=True)
    with pytest.raises(ValueError, match=r"book at .* is isolated and transactional"):
        bench.registry.add_activity(book, isolated=True, transactional=True)
