"""Cheap questions that tell whether the answer to an expensive one can have changed."""

from __future__ import annotations

from datetime import datetime

from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance

from .cursors import Key
from .limits import time_limited


def latest_failure(hub: str, *, since: datetime) -> Key | None:
    """Return the end and the number of the instance that failed last; None where none has since a time."""
    rows = Instance.objects.filter(hub=hub, status=RuntimeStatus.FAILED, completed_at__gte=since)
    with time_limited():
        found = rows.order_by("-completed_at").values_list("completed_at", "pk").first()
    return (found[0], found[1]) if found and found[0] else None


def oldest_running(hub: str) -> Key | None:
    """Return the creation and the number of the instance that runs longest; None where none does."""
    rows = Instance.objects.filter(hub=hub, status=RuntimeStatus.RUNNING)
    with time_limited():
        return rows.order_by("created_at", "pk").values_list("created_at", "pk").first()
