"""``python -m bench.instances_page``: the dashboard's questions to PostgreSQL with 1,000,000 instances.

A private database is filled by bulk SQL with what a busy host would have after ten days: most instances finished, some
failed or under way, sub-orchestrations of which the newest 50,000 belong to one fan-out, tags, custom statuses, open
waits, activities and retries. Its locale is not C, as that of most databases. Exit code 1 where a question of the list
takes more than 100 ms, or the overview more than 200 ms to refresh: medians, in Python and PostgreSQL together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.services import PostgresCluster

if TYPE_CHECKING:
    from durable_host.store.shapes import InstanceFilter

#: marks, in milliseconds
LIST_MS = 100.0
OVERVIEW_MS = 200.0
_DATABASE = "bench_list"
_RUNS = 7

_INSTANCES = """
INSERT INTO durable_host_instance (hub, instance_id, name, version, status, created_at, updated_at, completed_at,
    tags, custom_status, output, failure, parent_id, generation, revision, next_sequence, owner, available_at,
    turn_attempts, stall_reason)
SELECT 'default',
    CASE WHEN n %% 5 = 0 THEN 'order-' || n ELSE md5(n::text) END,
    CASE WHEN n %% 10 = 3 THEN 'only_called' ELSE 'orchestrator_' || h %% 19 END,
    '1', s.status, s.at, s.at + interval '5 s',
    CASE WHEN s.status IN ('Completed', 'Failed', 'Terminated')
        THEN s.at + make_interval(secs => 1 + n * 31 %% 90) END,
    CASE WHEN n %% 10 = 0
        THEN jsonb_build_object('customer', 'c' || n * 104729 %% 5000, 'env', 'prod') ELSE '{}'::jsonb END,
    CASE WHEN n %% 4 = 0 THEN '{"step": "stage ' || n %% 50 || '", "percent": ' || n %% 100 || '}' END,
    CASE WHEN s.status = 'Completed' THEN '{"total": ' || n || '}' END,
    CASE WHEN s.status = 'Failed' THEN '{"errorType":"TaskFailedError","errorMessage":"The activity ''charge'' failed",'
        || '"stackTrace":"' || repeat('frame ', 200) || '","innerFailure":{"errorType":"'
        || (ARRAY['TimeoutError', 'ValueError', 'ConnectionError'])[1 + n %% 3]
        || '","errorMessage":"gateway ' || n || ' did not answer request ' || n %% 17 || '"}}' END,
    CASE WHEN n %% 10 IN (3, 6, 9) THEN greatest(n - 100, 1) END,
    0, 3, 12, '', 'epoch', 0,
    CASE WHEN s.status = 'Running' AND n %% 50 = 20 THEN 'The code no longer matches history' ELSE '' END
FROM generate_series(1, %(n)s::bigint) n
CROSS JOIN LATERAL (SELECT hashint8(n) & 2147483647 AS h) hashed
CROSS JOIN LATERAL (SELECT
    now() - interval '10 days' * (1 - n::float / %(n)s) AS at,
    CASE WHEN h %% 100 < 95 THEN 'Completed'
        WHEN h %% 100 < 97 THEN 'Failed'
        WHEN h %% 100 < 98 THEN 'Terminated'
        WHEN h %% 400 < 396 THEN 'Running'
        WHEN n %% 2 = 0 THEN 'Suspended' ELSE 'Pending' END AS status) s
"""

_FAN_OUT = """
INSERT INTO durable_host_instance (hub, instance_id, name, version, status, created_at, updated_at, tags, parent_id,
    generation, revision, next_sequence, owner, available_at, turn_attempts, stall_reason)
