"""What needs attention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core.fingerprint import fingerprint, normalised
from durable_host.models import Instance
from durable_host.store import overview
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench

pytestmark = STORE
HUB = "default"
POLICY = RetryPolicy(max_number_of_attempts=5, first_retry_interval=timedelta(minutes=1))


async def charge(ctx: OrchestrationContext, number: int) -> Any:
    return await ctx.call_activity("gateway", number)


async def patient(ctx: OrchestrationContext) -> Any:
    return await ctx.call_activity("gateway", 1, retry=POLICY)


async def wrong(ctx: OrchestrationContext) -> None:
    raise LookupError("nothing here")


async def quick(ctx: OrchestrationContext, wait: bool) -> None:
    if wait:
        await ctx.wait_for_external_event("Go")


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    for one in (charge, patient, wrong, quick):
        bench.orchestrator(one)

    def gateway(number: int) -> None:
        raise ConnectionError(f"order {number} of 'customer {number}': no answer after {number * 3}.5 s\nsecond line")

    bench.activity(gateway)


def day_ago() -> Any:
    return timezone.now() - timedelta(days=1)


def test_failures_are_grouped_by_what_they_have_in_common(bench: Workbench) -> None:
    for number in range(3):
        bench.start("charge", number, instance_id=f"c{number}")
    bench.start("wrong", instance_id="w")
    found = overview.failure_groups(HUB, since=day_ago())
    assert str(found.total) == "4"
    most, other = found.groups
    assert (most.orchestrator, most.error_type, most.count, most.sample_id) == ("charge", "ConnectionError", 3, "c2")
    assert most.message == "order 2 of 'customer 2': no answer after 6.5 s"
    assert most.first_at < most.latest_at
    assert (other.error_type, other.message) == ("LookupError", "nothing here")
    assert overview.failure_groups(HUB, since=timezone.now()).groups == ()


def test_fingerprints_leave_out_what_differs_from_case_to_case() -> None:
    assert normalised("\n  id 7f9c2ba4e88f827d at 0xffee: 'x' took 12.5 s\nmore") == "id # at #: '…' took # s"
    assert fingerprint("a", "E", "call 1") == fingerprint("a", "E", "call 23")
    assert fingerprint("a", "E", "call 1") != fingerprint("b", "E", "call 1")
    assert fingerprint("a", "E", "call") != fingerprint("a", "F", "call")


def test_stalled_ones_are_shown_until_they_finish(bench: Workbench) -> None:
    bench.start("quick", True, instance_id="s")
    Instance.objects.filter(instance_id="s").update(stall_reason="not registered")
    stalled = overview.stalled_instances(HUB)
    assert [(one.instance_id, one.reason) for one in stalled.items] == [("s", "not registered")]
    bench.client.terminate("s")
    bench.run()
    assert overview.stalled_instances(HUB).items == ()


def test_what_backs_off_says_which_attempt_comes_next_and_when(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("patient", instance_id="p")
    moving_clock.advance(seconds=61)
    bench.run()
    (one,) = overview.activities_backing_off(HUB).items
    assert (one.instance_id, one.orchestrator, one.activity) == ("p", "patient", "gateway")
    assert (one.attempt, one.limit) == (3, 5)
    assert timedelta(seconds=50) < one.next_at - moving_clock.now() < timedelta(seconds=61)


def test_queues_show_what_waits(bench: Workbench) -> None:
    bench.registry.activities.pop("gateway")
    bench.activity(lambda _: None, name="gateway", queue="far")
    bench.start("charge", 1)
    (one,) = overview.queue_backlogs(HUB)
    assert (one.queue, str(one.waiting), str(one.running)) == ("far", "1", "0")
    assert one.oldest_at is not None


def test_what_takes_longer_than_usual(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.client.start_new("quick", True, instance_id="slow")
    bench.client.start_many("quick", [False] * 19)
    bench.run()
    moving_clock.advance(hours=1)
    assert overview.long_runners(HUB) == ()  # nineteen say nothing yet
    bench.start("quick", False)
    (one,) = overview.long_runners(HUB)
    assert (one.instance_id, one.name) == ("slow", "quick")
    assert one.usual < timedelta(minutes=1)


def test_the_last_hours_by_orchestrator(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.client.start_many("quick", [False] * 3)
    bench.start("wrong")
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    table = overview.activity_by_hour(HUB, hours=3)
    assert table.hours == (hour - timedelta(hours=2), hour - timedelta(hours=1), hour)
    assert [(one.name, one.completed, one.failed) for one in table.rows] == [
        ("quick", (0, 0, 3), (0, 0, 0)),
        ("wrong", (0, 0, 0), (0, 0, 1)),
    ]
    through = overview.throughput(HUB)
    counts = (through.finished_last_minute, through.finished_last_hour, through.started_last_hour, through.active)
    assert list(map(str, counts)) == ["4", "4", "4", "0"]
    moving_clock.advance(hours=3)
    assert overview.activity_by_hour(HUB, hours=3).rows == ()
