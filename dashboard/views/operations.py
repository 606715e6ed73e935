"""Operations on many instances: asked for by a filter or by ticked rows, confirmed, then watched."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from pydantic_core import from_json

from dashboard.access import MissingPermissionError, allowed, can
from dashboard.acting import acting
from dashboard.forms.instances import BatchForm
from dashboard.live import live_page, live_tag
from dashboard.presenters.actions import Action
from dashboard.presenters.listing import in_words
from dashboard.presenters.listing_operations import (
    EFFECTS,
    BatchLine,
    action_of,
    affected,
    batch_line,
    for_many,
    heading,
    query_of,
    shares,
)
from durable_host import BadRequestError
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.desk import start_batch
from durable_host.store import batches, retention
from durable_host.store.audit import AlreadyDoneError
from durable_host.store.batches import BatchRequest, BatchStatus
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import CappedCount, count_statuses

from .instances_query import Asked, asked_of, list_address

#: ticked instances that the page names, with their status
_NAMED = 20
_MOST_TICKED = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """The instances that are meant: ticked ones, or all that fit a filter."""

    ids: tuple[str, ...]
    #: the filter, its window held still
    asked: Asked

    @property
    def words(self) -> str:
        """Which they are, for people and for the audit."""
        if self.ids:
            return f"{len(self.ids):,} ticked instance{'' if len(self.ids) == 1 else 's'}"
        return in_words(self.asked.query, self.asked.times)

    @property
    def encoded(self) -> str:
        """Name them in an address."""
        return urlencode([*self.asked.query.pairs(), *(("id", one) for one in self.ids)])


@require_http_methods(["GET", "POST"])
@allowed(Permission.VIEW)
def new(request: HttpRequest) -> HttpResponse:
    """Ask to be sure; with the answer, begin. Without an operation, offer those that the person may ask for.

    Rows are ticked in a form that is sent by POST, because their ids may be too long for an address; nothing happens
    before the page that this answers is sent, too.
    """
    given = dict((request.POST if request.method == "POST" else request.GET).lists())
    target = _target(request, given)
    action = action_of((given.get("operation") or [""])[-1])
    if action is None:
        return _choose(request, target)
    if request.method == "POST" and "confirmed" in given:
        return _begin(request, action, target)
    if not can(request, action.permission):
        raise MissingPermissionError(action.permission)
    return _confirm(request, action, target)


def _target(request: HttpRequest, given: Mapping[str, Sequence[str]]) -> Target:
    ids = tuple(dict.fromkeys(filter(None, given.get("id", ()))))[:_MOST_TICKED]
    asked = asked_of(request, given)
    query = asked.query.frozen(asked.now, asked.zone)
    return Target(ids, Asked(query, query.filter(asked.now, asked.zone), asked.now, asked.zone))


def _choose(request: HttpRequest, target: Target) -> HttpResponse:
    count = _counted(target)
    context = {
        "target": target,
        "choices": [(one, EFFECTS[one.operation], _affected(target, count, one)) for one in for_many(request.user)],
        "list_url": list_address(target.asked.query),
    }
    return render(request, "dashboard/operations/choose.html", context)


def _confirm(request: HttpRequest, action: Action, target: Target, form: BatchForm | None = None) -> HttpResponse:
    count = _counted(target)
    meant = _affected(target, count, action)
    named = _named(target, action)
    context = {
        "action": action,
        "heading": heading(action, meant, "ticked instance" if target.ids else "instance"),
        "effect": EFFECTS[action.operation],
        "target": target,
        "is_slow": count is None and not target.ids,
        "shares": shares(count, target.asked.query.statuses, action) if count else [],
        "meant": meant,
        "named": named,
        "unnamed": len(target.ids) - len(named),
        "form": form or BatchForm(action.operation, meant, initial={}),
        "request_key": request.POST.get("request_key") or secrets.token_hex(16),
        "pairs": target.asked.query.pairs() if not target.ids else [],
        "list_url": list_address(target.asked.query),
    }
    return render(request, "dashboard/operations/new.html", context, status=422 if form else 200)


def _begin(request: HttpRequest, action: Action, target: Target) -> HttpResponse:
    form = BatchForm(action.operation, CappedCount(len(target.ids), not target.ids), request.POST)
    if can(request, action.permission) and not form.is_valid():
        return _confirm(request, action, target, form)
    cleaned = form.cleaned_data if form.is_bound and form.is_valid() else {}
    wanted = BatchRequest(
        operation=action.operation,
        filter=None if target.ids else target.asked.filter,
        instance_ids=target.ids,
        reason=cleaned.get("reason", ""),
        event_name=cleaned.get("event_name", ""),
        event_data=cleaned.get("event_data"),
    )
    said = "; ".join(filter(None, (f"many: {target.words}", wanted.event_name, wanted.reason)))
    key = request.POST.get("request_key", "")[:64]
    try:
        with acting(request, action.operation, detail=said, request_key=key) as deed:
            batch_id = deed.commit(start_batch, wanted, deed.asked)
    except AlreadyDoneError:
        messages.info(request, "This was asked for already. It began once.")
        return redirect("dashboard:operations")
    except BadRequestError as refusal:
        form.add_error(None, str(refusal))
        return _confirm(request, action, target, form)
    return redirect("dashboard:operation", batch_id)


def _counted(target: Target) -> Mapping[Any, CappedCount] | None:
    """Count by status; None where nobody counts: rows are ticked, or the database is too slow."""
    if target.ids:
        return None
    try:
        return count_statuses(host_settings().task_hub, target.asked.filter).by_status
    except TooSlowError:
        return None


def _affected(target: Target, count: Mapping[Any, CappedCount] | None, action: Action) -> CappedCount:
    if target.ids:
        return CappedCount(len(target.ids))
    if count is None:
        return CappedCount(0, is_capped=True)
    return affected(shares(count, target.asked.query.statuses, action))


def _named(target: Target, action: Action) -> list[tuple[str, str | None, bool]]:
    """Return the first of the ticked ones: id, status, and whether the operation can be done to it."""
    client = DurableClient()
    found: list[tuple[str, str | None, bool]] = []
    for instance_id in target.ids[:_NAMED]:
        one = client.get_status(instance_id, show_input=False)
        status = None if one is None else one.runtime_status.value
        found.append((instance_id, status, status is not None and action.is_legal(status)))
    return found


# --- watching --------------------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def operations(request: HttpRequest) -> HttpResponse:
    """Show the latest operations on many instances."""
    found = batches.latest(host_settings().task_hub)
    return live_page(
        request,
        "dashboard/operations/list.html",
        "dashboard/operations/_list.html",
        tag=live_tag(found),
        busy=any(not one.state.is_over for one in found),
        context=lambda: {
            "lines": [_line(one) for one in found],
            "kept": list(map(str, host_settings().retention)),
            "next_sweep": retention.next_sweep_at(host_settings().task_hub),
        },
    )


@require_GET
@allowed(Permission.VIEW)
def operation(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Show how far an operation is, and what went wrong."""
    found = _get(batch_id)

    def context() -> dict[str, Any]:
        line = _line(found)
        filter_ = found.request.filter
        return {
            "line": line,
            "batch": found,
            "list_url": "" if filter_ is None else list_address(query_of(filter_)),
            "event_data": from_json(found.request.event_data) if found.request.event_data else None,
            "may_cancel": can(request, line.action.permission) and not found.state.is_over,
            "took": (found.finished_at or timezone.now()) - (found.started_at or found.created_at),
        }

    return live_page(
        request,
        "dashboard/operations/operation.html",
        "dashboard/operations/_operation.html",
        tag=live_tag(found),
        busy=not found.state.is_over,
        context=context,
    )


@require_POST
@allowed(Permission.VIEW)
def cancel(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Have an operation stop after the part that is under way."""
    found = _get(batch_id)
    with acting(request, found.request.operation, detail=f"stop of batch {batch_id}") as deed:
        is_stopped = deed.commit(batches.cancel, deed.asked.hub, batch_id)
    if is_stopped:
        messages.success(request, "It stops. What has been done stays done.")
    else:
        messages.info(request, "It was over already, or somebody had stopped it.")
    return redirect("dashboard:operation", batch_id)


def _get(batch_id: str) -> BatchStatus:
    found = batches.get(host_settings().task_hub, batch_id)
    if found is None:
        raise Http404(f"No operation {batch_id!r} exists.")
    return found


def _line(batch: BatchStatus) -> BatchLine:
    return batch_line(batch, timezone.get_current_timezone())


urlpatterns = [
    path("operations/", operations, name="operations"),
    path("operations/new/", new, name="operation-new"),
    path("operations/<str:batch_id>/", operation, name="operation"),
    path("operations/<str:batch_id>/cancel/", cancel, name="operation-cancel"),
]