SELECT 'default', 'fan:' || n, 'part_of_fan_out', '', 'Running', now(), now(), '{}', 1, 0, 1, 2, '', 'epoch', 0, ''
FROM generate_series(1, 50000) n
"""

_OPEN_WORK = (
    """
    INSERT INTO durable_host_eventwait (instance_id, name, name_key, title, description, assignees, due, since)
    SELECT id, 'Approval', 'approval', 'Please look', '', CASE WHEN id % 3 = 0 THEN '["ann"]'::jsonb
        WHEN id % 3 = 1 THEN '["finance"]' ELSE '[]' END,
        CASE WHEN id % 2 = 0 THEN now() + (id % 2000 - 500) * interval '1 min' END, created_at
    FROM durable_host_instance WHERE status IN ('Running', 'Suspended') AND parent_id IS NULL
    """,
    """
    INSERT INTO durable_host_activitytask (hub, queue, instance_id, generation, task_id, name, input, call_key,
        trace_parent, created_at, attempt, owner, lease_until)
    SELECT 'default', CASE WHEN id % 9 = 0 THEN 'high' ELSE 'default' END, id, 0, 1, 'charge', NULL, '0.1', '', now(),
        0, '', 'epoch'
    FROM durable_host_instance WHERE name = 'part_of_fan_out'
    """,
    """
    INSERT INTO durable_host_pendingevent (instance_id, generation, visible_at, event_type, timestamp, task_id, name,
        payload, detail)
    SELECT id, 0, now() + (id % 5000) * interval '1 s', 'TimerFired', now(), 3,
        CASE WHEN id % 4 = 0 THEN 'charge' END, NULL, '{"fireAt":"2030-01-01T00:00:00Z","retry":[1,2,5]}'
    FROM durable_host_instance WHERE status = 'Running' AND name <> 'part_of_fan_out'
    """,
    """
    INSERT INTO durable_host_auditrecord (hub, at, actor_kind, actor, address, operation, target, instance_id,
        outcome, detail, event_name, answer, question)
    SELECT 'default', now() - n * interval '4 s', 'user', 'ann', '', 'raiseEvent', 'orchestrator_1', 'order-' || n * 5,
        'done', '', CASE WHEN n % 20 = 0 THEN 'Approval' ELSE '' END, 'true', ''
    FROM generate_series(1, 200000) n
    """,
    # one who did little, long ago
    """
    INSERT INTO durable_host_auditrecord (hub, at, actor_kind, actor, address, operation, target, instance_id,
        outcome, detail, event_name, answer, question)
    SELECT 'default', now() - interval '5 days' - n * interval '40 s', 'user', 'bob', '', 'terminate',
        'orchestrator_1', 'order-' || n * 5, 'done', '', '', '', ''
    FROM generate_series(1, 300) n
    """,
)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a page asks."""

    what: str
    ask: Callable[[], Any]
    #: longest time in milliseconds, the median of several; None where there is no mark
    mark: float | None = LIST_MS


def main() -> int:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.instances_page", description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true", help="show the plan of each statement above 20 ms")
    options = parser.parse_args()
    console = Console(width=110, highlight=False)
    with _database(console, options.instances):
        slow = _measure(console, _questions(), explain=options.explain)
    return 1 if slow else 0


@contextmanager
def _database(console: Console, instances: int) -> Iterator[None]:
    cluster = PostgresCluster()
    cluster.start()
    try:
        create = f"CREATE DATABASE {_DATABASE} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
        psql = [str(cluster.bindir / "psql"), "-q", "-h", str(cluster.root), "-U", cluster.USER, "-d", "postgres"]
        subprocess.run([*psql, "-c", create], check=True)
        os.environ |= {"DATABASE_URL": cluster.database_url(_DATABASE), "DURABLE_EMBEDDED": "1"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "durable_host.settings")
        began = time.monotonic()
        _fill(instances)
        console.print(f"{instances:,} instances and a fan-out of 50,000, filled in {time.monotonic() - began:.0f} s.")
        yield
    finally:
        _close()
        cluster.stop()


