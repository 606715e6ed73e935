"""SQL whose text never changes, for what every turn asks of the database.

Django makes the text of a query anew each time. In a checkpoint that costs more than the database's answer does
(docs/performance.md), so the statements of the hot path are written out. A list of keys is one parameter: the text is
the same for one key and for a thousand, and PostgreSQL keeps the plan, which costs it as much again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from typing import Any, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg import Cursor
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from pydantic_core import to_json

Row = tuple[Any, ...]
T = TypeVar("T")


#: tables that nobody has analyzed yet seem small, and it would read them whole
_CHECKPOINT_RULES = (
    "(SELECT set_config('enable_seqscan', 'off', true)) IS NOT NULL"
    " AND (SELECT set_config('idle_in_transaction_session_timeout', %s, true)) IS NOT NULL"
)


class Statement:
    """A statement, with ``%s`` for each of its parameters.

    Args:
        text: ``{in_list}`` stands for the test of a column against a parameter that is a list of keys, ``{in_texts}``
            for that against a list of texts; ``{in_query}`` and ``{end_query}`` enclose a query that finds the keys
            first, however many rows there seem to be; ``{for_each}`` before a query in brackets that compares a column
            ``{is_it}`` has it run for each of a list of keys, by an index; ``{fence}`` ends a query that is not to be
            merged with the one around it; ``{lock}`` and ``{skip_locked}`` for a lock on the rows found, which SQLite
            with its one writer has no need of; ``{checkpoint_rules}`` for a condition that always holds and has
            PostgreSQL find all rows of the transaction by their keys, and end it when it hears nothing of it for the
            parameter's number of milliseconds.
        keeps_plan: False where a plan that was made for small tables would be ruinous for large ones.
    """

    def __init__(self, text: str, *, keeps_plan: bool = True) -> None:
        self._text = text
        self._prepare = None if keeps_plan else False

    def run(self, *parameters: Any) -> None:
        """Execute it."""
        self._execute(run, parameters)

    def rows(self, *parameters: Any) -> list[Row]:
        """Execute it and return its rows."""
        return self._execute(rows, parameters)

    def must_hit(self, *parameters: Any) -> None:
        """Execute it within :func:`together`, on PostgreSQL, as a fence: without a row the block comes to nothing.

        Its text ends in RETURNING, and what answers for the block must answer a row. DataError is raised where the
        block is sent.

        Raises:
            RuntimeError: there is no block.
        """
        if _Held.block is None:
            raise RuntimeError("A fence stands only within together(), on PostgreSQL.")
        _Held.block.fences.append(len(_Held.block.statements))
        self.run(*parameters)

    def _execute(self, execute: Callable[..., T], parameters: Sequence[Any]) -> T:
        if is_postgresql():
            return execute(self._on_postgresql, parameters, prepare=self._prepare)
        return execute(self._on_sqlite, [_for_sqlite(one) for one in parameters])

    @cached_property
    def _on_postgresql(self) -> str:
        lock = "FOR NO KEY UPDATE"
        return self._text.format(
            in_list="= ANY(%s::bigint[])",
            in_texts="= ANY(%s::text[])",
            in_query="= ANY(ARRAY(",
            end_query="))",
            for_each="unnest(%s::bigint[]) AS wanted(key) CROSS JOIN LATERAL",
            is_it="= wanted.key",
            fence="OFFSET 0",
            lock=lock,
            skip_locked=f"{lock} SKIP LOCKED",
            checkpoint_rules=_CHECKPOINT_RULES,
        )

    @cached_property
    def _on_sqlite(self) -> str:
        is_in = "IN (SELECT value FROM json_each(%s))"
        return self._text.format(
            in_list=is_in,
            in_texts=is_in,
            in_query="IN (",
            end_query=")",
            for_each="",
            is_it=is_in,
            fence="",
            lock="",
            skip_locked="",
            checkpoint_rules="%s IS NOT NULL",
        )


def run(sql: str, parameters: Sequence[Any], *, prepare: bool | None = None) -> None:
    """Execute one statement.

    Args:
        sql: the text, the same each time.
        parameters: as the driver takes them.
        prepare: False for never; None for what ``prepare_threshold`` in the options of the database says.
    """
    if _Held.block is not None:
        _Held.block.statements.append((sql, parameters))
        return
    with _executed(sql, parameters, prepare):
        pass


def rows(sql: str, parameters: Sequence[Any], *, prepare: bool | None = None) -> list[Row]:
    """Execute one statement as :func:`run` does, and return its rows."""
    block = _Held.block
    if block is None or not block.statements:
        with _executed(sql, parameters, prepare) as cursor:
            return list(cursor.fetchall())
    is_fenced = bool(block.fences)
    with _executed(*block.emptied_into(sql, parameters), prepare) as cursor:
        return [row[:-1] for row in cursor.fetchall()] if is_fenced else list(cursor.fetchall())


@contextmanager
def together() -> Iterator[None]:
    """Hold back the statements of the block whose rows nobody asks for, and send them with the next one that answers.

    On PostgreSQL they are then one statement, in one round trip, and see the rows as they were before all of them: none
    may need what another has written. SQLite has no round trips.
    """
    if not is_postgresql():
        yield
        return
    block = _Held.block = _Block()
    try:
        yield
        if block.statements:
            _Held.block = None
            with _executed(*block.emptied(), None):
                pass
    finally:
        _Held.block = None


@dataclass(slots=True)
class _Block:
    """Statements that are held back, and become one."""

    #: texts with their parameters
    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    #: places of those that must answer a row
    fences: list[int] = field(default_factory=list)

    def emptied_into(self, sql: str, parameters: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return one statement that does what was held back, and then answers; with fences, each row ends in theirs."""
        if fence := self._fence:
            parts, given = self._parts(("answer", sql, parameters))
            return f"WITH {parts} SELECT answer.*, {fence} FROM answer", given  # noqa: S608
        parts, given = self._parts()
        return f"WITH {parts} {sql}", [*given, *parameters]

    def emptied(self) -> tuple[str, list[Any]]:
        """Return one statement that does what was held back."""
        if fence := self._fence:
            parts, given = self._parts()
            return f"WITH {parts} SELECT {fence}", given
        sql, parameters = self.statements.pop()
        return self.emptied_into(sql, parameters) if self.statements else (sql, [*parameters])

    @property
    def _fence(self) -> str:
        """An error where a row is missing, as SQL has no other way to raise one. Fences are asked in their order."""
        held = " AND ".join(f"EXISTS (SELECT 1 FROM held_{place})" for place in self.fences)  # noqa: S608
        return held and f"1 / CASE WHEN {held} THEN 1 ELSE 0 END"

    def _parts(self, *last: tuple[str, str, Sequence[Any]]) -> tuple[str, list[Any]]:
        """Take all out; return them as parts of one statement, and the parameters of all."""
        named = [*((f"held_{place}", *one) for place, one in enumerate(self.statements)), *last]
        self.statements, self.fences = [], []
        texts = ", ".join(f"{name} AS ({text})" for name, text, _ in named)
        return texts, [one for _, _, several in named for one in several]


