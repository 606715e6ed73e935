"""The first page: what needs attention, then what goes on. On an empty database: how to begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from dashboard.access import allowed, can, is_partial
from dashboard.live import Live, live_page, live_tag
from dashboard.presenters import catalogue
from dashboard.presenters.audit import told
from dashboard.presenters.overview import Attention, Headline, Overdue, failures_query, headline, hourly_bars
from dashboard.presenters.workers import QueueLine, degraded_words, queue_lines, worker_command
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.registry import OrchestratorSpec, default_registry
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.dispatch import redis_state
from durable_host.store import approvals, audit, listing, overview, pulse, workers
from durable_host.store.approvals import WaitFilter
from durable_host.store.cursors import Key
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import CappedCount
from durable_host.store.overview import ActivityTable, FailureGroups, LongRunner, Throughput
from durable_host.store.shapes import InstanceFilter
from durable_host.store.workers import WorkerInfo

T = TypeVar("T")

DAY = timedelta(days=1)
#: all questions of a page together may take so long; those that come later are not asked
PATIENCE_SECONDS = 6.0
#: how old the numbers of the lower half may be
ACTIVITY_SECONDS = 10
#: how old an expensive answer may be where nothing newer is known
REMEMBERED_SECONDS = 15
_OVERDUE = WaitFilter(overdue_only=True)
_SHOWN = 5
_SHOWN_AUDIT = 8
_SHOWN_ORCHESTRATORS = 12
_ALL_TIME = "since=all&subs=1"
_SAMPLE = '''from durable_host import OrchestrationContext, activity, orchestrator


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@orchestrator
async def hello(ctx: OrchestrationContext, name: str = "world") -> str:
    """Greet somebody."""
    return await ctx.call_activity(greet, name)
'''


class Asking:
    """Asks one question after the other: one that is too slow leaves the others alone, unless all are."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + PATIENCE_SECONDS

    def ask(self, question: Callable[..., T], *args: Any, **options: Any) -> T | None:
        """Return the answer; None where the database was too slow, or there is no time left to ask it."""
        if time.monotonic() > self._ends:
            return None
        try:
            return question(*args, **options)
        except TooSlowError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the upper half shows."""

    attention: Attention
    throughput: Throughput | None
    workers: tuple[WorkerInfo, ...]
    is_new: bool
    #: whether Redis is away
    is_degraded: bool

    @property
    def live(self) -> int:
        """Workers that are there."""
        return sum(one.is_live for one in self.workers)

    @property
    def lost(self) -> int:
        """Workers that went silent without a good-bye."""
        return sum(one.is_lost for one in self.workers)


# --- what needs attention -------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def overview_page(request: HttpRequest) -> HttpResponse:
    """Show what needs attention, and what goes on."""
    now = look()
    return live_page(
        request,
        "dashboard/overview/page.html",
        "dashboard/overview/_region.html",
        tag=live_tag(now.attention, now.throughput, now.live, now.lost, now.is_degraded, now.is_new and now.workers),
        busy=now.is_new or bool(now.throughput and now.throughput.active.value),
        context=lambda: {
            **_first_steps(request, now),
            **_upper(request, now),
            **({} if is_partial(request) or now.is_new else _lower(request)),
        },
    )


def look() -> Situation:
    """Ask for everything of the upper half, what matters most first."""
    hub, asking = host_settings().task_hub, Asking()
    throughput = asking.ask(overview.throughput, hub)
    found = tuple(asking.ask(workers.list_workers, hub) or ())
    attention = Attention(
        queues=_queues(asking, hub, found, throughput),
        stalled=asking.ask(overview.stalled_instances, hub, limit=_SHOWN),
        failures=asking.ask(_failures, hub),
        overdue=asking.ask(_overdue, hub),
        backing_off=asking.ask(overview.activities_backing_off, hub, limit=_SHOWN),
        long_runners=asking.ask(_long_runners, hub),
    )
    return Situation(
        attention=attention,
        throughput=throughput,
        workers=found,
        is_new=_is_new(asking, throughput),
        is_degraded=not redis_state.is_there(),
    )


def _queues(
    asking: Asking, hub: str, found: tuple[WorkerInfo, ...], throughput: Throughput | None
) -> tuple[QueueLine, ...] | None:
    backlogs = asking.ask(overview.queue_backlogs, hub)
    if backlogs is None:
        return None
    live: dict[str, int] = {}
    for one in found:
        if one.is_live:
            live[one.report.queue] = live.get(one.report.queue, 0) + 1
    lines = queue_lines(
        backlogs,
        live,
        turn_queue=host_settings().turn_queue,
        known=frozenset(settings.RQ_QUEUES),
        unfinished=throughput.active if throughput else CappedCount(0),
    )
    return tuple(lines)


def _overdue(hub: str) -> Overdue:
    waits = approvals.open_waits(hub, _OVERDUE, page_size=_SHOWN).waits
    return Overdue(waits, approvals.count_open_waits(hub, _OVERDUE) if waits else CappedCount(0))


def _failures(hub: str) -> FailureGroups:
    latest = pulse.latest_failure(hub, since=timezone.now() - DAY)
    return _grouped(hub, latest, _period()) if latest else FailureGroups((), CappedCount(0))


def _long_runners(hub: str) -> tuple[LongRunner, ...]:
    oldest = pulse.oldest_running(hub)
    return _longest(hub, oldest, _period()) if oldest else ()


def _period() -> int:
    return int(time.time()) // REMEMBERED_SECONDS


# These read thousands of rows, and whoever watches asks every few seconds: they are asked again when something new is
# known, or after a while.


@lru_cache(maxsize=8)
def _grouped(hub: str, _latest: Key, _period: int) -> FailureGroups:
    return overview.failure_groups(hub, since=timezone.now() - DAY, limit=_SHOWN)


@lru_cache(maxsize=8)
def _longest(hub: str, _oldest: Key, _period: int) -> tuple[LongRunner, ...]:
    return overview.long_runners(hub, limit=_SHOWN)


def _is_new(asking: Asking, throughput: Throughput | None) -> bool:
    """Tell whether nothing was ever started; not asked where something is under way."""
    if throughput is None or throughput.active.value:
        return False
    page = asking.ask(listing.list_instances, host_settings().task_hub, InstanceFilter(), page_size=1)
    return page is not None and not page.rows


def _upper(request: HttpRequest, now: Situation) -> dict[str, Any]:
    instances = reverse("dashboard:instances")
    said: Headline = headline(now.attention)
    unfinished = "&".join(f"status={one.value}" for one in RuntimeStatus if one not in FINISHED)
    return {
        "now": now,
        **degraded_words(now.is_degraded),
        "attention": now.attention,
        "headline": said,
        "failures": [
            (group, f"{instances}?{failures_query(group)}")
            for group in (now.attention.failures.groups if now.attention.failures else ())
        ],
        "all_failures": f"{instances}?status=Failed&{_ALL_TIME}",
        "all_stalled": f"{instances}?stalled=1&{_ALL_TIME}",
        "all_unfinished": f"{instances}?{unfinished}&{_ALL_TIME}",
        "is_embedded": getattr(settings, "DURABLE_EMBEDDED", False),
    }


# --- what goes on ---------------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def activity(request: HttpRequest) -> HttpResponse:
    """Answer the lower half of the overview, which costs more and changes less: read anew every few seconds only."""
    if not is_partial(request):
        return redirect("dashboard:overview")
    region = "dashboard/overview/_activity.html"
    return live_page(request, region, region, tag=_activity_tag(), busy=False, context=lambda: _table(request))


def _activity_tag() -> str:
    return live_tag(int(time.time()) // ACTIVITY_SECONDS)


def _lower(request: HttpRequest) -> dict[str, Any]:
    return {**_table(request), "activity_live": Live(reverse("dashboard:overview-activity"), _activity_tag(), False)}


def _table(request: HttpRequest) -> dict[str, Any]:
    hub, asking = host_settings().task_hub, Asking()
    table = asking.ask(overview.activity_by_hour, hub, limit=_SHOWN_ORCHESTRATORS)
    found: dict[str, Any] = {"table": table, "activity_rows": _activity_rows(table)}
    if can(request, Permission.VIEW_AUDIT):
        found["deeds"] = [told(one) for one in audit.latest(hub, limit=_SHOWN_AUDIT)]
    return found


def _activity_rows(table: ActivityTable | None) -> list[Mapping[str, Any]]:
    if table is None:
        return []
    hours = [timezone.localtime(hour) for hour in table.hours]
    return [
        {
            "name": row.name,
            "bars": hourly_bars(row, hours),
            "completed": sum(row.completed),
            "failed": sum(row.failed),
        }
        for row in table.rows
    ]


# --- the first visit ------------------------------------------------------------------------------------------------


def _first_steps(request: HttpRequest, now: Situation) -> dict[str, Any]:
    if not now.is_new:
        return {}
    turn_queue = host_settings().turn_queue
    serving = [one for one in now.workers if one.is_live and one.report.queue == turn_queue]
    specs = sorted(default_registry.orchestrators.values(), key=_ease)
    return {
        "worker": max(serving, key=lambda one: one.seen_at, default=None),
        "worker_command": worker_command(turn_queue, runs_turns=True),
        "offers": [(spec.name, catalogue.first_line(spec.doc)) for spec in specs],
        "modules": host_settings().modules,
        "sample": _SAMPLE,
        "can_start": can(request, Permission.START),
    }


def _ease(spec: OrchestratorSpec) -> tuple[bool, str]:
    """Order: first what can be started without filling in anything."""
    return spec.takes_input and not spec.input_is_optional, spec.name.casefold()


urlpatterns = [
    path("", overview_page, name="overview"),
    path("overview/activity/", activity, name="overview-activity"),
]
