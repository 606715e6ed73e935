"""Telemetry: where it goes, the saved queries to copy or to open in the portal, and the metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from dashboard.access import allowed
from dashboard.forms.telemetry import QueryForm
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.links import METRICS, served_at
from durable_host.telemetry.environment import Destinations, Signal, destinations
from durable_host.telemetry.kusto import SavedQuery, portal_link, saved_queries

_SIGNALS = {Signal.TRACES: "traces", Signal.LOGS: "tracking records", Signal.METRICS: "metrics"}


@dataclass(frozen=True, slots=True)
class Card:
    """A saved query as it is shown."""

    query: SavedQuery
    form: QueryForm
    text: str
    #: opens it in the portal; empty where no resource is named
    link: str
    #: whether it was filled in just now
    is_open: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where telemetry goes, or does not."""

    name: str
    #: what goes there, in words; empty for nothing
    signals: str
    #: the setting that makes it go there
    setting: str


@require_GET
@allowed(Permission.VIEW)
def telemetry(request: HttpRequest) -> HttpResponse:
    """Show where telemetry goes, and the saved queries: ``query`` and its parameters fill one in."""
    cards = [_card(one, request) for one in saved_queries()]
    chosen = next((one for one in cards if one.is_open), None)
    found = destinations()
    metrics = served_at(METRICS)
    return render(
        request,
        "dashboard/telemetry/page.html",
        {
            "targets": targets(found),
            "problems": found.problems,
            "has_portal": bool(host_settings().appinsights_resource_id),
            "cards": cards,
            "chosen": chosen,
            "metrics_url": metrics and request.build_absolute_uri(metrics),
        },
        status=422 if chosen and chosen.form.errors else 200,
    )


def _card(query: SavedQuery, request: HttpRequest) -> Card:
    is_open = request.GET.get("query") == query.slug
    given = {one.name: request.GET.get(one.name, one.default.strip('"')) for one in query.parameters}
    form = QueryForm(query, given if is_open else None)
    text = form.text
    period = max(_spans(form), default=timedelta(days=7))
    return Card(query, form, text, portal_link(text, period=period) or "", is_open)


def _spans(form: QueryForm) -> Iterable[timedelta]:
    values = form.cleaned_data.values() if form.is_bound and form.is_valid() else ()
    return [value for value in values if isinstance(value, timedelta)]


def targets(found: Destinations) -> tuple[Target, Target]:
    """Return both destinations, without anything that is secret."""
    return (
        Target("Application Insights", _said(found.azure_signals), "APPLICATIONINSIGHTS_CONNECTION_STRING"),
        Target("OTLP", _said(found.otlp), "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )


def _said(signals: Iterable[Signal]) -> str:
    chosen = set(signals)
    return ", ".join(word for signal, word in _SIGNALS.items() if signal in chosen)


urlpatterns = [path("telemetry/", telemetry, name="telemetry")]