def _fill(instances: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(_INSTANCES, {"n": instances})
        cursor.execute(_FAN_OUT)
        for statement in _OPEN_WORK:
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE")


def _close() -> None:
    from django.db import connections

    connections.close_all()
    for connection in connections.all():
        if hasattr(connection, "close_pool"):
            connection.close_pool()


def _questions() -> list[Question]:
    from django.utils import timezone

    now = timezone.now()
    return [*_of_list(now), *_views(), *_of_overview(now), *_of_audit(), *_others(now)]


def _of_list(now: datetime) -> list[Question]:
    from durable_host.store import cursors, listing

    filters = _filters(now)
    questions = [Question(f"page: {what}", _page(listing, one)) for what, one in filters.items()]
    middle = cursors.encode_key((now - timedelta(days=9), 100_000))
    questions.append(
        Question(
            "page: default, 900,000 deep",
            lambda: listing.list_instances("default", filters["everything"], cursor=middle),
        )
    )
    counted = ("name", "tag, rare", "id prefix, one", "custom status, none", "waiting for an event")
    return questions + [
        Question(f"counts: {what}", _counts(listing, filters[what]))
        for what in ("default (no sub-orchestrations)", *counted)
    ]


def _filters(now: datetime) -> dict[str, InstanceFilter]:
    from durable_host.core.status import RuntimeStatus as Status
    from durable_host.store.shapes import InstanceFilter

    roots: dict[str, Any] = {"roots_only": True}
    return {
        "default (no sub-orchestrations)": InstanceFilter(**roots),
        "everything": InstanceFilter(),
        "status Completed": InstanceFilter(statuses=(Status.COMPLETED,), **roots),
        "status Failed": InstanceFilter(statuses=(Status.FAILED,), **roots),
        "status Pending": InstanceFilter(statuses=(Status.PENDING,), **roots),
        "three statuses": InstanceFilter(statuses=(Status.RUNNING, Status.SUSPENDED, Status.FAILED), **roots),
        "name": InstanceFilter(name="orchestrator_7", **roots),
        "name of sub-orchestrations only": InstanceFilter(name="only_called", **roots),
        "name that is gone": InstanceFilter(name="nobody", **roots),
        "id prefix, one": InstanceFilter(instance_id_prefix="order-99995", **roots),
        "id prefix, many": InstanceFilter(instance_id_prefix="order-", **roots),
        "id prefix, none": InstanceFilter(instance_id_prefix="zzz", **roots),
        "tag, rare": InstanceFilter(tags={"customer": "c170"}, **roots),
        "tag, frequent": InstanceFilter(tags={"env": "prod"}, **roots),
        "tag, none": InstanceFilter(tags={"env": "none"}, **roots),
        "custom status, frequent": InstanceFilter(custom_status="stage 24", **roots),
        "custom status, none": InstanceFilter(custom_status="no such text", **roots),
        "error text, frequent": InstanceFilter(error_text="TimeoutError", **roots),
        "error text, none": InstanceFilter(error_text="no such text", **roots),
        "one hour, 5 days ago": InstanceFilter(
            created_from=now - timedelta(days=5, hours=1), created_to=now - timedelta(days=5), **roots
        ),
        "stalled": InstanceFilter(stalled=True),
        "waiting for an event": InstanceFilter(waiting=True),
        "waiting, of two statuses": InstanceFilter(waiting=True, statuses=(Status.RUNNING, Status.SUSPENDED)),
        "children of the fan-out": InstanceFilter(parent_id=_id_of_first()),
        "name + Failed + last day": InstanceFilter(
            name="orchestrator_7", statuses=(Status.FAILED,), created_from=now - timedelta(days=1), **roots
        ),
    }


def _others(now: datetime) -> list[Question]:
    from durable_host.core.status import RuntimeStatus as Status
    from durable_host.store import approvals, listing, selection
    from durable_host.store.approvals import Person, WaitFilter, WaitScope
    from durable_host.store.shapes import InstanceFilter

    completed = InstanceFilter(statuses=(Status.COMPLETED,), roots_only=True)
    ann = Person("ann", frozenset({"finance"}))
    others: dict[str, Callable[[], Any]] = {
        "orchestrator names": lambda: listing.known_orchestrators("default"),
        "recent tags": lambda: listing.recent_tags("default"),
        "approvals: all": lambda: approvals.open_waits("default", WaitFilter()),
        "approvals: mine": lambda: approvals.open_waits("default", WaitFilter(scope=WaitScope.MINE, person=ann)),
        "approvals: badge": lambda: approvals.count_open_waits(
            "default", WaitFilter(scope=WaitScope.OPEN_TO_ME, person=ann)
        ),
        "approvals: decided": lambda: approvals.decided_waits("default", since=now - timedelta(days=7)),
        "batch: next 25 of Completed": lambda: selection.newest("default", completed, limit=25),
    }
    return _unmarked(others)


def _of_overview(now: datetime) -> list[Question]:
    """Return the questions behind the boxes one by one, then the page as browsers get and refresh it."""
    from durable_host.store import approvals, overview
    from durable_host.store.approvals import WaitFilter

    overdue = WaitFilter(overdue_only=True)
    boxes: dict[str, Callable[[], Any]] = {
        "failures of a day, grouped": lambda: overview.failure_groups("default", since=now - timedelta(days=1)),
        "stalled": lambda: overview.stalled_instances("default"),
        "backing off": lambda: overview.activities_backing_off("default"),
        "queues": lambda: overview.queue_backlogs("default"),
        "overdue approvals": lambda: approvals.open_waits("default", overdue),
        "overdue approvals, counted": lambda: approvals.count_open_waits("default", overdue),
        "long runners": lambda: overview.long_runners("default"),
        "24 hours by orchestrator": lambda: overview.activity_by_hour("default"),
        "throughput": lambda: overview.throughput("default"),
    }
    return [
        *_unmarked({f"overview: {what}": ask for what, ask in boxes.items()}),
        Question("view: overview, whole page", _view("/"), mark=None),
        Question("view: overview, refresh of the upper half", _view("/", is_refresh=True), OVERVIEW_MS),
        Question(
            "view: overview, refresh of the lower half", _view("/overview/activity/", is_refresh=True), OVERVIEW_MS
        ),
    ]


def _of_audit() -> list[Question]:
    from durable_host.store import audit, auditing

    def by(actor: str) -> Callable[[], Any]:
        return lambda: auditing.read_audit("default", auditing.AuditFilter(actor=actor))

    asked = {"latest": lambda: audit.latest("default", limit=20), "of one who did much": by("ann")}
    asked |= {"of one who did little": by("bo"), "of nobody": by("zoe")}
    return _unmarked({f"audit: {what}": ask for what, ask in asked.items()})


def _unmarked(asked: Mapping[str, Callable[[], Any]]) -> list[Question]:
    return [Question(what, ask, mark=None) for what, ask in asked.items()]


def _views() -> list[Question]:
    """Return whole pages: session, permissions, questions and template."""
    addresses = {
        "default": "/instances/",
        "all time": "/instances/?since=all",
        "with sub-orchestrations": "/instances/?since=all&subs=1",
        "Failed or Running": "/instances/?status=Failed&status=Running&since=30d",
        "by tag": "/instances/?tag=customer%3Dc170&since=all",
        "waiting for an event": "/instances/?waiting=1&subs=1&since=all",
        "operations": "/operations/",
    }
    return [Question(f"view: {what}", _view(address)) for what, address in addresses.items()]


def _view(address: str, *, is_refresh: bool = False) -> Callable[[], Any]:
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(headers={"host": "localhost"} | ({"hx-request": "true"} if is_refresh else {}))
    users = get_user_model().objects
    client.force_login(users.filter(username="bench").first() or users.create_superuser("bench"))

    def ask() -> Any:
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address} answered {answer.status_code}")
        return answer

    return ask


