"""Many rows in one statement, without an object for each.

Django's ``bulk_create`` spends most of a checkpoint on preparing values that need no preparation. PostgreSQL takes all
rows as one JSON text, which costs the client far less than arrays do and serves updates too, as COPY would not; other
databases take the rows one after the other from C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models
from pydantic_core import to_json

Row = Sequence[Any]


def insert(model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows given as tuples in the order of ``columns`` (names of concrete columns)."""
    if rows:
        _execute(_insert_sql(connection.vendor, model, columns), model, columns, rows)


def update(model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Write ``columns[1:]`` of the rows that ``columns[0]``, the primary key, names."""
    if not rows:
        return
    if connection.vendor != "postgresql":
        rows = [(*row[1:], row[0]) for row in rows]  # the key comes last in the statement
        _execute(_update_sql(connection.vendor, model, columns), model, (*columns[1:], columns[0]), rows)
    else:
        _execute(_update_sql(connection.vendor, model, columns), model, columns, rows)


def _execute(sql: str, model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(sql, [to_json([dict(zip(columns, row, strict=True)) for row in rows]).decode()])
            return
        adapt: Callable[[Any], Any] = connection.ops.adapt_datetimefield_value
        times = _time_positions(model, columns)
        cursor.executemany(
            sql, [[adapt(value) if place in times else value for place, value in enumerate(row)] for row in rows]
        )


@lru_cache
def _time_positions(model: type[models.Model], columns: tuple[str, ...]) -> frozenset[int]:
    fields = _fields(model, columns)
    return frozenset(place for place, field in enumerate(fields) if isinstance(field, models.DateTimeField))


@lru_cache
def _insert_sql(vendor: str, model: type[models.Model], columns: tuple[str, ...]) -> str:
    names = ", ".join(map(_quote, columns))
    into = f"INSERT INTO {_quote(model._meta.db_table)} ({names})"
    if vendor == "postgresql":
        return f"{into} SELECT * FROM {_recordset(model, columns)}"  # noqa: S608  names of our own columns
    return f"{into} VALUES ({', '.join(['%s'] * len(columns))})"


@lru_cache
def _update_sql(vendor: str, model: type[models.Model], columns: tuple[str, ...]) -> str:
    table, key, moved = _quote(model._meta.db_table), _quote(columns[0]), columns[1:]
    if vendor == "postgresql":
        assignments = ", ".join(f"{_quote(name)} = new.{_quote(name)}" for name in moved)
        source = _recordset(model, columns)
        return f"UPDATE {table} SET {assignments} FROM {source} WHERE {table}.{key} = new.{key}"  # noqa: S608
    assignments = ", ".join(f"{_quote(name)} = %s" for name in moved)
    return f"UPDATE {table} SET {assignments} WHERE {key} = %s"  # noqa: S608


def _recordset(model: type[models.Model], columns: tuple[str, ...]) -> str:
    types = [field.rel_db_type(connection) for field in _fields(model, columns)]
    typed = [f"{_quote(name)} {type_}" for name, type_ in zip(columns, types, strict=True)]
    return f"json_to_recordset(%s::json) AS new({', '.join(typed)})"


def _fields(model: type[models.Model], columns: tuple[str, ...]) -> list[models.Field[Any, Any]]:
    by_column = {field.column: field for field in model._meta.concrete_fields}
    return [by_column[name] for name in columns]


def _quote(name: str) -> str:
    return connection.ops.quote_name(name)
