"""Workers and queues: who is there, what they hold, what waits, and what to type where nobody serves a queue."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET

from dashboard import navigation
from dashboard.access import allowed
from dashboard.live import live_page, live_tag
from dashboard.presenters.workers import QueueLine, crew, degraded_words, queue_lines
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.dispatch import redis_state
from durable_host.store import holding, overview, workers
from durable_host.store.holding import QueuedActivity
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import CappedCount
from durable_host.store.workers import WorkerInfo

_MOST_HELD = 100


@require_GET
@allowed(Permission.VIEW)
def workers_page(request: HttpRequest) -> HttpResponse:
    """Show the workers and the queues."""
    hub = host_settings().task_hub
    infos = workers.list_workers(hub)
    lines = _lines(hub, infos)
    held = _held(hub, [one.name for one in lines or () if one.running.value or one.waiting.value])
    is_degraded = not redis_state.is_there()
    return live_page(
        request,
        "dashboard/workers/page.html",
        "dashboard/workers/_region.html",
        tag=live_tag(infos, lines, held, is_degraded),
        busy=any(one.running.value or one.waiting.value for one in lines or ()),
        context=lambda: {
            **_common(request),
            **degraded_words(is_degraded),
            "queues": lines,
            "unserved": [one for one in lines or () if one.is_unserved],
            "crew": crew(infos, held or ()),
            "held": held,
            "most_held": _MOST_HELD,
            "patience": workers.patience(),
        },
    )


@require_GET
@allowed(Permission.VIEW)
def queue_page(request: HttpRequest, queue: str) -> HttpResponse:
    """Show one queue: its workers, what runs, and what comes next."""
    hub = host_settings().task_hub
    infos = [one for one in workers.list_workers(hub) if one.report.queue == queue]
    line = next((one for one in _lines(hub, infos, only=queue) or () if one.name == queue), None)
    if line is None:
        raise Http404(f"There is no queue {queue!r}.")
    held = _held(hub, [queue])
    waiting = _waiting(hub, queue)
    return live_page(
        request,
        "dashboard/workers/queue.html",
        "dashboard/workers/_queue_region.html",
        tag=live_tag(infos, line, held, waiting),
        busy=bool(line.running.value or line.waiting.value),
        context=lambda: {
            **_common(request),
            "line": line,
            "crew": crew(infos, held or ()),
            "held": held,
            "waiting": waiting,
            "patience": workers.patience(),
        },
    )


def _lines(hub: str, infos: list[WorkerInfo], *, only: str = "") -> list[QueueLine] | None:
    """Return the queues; None where the database was too slow."""
    turn_queue, known = host_settings().turn_queue, frozenset(settings.RQ_QUEUES)
    try:
        backlogs = overview.queue_backlogs(hub)
        unfinished = CappedCount(0)
        live = Counter(one.report.queue for one in infos if one.is_live)
        if not live[turn_queue] and only in ("", turn_queue):
            unfinished = overview.throughput(hub).active
    except TooSlowError:
        return None
    lines = queue_lines(backlogs, dict(live), turn_queue=turn_queue, known=known, unfinished=unfinished)
    return [one for one in lines if not only or one.name == only] or _empty(only, known)


def _empty(name: str, known: frozenset[str]) -> list[QueueLine]:
    """Return a queue of the settings in which nothing is."""
    if name not in known:
        return []
    nothing = CappedCount(0)
    return [
        QueueLine(
            name=name, workers=0, waiting=nothing, running=nothing, oldest_at=None, runs_turns=False, is_known=True
        )
    ]


def _held(hub: str, queues: list[str]) -> list[QueuedActivity] | None:
    found: list[QueuedActivity] = []
    try:
        for queue in queues:
            found += holding.held_activities(hub, queue, limit=_MOST_HELD)
    except TooSlowError:
        return None
    return found[:_MOST_HELD]


def _waiting(hub: str, queue: str) -> tuple[QueuedActivity, ...] | None:
    try:
        return holding.waiting_activities(hub, queue)
    except TooSlowError:
        return None


def _common(request: HttpRequest) -> dict[str, Any]:
    return {
        "is_embedded": getattr(settings, "DURABLE_EMBEDDED", False),
        "rq_pages": navigation.address("admin:django_rq_home") if getattr(request.user, "is_superuser", False) else "",
    }


urlpatterns = [
    path("workers/", workers_page, name="workers"),
    path("queues/<path:queue>/", queue_page, name="queue"),
]
