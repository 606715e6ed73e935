"""Tables get a new column while a worker of the code before works: it does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, AddIndex, CreateModel, RunPython
from django.db.migrations.operations.base import Operation

from durable_host import OrchestrationContext
from tests.store.workbench import STORE, TABLES, Workbench, assert_gap_free, assert_nothing_is_left

pytestmark = STORE


#: functions of migrations that change no table's shape and no row
HARMLESS = {"leave_room"}


@contextmanager
def expanded() -> Iterator[None]:
    """The next release's first migration: a column on every table that workers write, which old code does not know."""
    tables = [model._meta.db_table for model in TABLES]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_release varchar(16) NOT NULL DEFAULT 'new'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} DROP COLUMN of_the_next_release")


def later_operations() -> list[Operation]:
    """What the migrations after the first do: the first makes tables that nobody uses yet."""
    disk = MigrationLoader(None).disk_migrations
    later = [one for (app, name), one in sorted(disk.items()) if app == "durable_host" and name > "0002"]
    return [operation for migration in later for operation in migration.operations]


def test_migrations_only_add_what_the_code_before_them_can_live_with() -> None:
    assert later_operations()
    for operation in later_operations():
        if isinstance(operation, RunPython) and getattr(operation.code, "__name__", "") in HARMLESS:
            continue
        assert isinstance(operation, AddField | CreateModel | AddIndex | AddIndexConcurrently), operation.describe()
        if isinstance(operation, AddField):
            is_optional = operation.field.null or operation.field.has_db_default()
            assert is_optional, f"{operation.describe()}: a worker of the release before leaves it out"


@pytest.mark.case(30)
def test_a_worker_goes_on_under_a_migration(bench: Workbench) -> None:
    async def leaf(ctx: OrchestrationContext, n: int) -> int:
        return int(await ctx.call_activity("echo", n))

    async def long(ctx: OrchestrationContext) -> list[Any]:
        found = []
        for n in range(2):
            found.append(await ctx.call_activity("echo", n))
            found.append(await ctx.call_sub_orchestrator("leaf", n))
            found.append(await ctx.wait_for_external_event("go"))
        return found

    bench.orchestrator(leaf)
    bench.orchestrator(long)
    bench.activity(lambda n: n, name="echo")
    # given: a worker that has run every statement often enough for the database to keep its plan
    worker = bench.host()

    def work() -> None:
        while worker._cycle() or worker._pool.running or not worker._inbox.empty():
            pass

    ids = [bench.client.start_new("long", instance_id=f"i{n}") for n in range(8)]
    for id_ in ids:
        work()
        bench.client.raise_event(id_, "go", 1)
    work()
    # when: the migration runs between two of its turns
    with expanded():
        for id_ in ids:
            bench.client.raise_event(id_, "go", 2)
            work()
        begun = bench.client.start_new("leaf", 5)
        worker.wake()
        work()
        # then: what had begun ends, and what begins ends, too
        assert [bench.output(id_) for id_ in ids] == [[0, 0, 1, 1, 1, 2]] * 8
        assert bench.output(begun) == 5
        assert_gap_free(ids[0])
        assert_nothing_is_left()
    worker._pool.close(0)
