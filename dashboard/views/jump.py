"""The way from any page to any instance."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_GET

from dashboard.access import allowed
from durable_host.client import DurableClient
from durable_host.core.access import Permission


@require_GET
@allowed(Permission.VIEW)
def jump(request: HttpRequest) -> HttpResponse:
    """Go to the instance whose id is given; to those whose ids begin so, where it is only a beginning."""
    wanted = request.GET.get("q", "").strip()
    if wanted and DurableClient().get_status(wanted, show_input=False) is not None:
        return redirect("dashboard:instance", wanted)
    response = redirect("dashboard:instances")
    if wanted:
        response["Location"] += "?" + urlencode({"prefix": wanted})
    return response


urlpatterns = [path("jump/", jump, name="jump")]
