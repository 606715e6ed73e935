"""Whose time it is: with a database server the server's, whatever the clock of this machine does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from durable_host import OrchestrationContext
from durable_host.store import clock
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_gap_free

pytestmark = STORE

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has asked the server yet."""
    monkeypatch.setattr(clock._Followed, "seen", None)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@pytest.mark.case(27)
def test_a_step_of_the_machines_clock(step: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.synchronise()
    before = timezone.now()
    monkeypatch.setattr(clock, "machine_now", lambda: timezone.now() + step)
    follows_server = connection.vendor == "postgresql"
    expected = before if follows_server else before + step
    assert abs(clock.now() - expected) < timedelta(minutes=10)
    assert (clock.synchronise() is None) is not follows_server
    assert abs(clock.now() - expected) < timedelta(minutes=10)


def test_it_is_rather_behind_than_ahead_and_goes_on() -> None:
    clock.synchronise()
    first = clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()" if connection.vendor == "postgresql" else "SELECT 1")
        row = cursor.fetchone()
    there = row[0] if isinstance(row[0], datetime) else timezone.now()
    assert first < there
    assert first <= clock.now()


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@pytest.mark.case(27)
def test_a_step_between_turns_fires_nothing_twice_and_no_time_runs_backwards(
    bench: Workbench, moving_clock: MovingClock, step: timedelta
) -> None:
    async def waiting(ctx: OrchestrationContext) -> list[float]:
        begun, seen = ctx.current_utc_datetime, []
        for _ in range(3):
            await ctx.create_timer(timedelta(minutes=90))
            await ctx.call_activity("note")
            seen.append((ctx.current_utc_datetime - begun).total_seconds())
        return seen

    bench.orchestrator(waiting)
    bench.activity(lambda _: None, name="note")
    # given: a worker whose clock jumps while a timer runs
    id_ = bench.start("waiting")
    moving_clock.ahead += step
    bench.run()
    # then: the timer waits for its time by the clock
    assert bench.kinds(id_, "TimerFired") == []
    for _ in range(3):
        moving_clock.advance(minutes=180)
        bench.run()
    # then: each fired once, and recorded time goes on
    assert bench.kinds(id_, "TimerFired") == ["TimerFired"] * 3
    assert bench.calls["note"] == 3
    seen = bench.output(id_)
    assert seen == sorted(seen)
    assert min(seen) >= 90 * 60
    times = [event.timestamp for event in bench.history(id_) if event.event_type == "OrchestratorStarted"]
    assert times == sorted(times)
    assert_gap_free(id_)
