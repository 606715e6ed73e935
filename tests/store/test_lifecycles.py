"""Whole lives of instances: generations, families, waits, timers, messages, payloads."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from durable_host import OrchestrationContext, RuntimeStatus, SubOrchestrationFailedError
from durable_host.models import EventWait, HistoryEvent, PendingEvent
from tests.store.conftest import MovingClock
from tests.store.workbench import (
    STORE,
    Workbench,
    assert_gap_free,
    assert_nothing_is_left,
    row_counts,
    row_of,
)

pytestmark = STORE

Ctx = OrchestrationContext


async def leaf(ctx: Ctx, value: Any = None) -> Any:
    if value == "fail":
        raise LookupError("no such leaf")
    return [ctx.instance_id, ctx.parent_instance_id, ctx.version, value]


# --- continue as new ------------------------------------------------------------------------------------------------


async def counting(ctx: Ctx, taken: list[Any]) -> list[Any]:
    taken = [*taken, await ctx.wait_for_external_event("n")]
    if len(taken) < 12:
        ctx.continue_as_new(taken)
    return taken


def test_it_keeps_events_in_order_over_generations_and_forgets_old_ones(bench: Workbench) -> None:
    bench.orchestrator(counting)
    id_ = bench.start("counting", [])
    for number in range(12):
        bench.client.raise_event(id_, "n", number)
        if number % 3 == 0:
            bench.run()
    bench.run()
    assert bench.output(id_) == list(range(12))
    status = bench.status(id_)
    assert (status.generation, status.input) == (11, list(range(11)))
    kept = set(HistoryEvent.objects.filter(instance=row_of(id_)).values_list("generation", flat=True))
    assert kept == {10, 11}
    assert_gap_free(id_)
    assert_nothing_is_left()


def test_it_drops_work_of_the_former_generation(bench: Workbench, moving_clock: MovingClock) -> None:
    async def restless(ctx: Ctx, n: int) -> int:
        ctx.create_timer(timedelta(hours=1))
        slow = ctx.call_activity("slow", n)
        await ctx.call_activity("quick", n)
        if n < 2:
            ctx.continue_as_new(n + 1)
            return n
        return int(await slow)

    bench.orchestrator(restless)
    bench.activity(lambda n: n, name="quick")
    bench.activity(lambda n: n * 100, name="slow")
    id_ = bench.start("restless", 0)
    assert bench.output(id_) == 200
    assert_nothing_is_left()
    moving_clock.advance(hours=2)
    bench.run()
    assert bench.output(id_) == 200


# --- sub-orchestrations ---------------------------------------------------------------------------------------------


def test_it_runs_sub_orchestrations_with_ids_of_their_own(bench: Workbench) -> None:
    async def parent(ctx: Ctx) -> Any:
        return [await ctx.call_sub_orchestrator("leaf", 1), await ctx.call_sub_orchestrator("leaf", 2, "mine", "9")]

    bench.orchestrator(leaf)
    bench.orchestrator(parent)
    first, second = bench.output(bench.start("parent", instance_id="p", version="3"))
    assert first[1:] == ["p", "3", 1]
    assert first[0].startswith("p:")
    assert second == ["mine", "p", "9", 2]
    assert bench.status("mine").parent_instance_id == "p"
    assert_nothing_is_left()


def test_it_lets_the_parent_catch_a_failed_sub_orchestration(bench: Workbench) -> None:
    async def parent(ctx: Ctx) -> Any:
        try:
            await ctx.call_sub_orchestrator("leaf", "fail")
        except SubOrchestrationFailedError as error:
            return [error.error_type, error.error_message, error.is_caused_by(LookupError)]

    bench.orchestrator(leaf)
    bench.orchestrator(parent)
    assert bench.output(bench.start("parent")) == ["LookupError", "no such leaf", True]


def test_it_refuses_a_sub_orchestration_id_that_is_in_use_so_that_code_can_catch_it(bench: Workbench) -> None:
    async def waiting(ctx: Ctx) -> Any:
        return await ctx.wait_for_external_event("go")

    async def parent(ctx: Ctx, id_: str) -> Any:
        results = []
        for _ in range(2):
            try:
                results.append(await ctx.call_sub_orchestrator("leaf", 1, instance_id=id_))
            except SubOrchestrationFailedError as error:
                results.append(error.error_type)
        return results

    for function in (waiting, parent, leaf):
        bench.orchestrator(function)
    bench.start("waiting", instance_id="busy")
    bench.start("leaf", instance_id="done")
    bench.client.start_many("parent", ["busy", "done"], instance_ids=["p1", "p2"])
    bench.run()
    assert bench.output("p1") == ["InstanceAlreadyExistsError"] * 2
    assert [one[0] for one in bench.output("p2")] == ["done", "done"]  # a finished one is replaced
    assert bench.status("busy").runtime_status is RuntimeStatus.RUNNING


def test_it_lets_one_of_two_parents_in_a_batch_have_the_id(bench: Workbench) -> None:
    async def parent(ctx: Ctx) -> Any:
        try:
            return (await ctx.call_sub_orchestrator("leaf", instance_id="shared"))[1]
        except SubOrchestrationFailedError as error:
            return error.error_type

    bench.orchestrator(leaf)
    bench.orchestrator(parent)
    ids = bench.client.start_many("parent", [None] * 2, instance_ids=["p1", "p2"])
    bench.run()
    assert sorted(bench.output(id_) for id_ in ids) == ["InstanceAlreadyExistsError", "p1"]


@pytest.mark.case(31)
def test_it_lets_a_sub_orchestration_end_whose_parent_was_purged(bench: Workbench) -> None:
    async def waiting(ctx: Ctx) -> Any:
        return await ctx.wait_for_external_event("go")

    async def parent(ctx: Ctx) -> Any:
        return await ctx.call_sub_orchestrator("waiting", instance_id="child")

    bench.orchestrator(waiting)
    bench.orchestrator(parent)
    bench.start("parent", instance_id="p")
    bench.client.terminate("p", recursive=False)
    bench.run()
    assert bench.client.purge("p") == 1
    bench.client.raise_event("child", "go", 1)
    bench.run()
    assert bench.output("child") == 1
    assert_nothing_is_left()


# --- waits, timers, messages, custom status -------------------------------------------------------------------------


def test_it_shows_what_it_waits_for_as_long_as_it_waits(bench: Workbench) -> None:
    async def asking(ctx: Ctx) -> Any:
        due = datetime(2030, 1, 1, tzinfo=UTC)
        first = ctx.wait_for_external_event(
            "Approval", bool, title="Spend?", description="On tea", assignees=["ann", "bob"], due=due
        )
        second = ctx.wait_for_external_event("other")
        return [await first, await second]

    bench.orchestrator(asking)
    id_ = bench.start("asking")
    wait = EventWait.objects.get(name="Approval")
    assert (wait.name_key, wait.title, wait.description) == ("approval", "Spend?", "On tea")
    assert (wait.assignees, wait.due, wait.schema) == (
        ["ann", "bob"],
        datetime(2030, 1, 1, tzinfo=UTC),
        '{"type":"boolean"}',
    )
    other = EventWait.objects.get(name="other")
    assert (other.schema, other.assignees, other.due) == (None, [], None)
    bench.client.raise_event(id_, "APPROVAL", True)
    bench.run()
    assert list(EventWait.objects.values_list("name", "since")) == [("other", other.since)]
    bench.client.raise_event(id_, "Other", 1)
    bench.run()
    assert bench.output(id_) == [True, 1]
    assert_nothing_is_left()


def test_it_takes_early_events_first_in_first_out(bench: Workbench) -> None:
    async def late(ctx: Ctx) -> list[Any]:
        await ctx.wait_for_external_event("now")
        return [await ctx.wait_for_external_event("n") for _ in range(3)]

    bench.orchestrator(late)
    id_ = bench.client.start_new("late")
    for number in range(3):
        bench.client.raise_event(id_, "N" if number % 2 else "n", number)
    bench.run()
    bench.client.raise_event(id_, "now")
    bench.run()
    assert bench.output(id_) == [0, 1, 2]


def test_it_writes_timers_as_messages_for_later_and_removes_cancelled_ones(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    async def racing(ctx: Ctx) -> str:
        slow, quick = ctx.create_timer(timedelta(days=1)), ctx.create_timer(timedelta(hours=1))
        winner = await ctx.when_any([slow, quick, ctx.create_timer(timedelta(days=2))])
        slow.cancel()
        await ctx.wait_for_external_event("go")
        return "quick" if winner is quick else "slow"

    bench.orchestrator(racing)
    id_ = bench.start("racing")
    times = sorted(row.visible_at for row in PendingEvent.objects.all())
    assert [round((at - times[0]).total_seconds() / 3600) for at in times] == [0, 23, 47]
    moving_clock.advance(hours=1, seconds=1)
    bench.run()
    assert PendingEvent.objects.get().visible_at == times[2]
    bench.client.raise_event(id_, "go")
    bench.run()
    assert bench.output(id_) == "quick"
    assert_nothing_is_left()


def test_it_sends_events_between_instances_and_drops_those_to_nobody(bench: Workbench) -> None:
    async def sender(ctx: Ctx) -> None:
        for target in ("receiver", "nobody", "finished"):
            ctx.send_event(target, "hello", {"from": ctx.instance_id})

    async def receiver(ctx: Ctx) -> Any:
        return await ctx.wait_for_external_event("Hello")

    for function in (sender, receiver, leaf):
        bench.orchestrator(function)
    bench.start("leaf", instance_id="finished")
    bench.start("receiver", instance_id="receiver")
    bench.start("sender", instance_id="s")
    assert bench.output("receiver") == {"from": "s"}
    assert bench.kinds("s", "EventSent") == ["EventSent"] * 3
    assert_nothing_is_left()


def test_it_shows_the_custom_status_while_it_runs(bench: Workbench) -> None:
    seen: list[Any] = []

    async def reporting(ctx: Ctx) -> Any:
        for done in range(3):
            ctx.set_custom_status({"done": done})
            await ctx.call_activity("look")
        return ctx.custom_status

    bench.orchestrator(reporting)
    bench.activity(lambda _: seen.append(bench.status("one").custom_status), name="look")
    bench.start("reporting", instance_id="one")
    assert seen == [{"done": 0}, {"done": 1}, {"done": 2}]
    assert bench.output("one") == {"done": 2}
    assert bench.status("one").custom_status == {"done": 2}


# --- payloads -------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel, frozen=True):
    article: UUID
    price: Decimal
    colour: Colour


@dataclass(frozen=True)
class Order:
    day: date
    at: datetime
    took: timedelta
    lines: list[Line]
    notes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def test_it_carries_typed_values_through_real_rows(bench: Workbench) -> None:
    order = Order(
        day=date(2026, 2, 28),
        at=datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC),
        took=timedelta(minutes=5, microseconds=1),
        lines=[Line(article=UUID(int=7), price=Decimal("0.10"), colour=Colour.BLUE)],
        notes={"é": (1, 2**70)},
    )
    seen: list[Any] = []

    def ship(order: Order) -> Order:
        seen.append(order)
        return order

    async def child(ctx: Ctx, order: Order) -> Line:
        seen.append(order)
        return order.lines[0]

    async def ordering(ctx: Ctx, order: Order) -> Colour:
        seen.append(order)
        shipped = await ctx.call_activity(ship, order)
        line = await ctx.call_sub_orchestrator("child", shipped)
        confirmed = await ctx.wait_for_external_event("confirm", Line)
        seen.extend([shipped, line, confirmed])
        return line.colour if line == confirmed else Colour.RED

    bench.registry.add_activity(ship)
    bench.orchestrator(child)
    bench.orchestrator(ordering)
    id_ = bench.start("ordering", order)
    bench.client.raise_event(id_, "confirm", order.lines[0])
    bench.host("another").run_until_idle()  # replays: the values come from rows once more
    assert bench.output(id_) == "blue"
    assert all(one in (order, order.lines[0]) for one in seen)
    assert [type(one) for one in seen].count(Order) >= 4
    assert row_counts()["Instance"] == 2
