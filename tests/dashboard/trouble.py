"""A host on fire: everything that the overview looks for, made by real turns and activities."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.client import DurableClient
from durable_host.core.registry import Registry, default_registry
from durable_host.models import Instance, WorkerState
from durable_host.store import workers
from durable_host.store.workers import WorkerReport

Start = Callable[..., str]
Work = Callable[[], None]
PATIENT = RetryPolicy(max_number_of_attempts=5, first_retry_interval=timedelta(minutes=10))
HOSTILE = "<script>alert(1)</script>\u202eevil " + "x" * 300


def gateway(number: int) -> None:
    """Never answer."""
    raise ConnectionError(f"payment gateway did not answer order {number} within {number}.5 s")


def far(number: int) -> None:
    """Nobody runs this."""


def near(number: int) -> None:
    """Only a worker of another queue would run this."""


async def page_charge(ctx: OrchestrationContext, number: int) -> Any:
    """Charge an order."""
    return await ctx.call_activity(gateway, number)


async def page_retrying(ctx: OrchestrationContext) -> Any:
    """Charge an order, again and again."""
    return await ctx.call_activity(gateway, 7, retry=PATIENT)


async def page_late(ctx: OrchestrationContext) -> Any:
    """Ask for what was needed an hour ago."""
    due = ctx.current_utc_datetime - timedelta(hours=1)
    return await ctx.wait_for_external_event(
        "Approval", bool, title="Refund order 1234?", assignees=["finance"], due=due
    )


async def page_quick(ctx: OrchestrationContext, wait: bool) -> None:
    """Be quick, or wait."""
    if wait:
        await ctx.wait_for_external_event("Go")


async def page_far(ctx: OrchestrationContext) -> None:
    """Do what no worker serves."""
    await ctx.when_all([ctx.call_activity(far, number) for number in range(3)])


async def page_near(ctx: OrchestrationContext, number: int) -> None:
    """Do what the workers of a queue of its own do."""
    await ctx.call_activity(near, number)


async def page_gone(ctx: OrchestrationContext) -> None:
    """Wait; then the code is gone."""
    await ctx.wait_for_external_event("Go")


def register(registry: Registry) -> None:
    """Make them known."""
    registry.add_activity(gateway)
    registry.add_activity(far, queue="far")
    registry.add_activity(near, queue="near")
    for one in (page_charge, page_retrying, page_late, page_quick, page_far, page_near, page_gone):
        registry.add_orchestrator(one)


def show_worker(name: str, queue: str = "default", **more: Any) -> None:
    """Have a worker show that it is there, as its host does once in a sweep."""
    report = WorkerReport(
        hub="default",
        name=name,
        queue=queue,
        hostname=name.partition(":")[0],
        pid=4711,
        version="0.1.0",
        started_at=timezone.now() - timedelta(hours=3),
        **{"max_activities": 100, **more},
    )
    workers.show(report)


def lose_worker(name: str) -> None:
    """Let a worker go silent without a good-bye."""
    WorkerState.objects.filter(name=name).update(seen_at=timezone.now() - timedelta(minutes=2))


def set_on_fire(start: Start, work: Work) -> None:
    """Make one of each."""
    register(default_registry)
    client = DurableClient()
    for number in range(3):
        start("page_charge", number, f"charge-{number}")
    start("page_failure", HOSTILE, "hostile-1")
    start("page_retrying", None, "retrying-1")
    start("page_late", None, "late-1")
    start("page_far", None, "far-1")
    start("page_gone", None, "gone-1")
    client.start_many("page_quick", [False] * 20)
    start("page_quick", True, "slow-1")
    Instance.objects.filter(instance_id="slow-1").update(created_at=timezone.now() - timedelta(hours=2))
    del default_registry.orchestrators["page_gone"]
    client.raise_event("gone-1", "Go")
    work()
    show_worker("node-a:1", running_activities=12, resident_executions=34)
