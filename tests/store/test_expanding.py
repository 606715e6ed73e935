"""Tables get a new column while a worker of the code before works: it does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from durable_host import OrchestrationContext
from tests.store.workbench import STORE, TABLES, Workbench, assert_gap_free, assert_nothing_is_left

pytestmark = STORE


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
