"""Exactly one turn wins; an outcome enters history once; what loses or comes late leaves no trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.conf import host_settings
from durable_host.core.events import TaskCompleted
from durable_host.core.payload import PayloadCodec
from durable_host.dispatch.turns import Batch, TurnRunner
from durable_host.dispatch.witness import Witness
from durable_host.models import ActivityTask, HistoryEvent, Instance
from durable_host.store import checkpoint as store_checkpoint
from durable_host.store import claims, clock, sql, stalls
from durable_host.store.checkpoint import checkpoint
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, Holder
from tests.services import wait_until
from tests.store.conftest import MovingClock
from tests.store.workbench import (
    STORE,
    Workbench,
    assert_gap_free,
    assert_nothing_is_left,
    row_counts,
    row_of,
    statements,
)

pytestmark = STORE

LEASE = timedelta(seconds=10)


async def two_steps(ctx: OrchestrationContext) -> list[Any]:
    return [await ctx.call_activity("step", 1), await ctx.call_activity("step", 2)]


async def listening(ctx: OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


async def two_rounds(ctx: OrchestrationContext, number: int) -> int:
    if number < 2:
        ctx.continue_as_new(number + 1)
    return number


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(two_rounds)
    bench.orchestrator(two_steps)
    bench.orchestrator(listening)
    bench.activity(lambda n: n * 10, name="step")


def holder(worker: str, room: int = 0) -> Holder:
    return Holder(hub="default", worker=worker, room={"default": room}, activity_lease=LEASE, affinity=LEASE)


def decide(bench: Workbench, worker: str, outcomes: list[ActivityOutcome] | None = None) -> Batch:
    """Claim and decide as a worker does, and commit nothing."""
    runner = TurnRunner(bench.registry, PayloadCodec(), host_settings(), Witness())
    claimed, _ = claims.claim_turns("default", worker, limit=10, lease=LEASE)
    return runner.decide(claimed, outcomes or [], ())


def take_activity(worker: str) -> ClaimedActivity:
    (one,) = claims.claim_activities("default", "default", worker, limit=1, lease=LEASE)
    return one


def outcome(activity: ClaimedActivity, result: str = "10") -> ActivityOutcome:
    event = TaskCompleted(timestamp=clock.now(), task_scheduled_id=activity.task_id, result=result)
    return ActivityOutcome(activity, event)


def test_a_worker_that_commits_late_loses_nothing_to_the_one_that_has_just_taken_over(
    bench: Workbench, moving_clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = bench.client.start_new("two_rounds", 1)
    late = decide(bench, "a")
    moving_clock.advance(seconds=11)
    read = claims._read_inbox

    def read_after_the_commit(*asked: Any) -> Any:
        checkpoint(late.turns, [], holder("a"))  # its lease is over and its revision is still the latest
        return read(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(claims, "_read_inbox", read_after_the_commit)
        assert not claims.claim_turns("default", "b", limit=10, lease=LEASE)[0]
    bench.run()  # what the commit has sent is there: the next execution begins
    assert bench.output(id_) == 2
    assert_nothing_is_left()


@pytest.mark.case(11, 13)
def test_it_lets_one_of_two_turns_on_the_same_revision_win(bench: Workbench, moving_clock: MovingClock) -> None:
    id_ = bench.client.start_new("two_steps")
    first = decide(bench, "a")
    moving_clock.advance(seconds=11)  # the lease of the first ends before it commits
    second = decide(bench, "b")
    assert first.turns[0].head == second.turns[0].head
    winner = checkpoint(second.turns, [], holder("b"))
    before = row_counts()
    loser = checkpoint(first.turns, [], holder("a"))
    assert set(winner.committed) == loser.lost == {row_of(id_).pk}
    assert loser.committed == {}
    assert row_counts() == before
    assert_gap_free(id_)
    bench.run()
    assert bench.output(id_) == [10, 20]


@pytest.mark.case(13)
def test_it_keeps_the_outcome_that_a_losing_turn_had_taken(bench: Workbench) -> None:
    id_ = bench.client.start_new("two_steps")
    checkpoint(decide(bench, "a").turns, [], holder("a"))
    activity = take_activity("a")
    bench.client.raise_event(id_, "whatever")
    taken = decide(bench, "a", [outcome(activity)])
    assert len(taken.turns[0].outcomes) == 1
    Instance.objects.filter(pk=row_of(id_).pk).update(revision=99)  # somebody else has committed
    receipt = checkpoint(taken.turns, [], holder("a"))
    assert receipt.lost
    assert receipt.has_messages
    assert row_counts()["ActivityTask"] == 0
    claims.release_instances(receipt.lost, "a")
    bench.run()
    assert bench.output(id_) == [10, 20]
    assert bench.kinds(id_).count("TaskCompleted") == 2
    assert bench.calls["step"] == 1  # the first result was not computed again


@pytest.mark.case(5, 11)
def test_it_drops_the_result_of_a_delivery_that_another_has_overtaken(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    id_ = bench.client.start_new("two_steps")
    checkpoint(decide(bench, "a").turns, [], holder("a"))
    early = take_activity("a")
    moving_clock.advance(seconds=11)
    late = take_activity("b")
    assert (early.pk, early.attempt, late.attempt) == (late.pk, 1, 2)
    receipt = checkpoint([], [outcome(early, '"stale"')], holder("a"))
    assert receipt.late == [early]
    assert not receipt.has_messages
    receipt = checkpoint([], [outcome(late, '"fresh"')], holder("b"))
    assert receipt.late == []
    assert checkpoint([], [outcome(late, '"again"')], holder("b")).late == [late]
    moving_clock.advance(seconds=11)
    bench.run()
    assert bench.output(id_) == ["fresh", 20]
    assert bench.kinds(id_).count("TaskCompleted") == 2


@pytest.mark.case(11)
def test_it_drops_the_earlier_of_two_deliveries_that_end_in_one_checkpoint(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    id_ = bench.client.start_new("two_steps")
    checkpoint(decide(bench, "a").turns, [], holder("a"))
    early = take_activity("a")
    moving_clock.advance(seconds=11)  # its lease ends while its worker is stuck, and the same worker takes it again
    late = take_activity("a")
    receipt = checkpoint([], [outcome(early, '"stale"'), outcome(late, '"fresh"')], holder("a"))
    assert receipt.late == [early]
    assert row_counts()["PendingEvent"] == 1
    bench.run()
    assert bench.output(id_) == ["fresh", 20]


@pytest.mark.parametrize("end", ["terminate", "purge"])
def test_it_drops_the_outcome_of_an_instance_that_is_over(bench: Workbench, end: str) -> None:
    id_ = bench.client.start_new("two_steps")
    checkpoint(decide(bench, "a").turns, [], holder("a"))
    activity = take_activity("a")
    bench.client.terminate(id_)
    checkpoint(decide(bench, "b").turns, [], holder("b"))
    assert bench.status(id_).runtime_status is RuntimeStatus.TERMINATED
    if end == "purge":
        bench.client.purge(id_)
    before = row_counts()
    assert checkpoint([], [outcome(activity)], holder("a")).late == [activity]
    assert row_counts() == before
    assert_nothing_is_left()


@pytest.mark.parametrize("step", ["_append_history", "_take", "_replace_waits", "_moved"])
@pytest.mark.case(1)
def test_it_leaves_nothing_of_a_turn_that_breaks_before_its_commit(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    id_ = bench.client.start_new("two_steps")
    before, batch = row_counts(), decide(bench, "a")

    def break_(*args: Any) -> None:
        raise RuntimeError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr(store_checkpoint, step, break_)
        with pytest.raises(RuntimeError, match="power"):
            checkpoint(batch.turns, [], holder("a", room=5))
    assert row_counts() == before
    assert row_of(id_).revision == 0
    receipt = checkpoint(batch.turns, [], holder("a", room=5))
    assert [one.name for one in receipt.taken] == ["step"]
    assert_gap_free(id_)


def test_it_refuses_a_second_event_of_the_same_number(bench: Workbench) -> None:
    id_ = bench.start("listening")
    copy = HistoryEvent.objects.filter(instance=row_of(id_)).latest("sequence")
    copy.pk = None
    with pytest.raises(DatabaseError), transaction.atomic():
        copy.save(force_insert=True)


def test_it_numbers_history_without_gaps_over_many_turns(bench: Workbench) -> None:
    async def many(ctx: OrchestrationContext) -> int:
        return sum([await ctx.call_activity("step", n) for n in range(30)])

    bench.orchestrator(many)
    id_ = bench.start("many")
    assert bench.output(id_) == 4350
    assert_gap_free(id_)
    assert row_of(id_).next_sequence == HistoryEvent.objects.filter(instance=row_of(id_)).count()


def test_it_holds_new_activities_for_as_many_as_there_is_room(bench: Workbench) -> None:
    async def wide(ctx: OrchestrationContext) -> int:
        return sum(await ctx.when_all([ctx.call_activity("step", n) for n in range(5)]))

    bench.orchestrator(wide)
    bench.client.start_new("wide")
    receipt = checkpoint(decide(bench, "a").turns, [], holder("a", room=3))
    assert [one.attempt for one in receipt.taken] == [1, 1, 1]
    assert receipt.waiting_queues == {"default"}
    owners = ActivityTask.objects.order_by("task_id").values_list("owner", "attempt")
    assert list(owners) == [("a", 1)] * 3 + [("", 0)] * 2


def test_it_sets_aside_only_the_turn_that_the_database_refuses(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [bench.client.start_new("two_steps", instance_id=f"i{n}") for n in range(5)]
    original = store_checkpoint._append_history

    def picky(turns: Any) -> None:
        original(turns)
        if any(turn.head.instance_id == "i2" for turn in turns):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO durable_host_instance (id) VALUES (1)")

    with monkeypatch.context() as patch:
        patch.setattr(store_checkpoint, "_append_history", picky)
        bench.run()
    assert [bench.status(id_).runtime_status for id_ in ids if id_ != "i2"] == [RuntimeStatus.COMPLETED] * 4
    assert "database refused" in bench.status("i2").stall_reason
    assert bench.status("i2").runtime_status is RuntimeStatus.PENDING
    stalls.retry_stalled("default", "new")
    bench.run()
    assert bench.output("i2") == [10, 20]
    assert_gap_free("i2")


def test_a_turn_leaves_nothing_whose_outcome_another_delivery_has_overtaken(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    id_ = bench.client.start_new("two_steps")
    checkpoint(decide(bench, "a").turns, [], holder("a"))
    early = take_activity("a")
    bench.client.raise_event(id_, "whatever")
    taken = decide(bench, "a", [outcome(early, '"stale"')])
    moving_clock.advance(seconds=11)
    late = take_activity("b")
    before = row_counts()
    receipt = checkpoint(taken.turns, [], holder("a"))
    assert (receipt.lost, receipt.late) == ({row_of(id_).pk}, [early])
    assert row_counts() == before
    claims.release_instances(receipt.lost, "a")
    checkpoint([], [outcome(late, '"fresh"')], holder("b"))
    bench.run()
    assert bench.output(id_) == ["fresh", 20]
    assert_gap_free(id_)


# --- PostgreSQL, where a claim is one statement, and so is the checkpoint of one turn ---------------------------------

ON_POSTGRESQL = pytest.mark.skipif(not sql.is_postgresql(), reason="of PostgreSQL alone")


@ON_POSTGRESQL
def test_a_start_a_claim_and_a_step_are_one_statement_each(
    bench: Workbench, moving_clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with statements(monkeypatch) as sent:
        id_ = bench.client.start_new("two_steps")
        assert len(sent) == 1
        first = decide(bench, "a")
        assert len(sent) == 2
        (activity,) = checkpoint(first.turns, [], holder("a", room=1)).taken
        assert len(sent) == 3
    bench.client.raise_event(id_, "whatever")
    second = decide(bench, "a", [outcome(activity)])
    with statements(monkeypatch) as sent:
        (activity,) = checkpoint(second.turns, [], holder("a", room=1)).taken
        assert len(sent) == 1
    checkpoint([], [outcome(activity, "20")], holder("a"))
    moving_clock.advance(seconds=11)  # "a" leaves the rest
    bench.run()
    assert bench.output(id_) == [10, 20]
    assert_gap_free(id_)
    assert_nothing_is_left()


@ON_POSTGRESQL
def test_a_claim_delivers_nothing_that_another_turn_took_while_it_looked(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a claim that has begun to read the first message of an instance, and holds nothing yet
    id_ = bench.client.start_new("two_steps")
    text, read = claims._CLAIM_OF_FEW._text, "WHERE visible_at <= %s"
    halted = text.replace(read, f"{read} AND pg_advisory_xact_lock(7) IS NOT NULL", 1)
    monkeypatch.setattr(claims, "_CLAIM_OF_FEW", sql.Statement(halted))

    def claim() -> Any:
        try:
            return claims.claim_turns("default", "b", limit=10, lease=LEASE)
        finally:
            connections.close_all()

    with connection.cursor() as cursor, ThreadPoolExecutor(1) as other:
        cursor.execute("SELECT pg_advisory_lock(7)")
        late = other.submit(claim)
        halts = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: bool(sql.rows(halts, [])), "the claim to be halted")
        # when: another worker's turn takes that message before it goes on
        checkpoint(decide(bench, "a").turns, [], holder("a"))
        cursor.execute("SELECT pg_advisory_unlock(7)")
        # then: it has nothing and holds nothing
        assert late.result() == ([], False)
    assert row_of(id_).owner == ""
    bench.run()
    assert bench.output(id_) == [10, 20]
    assert_gap_free(id_)
