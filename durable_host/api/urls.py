"""Addresses of the HTTP API. Include it at the root of a site, before the Django admin:

path("", include("durable_host.api.urls"))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, re_path
from django.urls.resolvers import URLResolver
from django.views.decorators.csrf import csrf_exempt

from .application import api
from .docs import docs, openapi
from .errors import problem
from .metrics import metrics
from .mounts import Mount, MountPattern


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Answer an address of a mount that no route has."""
    return problem(
        404, f"No route {request.method} {request.path}. GET /api/docs shows those that there are.", "NotFound"
    )


def _in_json(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Turn the library's plain 405 into ours."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = ", ".join(sorted(response["Allow"].split(", ")))
        text = f"This address answers {allowed}, not {request.method}."
        return problem(405, text, "MethodNotAllowed", headers={"Allow": allowed})

    return answer


def _routes() -> list[URLPattern | URLResolver]:
    patterns, _, _ = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            pattern.callback = nothing_here if pattern.name == "api-root" else _in_json(pattern.callback)
    return [*patterns, re_path(r"^.*$", nothing_here)]


def _mounted(prefix: str, mount: Mount) -> URLResolver:
    return URLResolver(MountPattern(prefix, mount), ROUTES, app_name=mount.value, namespace=mount.value)


ROUTES = _routes()
urlpatterns = [
    path("api/docs", docs, name="durable-docs"),
    path("api/openapi.json", openapi, name="durable-openapi"),
    path("metrics", metrics, name="durable-metrics"),
    _mounted("runtime/webhooks/durabletask/", Mount.WEBHOOKS),
    _mounted("admin/extensions/DurableTaskExtension/", Mount.V1),
    _mounted("orchestrators/", Mount.STARTERS),
    _mounted("durabletask/", Mount.RPC),
]
