"""Saved queries in the Kusto Query Language, and links that open them in the Azure portal.

They lie beside this module as ``queries/*.kql``: a header of comments (title, question, parameters), then ``let`` lines
with the parameters' defaults, then the query. What they may rely on is in ``docs/kusto/README.md``.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from urllib.parse import quote

from durable_host.conf import host_settings

#: what a parameter can be set to
Value = str | int | timedelta | datetime

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1)))
_HEADER = re.compile(r"(?://.*\n)+")
_PARAMETER = re.compile(r"^ {2}(\w+): (.+)$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a reader sets before running a query."""

    name: str
    description: str
    #: literal in the query's own language
    default: str


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query that is ready to run over what the host sends to Application Insights."""

    #: name of its file, and in addresses
    slug: str
    title: str
    #: what it answers, in one or a few sentences
    question: str
    parameters: tuple[Parameter, ...]
    #: the whole file, as it is pasted into the portal
    text: str

    def filled(self, values: Mapping[str, Value]) -> str:
        """Return the text with other values for some parameters.

        Args:
            values: by parameter; a text becomes a string literal, whatever is in it.

        Raises:
            ValueError: the query has no such parameter.
        """
        if unknown := sorted(values.keys() - {parameter.name for parameter in self.parameters}):
            raise ValueError(f"Query {self.slug} has no parameter {', '.join(unknown)}.")
        text = self.text
        for name, value in values.items():
            line = f"let {name} = {_literal(value)};"
            text = re.sub(rf"^let {name} = .*;$", line.replace("\\", r"\\"), text, count=1, flags=re.MULTILINE)
        return text


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Return all saved queries, by title."""
    folder = resources.files(__package__) / "queries"
    files = (file for file in folder.iterdir() if file.name.endswith(".kql"))
    queries = (_parsed(file.name.removesuffix(".kql"), file.read_text(encoding="utf-8")) for file in files)
    return tuple(sorted(queries, key=lambda query: query.title))


def saved_query(slug: str) -> SavedQuery:
    """Return a saved query.

    Raises:
        KeyError: there is none of that name.
    """
    for query in saved_queries():
        if query.slug == slug:
            return query
    raise KeyError(slug)


def portal_link(text: str, *, period: timedelta = timedelta(days=7)) -> str | None:
    """Return an address that opens the Logs page of the Azure portal with a query in it.

    It is the address that the portal's own "copy link to query" makes; its format is not documented.

    Args:
        text: the query.
        period: time up to now that the portal's picker shows; a query that filters by time itself overrides it.

    Returns:
        None where the setting ``APPINSIGHTS_RESOURCE_ID`` is empty.
    """
    settings = host_settings()
    if not settings.appinsights_resource_id:
        return None
    resource = "/" + settings.appinsights_resource_id.strip("/")
    # No time of making in it: the same query has the same address.
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return (
        f"{settings.appinsights_portal.rstrip('/')}/#blade/Microsoft_OperationsManagementSuite_Workspace/Logs.ReactView"
        f"/resourceId/{quote(resource, safe='')}/source/LogsBlade.AnalyticsShareLinkToQuery"
        f"/q/{quote(packed, safe='')}/timespan/PT{math.ceil(period / timedelta(hours=1))}H"
    )


def _parsed(slug: str, text: str) -> SavedQuery:
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(f"{slug}.kql does not begin with its title and question.")
    title, *lines = [line.removeprefix("//").removeprefix(" ") for line in header[0].splitlines()]
    described = [found for line in lines if (found := _PARAMETER.match(line))]
    question = [line for line in lines if line and not _PARAMETER.match(line) and line != "Parameters:"]
    parameters = tuple(Parameter(found[1], found[2], _default(slug, found[1], text)) for found in described)
    return SavedQuery(slug, title, " ".join(question), parameters, text)


def _default(slug: str, name: str, text: str) -> str:
    found = re.search(rf"^let {name} = (.*);$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{slug}.kql describes {name} and does not set it.")
    return found[1]


def _literal(value: Value) -> str:
    if isinstance(value, datetime):
        return f"datetime({value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ})"
    if isinstance(value, timedelta):
        return next(
            (f"{value // size}{unit}" for unit, size in _UNITS if not value % size), f"{value / _UNITS[-1][1]}s"
        )
    # JSON's escapes are Kusto's, too.
    return json.dumps(value, ensure_ascii=False)