class _Holding(threading.local):
    block: _Block | None = None


_Held = _Holding()


def run_for_each(sql: str, parameters: Sequence[Sequence[Any]]) -> None:
    """Execute one statement for each set of parameters, one after the other. SQLite does so at next to no cost."""
    with _database() as raw:
        raw.executemany(sql.replace("%s", "?"), parameters)


@contextmanager
def _executed(sql: str, parameters: Sequence[Any], prepare: bool | None) -> Iterator[Any]:
    """Execute one statement; on PostgreSQL with its parameters apart from the text."""
    with _database() as raw:
        if not is_postgresql():
            yield raw.execute(sql.replace("%s", "?"), parameters)
            return
        with _Cursor(raw) as cursor:
            yield cursor.execute(sql, parameters, prepare=prepare)


class _Cursor(Cursor[Row]):
    """A cursor whose times are read by psycopg's own loader: Django's is in Python, and takes ten times as long."""

    @property
    def adapters(self) -> AdaptersMap:
        """How values are written and read."""
        return _adapters()


@cache
def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(connections[DEFAULT_DB_ALIAS].connection.adapters)
    if loader := psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, Format.TEXT):
        adapters.register_loader("timestamptz", loader)
    return adapters


@contextmanager
def _database() -> Iterator[Any]:
    """Give the driver's own connection, and raise its errors as Django does.

    Django's cursors cost as much as a statement of SQLite does, and on PostgreSQL they write parameters into the text,
    so that the driver could prepare nothing.
    """
    database = connections[DEFAULT_DB_ALIAS]  # the module's ``connection`` is looked up anew for each attribute
    database.ensure_connection()
    with database.wrap_database_errors:
        yield database.connection


@cache
def is_postgresql() -> bool:
    """Tell whether the rows are in PostgreSQL; if not, they are in SQLite."""
    return connection.vendor == "postgresql"


def forget_plans() -> None:
    """Have PostgreSQL plan its prepared statements anew: it does not see by itself that tables have grown since."""
    if is_postgresql():
        run("DISCARD PLANS", ())


def as_time(value: datetime) -> datetime:
    """Return a time of a row, which SQLite gives without its zone."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@lru_cache(1000)
def as_text(value: datetime) -> str:
    """Return a time as Django has SQLite store it. Its own way there takes a fifth of a turn.

    Most times of a checkpoint are a few, again and again.
    """
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _for_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return as_text(value)
    return to_json(value).decode() if isinstance(value, list) else value
