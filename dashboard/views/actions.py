"""What can be done to one instance: a page for each action that says what it would do, and does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from dashboard.access import MissingPermissionError, allowed, can
from dashboard.acting import acting
from dashboard.forms.actions import OnceForm, form_for
from dashboard.presenters.actions import ACTIONS, Action, Verb, effects, offered
from dashboard.presenters.approvals import listed
from dashboard.presenters.rewind import rewind_preview
from durable_host import desk
from durable_host.client import DurableClient, OrchestrationStatus
from durable_host.conf import host_settings
from durable_host.core.access import Operation, Permission, may_answer
from durable_host.core.errors import BadRequestError, InstanceNotFoundError
from durable_host.core.status import RuntimeStatus
from durable_host.store import approvals, audit
from durable_host.store import effects as store_effects
from durable_host.store.approvals import OpenWait, WaitFilter
from durable_host.store.audit import AlreadyDoneError, Deed
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import CappedCount

_CONFLICT, _INVALID = 409, 422
_KNOWN_ACTIONS = frozenset(Verb)


@require_http_methods(["GET", "POST"])
@allowed(Permission.VIEW)
def action(request: HttpRequest, instance_id: str, verb: str) -> HttpResponse:
    """Say what an action would do to an instance; with POST, do it."""
    if verb not in _KNOWN_ACTIONS:
        raise Http404(f"There is no action {verb!r}.")
    one = ACTIONS[Verb(verb)]
    status = DurableClient().get_status(instance_id, show_input=False)
    if status is None:
        return _gone(request, instance_id, one)
    if one.verb is Verb.RESTART_EDITED:
        return redirect(_start_address(status))
    return _act(request, one, status) if request.method == "POST" else _ask(request, one, status)


def _ask(request: HttpRequest, one: Action, status: OrchestrationStatus) -> HttpResponse:
    if not can(request, one.permission):
        raise MissingPermissionError(one.permission)
    if not _is_legal(one, status):
        return _page(request, one, status, form_for(one.verb), code=_CONFLICT)
    initial = {"event_name": request.GET["event"]} if "event" in request.GET else None
    return _page(request, one, status, form_for(one.verb, initial=initial))


def _act(request: HttpRequest, one: Action, status: OrchestrationStatus) -> HttpResponse:
    form = form_for(one.verb, request.POST)
    is_valid = form.is_valid()
    detail = str(form.cleaned_data.get("reason") or form.cleaned_data.get("event_name") or "")
    refusal = ""
    try:
        with acting(
            request,
            one.operation,
            target=status.name,
            instance_id=status.instance_id,
            detail=detail,
            request_key=form.cleaned_data.get("request_key", ""),
        ) as deed:
            if is_valid:
                said, where = _DEEDS[one.verb](request, deed, status, form.cleaned_data)
                messages.success(request, said)
                return redirect(where)
    except AlreadyDoneError as error:
        messages.info(request, "This was done already; the button was pressed twice. Nothing was done a second time.")
        return redirect(_after_repetition(one, error.instance_id))
    except InstanceNotFoundError:
        return _gone(request, status.instance_id, one)
    except BadRequestError as error:
        refusal = str(error)
        status = DurableClient().get_status(status.instance_id, show_input=False) or status
    return _page(request, one, status, form, refusal=refusal, code=_CONFLICT if refusal else _INVALID)


# --- doing -----------------------------------------------------------------------------------------------------------

Done = tuple[str, str]


def _steer(method: str, said: str) -> Callable[[HttpRequest, Deed, OrchestrationStatus, dict[str, Any]], Done]:
    """Return how to do what the client's method does, to which only the reason is given."""

    def act(request: HttpRequest, deed: Deed, status: OrchestrationStatus, given: dict[str, Any]) -> Done:
        deed.commit(getattr(DurableClient(), method), status.instance_id, given["reason"] or None)
        return said, _address(status.instance_id)

    return act


def _raise_event(request: HttpRequest, deed: Deed, status: OrchestrationStatus, given: dict[str, Any]) -> Done:
    name, data = given["event_name"], given["event_data"]
    wait = approvals.get_wait(host_settings().task_hub, status.instance_id, name)
    if wait is not None and (wait.title or wait.assignees):
        return _answer_for_others(request, deed, wait, data)
    deed.commit(DurableClient().raise_event, status.instance_id, name, data)
    kept = "" if wait else " Nobody listens for it now: it is kept until somebody does."
    return f"The event {name} is on its way.{kept}", _address(status.instance_id)


def _answer_for_others(request: HttpRequest, deed: Deed, wait: OpenWait, data: Any) -> Done:
    """Answer a question that people are asked; in the place of others only whoever may steer instances."""
    user = request.user
    groups = set(user.groups.values_list("name", flat=True))
    if not may_answer(wait.assignees, user.get_username(), groups) and not can(request, Permission.MANAGE):
        audit.record(deed.asked, audit.Outcome.DENIED, f"is put to {listed(wait.assignees)}")
        raise MissingPermissionError(Permission.MANAGE)
    with audit.once(deed.asked):
        verdict = desk.decide(deed.asked, wait.event_name, data)
    if not verdict.is_decided:
        raise BadRequestError(verdict.message)
    return f"{wait.title or wait.event_name} is answered.", _address(wait.instance_id)


