"""Who may take what: leases, locked rows, messages that nobody needs, and work that kills its worker."""

from __future__ import annotations

import runpy
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Model

from durable_host import OrchestrationContext, RuntimeStatus
from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.registry import Registry
from durable_host.dispatch import codeprint
from durable_host.dispatch.codeprint import code_fingerprint
from durable_host.models import EPOCH, ActivityTask, Instance, PendingEvent
from durable_host.store import claims, clock, stalls
from durable_host.store.shapes import SHARED_TRIES, ClaimedInstance
from tests.services import PATIENCE
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_nothing_is_left, row_counts, row_of

pytestmark = STORE

LEASE = timedelta(seconds=10)


async def calling(ctx: OrchestrationContext) -> Any:
    return await ctx.call_activity("step", 1)


async def listening(ctx: OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(calling)
    bench.orchestrator(listening)
    bench.activity(lambda n: n, name="step")


def claim(worker: str, limit: int = 100) -> list[ClaimedInstance]:
    return claims.claim_turns("default", worker, limit=limit, lease=LEASE)[0]


def ids(claimed: list[ClaimedInstance]) -> list[str]:
    return [one.head.instance_id for one in claimed]


def test_it_respects_the_hold_of_another_worker_until_it_ends(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.client.start_new("calling", instance_id="one")
    assert ids(claim("a")) == ["one"]
    assert ids(claim("b")) == []
    assert [one.attempts for one in claim("a")] == [2]
    moving_clock.advance(seconds=11)
    assert [one.attempts for one in claim("b")] == [3]
    assert ids(claim("a")) == []


def test_it_claims_only_its_hub_and_at_most_the_limit(bench: Workbench) -> None:
    type(bench.client)("other", registry=bench.registry).start_new("calling", instance_id="theirs")
    bench.client.start_many("calling", [None] * 5, instance_ids=list("abcde"))
    claimed, has_more = claims.claim_turns("default", "w", limit=3, lease=LEASE)
    assert (ids(claimed), has_more) == (["a", "b", "c"], True)
    claimed, has_more = claims.claim_turns("default", "v", limit=3, lease=LEASE)
    assert (ids(claimed), has_more) == (["d", "e"], False)


def test_it_takes_over_an_activity_only_when_its_lease_has_ended(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.client.start_new("calling")
    host = bench.host(max_activities=1)
    host._pool.start = lambda activity: None  # type: ignore[method-assign]  # a worker that dies before it begins
    host._cycle()
    assert ActivityTask.objects.values_list("attempt", "owner").get() == (1, "worker")

    def take(worker: str) -> list[int]:
        return [one.attempt for one in claims.claim_activities("default", "default", worker, limit=9, lease=LEASE)]

    assert take("b") == []
    moving_clock.advance(seconds=20)
    claims.renew_activities([ActivityTask.objects.get().pk], "worker", LEASE * 3)
    moving_clock.advance(seconds=20)
    assert take("b") == []
    moving_clock.advance(seconds=11)
    assert take("b") == [2]
    claims.renew_activities([ActivityTask.objects.get().pk], "worker", LEASE * 100)  # no longer its own
    moving_clock.advance(seconds=11)
    assert take("c") == [3]
    assert claims.release_activities([ActivityTask.objects.get().pk], "c") == {"default"}
    assert take("d") == [3]


def test_it_passes_over_rows_that_another_connection_is_claiming(bench: Workbench) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one writer: nothing to pass over")
    bench.client.start_many("calling", [None] * 2, instance_ids=["locked", "free"])
    is_locked, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Instance.objects.select_for_update().filter(instance_id="locked"))
            is_locked.set()
            may_go.wait(PATIENCE)
        connections.close_all()

    other = threading.Thread(target=hold)
    other.start()
    is_locked.wait(PATIENCE)
    assert ids(claim("a")) == ["free"]
    may_go.set()
    other.join()
    assert ids(claim("b")) == ["locked"]


@pytest.mark.case(16)
def test_it_drops_messages_to_finished_instances(bench: Workbench) -> None:
    id_ = bench.start("calling")
    PendingEvent.objects.create(
        instance=row_of(id_), event_type="EventRaised", timestamp=EPOCH, name="late", payload="1"
    )
    before = bench.history(id_)
    bench.run()
    assert bench.history(id_) == before
    assert_nothing_is_left()


def test_it_drops_messages_for_an_execution_that_is_over(bench: Workbench) -> None:
    async def again(ctx: OrchestrationContext, n: int) -> Any:
        got = await ctx.wait_for_external_event("go")
        if n:
            ctx.continue_as_new(n - 1)
        return got

    bench.orchestrator(again)
    id_ = bench.start("again", 1)
    bench.client.raise_event(id_, "go")
    bench.run()
    PendingEvent.objects.create(
        instance=row_of(id_), generation=0, event_type="TaskCompleted", timestamp=EPOCH, task_id=0, payload="1"
    )
    bench.run()
    assert bench.kinds(id_, "TaskCompleted") == []
    assert row_counts()["PendingEvent"] == 0
    bench.client.raise_event(id_, "go", "second")
    bench.run()
    assert bench.output(id_) == "second"


def finish(claimed: list[ClaimedInstance]) -> None:
    """Have the turns of these instances end well."""
    pks = [one.head.pk for one in claimed]
    PendingEvent.objects.filter(instance__in=pks).delete()
    Instance.objects.filter(pk__in=pks).update(status=RuntimeStatus.COMPLETED, owner="", turn_attempts=0)


def work_until(moving_clock: MovingClock, deadly: set[str], deaths: int) -> list[list[tuple[str, int]]]:
    """Have workers take turns and die over the deadly ones until so many have; return what each of the dead held."""
    dead: list[list[tuple[str, int]]] = []
    for number in range(200):
        claimed = claim(f"worker-{number}")
        if deadly.intersection(ids(claimed)):
            dead.append([(one.head.instance_id, one.attempts) for one in claimed])
            if len(dead) == deaths:
                break
        elif claimed:
            finish(claimed)
        else:  # what is left is in the hands of the dead
            moving_clock.advance(seconds=11)
    return dead


def test_it_tries_suspects_a_few_at_a_time_and_then_each_alone(bench: Workbench, moving_clock: MovingClock) -> None:
    names = [f"i{number:02}" for number in range(40)]
    bench.client.start_many("calling", [None] * 40, instance_ids=names)
    dead = work_until(moving_clock, {"i25"}, deaths=5)
    assert [len(held) for held in dead] == [40, 10, 1, 1, 1]
    assert [dict(held)["i25"] for held in dead] == [1, 2, 3, 4, 5]
    assert Instance.objects.filter(status=RuntimeStatus.COMPLETED).count() == 39


def test_several_that_kill_their_worker_take_nobody_along_twice(bench: Workbench, moving_clock: MovingClock) -> None:
    names = [f"i{number:02}" for number in range(40)]
    bench.client.start_many("calling", [None] * 40, instance_ids=names)
    deadly = {"i03", "i04", "i25"}
    dead = work_until(moving_clock, deadly, deaths=8)
    shared = [held for held in dead if len(held) > 1]
    assert shared[0] == dead[0] and len(shared) <= 1 + 3  # noqa: PT018
    assert {len(held) for held in shared} == {40, 10}
    assert {held[0][0] for held in dead if len(held) == 1} <= deadly
    assert Instance.objects.filter(status=RuntimeStatus.COMPLETED).count() == 37


def test_suspects_and_fresh_work_do_not_keep_each_other_waiting(bench: Workbench) -> None:
    bench.client.start_many("calling", [None] * 30, instance_ids=[f"s{number:02}" for number in range(30)])
    bench.client.start_many("calling", [None] * 30, instance_ids=[f"f{number:02}" for number in range(30)])
    Instance.objects.filter(instance_id__startswith="s").update(turn_attempts=1)
    Instance.objects.filter(instance_id="s07").update(turn_attempts=2)
    taken = []
    while claimed := claim("worker"):
        taken.append({one.head.instance_id[0] for one in claimed})
        finish(claimed)
    assert all(len(kinds) == 1 for kinds in taken), "nothing fresh is tried beside a suspect"
    assert len(taken) == 5
    assert Instance.objects.filter(status=RuntimeStatus.COMPLETED).count() == 60


def test_it_does_not_wait_for_suspects_that_another_connection_holds(bench: Workbench) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one writer: nothing to pass over")
    bench.client.start_many("calling", [None] * 2, instance_ids=["suspect", "fresh"])
    Instance.objects.filter(instance_id="suspect").update(turn_attempts=1)

    def claim_elsewhere() -> list[str]:
        claimed = ids(claim("a"))
        connections.close_all()
        return claimed

    with transaction.atomic(), ThreadPoolExecutor(1) as other:
        list(Instance.objects.select_for_update().filter(instance_id="suspect"))
        claimed = other.submit(claim_elsewhere).result(PATIENCE)
    assert claimed == ["fresh"]


def test_a_flood_on_tables_that_nobody_has_analyzed_is_found_by_key(bench: Workbench) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite does not count what it reads")
    bench.client.start_many("calling", [None] * 500)
    with transaction.atomic():
        before = rows_read(Instance)
        claimed = claim("worker", limit=20)
        claims.next_message_at("default", after=EPOCH)
        assert rows_read(Instance) - before < 5 * 500, "the whole hub is not read for each message"
        before = rows_read(PendingEvent)
        found = claims._read_inbox({one.head.pk: 0 for one in claimed}, clock.now())
        assert len(found) == 20
        assert rows_read(PendingEvent) - before == 20, "of 500 messages only those are read that are meant"


def rows_read(table: type[Model]) -> int:
    """Return how many rows of a table this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname = %s",
            [table._meta.db_table],
        )
        return int(cursor.fetchone()[0])


def test_it_parks_a_turn_that_has_killed_its_workers(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.client.start_many("calling", [None] * 2, instance_ids=["deadly", "fine"])
    Instance.objects.filter(instance_id="deadly").update(turn_attempts=5)
    bench.run()
    assert bench.output("fine") == 1
    status = bench.status("deadly")
    assert status.runtime_status is RuntimeStatus.PENDING
    assert "Parked: 5 turns in a row ended with the death of their process" in status.stall_reason
    moving_clock.advance(days=1)
    bench.run()
    assert bench.status("deadly").stall_reason
    assert stalls.retry_stalled("default", row_of("deadly").parked_under) == 0  # a restart alone mends nothing
    assert stalls.retry_stalled("default", "new code") == 1
    assert row_of("deadly").turn_attempts == SHARED_TRIES  # a suspect until a turn ends well
    bench.run()
    assert bench.output("deadly") == 1


def test_a_person_releases_what_is_parked_and_nothing_else(bench: Workbench) -> None:
    bench.client.start_new("calling", instance_id="deadly")
    with pytest.raises(InvalidOperationError, match="only while it is stalled"):
        bench.client.release("deadly")
    with pytest.raises(InstanceNotFoundError):
        bench.client.release("nobody")
    Instance.objects.update(turn_attempts=5)
    bench.run()
    assert "try again (release)" in bench.status("deadly").stall_reason
    bench.client.release("deadly")
    bench.run()
    assert (bench.output("deadly"), bench.status("deadly").stall_reason) == (1, "")


def test_code_is_new_when_a_file_beside_its_functions_changes(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "prices.py").write_text("VAT = 19")
    (package / "orders.py").write_text("async def order(ctx):\n    return 1\n")
    registry = Registry()
    registry.add_orchestrator(runpy.run_path(str(package / "orders.py"))["order"])
    before = code_fingerprint(registry)
    codeprint._of.cache_clear()
    assert code_fingerprint(registry) == before
    (package / "prices.py").write_text("VAT = 7")
    codeprint._of.cache_clear()
    assert code_fingerprint(registry) != before


@pytest.mark.case(29)
def test_it_ends_a_parked_instance_on_request(bench: Workbench) -> None:
    bench.client.start_new("calling", instance_id="deadly")
    Instance.objects.update(turn_attempts=5)
    bench.run()
    assert "Parked" in bench.status("deadly").stall_reason
    bench.client.terminate("deadly", "give up")
    bench.run()
    status = bench.status("deadly")
    assert (status.runtime_status, status.output, status.stall_reason) == (RuntimeStatus.TERMINATED, "give up", "")
    assert_nothing_is_left()


def test_it_fails_an_activity_that_kills_its_worker_so_that_code_can_catch_it(bench: Workbench) -> None:
    async def catching(ctx: OrchestrationContext) -> str:
        try:
            await ctx.call_activity("step", 1)
        except Exception as error:
            return f"{getattr(error, 'error_type', '')}: {error}"
        return "nothing was wrong"

    bench.orchestrator(catching)
    host = bench.host()
    host._pool.start = lambda activity: None  # type: ignore[method-assign]  # dies
    id_ = bench.client.start_new("catching")
    host._cycle()
    ActivityTask.objects.update(attempt=5, lease_until=EPOCH)
    Instance.objects.update(owner="", available_at=EPOCH)
    bench.run()
    assert "PoisonousActivityError" in bench.output(id_)
    assert "was run 5 times by processes that died over it" in bench.output(id_)
    assert bench.calls["step"] == 0


def test_it_counts_no_delivery_that_ended_well(bench: Workbench) -> None:
    id_ = bench.start("listening")
    for _ in range(8):
        bench.client.raise_event(id_, "other")
        bench.run()
    assert row_of(id_).turn_attempts == 0
    assert bench.status(id_).stall_reason == ""


def test_it_finds_the_timer_that_became_due_while_it_looked(bench: Workbench, moving_clock: MovingClock) -> None:
    before = moving_clock.now()
    bench.client.start_new("calling", start_at=before + timedelta(seconds=5))
    moving_clock.advance(seconds=10)
    assert claims.next_message_at("default", after=before) == before + timedelta(seconds=5)
    assert claims.next_message_at("default", after=moving_clock.now()) is None
