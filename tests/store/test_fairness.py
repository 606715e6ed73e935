"""In which order things are taken, and who is told of what one worker cannot take."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.store import claims
from durable_host.store.checkpoint import checkpoint
from tests.bells import Bells
from tests.services import PATIENCE, wait_until
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_nothing_is_left, row_of

pytestmark = STORE

LEASE = timedelta(seconds=10)


async def deciding(ctx: OrchestrationContext) -> str:
    answer = ctx.wait_for_external_event("Answer")
    limit = ctx.create_timer(timedelta(minutes=5))
    winner = await ctx.when_any([answer, limit])
    return "answered" if winner is answer else "too late"


def test_a_timer_that_was_due_first_wins_over_an_event_that_came_while_no_worker_ran(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    bench.orchestrator(deciding)
    instance_id = bench.start("deciding")
    moving_clock.advance(minutes=6)
    bench.client.raise_event(instance_id, "Answer")
    bench.run()
    assert bench.output(instance_id) == "too late"


def test_an_event_that_came_first_wins_over_a_timer_that_was_due_while_no_worker_ran(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    bench.orchestrator(deciding)
    instance_id = bench.start("deciding")
    bench.client.raise_event(instance_id, "Answer")
    moving_clock.advance(minutes=6)
    bench.run()
    assert bench.output(instance_id) == "answered"


def test_the_least_recently_served_instance_comes_first(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.orchestrator(deciding)
    for name in ("old", "new"):
        bench.start("deciding", instance_id=name)
    moving_clock.advance(seconds=1)
    bench.client.raise_event("old", "Noise")
    bench.run()
    for name in ("old", "new"):
        bench.client.raise_event(name, "Noise")
    claimed, has_more = claims.claim_turns("default", "w", limit=1, lease=LEASE)
    assert [one.head.instance_id for one in claimed] == ["new"]
    assert has_more


def test_a_worker_prefers_what_it_has_at_hand_but_leaves_a_place_for_who_waits_longest(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    # given: many instances with messages, of which the worker has the youngest at hand
    bench.orchestrator(deciding)
    ids = [f"i{number:02}" for number in range(30)]
    for id_ in ids:
        bench.client.start_new("deciding", instance_id=id_)
        moving_clock.advance(milliseconds=1)
    at_hand = {row_of(id_).pk for id_ in ids[20:]}
    # when it has none of them at hand: those that wait longest come
    claimed, _ = claims.claim_turns("default", "w", limit=10, lease=LEASE, at_hand=set())
    claims.give_back([one.head.pk for one in claimed], "w")
    assert [one.head.instance_id for one in claimed] == ids[:10]
    claimed, _ = claims.claim_turns("default", "w", limit=15, lease=LEASE, at_hand=at_hand)
    # then: all ten at hand come, and those that wait longest
    assert {one.head.instance_id for one in claimed} == {*ids[20:], *ids[:5]}
    claims.give_back([one.head.pk for one in claimed], "w")
    # and: where what is at hand would fill all places, one in ten is for others
    at_hand = {row_of(id_).pk for id_ in ids[1:]}
    claimed, has_more = claims.claim_turns("default", "w", limit=10, lease=LEASE, at_hand=at_hand)
    assert {one.head.instance_id for one in claimed} == set(ids[:10])
    assert has_more


def test_work_that_was_asked_for_and_not_awaited_is_done_when_the_orchestrator_returns(bench: Workbench) -> None:
    async def telling(ctx: OrchestrationContext) -> str:
        ctx.call_activity("note", 1)
        ctx.call_sub_orchestrator("helping", instance_id="helper")
        return "done"

    async def helping(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("note", 2)

    bench.orchestrator(telling)
    bench.orchestrator(helping)
    bench.activity(lambda n: n, name="note")
    instance_id = bench.start("telling")
    assert bench.output(instance_id) == "done"
    assert bench.calls["note"] == 2
    assert bench.status("helper").runtime_status is RuntimeStatus.COMPLETED
    assert_nothing_is_left()


def test_work_is_not_begun_when_the_orchestrator_fails(bench: Workbench) -> None:
    async def failing(ctx: OrchestrationContext) -> None:
        ctx.call_activity("note", 1)
        raise ValueError("no")

    bench.orchestrator(failing)
    bench.activity(lambda n: n, name="note")
    instance_id = bench.start("failing")
    assert bench.status(instance_id).runtime_status is RuntimeStatus.FAILED
    assert bench.calls["note"] == 0
    assert_nothing_is_left()


def test_a_database_that_fails_at_the_checkpoint_counts_as_nobodys_attempt(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.orchestrator(deciding)
    bench.client.start_new("deciding", instance_id="one")
    failures = 8
    real = checkpoint

    def broken(*args: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OperationalError("disk full")
        return real(*args)

    monkeypatch.setattr("durable_host.dispatch.committing.checkpoint", broken)
    monkeypatch.setattr("durable_host.dispatch.host.time.sleep", lambda seconds: None)
    host = bench.host()
    running = threading.Thread(target=host.run)
    running.start()
    try:
        bench.client.raise_event("one", "Answer")
        host.wake()
        status = bench.client.wait_for_completion("one", timeout=PATIENCE)
    finally:
        host.stop()
        running.join()
    assert status.output == "answered"
    assert row_of("one").stall_reason == ""


def test_a_full_worker_tells_another_one_of_the_bell_it_cannot_answer(bench: Workbench, bells: Bells) -> None:
    async def two(ctx: OrchestrationContext) -> list[Any]:
        return await ctx.when_all([ctx.call_activity("slow", number) for number in range(2)])

    is_running, may_end = threading.Event(), threading.Event()

    def slow(number: int) -> int:
        is_running.set()
        may_end.wait(PATIENCE)
        return number

    bench.orchestrator(two)
    bench.activity(slow)
    host = bench.host(max_activities=1)
    working = threading.Thread(target=host.run)
    working.start()
    try:
        bench.client.start_new("two", instance_id="pair")
        host.wake()
        assert is_running.wait(PATIENCE)
        wait_until(lambda: bells.queues == ["default", "default"], "the bells of the start and of the checkpoint")
        bells.queues.clear()
        answering = threading.Thread(target=lambda: host.wait_until_answered(host.hear()))
        answering.start()
        wait_until(lambda: bells.queues == ["default"], "the bell for another worker")
        answering.join(0.5)
        assert answering.is_alive()
        may_end.set()
        assert bench.client.wait_for_completion("pair", timeout=PATIENCE).output == [0, 1]
        answering.join(PATIENCE)
        assert not answering.is_alive()
    finally:
        may_end.set()
        host.stop()
        working.join()
