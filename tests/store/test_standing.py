"""Why an instance is where it is, from what the rows say."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core.digest import EntryKind, Outcome, digest, fold_retries
from durable_host.core.explain import explain
from durable_host.models import Instance
from durable_host.store import workers
from durable_host.store.standing import standing
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench

pytestmark = STORE
HUB = "default"
POLICY = RetryPolicy(max_number_of_attempts=5, first_retry_interval=timedelta(minutes=1))


async def approve(ctx: OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("ApprovalEvent", timeout=timedelta(days=3))


async def charge(ctx: OrchestrationContext) -> Any:
    return await ctx.call_activity("gateway", retry=POLICY)


async def nap(ctx: OrchestrationContext) -> None:
    await ctx.create_timer(ctx.current_utc_datetime + timedelta(minutes=5))


async def far(ctx: OrchestrationContext) -> None:
    await ctx.when_all([ctx.call_activity("elsewhere", number) for number in range(3)])


async def parent(ctx: OrchestrationContext) -> None:
    await ctx.call_sub_orchestrator("approve", instance_id="child")


async def wrong(ctx: OrchestrationContext) -> None:
    raise LookupError("nothing here\nsecond line")


@pytest.fixture(autouse=True)
def functions(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (approve, charge, nap, far, parent, wrong):
        bench.orchestrator(one)

    def gateway(_: Any) -> None:
        raise ConnectionError("HTTP 503")

    bench.activity(gateway)
    bench.activity(lambda value: value, name="elsewhere", queue="far")
    monkeypatch.setattr(workers, "queues_without_worker", lambda hub: [])


def why(instance_id: str, clock: MovingClock) -> str:
    found = standing(HUB, instance_id)
    assert found is not None
    return explain(found, clock.now())


def test_a_question_says_until_when(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("approve", instance_id="a")
    assert re.fullmatch(r"Waiting for ApprovalEvent until \d+ \w+ \d{4} \d\d:\d\d UTC\.", why("a", moving_clock))


def test_a_retry_says_which_attempt_when_and_what_went_wrong(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("charge", instance_id="c")
    moving_clock.advance(seconds=61)
    bench.run()
    moving_clock.advance(seconds=20)
    assert re.fullmatch(
        r"Retrying gateway, attempt 3 of 5 in (39|40) s \(attempt 2 failed 2[01] s ago: ConnectionError: HTTP 503\)\.",
        why("c", moving_clock),
    )
    (call,) = [one for one in fold_retries(digest(bench.history("c")).entries) if one.kind is EntryKind.ACTIVITY]
    assert (call.outcome, len(call.attempts)) == (Outcome.RUNNING, 2)
    assert call.retry_at is not None
    assert all(one.queued is not None for one in call.attempts)


def test_a_retry_that_runs_again_knows_its_attempt(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.registry.activities.pop("gateway")

    def gateway(_: Any) -> None:
        raise ConnectionError("HTTP 503")

    bench.activity(gateway, queue="far")
    bench.start("charge", instance_id="c")
    bench.host(queue="far").run_until_idle()
    bench.run()
    moving_clock.advance(seconds=61)
    bench.run()
    moving_clock.advance(minutes=2)
    assert why("c", moving_clock) == (
        "Activity gateway, attempt 2 of 5 has waited in queue far for 2 min (before: ConnectionError: HTTP 503)."
    )


def test_a_queue_without_worker_is_named(
    bench: Workbench, moving_clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start("far", instance_id="f")
    assert why("f", moving_clock) == "3 activities wait for a worker (elsewhere)."
    monkeypatch.setattr(workers, "queues_without_worker", lambda hub: ["default", "far"])
    moving_clock.advance(minutes=4)
    assert why("f", moving_clock) == "No worker is running for queue far: activity elsewhere has waited for 4 min."
    bench.client.start_new("nap", instance_id="n")
    moving_clock.advance(minutes=2)
    assert why("n", moving_clock) == "No worker is running for queue default: a message has waited for 2 min."


def test_other_states(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("nap", instance_id="n")
    assert re.fullmatch(r"Waiting for a timer in (4 min 59 s|5 min)\.", why("n", moving_clock))
    bench.start("parent", instance_id="p")
    assert why("p", moving_clock) == "Waiting for sub-orchestration approve (child, Running)."
    bench.client.suspend("n", "night shift")
    bench.run()
    assert why("n", moving_clock).startswith("Suspended: night shift.")
    bench.client.terminate("n", "no more")
    bench.run()
    assert why("n", moving_clock) == "Terminated: no more."
    bench.start("wrong", instance_id="w")
    assert why("w", moving_clock) == "Failed: LookupError: nothing here."
    Instance.objects.filter(instance_id="p").update(
        stall_reason="Non-deterministic orchestrator: at event 14",
        available_at=moving_clock.now() + timedelta(seconds=30),
    )
    assert re.match(
        r"Stalled: Non-deterministic orchestrator: at event 14\. Tried again in \d+ s\.", why("p", moving_clock)
    )
    bench.client.start_new("nap", instance_id="later", start_at=moving_clock.now() + timedelta(hours=2))
    assert re.fullmatch(r"Starts in (1 h 59 min|2 h)\.", why("later", moving_clock))
    assert standing(HUB, "nobody") is None
