"""SQL whose text never changes, for what every turn asks of the database.

Django makes the text of a query anew each time. In a checkpoint that costs more than the database's answer does
(docs/performance.md), so the statements of the hot path are written out. A list of keys is one parameter: the text is
the same for one key and for a thousand, and PostgreSQL keeps the plan, which costs it as much again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.db import connection
from psycopg import Cursor
from pydantic_core import to_json

Row = tuple[Any, ...]


class Statement:
    """A statement, with ``%s`` for each of its parameters.

    Args:
        text: ``{in_list}`` stands for the test of a column against a parameter that is a list of keys; ``{lock}`` and
            ``{skip_locked}`` for a lock on the rows found, which SQLite with its one writer has no need of.
        keeps_plan: False where a plan that was made for small tables would be ruinous for large ones.
    """

    def __init__(self, text: str, *, keeps_plan: bool = True) -> None:
        self._text = text
        self._prepare = None if keeps_plan else False

    def run(self, *parameters: Any) -> list[Row]:
        """Execute it and return its rows: none where it is no query."""
        if connection.vendor == "postgresql":
            return execute(self._on_postgresql, parameters, prepare=self._prepare)
        return execute(self._on_sqlite, [_adapted(one) for one in parameters])

    @cached_property
    def _on_postgresql(self) -> str:
        lock = "FOR NO KEY UPDATE"
        return self._text.format(in_list="= ANY(%s::bigint[])", lock=lock, skip_locked=f"{lock} SKIP LOCKED")

    @cached_property
    def _on_sqlite(self) -> str:
        return self._text.format(in_list="IN (SELECT value FROM json_each(%s))", lock="", skip_locked="")


def execute(sql: str, parameters: Sequence[Any], *, prepare: bool | None = None) -> list[Row]:
    """Execute one statement and return its rows: none where it is no query.

    On PostgreSQL the parameters go apart from the text. Django's own cursors write them into it, so that the driver
    could prepare nothing.

    Args:
        sql: the text, the same each time.
        parameters: as the driver takes them.
        prepare: False for never; None for what ``prepare_threshold`` in the options of the database says.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            return _rows(cursor.execute(sql, parameters))
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        return _rows(cursor.execute(sql, parameters, prepare=prepare))


def _rows(cursor: Any) -> list[Row]:
    return cursor.fetchall() if cursor.description else []


def forget_plans() -> None:
    """Have PostgreSQL plan its prepared statements anew: it does not see by itself that tables have grown since."""
    if connection.vendor == "postgresql":
        execute("DISCARD PLANS", ())


def as_time(value: datetime) -> datetime:
    """Return a time of a row, which SQLite gives without its zone."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _adapted(value: Any) -> Any:
    """Return a parameter as SQLite takes it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return to_json(value).decode() if isinstance(value, list) else value
