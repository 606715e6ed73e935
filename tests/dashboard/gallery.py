"""Every component of the pages on one page, with the worst content: for the tests of the foundation alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path
from django.utils import timezone

from dashboard.access import allowed
from dashboard.icons import ICONS
from dashboard.live import live_page, live_tag
from dashboard.presenters.tabs import Tab
from durable_host.client import DurableClient
from durable_host.core.access import Permission
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.status import RuntimeStatus

TEMPLATE = Path(__file__).with_name("gallery.html")
HOSTILE = "<script>alert(1)</script>\"'\u202e gnirts \u05e9\u05dc\u05d5\u05dd & more"
LONG_ID = "i" * 256


class GalleryForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="Shown in the list.")
    count = forms.IntegerField(min_value=1)
    payload = forms.CharField(widget=forms.Textarea, initial='{"a": 1}')
    kind = forms.ChoiceField(choices=[("a", "One"), ("b", "Other")])
    choice = forms.ChoiceField(choices=[("a", "One"), ("b", "Other")], widget=forms.RadioSelect)
    sure = forms.BooleanField(required=False, label="I am sure")


@allowed(Permission.VIEW)
def gallery(request: HttpRequest) -> HttpResponse:
    """Show all of it."""
    for say in (messages.info, messages.success, messages.warning, messages.error):
        say(request, f"{say.__name__}: {HOSTILE}")
    now = timezone.now()
    context = {
        "hostile": HOSTILE,
        "long_id": LONG_ID,
        "big": "x" * 1_000_000,
        "one_word": "w" * 3_000,
        "value": {"text": HOSTILE, "numbers": list(range(12)), "nothing": None},
        "statuses": [*RuntimeStatus, "Stalled", "Waiting", "done", "refused", "denied", "Odd"],
        "icons": sorted(ICONS),
        "now": now,
        "moments": [now - timedelta(seconds=3), now - timedelta(minutes=3), now + timedelta(hours=2)],
        "durations": [timedelta(milliseconds=450), timedelta(seconds=3.2), timedelta(hours=2, minutes=14)],
        "tabs": [Tab("Timeline", "#t", True), Tab("History", "#h", count=1204), Tab("Sequence diagram", "#s")],
        "form": GalleryForm({"count": "0"}),
        "bars": [0, 3, 7, 12, 2, 0, 5, 9, 14, 6, 1, 4],
        "bar_tones": ["good"] * 6 + ["bad"] * 2 + ["good"] * 4,
        "tag": live_tag(1),
    }
    page = engines["django"].from_string(TEMPLATE.read_text())
    return HttpResponse(page.render(context, request))


ONE = """{% extends "dashboard/base.html" %}{% load dashboard %}{% block title %}One{% endblock %}
{% block content %}{% include region %}{% endblock %}"""
ONE_REGION = """{% load dashboard %}{% live_region live %}
<header class="page-head"><h1>{{ one.name }}</h1>{% status_badge one.runtime_status %}</header>
<p>{% copy one.instance_id "Copy the id" %} {% when one.created_at "time" %}</p>
<details id="more"><summary>More</summary>{% payload one.output "Output" %}</details>{% endlive_region %}"""
ROWS_REGION = """{% load dashboard %}{% live_region live %}<div class="table-wrap"><table class="table" data-rows>
<thead><tr><th scope="col">Instance</th></tr></thead><tbody>{% for one in page.items %}
<tr id="row-{{ one.instance_id }}" data-key="{{ one.instance_id }}"><td>{% instance_link one.instance_id %}</td></tr>
{% endfor %}</tbody></table></div>{% endlive_region %}"""
PAGES = {"demo/one.html": ONE, "demo/_one.html": ONE_REGION, "demo/_rows.html": ROWS_REGION}


@allowed(Permission.VIEW)
def one(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show one instance, live."""
    status = DurableClient().get_status(instance_id)
    if status is None:
        raise InstanceNotFoundError(instance_id)
    return live_page(
        request,
        "demo/one.html",
        "demo/_one.html",
        tag=live_tag(status.runtime_status, status.last_updated_at),
        busy=not status.is_finished,
        context=lambda: {"one": status, "region": "demo/_one.html"},
    )


@allowed(Permission.VIEW)
def rows(request: HttpRequest) -> HttpResponse:
    """Show all instances, live."""
    page = DurableClient().query()
    return live_page(
        request,
        "demo/one.html",
        "demo/_rows.html",
        tag=live_tag([found.instance_id for found in page.items]),
        busy=True,
        context=lambda: {"page": page, "region": "demo/_rows.html"},
    )


urlpatterns = [
    path("gallery/", gallery),
    path("demo/", rows),
    path("demo/<str:instance_id>/", one),
    path("", include("durable_host.urls")),
]
handler403 = "dashboard.views.errors.forbidden"
handler404 = "dashboard.views.errors.not_found"
handler500 = "dashboard.views.errors.server_error"
