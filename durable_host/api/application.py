"""The API as one object: its routes, how it reads queries, how it answers errors."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja import NinjaAPI
from ninja.parser import Parser

from . import errors
from .queries import CANONICAL
from .routes import router

_DESCRIPTION = """Durable Functions' HTTP management API. The same routes answer under
`/admin/extensions/DurableTaskExtension/` and `/orchestrators/`, as its first version had them.

Send an API key as `x-functions-key`, as `Authorization: Bearer`, or as `?code=`. The addresses in a check-status
payload carry tokens of their own. Names in queries and the words of the addresses are read in any case."""


class FoldingParser(Parser):
    """Reads queries whose names are in any case."""

    def parse_querydict(
        self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        """Return the query by the names of the schemas. An empty value is none."""
        folded: MultiValueDict[str, Any] = MultiValueDict()
        for name, values in data.lists():
            given = [value for value in values if value != ""]
            if given:
                folded.setlist(CANONICAL.get(name.lower(), name), given)
        return super().parse_querydict(folded, list_fields, request)


def make_api() -> NinjaAPI:
    """Return the API with all its routes."""
    api = NinjaAPI(
        title="Durable host",
        version="1.0.0",
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        urls_namespace="durable-http",
        parser=FoldingParser(),
    )
    errors.install(api)
    api.add_router("", router)
    return api


api = make_api()
