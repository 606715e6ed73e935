"""The API's own description: OpenAPI 3.1, and a page to read and try it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from durable_host import links
from durable_host.core.access import Operation
from durable_host.core.registry import default_registry

from .application import api
from .errors import DeniedError, problem
from .guard import admit_reader

_SECURITY = {
    "key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "code": {"type": "apiKey", "in": "query", "name": "code"},
}


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, with the orchestrators that are registered here."""
    document: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(path_prefix=reverse(links.BASE))))
    names = sorted(default_registry.orchestrators)
    for route in document["paths"].values():
        for operation in route.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "functionName" and names:
                    parameter["schema"]["enum"] = names
    document["components"]["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    return document


def _for_readers(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show it to those who may read: it names the orchestrators."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        try:
            admit_reader(request, Operation.LIST)
        except DeniedError as error:
            return problem(error.status, str(error), error.kind, headers=error.headers)
        return view(request)

    return guarded


@require_GET
@_for_readers
def openapi(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document."""
    return JsonResponse(openapi_document(), headers={"Cache-Control": "no-store"})


@require_GET
@_for_readers
def docs(request: HttpRequest) -> HttpResponse:
    """Show the documentation page; its scripts and styles come from this server."""
    settings = {"url": reverse("durable-openapi"), "layout": "BaseLayout", "deepLinking": True}
    context = {"api": api, "swagger_settings": json.dumps(settings), "add_csrf": True}
    return render(request, "ninja/swagger.html", context)
