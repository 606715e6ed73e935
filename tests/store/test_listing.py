"""The list of instances: light rows, honest counts, bounded searches, exports, a limit of time."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from durable_host import BadRequestError, OrchestrationContext, RetryPolicy, RuntimeStatus
from durable_host.client import InstanceFilter
from durable_host.models import EventWait, Instance
from durable_host.store import checkpoint, exporting, limits, listing, selection
from durable_host.store.limits import TooSlowError, time_limited
from tests.store.workbench import STORE, Workbench

pytestmark = STORE
HUB = "default"


async def echo(ctx: OrchestrationContext, value: Any = None) -> Any:
    ctx.set_custom_status({"seen": value})
    if value == "fail":
        raise ValueError("order 17 as told")
    return value


async def parent(ctx: OrchestrationContext) -> None:
    await ctx.call_sub_orchestrator(echo, 1)


async def busy(ctx: OrchestrationContext) -> None:
    flaky = ctx.call_activity("flaky", retry=RetryPolicy(first_retry_interval=timedelta(hours=1)))
    await ctx.when_all([flaky, ctx.wait_for_external_event("Approval"), ctx.call_activity("slow")])


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    for one in (echo, parent, busy):
        bench.orchestrator(one)

    def flaky(_: Any) -> None:
        raise ConnectionError("no route")

    bench.activity(flaky)
    bench.activity(lambda _: None, name="slow", queue="elsewhere")


def ids(**filters: Any) -> list[str]:
    page = listing.list_instances(HUB, InstanceFilter(**filters))
    return [row.instance_id for row in page.rows]


def test_a_row_says_what_is_open_and_how_it_ended(bench: Workbench) -> None:
    bench.start("echo", "fail", instance_id="f", tags={"team": "blue"})
    bench.start("busy", instance_id="b")
    busy_row, failed = listing.list_instances(HUB, InstanceFilter()).rows
    assert (busy_row.waiting_for, busy_row.activities_open, busy_row.retries_open) == (("Approval",), 1, 1)
    assert (failed.status, failed.error_type, failed.error_message) == (
        RuntimeStatus.FAILED,
        "ValueError",
        "order 17 as told",
    )
    assert failed.tags == {"team": "blue"}
    assert failed.custom_status == '{"seen":"fail"}'
    assert failed.custom_status_size == len('{"seen":"fail"}')
    assert failed.is_finished
    assert failed.duration is not None
    assert not busy_row.is_finished
    assert busy_row.duration is None


def test_sub_orchestrations_are_hidden_on_demand_and_found_by_parent(bench: Workbench) -> None:
    bench.start("parent", instance_id="p")
    child = next(one for one in ids() if one != "p")
    assert ids(roots_only=True) == ["p"]
    assert ids(parent_id="p") == [child]
    assert ids(parent_id="nobody") == []
    assert listing.list_instances(HUB, InstanceFilter(parent_id="p")).rows[0].parent_instance_id == "p"


def test_failures_are_found_by_their_text(bench: Workbench) -> None:
    bench.start("echo", "fail", instance_id="f")
    bench.start("echo", "order 17 as told", instance_id="ok")
    assert ids(error_text="order 17") == ["f"]
    assert ids(error_text="ValueError", statuses=(RuntimeStatus.COMPLETED,)) == []
    assert ids(error_text="nothing") == []


def test_stalled_ones_are_found(bench: Workbench) -> None:
    bench.start("busy", instance_id="b")
    Instance.objects.filter(instance_id="b").update(stall_reason="code is gone")
    bench.start("echo", 1, instance_id="e")
    assert ids(stalled=True) == ["b"]


def test_pages_go_through_several_statuses_in_order_without_gaps(bench: Workbench) -> None:
    for number in range(12):
        bench.client.start_new("echo", "fail" if number % 3 else number, instance_id=f"i{number:02}")
    bench.run()
    wanted = InstanceFilter(statuses=(RuntimeStatus.FAILED, RuntimeStatus.COMPLETED))
    found: list[str] = []
    cursor = None
    while True:
        page = listing.list_instances(HUB, wanted, page_size=5, cursor=cursor)
        found += [row.instance_id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [f"i{number:02}" for number in reversed(range(12))]
    with pytest.raises(BadRequestError):
        listing.list_instances(HUB, wanted, cursor="bm9uc2Vuc2U=")


def listening(number: int, since: datetime, events: int, status: str = "Running") -> tuple[str, datetime]:
    """Write an instance that has listened for so many events since a time; return its id and creation."""
    created_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number * 37 % 40)
    row = Instance.objects.create(
        hub=HUB,
        instance_id=f"i{number}",
        name="busy",
        status=status,
        created_at=created_at,
        updated_at=created_at,
    )
    waits = [
        EventWait(instance=row, name=f"E{n}", name_key=f"e{n}", since=max(since, created_at)) for n in range(events)
    ]
    EventWait.objects.bulk_create(waits)
    return row.instance_id, created_at


@pytest.mark.parametrize("page_size", [1, 3, 7, 50])
def test_those_that_wait_come_newest_first_whatever_the_age_of_their_waits(page_size: int) -> None:
    # Given: old instances that began to wait again just now, several waits of one, others that wait for nothing.
    now = datetime(2026, 1, 2, tzinfo=UTC)
    made = {
        number: listening(number, now if number % 5 == 0 else datetime(2026, 1, 1, tzinfo=UTC), number % 4)
        for number in range(40)
    }
    suspended = listening(40, now, 1, "Suspended")
    expected = [made[number] for number in made if number % 4] + [suspended]
    filter_ = InstanceFilter(waiting=True)
    # When: all pages are read
    found: list[str] = []
    page = listing.list_instances(HUB, filter_, page_size=page_size)
    found += [row.instance_id for row in page.rows]
    while page.cursor:
        page = listing.list_instances(HUB, filter_, page_size=page_size, cursor=page.cursor)
        found += [row.instance_id for row in page.rows]
    # Then: each is there once, in the order of creation, and the counts agree
    in_order = sorted(expected, key=lambda one: (one[1], int(one[0][1:])), reverse=True)
    assert found == [instance_id for instance_id, _ in in_order]
    counts = listing.count_statuses(HUB, filter_)
    assert (str(counts.total), str(counts.by_status[RuntimeStatus.SUSPENDED])) == ("31", "1")
    assert ids(waiting=True, statuses=(RuntimeStatus.SUSPENDED, RuntimeStatus.COMPLETED)) == ["i40"]
    assert ids(waiting=True, statuses=(RuntimeStatus.COMPLETED,)) == []
    assert ids(waiting=True, name_pattern="b*sy", roots_only=True) == found[:50]
    assert ids(waiting=True, name_pattern="other*") == []
    assert ids(waiting=True, custom_status="none has one") == []


def test_a_search_looks_through_a_bounded_part_and_says_how_far(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "SEARCH_WINDOW", 4)
    for number in range(10):
        bench.client.start_new("echo", number, instance_id=f"i{number}")
    bench.run()
    wanted = InstanceFilter(custom_status='"seen":1')
    first = listing.list_instances(HUB, wanted)
    assert first.rows == ()
    assert first.searched_to == Instance.objects.get(instance_id="i6").created_at
    assert listing.count_statuses(HUB, wanted).searched_to == first.searched_to
    assert listing.count_matching(HUB, wanted).is_capped
    second = listing.list_instances(HUB, wanted, cursor=first.cursor)
    assert second.rows == ()
    third = listing.list_instances(HUB, wanted, cursor=second.cursor)
    assert [row.instance_id for row in third.rows] == ["i1"]
    assert (third.cursor, third.searched_to) == (None, None)
    assert [row.instance_id for row in exporting.export_rows(HUB, wanted)] == ["i1"]


def test_counts_by_status_leave_the_chosen_status_aside_and_stop_at_their_limit(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        bench.client.start_new("echo", "fail" if number == 0 else number, instance_id=f"i{number}")
    bench.run()
    chosen = InstanceFilter(statuses=(RuntimeStatus.FAILED,))
    counts = listing.count_statuses(HUB, chosen)
    assert counts.by_status[RuntimeStatus.COMPLETED] == listing.CappedCount(4)
    assert counts.by_status[RuntimeStatus.PENDING] == listing.CappedCount(0)
    assert counts.total == listing.CappedCount(5)
    assert listing.count_matching(HUB, chosen) == listing.CappedCount(1)
    assert str(listing.CappedCount.of(1_001)) == "1,000+"
    assert listing.count_statuses(HUB, InstanceFilter(name="\x00")).total == listing.CappedCount(0)


def test_exports_hold_everything_and_no_formula(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_EXPORT_PART", 2)
    for name in ("=cmd()", "b", "ü"):
        bench.start("echo", 1, instance_id=name, tags={"a": "1"})
    lines = [json.loads(line) for line in exporting.export_ndjson(HUB, InstanceFilter())]
    assert [line["instanceId"] for line in lines] == ["ü", "b", "=cmd()"]
    assert lines[0]["tags"] == {"a": "1"}
    table = list(csv.DictReader(io.StringIO("".join(exporting.export_csv(HUB, InstanceFilter())))))
    assert [row["instanceId"] for row in table] == ["ü", "b", "'=cmd()"]
    assert table[0]["runtimeStatus"] == "Completed"


def test_known_names_and_tags(bench: Workbench) -> None:
    bench.start("echo", 1, tags={"team": "red", "env": "prod"})
    bench.start("parent", tags={"team": "blue"})
    assert listing.known_orchestrators(HUB, ["zebra", "echo"]) == ("echo", "parent", "zebra")
    assert listing.recent_tags(HUB) == {"env": ("prod",), "team": ("blue", "red")}


def test_a_question_that_takes_too_long_is_given_up(bench: Workbench) -> None:
    endless = {
        "postgresql": "SELECT pg_sleep(30)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    }
    with pytest.raises(TooSlowError, match=r"0\.05 s"), time_limited(0.05), connection.cursor() as cursor:
        cursor.execute(endless[connection.vendor])
    with time_limited(), connection.cursor() as cursor:  # the limit is gone with its question
        cursor.execute("SELECT 1")
    assert limits.PATIENCE == 3


def test_no_index_holds_a_value_that_every_turn_changes() -> None:
    """Then PostgreSQL writes a turn's new version of the row without touching any index (a heap-only update)."""
    changed_in_every_turn = set(checkpoint._MOVED) - {"id", "status", "completed_at", "stall_reason"}
    indexed = {field.lstrip("-") for index in Instance._meta.indexes for field in index.fields}
    indexed |= {field for one in Instance._meta.constraints for field in getattr(one, "fields", ())}
    assert "created_at" in indexed
    assert not indexed & changed_in_every_turn
