"""What cannot be stored or does not fit is refused at the call, with the argument's name, and leaves no row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from durable_host import (
    BadRequestError,
    InvalidInstanceIdError,
    OrchestrationContext,
    PayloadError,
    RuntimeStatus,
    UnknownOrchestratorError,
)
from durable_host.client import DurableClient
from tests.bells import Bells
from tests.store.workbench import STORE, Workbench, row_counts

pytestmark = STORE


class Line(BaseModel, extra="forbid"):
    article: str
    quantity: int


@dataclass(frozen=True)
class Order:
    day: date
    total: Decimal
    lines: list[Line]


async def anything(ctx: OrchestrationContext, value: Any = None) -> Any:
    return value


async def typed(ctx: OrchestrationContext, order: Order) -> str:
    return order.lines[0].article


async def choice(ctx: OrchestrationContext, pick: Literal["a", "b"]) -> str:
    return pick


async def listening(ctx: OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    for function in (anything, typed, choice, listening):
        bench.orchestrator(function)


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


UNSTORABLE: list[tuple[str, Any, str]] = [
    ("nan", float("nan"), "NaN"),
    ("infinity", {"a": [float("-inf")]}, "NaN or infinity"),
    ("nul", "a\x00b", "NUL"),
    ("nul in a key", {"a\x00b": 1}, "NUL"),
    ("lone surrogate", ["\ud800"], "surrogate"),
    ("5,000 digits", 10**4999, "digits"),
    ("1,000 levels", deep(1000), "levels deep"),
    ("101 levels", deep(101), "levels deep"),
    ("contains itself", circular(), "contains itself"),
    ("over the limit", "x" * (1024 * 1024), "too large"),
    ("no JSON form", object(), "cannot be stored"),
    ("a function", print, "cannot be stored"),
]
unstorable = pytest.mark.parametrize(("value", "problem"), [pytest.param(v, p, id=n) for n, v, p in UNSTORABLE])


@unstorable
@pytest.mark.case(18, 19, 20)
def test_it_refuses_an_input_that_cannot_be_stored(bench: Workbench, bells: Bells, value: Any, problem: str) -> None:
    with pytest.raises(PayloadError, match="'value' of orchestrator 'anything'") as refused:
        bench.client.start_new("anything", value)
    assert problem in str(refused.value)
    assert set(row_counts().values()) == {0}
    assert bells.queues == []


@unstorable
def test_it_refuses_the_same_in_events_and_reasons(bench: Workbench, value: Any, problem: str) -> None:
    id_ = bench.start("listening")
    before = row_counts()
    with pytest.raises(PayloadError, match="data of event 'go'") as refused:
        bench.client.raise_event(id_, "go", value)
    assert problem in str(refused.value)
    if isinstance(value, str):
        for steer in (bench.client.terminate, bench.client.suspend):
            with pytest.raises(PayloadError, match="reason"):
                steer(id_, value)
    assert row_counts() == before
    assert bench.status(id_).runtime_status is RuntimeStatus.RUNNING


@pytest.mark.parametrize(
    "value", [deep(100), 10**4299, "é\U0001f600\\u0000 \x7f", "", {"": [None, True, 1.5]}, -(2**80)]
)
def test_it_stores_what_comes_close_to_the_limits(bench: Workbench, value: Any) -> None:
    id_ = bench.start("anything", value)
    assert bench.output(id_) == value
    assert bench.status(id_).input == value


def test_it_takes_the_payload_limit_from_the_settings(settings: Any, bench: Workbench) -> None:
    settings.DURABLE_HOST = {"MAX_PAYLOAD_BYTES": 100}
    client = DurableClient(registry=bench.registry)
    client.start_new("anything", "x" * 98)
    with pytest.raises(PayloadError, match=r"101 bytes of JSON, the limit is 100.*MAX_PAYLOAD_BYTES"):
        client.start_new("anything", "x" * 99)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("typed", {"day": "soon", "total": "1", "lines": []}, "day"),
        (
            "typed",
            {"day": "2026-01-01", "total": "1", "lines": [{"article": "tea", "quantity": "two"}]},
            "lines.0.quantity",
        ),
        ("typed", {"day": "2026-01-01", "total": "1", "lines": [{"article": "tea"}]}, "lines.0.quantity"),
        (
            "typed",
            {"day": "2026-01-01", "total": "1", "lines": [{"article": "tea", "quantity": 1, "x": 1}]},
            "lines.0.x",
        ),
        ("typed", {"total": "1", "lines": []}, "day"),
        ("typed", [1], "order"),
        ("typed", None, "order"),
        ("choice", "c", "'a' or 'b'"),
        ("choice", None, "pick"),
    ],
)
def test_it_refuses_an_input_that_does_not_fit_and_names_the_field(
    bench: Workbench, name: str, value: Any, field: str
) -> None:
    with pytest.raises(PayloadError, match=f"of orchestrator '{name}' does not fit") as refused:
        bench.client.start_new(name, value)
    assert field in str(refused.value)
    assert set(row_counts().values()) == {0}


@pytest.mark.parametrize(
    "id_", ["", "a/b", "a\\b", "a#b", "a?b", "@entity", "a\x00b", "a\nb", "a\x7fb", "\ud800", "x" * 257, 7, b"a"]
)
def test_it_refuses_a_bad_instance_id(bench: Workbench, id_: Any) -> None:
    with pytest.raises(InvalidInstanceIdError):
        bench.client.start_new("anything", instance_id=id_)
    with pytest.raises(InvalidInstanceIdError):
        bench.client.start_or_get("anything", instance_id=id_)
    assert set(row_counts().values()) == {0}


def test_it_accepts_the_longest_instance_id(bench: Workbench) -> None:
    id_ = "é" * 256
    assert bench.start("anything", 1, instance_id=id_) == id_
    assert bench.output(id_) == 1


@pytest.mark.parametrize(("name", "hint"), [("anithing", "'anything'"), ("", "Registered are"), ("a\x00", "anything")])
def test_it_says_which_orchestrator_may_be_meant(bench: Workbench, name: str, hint: str) -> None:
    with pytest.raises(UnknownOrchestratorError, match="No orchestrator") as refused:
        bench.client.start_new(name)
    assert hint in str(refused.value)
    assert set(row_counts().values()) == {0}


def test_it_refuses_a_function_that_is_not_registered(bench: Workbench) -> None:
    async def stranger(ctx: OrchestrationContext) -> None: ...

    with pytest.raises(TypeError, match="stranger is not registered"):
        bench.client.start_new(stranger)


@pytest.mark.parametrize(
    "tags",
    [
        {"": "x"},
        {"k" * 65: "x"},
        {"k": "x" * 257},
        {"k": 1},
        {1: "x"},
        {"k": None},
        {"k": "a\x00"},
        {"a\x00": "x"},
        {"k": "\ud800"},
        {"\ud800": "x"},
    ],
)
def test_it_refuses_bad_tags(bench: Workbench, tags: Any) -> None:
    with pytest.raises(BadRequestError, match=r"[Tt]ag"):
        bench.client.start_new("anything", tags=tags)
    assert set(row_counts().values()) == {0}


@pytest.mark.parametrize("name", ["", "x" * 257, "a\x00b", "\ud800", "a\nb", 7, None])
def test_it_refuses_a_bad_event_name(bench: Workbench, name: Any) -> None:
    id_ = bench.start("listening")
    before = row_counts()
    with pytest.raises(BadRequestError, match="event name"):
        bench.client.raise_event(id_, name)
    assert row_counts() == before


@pytest.mark.parametrize("version", ["x" * 300, "a\x00", "\ud800", "1\n2", 7])
def test_it_refuses_a_bad_version(bench: Workbench, version: Any) -> None:
    with pytest.raises(BadRequestError, match="version"):
        bench.client.start_new("anything", version=version)
    assert set(row_counts().values()) == {0}


def test_it_stores_the_longest_version(bench: Workbench) -> None:
    id_ = bench.start("anything", 1, version="v" * 256)
    assert bench.status(id_).version == "v" * 256


Call = Callable[[OrchestrationContext], Any]
CALLS: list[tuple[str, Call]] = [
    ("activity name", lambda ctx: ctx.call_activity("x" * 300)),
    ("activity name with NUL", lambda ctx: ctx.call_activity("a\x00")),
    ("orchestrator name", lambda ctx: ctx.call_sub_orchestrator("x" * 300)),
    ("instance id", lambda ctx: ctx.call_sub_orchestrator("anything", instance_id="a/b")),
    ("long instance id", lambda ctx: ctx.call_sub_orchestrator("anything", instance_id="x" * 300)),
    ("version", lambda ctx: ctx.call_sub_orchestrator("anything", version="x" * 300)),
    ("event name", lambda ctx: ctx.wait_for_external_event("x" * 300)),
    ("event name with NUL", lambda ctx: ctx.wait_for_external_event("a\x00")),
    ("title", lambda ctx: ctx.wait_for_external_event("e", title="a\x00")),
    ("assignee", lambda ctx: ctx.wait_for_external_event("e", assignees=["a\x00"])),
    ("sent event name", lambda ctx: ctx.send_event("one", "x" * 300)),
    ("sent event target", lambda ctx: ctx.send_event("a\x00", "e")),
    ("input", lambda ctx: ctx.call_activity("a", "\x00")),
    ("custom status", lambda ctx: ctx.set_custom_status(float("nan"))),
    ("next input", lambda ctx: ctx.continue_as_new(deep(1000))),
    ("next version", lambda ctx: ctx.continue_as_new(new_version="x" * 300)),
    ("far timer", lambda ctx: ctx.create_timer(ctx.current_utc_datetime.max)),
]


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS])
def test_it_fails_only_the_orchestrator_that_asks_for_what_cannot_be_stored(bench: Workbench, call: Call) -> None:
    async def asking(ctx: OrchestrationContext) -> None:
        task = call(ctx)
        if task is not None:
            await ctx.when_any([task, ctx.create_timer(ctx.current_utc_datetime)])
        raise LookupError("went on")

    bench.orchestrator(asking)
    ids = [bench.client.start_new(name) for name in ("anything", "asking", "anything")]
    bench.run()
    assert bench.output(ids[0]) == bench.output(ids[2])
    failed = bench.status(ids[1])
    assert failed.runtime_status is RuntimeStatus.FAILED
    assert failed.failure is not None
    assert failed.stall_reason == ""


@unstorable
@pytest.mark.case(18, 20)
def test_it_fails_the_activity_whose_result_cannot_be_stored(bench: Workbench, value: Any, problem: str) -> None:
    async def calling(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("giving")

    bench.orchestrator(calling)
    bench.activity(lambda _: value, name="giving")
    status = bench.status(bench.start("calling"))
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.failure is not None
    assert "result of activity 'giving'" in str(status.failure.inner_failure)
    assert problem in str(status.failure.inner_failure)


@pytest.mark.parametrize("message", ["\x00\ud800", "x" * 3_000_000, ""])
def test_it_stores_the_failure_whatever_its_message(bench: Workbench, message: str) -> None:
    class OddError(Exception):
        pass

    def failing(value: Any) -> None:
        raise OddError(message)

    async def calling(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("failing")

    bench.orchestrator(calling)
    bench.activity(failing)
    status = bench.status(bench.start("calling"))
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.failure is not None
    assert status.failure.inner_failure is not None
    assert status.failure.inner_failure.error_type == "OddError"