def _id_of_first() -> str:
    from durable_host.models import Instance

    return Instance.objects.get(pk=1).instance_id


def _page(listing: Any, filter_: Any) -> Callable[[], Any]:
    return lambda: listing.list_instances("default", filter_)


def _counts(listing: Any, filter_: Any) -> Callable[[], Any]:
    return lambda: listing.count_statuses("default", filter_)


def _measure(console: Console, questions: Sequence[Question], *, explain: bool) -> list[str]:
    table = Table(title=f"Milliseconds in Python and PostgreSQL, {_RUNS} runs", title_justify="left", min_width=100)
    for column in ("question", "median", "most", "statements", "slowest", "rows", "mark"):
        table.add_column(column, justify="left" if column == "question" else "right")
    slow: list[str] = []
    for one in questions:
        times, statements, answer = _ask(one, console if explain else None)
        median = statistics.median(times)
        is_slow = one.mark is not None and median > one.mark
        slow += [one.what] if is_slow else []
        mark = "" if one.mark is None else f"[{'red]missed: ' if is_slow else 'green]'}≤ {one.mark:g}"
        rows = str(len(answer.rows)) if hasattr(answer, "rows") else ""
        slowest = f"{max(statements, default=0):.1f}"
        table.add_row(one.what, f"{median:.1f}", f"{max(times):.1f}", str(len(statements)), slowest, rows, mark)
    console.print(table)
    return slow


def _ask(one: Question, console: Console | None) -> tuple[list[float], list[float], Any]:
    """Ask several times; return the times, those of the statements of one more time, and the answer."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = one.ask()
    times = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        one.ask()
        times.append((time.perf_counter() - began) * 1000)
    with CaptureQueriesContext(connection) as captured:
        one.ask()
    asked = [query for query in captured.captured_queries if query["sql"].lstrip("(").startswith(("SELECT", "WITH"))]
    for query in asked:
        if console is not None and float(query["time"]) > 0.02:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + query["sql"])
                plan = "\n".join(row[0] for row in cursor.fetchall())
            console.print(f"{one.what}: {query['time']} s", query["sql"][:600], plan, sep="\n", markup=False)
    return times, [float(query["time"]) * 1000 for query in asked], answer


if __name__ == "__main__":
    sys.exit(main())
