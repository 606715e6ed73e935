"""The way through the pages: what stands in the navigation, for whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from durable_host.core.access import Permission

from .access import can


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the navigation."""

    label: str
    #: name of the address; an entry whose page is not installed does not show
    view: str
    icon: str
    #: g, then this letter, goes there
    key: str
    permission: Permission


ENTRIES = (
    Entry("Overview", "dashboard:overview", "overview", "o", Permission.VIEW),
    Entry("Instances", "dashboard:instances", "instances", "i", Permission.VIEW),
    Entry("Approvals", "dashboard:approvals", "approvals", "a", Permission.VIEW),
    Entry("Start", "dashboard:start", "start", "s", Permission.START),
    Entry("Workers", "dashboard:workers", "workers", "w", Permission.VIEW),
    Entry("Telemetry", "dashboard:telemetry", "telemetry", "t", Permission.VIEW),
    Entry("Operations", "dashboard:operations", "operations", "p", Permission.VIEW),
    Entry("Audit", "dashboard:audit", "audit", "u", Permission.VIEW_AUDIT),
)

#: address name → what counts what waits there for whoever looks; a page family adds its own
BADGES: dict[str, Callable[[HttpRequest], int]] = {}
_MOST_COUNTED = 99


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is shown to somebody."""

    entry: Entry
    url: str
    is_current: bool
    #: how many wait there; empty for none
    badge: str = ""


def links_for(request: HttpRequest) -> list[Link]:
    """Return the entries that whoever asks may follow."""
    found = []
    for entry in ENTRIES:
        url = address(entry.view)
        if url and can(request, entry.permission):
            found.append(Link(entry, url, _leads_to(url, request.path), _badge(request, entry)))
    return found


def address(view: str) -> str:
    """Return the address of a page, or nothing where it is not installed."""
    try:
        return reverse(view)
    except NoReverseMatch:
        return ""


def _leads_to(url: str, path: str) -> bool:
    return path == url or (path.startswith(url) and url != address("dashboard:overview"))


def _badge(request: HttpRequest, entry: Entry) -> str:
    count = BADGES[entry.view](request) if entry.view in BADGES else 0
    return f"{_MOST_COUNTED}+" if count > _MOST_COUNTED else str(count or "")