def _restart(request: HttpRequest, deed: Deed, status: OrchestrationStatus, given: dict[str, Any]) -> Done:
    client = DurableClient()
    new = client.prepare_restart(status.instance_id, with_new_id=given["under"] == "new")
    started = deed.commit_start(client.start_prepared, new)
    return "Started again. This is the new instance.", _address(started)


def _purge(request: HttpRequest, deed: Deed, status: OrchestrationStatus, given: dict[str, Any]) -> Done:
    removed = deed.commit(DurableClient().purge, status.instance_id)
    with_it = {1: "", 2: ", and its sub-orchestration with it"}.get(removed)
    with_it = f", and {removed - 1:,} sub-orchestrations with it" if with_it is None else with_it
    return f"{status.instance_id} is purged{with_it}.", reverse("dashboard:instances")


_DEEDS: dict[Verb, Callable[[HttpRequest, Deed, OrchestrationStatus, dict[str, Any]], Done]] = {
    Verb.RAISE_EVENT: _raise_event,
    Verb.SUSPEND: _steer("suspend", "It is asked to pause, and does so before its next turn."),
    Verb.RESUME: _steer("resume", "It goes on."),
    Verb.TERMINATE: _steer("terminate", "It is asked to end; a worker sees to it now."),
    Verb.RELEASE: _steer("release", "It is tried again."),
    Verb.REWIND: _steer("rewind", "It is rewound; what failed runs again."),
    Verb.RESTART: _restart,
    Verb.PURGE: _purge,
}


def _after_repetition(one: Action, instance_id: str) -> str:
    return reverse("dashboard:instances") if one.verb is Verb.PURGE else _address(instance_id)


def _address(instance_id: str) -> str:
    return reverse("dashboard:instance", args=[instance_id])


def _start_address(status: OrchestrationStatus) -> str:
    return reverse("dashboard:start-form", args=[status.name]) + "?" + urlencode({"from": status.instance_id})


# --- showing ---------------------------------------------------------------------------------------------------------


def _page(
    request: HttpRequest,
    one: Action,
    status: OrchestrationStatus,
    form: OnceForm,
    *,
    refusal: str = "",
    code: int = 200,
) -> HttpResponse:
    """Show what an action would do and ask for it; where it is not legal now, why, and what is legal instead."""
    is_legal = _is_legal(one, status)
    possible = offered(status.runtime_status, request.user, is_stalled=bool(status.stall_reason))
    context = {
        "action": one,
        "one": status,
        "form": form,
        "refusal": refusal if is_legal else "",
        "others": [other for other in possible if other.verb is not one.verb],
    }
    if is_legal:
        return render(request, "dashboard/actions/page.html", context | _would_do(request, one, status), status=code)
    legal_in = [each for each in RuntimeStatus if each in one.legal_in and each is not RuntimeStatus.CONTINUED_AS_NEW]
    return render(request, "dashboard/actions/illegal.html", context | {"legal_in": legal_in}, status=code)


def _is_legal(one: Action, status: OrchestrationStatus) -> bool:
    return one.is_legal(status.runtime_status, is_stalled=bool(status.stall_reason))


def _would_do(request: HttpRequest, one: Action, status: OrchestrationStatus) -> dict[str, Any]:
    """Read what the action would do. What takes too long to read does not keep anybody from acting."""
    hub, instance_id = host_settings().task_hub, status.instance_id
    try:
        work = None if status.is_finished else store_effects.open_work(hub, instance_id)
        rest = store_effects.remains(hub, instance_id) if one.verb is Verb.PURGE else None
        found: dict[str, Any] = {"effects": effects(one.verb, work, rest), **_subs(one, work or rest)}
        if one.verb is Verb.REWIND:
            found["preview"] = rewind_preview(DurableClient().get_history(instance_id))
        if one.verb is Verb.RAISE_EVENT:
            found["waits"] = approvals.open_waits(hub, WaitFilter(instance_id=instance_id)).waits
    except TooSlowError as error:
        return {"too_slow": error}
    return found


def _subs(one: Action, found: store_effects.OpenWork | store_effects.Remains | None) -> dict[str, Any]:
    if found is None or one.verb not in (Verb.TERMINATE, Verb.PURGE, Verb.SUSPEND):
        return {}
    total = found.sub_orchestrations
    more = CappedCount(total.value - len(found.sub_ids), total.is_capped)
    return {"subs": found.sub_ids, "more_subs": more if more.value else ""}


def _gone(request: HttpRequest, instance_id: str, one: Action) -> HttpResponse:
    """Answer for an instance that is not there: kindly, where somebody has purged it."""
    for record in audit.latest(host_settings().task_hub, instance_id=instance_id, limit=20):
        if record.asked.operation is Operation.PURGE and record.outcome == audit.Outcome.DONE:
            by = "You have" if record.asked.actor == request.user.get_username() else f"{record.asked.actor} has"
            messages.info(request, f"{by} purged {instance_id} already; there is nothing left to {one.label.lower()}.")
            return redirect("dashboard:instances")
    raise Http404(f"No instance {instance_id!r} exists.")


urlpatterns = [path("instances/<str:instance_id>/actions/<str:verb>/", action, name="action")]
