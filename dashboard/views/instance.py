"""One instance: its timeline, its sequence diagram, what went in and came out, and who changed it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET
from pydantic_core import from_json

from dashboard.access import allowed
from dashboard.presenters.sequence import mermaid, sequence
from dashboard.presenters.timeline import Look, timeline
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.events import ExecutionCompleted, ExecutionStarted
from durable_host.core.status import RuntimeStatus
from durable_host.store import audit, history

from .instance_head import Head, instance_page, read_head, read_story
from .instance_history import event, history_download, history_page

_SHOWN_ACTS_OF_PEOPLE = 200
#: a timeline that goes on is drawn again when "now" has moved by so much of its width
_NOW_STEPS = 200
_SHORTEST_STEP = 1.5


@require_GET
@allowed(Permission.VIEW)
def instance_timeline(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show what ran when; ``name`` and ``kind`` show the acts of one function alone."""
    head = read_head(request, instance_id)
    first = request.GET.get("first", "")
    look = Look(
        kind=request.GET.get("kind", ""),
        name=request.GET.get("name", ""),
        outcome=request.GET.get("outcome", ""),
        slowest_first=request.GET.get("order") == "slowest",
        first=int(first) if first.isdecimal() and len(first) < 10 else 0,
    )

    def context() -> dict[str, Any]:
        story = read_story(head)
        picture = timeline(story, head.now if head.is_moving else None, look)
        return {
            "picture": picture,
            "look": look,
            "earlier": max(0, look.first - look.size) if look.first else None,
            "later": look.first + look.size if look.name and picture.after else None,
            "is_cut": head.execution.size > history.MOST_EVENTS,
            "most_events": history.MOST_EVENTS,
        }

    return instance_page(request, head, "instance", context, tag=(_now_step(head), request.GET.urlencode()))


def _now_step(head: Head) -> int:
    """Return a number that changes when the line of now is worth drawing anew."""
    if not head.is_moving:
        return 0
    begun = max(filter(None, (head.status.created_at, head.status.scheduled_at)))
    elapsed = max(head.now - begun, timedelta(0)).total_seconds()
    return int(elapsed / max(_SHORTEST_STEP, elapsed / _NOW_STEPS))


@require_GET
@allowed(Permission.VIEW)
def instance_sequence(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show who sends what to whom."""
    head = read_head(request, instance_id)

    def context() -> dict[str, Any]:
        diagram = sequence(read_story(head), head.status.name)
        return {"diagram": diagram, "mermaid": mermaid(diagram)}

    return instance_page(request, head, "instance-sequence", context)


@require_GET
@allowed(Permission.VIEW)
def instance_data(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show input, output, custom status and failure."""
    head = read_head(request, instance_id)
    return instance_page(request, head, "instance-data", lambda: _data(head))


def _data(head: Head) -> dict[str, Any]:
    values = {what: _raw(head, what) for what in ("input", "output", "custom-status")}
    ending = history.get_ending(head.execution)
    failure = ending.failure_details if isinstance(ending, ExecutionCompleted) else None
    status = ending.orchestration_status if isinstance(ending, ExecutionCompleted) else None
    return {
        "input": values["input"],
        "output": values["output"],
        "custom": values["custom-status"],
        "output_label": "Reason" if status is RuntimeStatus.TERMINATED else "Output",
        "has_ended": ending is not None,
        "failures": list(failure.chain()) if failure else [],
    }


def _raw(head: Head, what: str) -> Any:
    """Return a payload as a value; None where there is none. Only the latest execution has a custom status."""
    text: str | None = None
    if what == "input":
        started = history.get_started(head.execution)
        text = started.input if isinstance(started, ExecutionStarted) else None
    elif what == "output":
        ending = history.get_ending(head.execution)
        text = ending.result if isinstance(ending, ExecutionCompleted) else None
    elif head.execution.is_latest:
        return head.status.custom_status
    return None if text is None else from_json(text)


@require_GET
@allowed(Permission.VIEW_PAYLOAD)
def instance_raw(request: HttpRequest, instance_id: str, what: str) -> HttpResponse:
    """Hand out a payload as a file: ``input``, ``output`` or ``custom-status``."""
    if what not in ("input", "output", "custom-status"):
        raise Http404(f"An instance has no {what}.")
    value = _raw(read_head(request, instance_id), what)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return HttpResponse(
        text.encode(errors="replace"),
        content_type="application/json; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{what}.json"', "Cache-Control": "private, no-store"},
    )


@require_GET
@allowed(Permission.VIEW_AUDIT)
def instance_audit(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show who changed the instance, or tried to."""
    head = read_head(request, instance_id)
    records = audit.latest(host_settings().task_hub, instance_id=instance_id, limit=_SHOWN_ACTS_OF_PEOPLE)
    return instance_page(
        request,
        head,
        "instance-audit",
        lambda: {"records": records, "is_cut": len(records) == _SHOWN_ACTS_OF_PEOPLE},
        tag=(len(records), records[0].at if records else None),
    )


_ONE = "instances/<str:instance_id>/"
urlpatterns = [
    path(_ONE, instance_timeline, name="instance"),
    path(f"{_ONE}history/", history_page, name="instance-history"),
    path(f"{_ONE}history/<int:sequence>/", event, name="instance-event"),
    path(f"{_ONE}history.json", history_download, {"form": "json"}, name="instance-history-json"),
    path(f"{_ONE}history.ndjson", history_download, {"form": "ndjson"}, name="instance-history-ndjson"),
    path(f"{_ONE}sequence/", instance_sequence, name="instance-sequence"),
    path(f"{_ONE}data/", instance_data, name="instance-data"),
    path(f"{_ONE}data/<str:what>.json", instance_raw, name="instance-raw"),
    path(f"{_ONE}audit/", instance_audit, name="instance-audit"),
]
