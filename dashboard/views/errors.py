"""Pages for what goes wrong. A project names them as its handlers; see ``durable_host/urls.py``."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.access import unavailable
from durable_host.store.outage import OUTAGE

_LONGEST_SAID = 300


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404, with what the page said of it."""
    said = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    return _page(request, "dashboard/errors/404.html", {"said": said[:_LONGEST_SAID]}, status=404)


def forbidden(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Answer 403, where something else than a page of the dashboard refuses."""
    return _page(request, "dashboard/errors/403.html", {"said": str(exception)[:_LONGEST_SAID]}, status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403: the form is from another site, or from before the last login (the setting CSRF_FAILURE_VIEW)."""
    return _page(request, "dashboard/errors/csrf.html", {"reason": reason}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 where the database failed under something else than a page of the dashboard."""
    error = sys.exception()  # Django calls this while it handles what was raised
    if isinstance(error, OUTAGE):
        return unavailable(request, error)
    return _page(request, "dashboard/errors/500.html", {}, status=500)


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int) -> HttpResponse:
    """Show a page; in bare words where that fails, too: the database is away, or no static files were collected."""
    try:
        return render(request, template, context, status=status)
    except (DatabaseError, ValueError):
        return HttpResponse(f"{status} {HTTPStatus(status).phrase}\n", "text/plain", status=status)
