"""Fills a database with the past: instances that have run and finished, copied from one that really has."""

from __future__ import annotations

from django.db import connection, models

from durable_host.client import DurableClient
from durable_host.models import HistoryEvent, Instance

from . import functions
from .peers.host import running_host
from .peers.site import wait_for_all

_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)"


def grow(count: int) -> None:
    """Have as many finished instances more, each with its whole history."""
    with running_host():
        instance_id = DurableClient().start_new(functions.chain, 1)
        wait_for_all()
    first = Instance.objects.get(instance_id=instance_id)
    instances, history = Instance._meta.db_table, HistoryEvent._meta.db_table
    with connection.cursor() as cursor:
        names = _columns(Instance)
        cursor.execute(
            f"{_NUMBERS} INSERT INTO {instances} (instance_id, {', '.join(names)}) "
            f"SELECT 'past-' || n, {', '.join(names)} FROM numbers CROSS JOIN {instances} WHERE id = %s",
            [count, first.pk],
        )
        names = _columns(HistoryEvent)
        cursor.execute(
            f"INSERT INTO {history} (instance_id, {', '.join(names)}) "
            f"SELECT past.id, {', '.join(f'event.{name}' for name in names)} FROM {instances} past, {history} event "
            "WHERE event.instance_id = %s AND past.id > %s ORDER BY past.id, event.sequence",
            [first.pk, first.pk],
        )
        # PostgreSQL would do so by itself, minutes later.
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _columns(model: type[models.Model]) -> list[str]:
    """Return the columns that a copy shares with its original."""
    names = [str(field.column) for field in model._meta.concrete_fields if not field.primary_key]
    return [name for name in names if name != "instance_id"]
