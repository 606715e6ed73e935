"""The audit: who asked for which change, and what came of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from dashboard.access import allowed
from dashboard.forms.audit import WINDOWS, AuditForm
from dashboard.presenters.audit import told
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.errors import BadRequestError
from durable_host.store.auditing import AuditFilter, AuditPage, export_audit, read_audit
from durable_host.store.limits import TooSlowError

_PAGE = 50
#: pages back that the address remembers
_LONGEST_WAY = 20


@require_GET
@allowed(Permission.VIEW_AUDIT)
def audit(request: HttpRequest) -> HttpResponse:
    """Show the records that fit, newest first."""
    form = AuditForm(request.GET.dict())
    if any(not text.strip() for text in request.GET.dict().values()):
        # From the form, which sends every field: the address says only what is chosen.
        return redirect(_address(form))
    way = [one for one in request.GET.getlist("page") if one][-_LONGEST_WAY:]
    filter_ = form.filter(timezone.now())
    page, way = _read(filter_, way)
    return render(
        request,
        "dashboard/audit/page.html",
        {"form": form, "windows": _windows(form), "export": form.query(), **_shown(form, page, way)},
        status=422 if form.errors else 200,
    )


def _address(form: AuditForm) -> str:
    query = form.query()
    return reverse("dashboard:audit") + (f"?{query}" if query else "")


def _windows(form: AuditForm) -> list[tuple[str, str, bool]]:
    """Return the choices of a window: words, query string, whether it is the one that is meant."""
    return [
        (words, form.query(since=key, after="", before=""), key == form.window) for key, (_, words) in WINDOWS.items()
    ]


def _read(filter_: AuditFilter, way: list[str]) -> tuple[AuditPage | None, list[str]]:
    hub = host_settings().task_hub
    try:
        try:
            return read_audit(hub, filter_, page_size=_PAGE, cursor=way[-1] if way else None), way
        except BadRequestError:  # an address from elsewhere: begin at the beginning
            return read_audit(hub, filter_, page_size=_PAGE), []
    except TooSlowError:
        return None, way


def _shown(form: AuditForm, page: AuditPage | None, way: list[str]) -> dict[str, Any]:
    base = form.query()
    return {
        "page": page,
        "records": [(told(one), form.query(actor=one.asked.actor)) for one in (page.records if page else ())],
        "newer": _page_address(base, way[:-1]) if way else "",
        "older": _page_address(base, [*way, page.cursor]) if page and page.cursor else "",
        "number": len(way) + 1,
    }


def _page_address(base: str, way: list[str]) -> str:
    return "?" + "&".join(filter(None, (base, *(f"page={one}" for one in way))))


@require_GET
@allowed(Permission.VIEW_AUDIT)
def export(request: HttpRequest) -> HttpResponseBase:
    """Answer everything that fits as CSV."""
    rows = export_audit(host_settings().task_hub, AuditForm(request.GET.dict()).filter(timezone.now()))
    response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response


urlpatterns = [
    path("audit/", audit, name="audit"),
    path("export/audit.csv", export, name="audit-export"),
]
