"""Finished instances are removed when their time is over: whole families, in small parts, by one worker at a time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from durable_host import OrchestrationContext
from durable_host.core.access import Operation
from durable_host.core.retention import rules_of
from durable_host.dispatch import housekeeping
from durable_host.models import Chore, HistoryEvent, Instance
from durable_host.store import audit, retention
from durable_host.store.retention import Place
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench

pytestmark = STORE

Ctx = OrchestrationContext
INTERVAL = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    @bench.orchestrator
    async def leaf(ctx: Ctx, fails: bool = False) -> str:
        if fails:
            raise ValueError("as asked")
        return "leaf"

    @bench.orchestrator
    async def other(ctx: Ctx) -> str:
        return "other"

    @bench.orchestrator
    async def waiting(ctx: Ctx) -> Any:
        return await ctx.wait_for_external_event("go")

    @bench.orchestrator
    async def family(ctx: Ctx, child: str) -> list[Any]:
        return list(await ctx.when_all([ctx.call_sub_orchestrator(child) for _ in range(2)]))

    @bench.orchestrator
    async def clan(ctx: Ctx, size: int) -> list[Any]:
        return list(await ctx.when_all([ctx.call_sub_orchestrator("family", "leaf") for _ in range(size)]))

    @bench.orchestrator
    async def negligent(ctx: Ctx) -> str:
        ctx.call_sub_orchestrator("waiting", instance_id="left-behind")
        await ctx.call_sub_orchestrator("leaf")
        raise ValueError("gone before it came back")


@pytest.fixture
def keep(settings: Any) -> Any:
    """Set rules of retention."""

    def set_rules(*rules: dict[str, Any]) -> None:
        settings.DURABLE_HOST = {**settings.DURABLE_HOST, "RETENTION": list(rules)}

    return set_rules


def ids() -> list[str]:
    return sorted(Instance.objects.filter(parent=None).values_list("instance_id", flat=True))


def test_the_first_rule_that_fits_decides(bench: Workbench, moving_clock: MovingClock, keep: Any) -> None:
    keep({"days": None, "name": "oth*"}, {"days": 60, "status": "Failed"}, {"days": 30})
    for name, id_ in (("other", "kept"), ("leaf", "gone"), ("waiting", "running")):
        bench.start(name, instance_id=id_)
    bench.start("leaf", True, instance_id="failed")
    moving_clock.advance(days=29)
    bench.run()
    assert ids() == ["failed", "gone", "kept", "running"]
    moving_clock.advance(days=2)
    bench.run()
    assert ids() == ["failed", "kept", "running"]
    moving_clock.advance(days=30)
    bench.run()
    assert ids() == ["kept", "running"]
    moving_clock.advance(days=3000)
    bench.run()
    assert ids() == ["kept", "running"]


def test_a_sweep_is_one_record_of_the_audit_and_none_where_it_did_nothing(
    bench: Workbench, moving_clock: MovingClock, keep: Any
) -> None:
    keep({"days": 1})
    for _ in range(3):
        bench.start("leaf")
    bench.run()
    assert not audit.latest("default")
    moving_clock.advance(days=2)
    bench.run()
    (record,) = audit.latest("default")
    assert (record.asked.actor_kind, record.asked.actor, record.asked.operation) == (
        "host", "retention", Operation.PURGE,
    )  # fmt: skip
    assert record.asked.detail == "removed 3 instances; kept are any for 1 day"
    moving_clock.advance(days=2)
    bench.run()
    assert len(audit.latest("default")) == 1


def test_sub_orchestrations_are_kept_with_their_parent_and_go_with_it(
    bench: Workbench, moving_clock: MovingClock, keep: Any
) -> None:
    keep({"days": 1})
    bench.start("family", "waiting", instance_id="running")
    one = Instance.objects.filter(parent__instance_id="running").order_by("pk").values_list("instance_id").first()
    assert one is not None
    bench.client.raise_event(one[0], "go")
    bench.start("family", "leaf", instance_id="done")
    moving_clock.advance(days=2)
    bench.run()
    assert ids() == ["running"]
    assert sorted(Instance.objects.exclude(parent=None).values_list("status", flat=True)) == ["Completed", "Running"]
    assert set(HistoryEvent.objects.values_list("instance_id", flat=True)) == set(
        Instance.objects.values_list("pk", flat=True)
    )


def test_a_sub_orchestration_that_still_runs_outlives_its_parent_and_is_removed_in_its_own_time(
    bench: Workbench, moving_clock: MovingClock, keep: Any
) -> None:
    keep({"days": 1})
    bench.start("negligent", instance_id="parent")
    moving_clock.advance(days=2)
    bench.run()
    assert ids() == ["left-behind"]
    bench.client.raise_event("left-behind", "go", "late")
    bench.run()
    assert bench.output("left-behind") == "late"
    moving_clock.advance(days=2)
    bench.run()
    assert ids() == []


def test_a_large_family_goes_in_small_parts_from_below(
    bench: Workbench, moving_clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MOST", 5)
    bench.start("clan", 4, instance_id="clan")
    for number in range(7):
        bench.start("other", instance_id=f"single-{number}")
    rules = rules_of([{"days": 1}])
    moving_clock.advance(days=2)
    assert retention.begin("default", "me")
    sizes, place = [Instance.objects.count()], Place()
    while (following := retention.remove_part("default", "me", rules, place)) is not None:
        place = following
        sizes.append(Instance.objects.count())
        assert not Instance.objects.exclude(parent=None).exclude(parent__in=Instance.objects.all()).exists()
    assert sizes[0] == 1 + 4 + 8 + 7
    assert sizes[-1] == 0
    assert max(before - after for before, after in pairwise(sizes)) <= 8  # the roots of one part go together
    assert retention.finish("default", "me", rules, INTERVAL) == sizes[0]


def test_one_worker_at_a_time_and_another_after_its_death(bench: Workbench, moving_clock: MovingClock) -> None:
    rules = rules_of([{"days": 1}])
    for _ in range(60):
        bench.client.start_new("leaf")
    bench.run()
    moving_clock.advance(days=2)
    assert retention.begin("default", "first")
    assert not retention.begin("default", "second")
    assert retention.remove_part("default", "first", rules, Place()) is not None
    assert Instance.objects.count() == 10
    # the first one dies: its hold ends, the second goes on and records the work of both
    moving_clock.advance(minutes=2)
    assert retention.begin("default", "second")
    assert retention.remove_part("default", "first", rules, Place()) is None
    assert Instance.objects.count() == 10
    place: Place | None = Place()
    while place:
        place = retention.remove_part("default", "second", rules, place)
    assert retention.finish("default", "second", rules, INTERVAL) == 60
    assert not retention.begin("default", "third")
    moving_clock.advance(minutes=11)
    assert retention.begin("default", "third")


def test_it_gives_way_to_other_work(
    bench: Workbench, moving_clock: MovingClock, keep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_PACE", 60.0)
    keep({"days": 1})
    for _ in range(120):
        bench.client.start_new("leaf")
    bench.run()
    moving_clock.advance(days=2)
    host = bench.host()
    bench.client.start_new("leaf", instance_id="new")
    while not host._cycle():
        pass
    # a round with other work removes one part, and the next ones none until it is time
    assert Instance.objects.count() == 120 + 1 - 50
    bench.client.start_new("leaf", instance_id="newer")
    host.wake()
    host._cycle()
    assert Instance.objects.count() == 120 + 2 - 50
    host.run_until_idle()
    assert ids() == ["new", "newer"]
    assert not Chore.objects.get().owner
