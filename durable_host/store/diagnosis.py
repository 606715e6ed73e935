"""What somebody who looks for the cause of trouble asks the database: its settings, and rows that should not be."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from durable_host.core.status import UNFINISHED
from durable_host.models import ActivityTask, Instance

from . import clock
from .limits import time_limited
from .listing import CappedCount, capped

_POSTGRES = (
    "autovacuum", "default_transaction_isolation", "default_transaction_read_only", "fsync", "full_page_writes",
    "max_connections", "server_encoding", "server_version", "synchronous_commit",
)  # fmt: skip
_SQLITE = ("journal_mode", "synchronous", "busy_timeout", "query_only")


def database_settings() -> dict[str, str]:
    """Return what the database says of how it works, for the connection that we have, by its own names."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_POSTGRES)])
            found = dict(cursor.fetchall())
            cursor.execute("SELECT pg_is_in_recovery()")
            return found | {"is_replica": "on" if _one(cursor) else "off"}
        cursor.execute("SELECT sqlite_version()")
        found = {"sqlite_version": str(_one(cursor))}
        for name in _SQLITE:
            cursor.execute(f"PRAGMA {name}")
            found[name] = str(_one(cursor))
        return found


def free_disk() -> int | None:
    """Return how many bytes are free beside the SQLite file; None where the database is not a file of ours."""
    if connection.vendor != "sqlite":
        return None
    return shutil.disk_usage(Path(str(connection.settings_dict["NAME"])).resolve().parent).free


def abandoned_activities(hub: str, *, for_longer_than: timedelta) -> CappedCount:
    """Count the activities whose holder is gone, and that nobody has taken over although they are free so long."""
    rows = ActivityTask.objects.filter(hub=hub, lease_until__lt=clock.now() - for_longer_than).exclude(owner="")
    return _count(rows)


def orchestrators_going(hub: str) -> set[str]:
    """Return the names of the orchestrators of all instances that have not ended."""
    return _names(Instance.objects.filter(hub=hub, status__in=UNFINISHED))


def activities_open(hub: str) -> set[str]:
    """Return the names of all activities that have no outcome yet."""
    return _names(ActivityTask.objects.filter(hub=hub))


def _count(rows: QuerySet[Any]) -> CappedCount:
    with time_limited():
        return capped(rows)


def _names(rows: QuerySet[Any]) -> set[str]:
    with time_limited():
        return set(rows.order_by().values_list("name", flat=True).distinct())


def _one(cursor: Any) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
