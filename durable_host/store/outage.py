"""A database that cannot serve: what it raises then, and whether it serves now."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

#: it is away, starting, full, locked, or (InternalError, after a fail-over) read-only: the request is not to blame
OUTAGE = (OperationalError, InterfaceError, InternalError)
#: after so many seconds it is worth to ask again
RETRY_SECONDS = 5


def ping() -> None:
    """Ask the database for an answer.

    Raises:
        OperationalError, InterfaceError: it gives none.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def missing_migrations() -> list[str]:
    """Return the migrations that this code needs and the database lacks, as ``app.name``, in their order.

    Those of newer code are no trouble: migrations only add what the code before them can live with.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
