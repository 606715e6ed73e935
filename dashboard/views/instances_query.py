"""What a request asks of the list of instances: for the list itself, its exports, its views and operations on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from dashboard.access import can
from dashboard.presenters.listing import ListQuery, read, window_times
from durable_host.core.access import Permission
from durable_host.store.shapes import InstanceFilter


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks of the list."""

    query: ListQuery
    filter: InstanceFilter
    now: datetime
    zone: tzinfo

    @property
    def times(self) -> dict[str, str]:
        """The ends of its own window, in words."""
        return window_times(self.query, self.zone)


def asked_of(request: HttpRequest, given: Mapping[str, Sequence[str]]) -> Asked:
    """Read the filters; without those for whose texts the reader has no right."""
    zone = timezone.get_current_timezone()
    query = read(given, zone)
    if query.custom and not can(request, Permission.VIEW_PAYLOAD):
        said = f"Searching in custom statuses needs the permission {Permission.VIEW_PAYLOAD.value}; it was left out."
        query = replace(query, custom="", problems=(*query.problems, said))
    now = timezone.now()
    return Asked(query, query.filter(now, zone), now, zone)


def list_address(query: ListQuery) -> str:
    """Return the address of the list with these filters."""
    said = query.encoded()
    return f"{reverse('dashboard:instances')}{'?' if said else ''}{said}"
