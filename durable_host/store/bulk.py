"""Many rows in one statement, without an object for each.

Django's ``bulk_create`` spends most of a checkpoint on preparing values that need no preparation. PostgreSQL takes all
rows as one JSON text, which costs the client far less than arrays do and serves updates too, as COPY would not. SQLite
takes rows one after the other from C; only where it is to answer does it take the JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models
from pydantic_core import to_json

from . import sql

Row = Sequence[Any]
Columns = tuple[str, ...]


def insert(model: type[models.Model], columns: Columns, rows: Sequence[Row]) -> None:
    """Insert rows given as tuples in the order of ``columns`` (names of concrete columns)."""
    if not rows:
        return
    if sql.is_postgresql():
        sql.run(_insert_sql(model, columns), [_as_json(columns, rows)])
    else:
        sql.run_for_each(_insert_one_sql(model, columns), _adapted(model, columns, rows))


def insert_returning(
    model: type[models.Model], columns: Columns, rows: Sequence[Row], answer: Columns, *, skips_taken: bool = False
) -> list[sql.Row]:
    """Insert rows as :func:`insert` does; return the columns ``answer`` of each, in no certain order.

    Args:
        model, columns, rows: as :func:`insert` has them.
        answer: the columns that are returned.
        skips_taken: leave out a row whose place is taken, by whatever is unique, in place of an IntegrityError.
    """
    if not rows:
        return []
    given = rows if sql.is_postgresql() else _adapted(model, columns, rows)
    return sql.rows(_insert_sql(model, columns, answer, skips_taken), [_as_json(columns, given)])


def insert_pair(
    model: type[models.Model], columns: Columns, row: Row, other: type[models.Model], others: Columns, other_row: Row
) -> bool:
    """Insert a row and one that refers to it, in one statement of PostgreSQL; tell whether its place was free.

    Args:
        model, columns, row: as :func:`insert` has them.
        other, others, other_row: the same of the row that refers to it, by the first of its columns, whose value is
            not known yet and is left out of the row.
    """
    return bool(sql.rows(_insert_pair_sql(model, columns, other, others), [_as_json(columns, [row]), *other_row]))


def update(model: type[models.Model], columns: Columns, rows: Sequence[Row]) -> None:
    """Write ``columns[1:]`` of the rows that ``columns[0]``, the primary key, names."""
    if not rows:
        return
    if sql.is_postgresql():
        sql.run(_update_sql(model, columns), [_as_json(columns, rows)])
    else:
        given = _adapted(model, columns, rows)
        sql.run_for_each(_update_one_sql(model, columns), [(*moved, key) for key, *moved in given])


def delete_returning(model: type[models.Model], columns: Columns, rows: Sequence[Row]) -> list[sql.Row]:
    """Delete the rows in which ``columns``, whole numbers, are as in one of ``rows``; return those that were there."""
    if not rows:
        return []
    return sql.rows(_delete_sql(model, columns), [_as_json(columns, rows)])


def _as_json(columns: Columns, rows: Sequence[Row]) -> str:
    """Return rows as one JSON text. What is left out is NULL, and costs neither side anything."""
    given = [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]
    return to_json(given).decode()


def _adapted(model: type[models.Model], columns: Columns, rows: Sequence[Row]) -> list[Row]:
    """Return rows as SQLite stores them."""
    times = _time_positions(model, columns)
    adapted = [list(row) for row in rows]
    for row in adapted:
        for place in times:
            if row[place] is not None:
                row[place] = sql.as_text(row[place])
    return [*adapted]


@lru_cache
def _time_positions(model: type[models.Model], columns: Columns) -> list[int]:
    fields = _fields(model, columns)
    return [place for place, field in enumerate(fields) if isinstance(field, models.DateTimeField)]


# --- statements, made once ------------------------------------------------------------------------------------------


@lru_cache
def _insert_sql(model: type[models.Model], columns: Columns, answer: Columns = (), skips_taken: bool = False) -> str:
    # SQLite: without WHERE, ON would belong to a join
    conflict = " WHERE true ON CONFLICT DO NOTHING" if skips_taken else ""
    returning = f" RETURNING {_names(answer)}" if answer else ""
    return f"INSERT INTO {_table(model)} ({_names(columns)}) {_given(model, columns)}{conflict}{returning}"


@lru_cache
def _insert_pair_sql(model: type[models.Model], columns: Columns, other: type[models.Model], others: Columns) -> str:
    first = _insert_sql(model, columns, ("id",), True)
    values = ", ".join(["%s"] * (len(others) - 1))
    second = f"INSERT INTO {_table(other)} ({_names(others)}) SELECT id, {values} FROM first RETURNING 1"  # noqa: S608
    return f"WITH first AS ({first}) {second}"


@lru_cache
def _insert_one_sql(model: type[models.Model], columns: Columns) -> str:
    return f"INSERT INTO {_table(model)} ({_names(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608


@lru_cache
def _update_sql(model: type[models.Model], columns: Columns) -> str:
    table, key = _table(model), _quote(columns[0])
    assignments = ", ".join(f"{_quote(name)} = given.{_quote(name)}" for name in columns[1:])
    given = _given(model, columns)
    return f"UPDATE {table} SET {assignments} FROM ({given}) AS given WHERE {table}.{key} = given.{key}"  # noqa: S608


@lru_cache
def _update_one_sql(model: type[models.Model], columns: Columns) -> str:
    assignments = ", ".join(f"{_quote(name)} = %s" for name in columns[1:])
    return f"UPDATE {_table(model)} SET {assignments} WHERE {_quote(columns[0])} = %s"  # noqa: S608


@lru_cache
def _delete_sql(model: type[models.Model], columns: Columns) -> str:
    names = _names(columns)
    given = _given(model, columns)
    return f"DELETE FROM {_table(model)} WHERE ({names}) IN ({given}) RETURNING {names}"  # noqa: S608


def _given(model: type[models.Model], columns: Columns) -> str:
    """Return the query that reads rows out of the JSON text."""
    if sql.is_postgresql():
        types = [field.rel_db_type(connection) for field in _fields(model, columns)]
        typed = ", ".join(f"{_quote(name)} {type_}" for name, type_ in zip(columns, types, strict=True))
        return f"SELECT {_names(columns)} FROM json_to_recordset(%s::json) AS given({typed})"  # noqa: S608
    values = ", ".join(f"json_extract(value, '$.{name}')" for name in columns)
    return f"SELECT {values} FROM json_each(%s)"  # noqa: S608  all names are of our own columns


def _fields(model: type[models.Model], columns: Columns) -> list[models.Field[Any, Any]]:
    by_column = {field.column: field for field in model._meta.concrete_fields}
    return [by_column[name] for name in columns]


def _table(model: type[models.Model]) -> str:
    return _quote(model._meta.db_table)


def _names(columns: Columns) -> str:
    return ", ".join(map(_quote, columns))


def _quote(name: str) -> str:
    quoted: str = connection.ops.quote_name(name)
    return quoted
