"""Finding instances: filters that mean the same on every database, and pages that stay stable."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from durable_host import BadRequestError, InstanceNotFoundError, OrchestrationContext, RuntimeStatus
from durable_host.client import InstanceFilter
from durable_host.models import Instance
from durable_host.store import queries
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench

pytestmark = STORE


async def echo(ctx: OrchestrationContext, value: Any = None) -> Any:
    ctx.set_custom_status({"seen": value})
    if value == "fail":
        raise ValueError("as told")
    return value


async def other(ctx: OrchestrationContext) -> None:
    await ctx.wait_for_external_event("never")


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(echo)
    bench.orchestrator(other)


def found(bench: Workbench, **filters: Any) -> list[str]:
    """Return the ids that a filter finds, oldest first."""
    page = bench.client.query(InstanceFilter(**filters), newest_first=False)
    return [one.instance_id for one in page.items]


def test_it_filters_by_status_and_name(bench: Workbench) -> None:
    for id_, name, value in (("a", "echo", 1), ("b", "echo", "fail"), ("c", "other", None)):
        bench.client.start_new(name, value, instance_id=id_)
    bench.run()
    bench.client.start_new("echo", instance_id="d")
    assert found(bench) == ["a", "b", "c", "d"]
    assert found(bench, statuses=(RuntimeStatus.FAILED,)) == ["b"]
    assert found(bench, statuses=(RuntimeStatus.COMPLETED, RuntimeStatus.PENDING)) == ["a", "d"]
    assert found(bench, name="other") == ["c"]
    assert found(bench, name="echo", statuses=(RuntimeStatus.RUNNING,)) == []
    assert queries.count_by_status("default") == {
        RuntimeStatus.COMPLETED: 1,
        RuntimeStatus.FAILED: 1,
        RuntimeStatus.RUNNING: 1,
        RuntimeStatus.PENDING: 1,
    }


@pytest.mark.parametrize(
    ("prefix", "ids"),
    [
        ("order", ["order-1", "order_2", "order%3"]),
        ("order_", ["order_2"]),
        ("order%", ["order%3"]),
        ("ORDER", ["ORDER-4"]),
        ("é", ["é-5"]),
        ("order-1", ["order-1"]),
        ("order-10", []),
        ("[o]", []),
        ("*", ["*6"]),
    ],
)
def test_it_takes_a_prefix_literally(bench: Workbench, prefix: str, ids: list[str]) -> None:
    for id_ in ("order-1", "order_2", "order%3", "ORDER-4", "é-5", "*6"):
        bench.client.start_new("echo", instance_id=id_)
    assert found(bench, instance_id_prefix=prefix) == ids


@pytest.mark.parametrize(
    "key",
    [
        "team",
        "a__b",
        "a__contains",
        "a.b",
        "a b",
        "1",
        "-1",
        "0",
        "a'b",
        "%s",
        "é",
        "$",
        "$.x",
        "[0]",
        "a:b",
        "x?",
        'a"b',
        "a\\b",
        '"',
    ],
)
def test_it_filters_by_tags_of_any_name(bench: Workbench, key: str) -> None:
    bench.client.start_new("echo", instance_id="yes", tags={key: "v", "also": "x"})
    bench.client.start_new("echo", instance_id="no", tags={key: "w", "also": "x"})
    bench.client.start_new("echo", instance_id="none")
    assert found(bench, tags={key: "v"}) == ["yes"]
    assert found(bench, tags={"also": "x", key: "w"}) == ["no"]
    assert found(bench, tags={"also": "x"}) == ["yes", "no"]
    assert found(bench, tags={key: ""}) == []


@pytest.mark.parametrize("value", ["", "null", "true", "1", "1.0", '"q"', "{}", "é%_", "v'"])
def test_it_takes_tag_values_literally(bench: Workbench, value: str) -> None:
    bench.client.start_new("echo", instance_id="yes", tags={"key": value})
    bench.client.start_new("echo", instance_id="no", tags={"key": "other"})
    assert found(bench, tags={"key": value}) == ["yes"]


def test_it_filters_by_time_of_creation(bench: Workbench, moving_clock: MovingClock) -> None:
    times = []
    for number in range(3):
        bench.client.start_new("echo", instance_id=str(number))
        times.append(bench.status(str(number)).created_at)
        moving_clock.advance(minutes=1)
    assert found(bench, created_from=times[1]) == ["1", "2"]
    assert found(bench, created_to=times[1]) == ["0", "1"]
    assert found(bench, created_from=times[0] + timedelta(seconds=1), created_to=times[2] - timedelta(seconds=1)) == [
        "1"
    ]


@pytest.mark.parametrize("newest_first", [True, False])
def test_it_pages_by_key_while_rows_are_added(bench: Workbench, newest_first: bool) -> None:
    # Created in one transaction, so that many have the same time and only the key tells them apart.
    for batch in range(3):
        bench.client.start_many("echo", range(7), instance_ids=[f"{batch}-{n}" for n in range(7)])
    there = set(found(bench))
    seen: list[str] = []
    token: str | None = None
    for number in range(20):
        page = bench.client.query(page_size=4, continuation=token, newest_first=newest_first)
        seen += [one.instance_id for one in page.items]
        bench.client.start_new("echo", instance_id=f"late-{number}")
        token = page.continuation
        if token is None:
            break
    old = [one for one in seen if not one.startswith("late-")]
    assert len(old) == 21
    assert set(old) == there
    assert len(seen) == len(set(seen))
    order = [
        (row.created_at, row.pk) for row in Instance.objects.order_by("created_at", "pk") if row.instance_id in seen
    ]
    stored = {row.instance_id: (row.created_at, row.pk) for row in Instance.objects.all()}
    assert [stored[one] for one in seen] == (order[::-1] if newest_first else order)


def test_it_ends_without_a_token_when_the_last_page_is_full(bench: Workbench) -> None:
    bench.client.start_many("echo", range(4))
    first = bench.client.query(page_size=2)
    second = bench.client.query(page_size=2, continuation=first.continuation)
    assert (len(first.items), len(second.items)) == (2, 2)
    assert first.continuation is not None
    assert second.continuation is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "\ud800",
        "a\x00b",
        *(
            base64.urlsafe_b64encode(text.encode()).decode()
            for text in (
                "null",
                "[]",
                "[1,2,3]",
                '["x",1]',
                '["2026-01-01T00:00:00Z","x"]',
                '["2026-01-01T00:00:00Z",1e999]',
                '["0001-01-01T00:00:00+23:00",1]',
                "{",
            )
        ),
    ],
)
def test_it_refuses_a_bad_continuation_token(bench: Workbench, token: str) -> None:
    bench.client.start_new("echo")
    with pytest.raises(BadRequestError, match="continuation token"):
        bench.client.query(continuation=token)


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_it_refuses_a_bad_page_size(bench: Workbench, size: int) -> None:
    with pytest.raises(BadRequestError, match="page_size"):
        bench.client.query(page_size=size)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x" * 10_000, "'; --", ""])
def test_it_finds_nothing_for_texts_that_no_row_can_have(bench: Workbench, text: str) -> None:
    bench.client.start_new("echo", instance_id="a", tags={"k": "v"})
    assert bench.client.get_status(text) is None
    with pytest.raises(InstanceNotFoundError):
        bench.client.get_history(text)
    if text:
        assert found(bench, name=text) == []
        assert found(bench, instance_id_prefix=text) == []
    assert found(bench, tags={"k": text}) == []
    assert found(bench, tags={text: "v"}) == []


def test_it_reads_inputs_only_when_asked(bench: Workbench) -> None:
    bench.client.start_many("echo", ["x", "y"], instance_ids=["a", "b"])
    bench.run()
    bench.client.start_new("echo", "z", instance_id="c")
    without, with_ = bench.client.query(), bench.client.query(show_input=True)
    assert [one.input for one in without.items] == [None, None, None]
    assert [one.input for one in with_.items] == ["z", "y", "x"]
    assert [one.custom_status for one in with_.items] == [None, {"seen": "y"}, {"seen": "x"}]
    hidden = bench.client.get_status("a", show_input=False)
    assert hidden is not None
    assert (hidden.input, hidden.output) == (None, "x")


def test_it_shows_history_by_generation(bench: Workbench) -> None:
    async def counting(ctx: OrchestrationContext, n: int) -> int:
        if n < 3:
            ctx.continue_as_new(n + 1)
        return n

    bench.orchestrator(counting)
    bench.start("counting", 0, instance_id="c")
    status = bench.status("c")
    assert (status.output, status.generation, status.input) == (3, 3, 3)
    assert bench.client.get_history("c") == bench.client.get_history("c", generation=3)
    assert [event.event_type for event in bench.client.get_history("c", generation=2)][-2:] == [
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert bench.client.get_history("c", generation=0) == []
