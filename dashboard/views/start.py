"""Starting orchestrations: the catalogue, and a form for each orchestrator."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods

from dashboard.access import MissingPermissionError, allowed, can
from dashboard.forms.start import StartForm, default_version, input_form
from dashboard.presenters import catalogue as presenting
from dashboard.presenters import equivalents
from dashboard.presenters.catalogue import Lately, Offer
from durable_host.client import DurableClient, InstanceFilter
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.registry import OrchestratorSpec, default_registry
from durable_host.links import BASE, served_at
from durable_host.store import listing, workers
from durable_host.store.limits import TooSlowError

#: so many of the newest instances say how an orchestrator goes
_LOOKED_AT = 20
#: of so many orchestrators; a catalogue that is longer does without
_MOST_LOOKED_UP = 60


@require_GET
@allowed(Permission.START)
def start(request: HttpRequest) -> HttpResponse:
    """Show what can be started; ``q`` in the address narrows it."""
    return render(request, "dashboard/start/catalogue.html", catalogue(request))


def catalogue(request: HttpRequest) -> dict[str, Any]:
    """Return what the catalogue shows."""
    wanted = request.GET.get("q", "").strip()
    specs = sorted(default_registry.orchestrators.values(), key=lambda spec: spec.name.casefold())
    found = [spec for spec in specs if presenting.matches(spec, wanted)]
    going = _lately(found[:_MOST_LOOKED_UP])
    return {
        "offers": [_offer(spec, going.get(spec.name, Lately())) for spec in found],
        "total": len(specs),
        "wanted": wanted,
        "version": default_version(),
        "is_served": is_served(),
    }


def _offer(spec: OrchestratorSpec, lately: Lately) -> Offer:
    return Offer(
        name=spec.name,
        summary=presenting.first_line(spec.doc),
        takes=presenting.takes(spec, input_form(spec).shape),
        lately=lately,
    )


def _lately(specs: list[OrchestratorSpec]) -> dict[str, Lately]:
    hub = host_settings().task_hub
    found: dict[str, Lately] = {}
    try:
        for spec in specs:
            page = listing.list_instances(hub, InstanceFilter(name=spec.name), page_size=_LOOKED_AT)
            found[spec.name] = presenting.lately(page.rows)
    except TooSlowError:  # the catalogue is worth showing without
        pass
    return found


def is_served() -> bool:
    """Tell whether a worker is there that would run the turns of what is started."""
    settings = host_settings()
    return bool(workers.count_live_by_queue(settings.task_hub, [settings.turn_queue])[settings.turn_queue])


@require_http_methods(["GET", "HEAD", "POST"])
def start_form(request: HttpRequest, name: str) -> HttpResponseBase:
    """Show the form of one orchestrator, and start it.

    ``from`` in the address fills it in from an earlier instance, ``as=json`` makes one text of the input.
    """
    return _send(request, name) if request.method == "POST" else _show(request, name)


start_form.needs = Permission.START  # type: ignore[attr-defined]  # both ways ask for it; a denied start is audited


@allowed(Permission.START)
def _show(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "dashboard/start/form.html", page_of(request, shown_form(request, spec_of(name))))


@allowed(Permission.VIEW)
def _send(request: HttpRequest, name: str) -> HttpResponse:
    form = StartForm.posted(spec_of(name), request.POST)
    if form.is_edit:
        require_start(request)
        return render(request, "dashboard/start/form.html", page_of(request, form))
    started = form.start(request, detail=detail_of(request))
    if started is None:
        return render(request, "dashboard/start/form.html", page_of(request, form), status=422)
    messages.success(request, f"{started.said} {started.instance_id}.")
    return redirect("dashboard:instance", started.instance_id)


# --- what the admin's pages use, too ---------------------------------------------------------------------------------


def spec_of(name: str) -> OrchestratorSpec:
    """Return the orchestrator of a name that came from outside.

    Raises:
        Http404: there is none.
    """
    spec = default_registry.orchestrators.get(name)
    if spec is None:
        raise Http404(f"No orchestrator {name[:100]!r} is registered here.")
    return spec


def require_start(request: HttpRequest) -> None:
    """Let nobody on who may not start.

    Raises:
        MissingPermissionError: the user may not.
    """
    if not can(request, Permission.START):
        raise MissingPermissionError(Permission.START)


def shown_form(request: HttpRequest, spec: OrchestratorSpec) -> StartForm:
    """Return the form as it is first seen.

    Raises:
        MissingPermissionError: it is to be filled in from an instance, and the user may not see payloads.
        InstanceNotFoundError: there is no such instance.
    """
    as_json = request.GET.get("as") == "json"
    like = request.GET.get("from", "")
    if not like:
        return StartForm.empty(spec, as_json=as_json)
    if not can(request, Permission.VIEW_PAYLOAD):
        raise MissingPermissionError(Permission.VIEW_PAYLOAD)
    status = DurableClient().get_status(like)
    if status is None:
        raise InstanceNotFoundError(like)
    return StartForm.like(spec, status, as_json=as_json)


def detail_of(request: HttpRequest) -> str:
    """Return what the audit shall say besides."""
    like = request.GET.get("from", "")
    return f"like {like}" if like else ""


def page_of(request: HttpRequest, form: StartForm) -> dict[str, Any]:
    """Return what the page of a form shows."""
    same, api = form.equivalent, served_at(BASE)
    by_http = (("HTTP", equivalents.curl(same, request.build_absolute_uri(api))),) if api else ()
    return {
        "form": form,
        "spec": form.spec,
        "summary": presenting.first_line(form.spec.doc),
        "rest": presenting.further_lines(form.spec.doc),
        "like": request.GET.get("from", ""),
        "version": default_version(),
        "is_served": is_served(),
        "has_api": api is not None,
        "equivalents": (
            ("Python", equivalents.python(same)),
            ("Command line", equivalents.command(same)),
            *by_http,
        ),
    }


urlpatterns = [
    path("start/", start, name="start"),
    path("start/<path:name>/", start_form, name="start-form"),
]
