"""One host in this process and one long chain: the time of its parts, and of its statements sent by hand."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any, NamedTuple
from unittest.mock import patch

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg import Cursor

from bench.functions import chain
from durable_host.client import DurableClient
from durable_host.dispatch import committing, host
from durable_host.dispatch.activities import ActivityPool
from durable_host.dispatch.reporter import Reporter
from durable_host.dispatch.turns import TurnRunner
from durable_host.models import Instance
from durable_host.store import claims, sql

from .common import Figures

#: the same each time, so that the statements of one run suit the rows of the next
_ID = "chain"
_WARM = 50
#: how the figures call a part's two times
WALL, CPU = "wall", "CPU"

_PARTS: list[tuple[str, Any, str]] = [
    ("look for messages", claims, "claim_turns"),
    ("decide the turn", TurnRunner, "decide"),
    ("checkpoint", committing, "checkpoint"),
    ("report it", Reporter, "commit"),
    ("start the activity", ActivityPool, "start"),
    ("wait for the activity", host.Host, "_collect"),
    ("statements, of all these", sql, "run"),
    ("statements, of all these", sql, "rows"),
    ("statements, of all these", sql, "run_for_each"),
    ("commits, of all these", type(connections[DEFAULT_DB_ALIAS]), "_commit"),
]


class Sent(NamedTuple):
    """A statement as the driver got it."""

    text: str
    parameters: Sequence[Any]
    has_many: bool
    #: number of its transaction; None outside of any
    transaction: int | None


class Stopwatch:
    """Adds up the times of parts; what runs inside another part counts in both."""

    def __init__(self) -> None:
        self.figures: Figures = defaultdict(float)

    def timed(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, with its times added to a part."""

        def run(*args: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return act(*args, **options)
            finally:
                self.figures[f"{part}, {WALL}"] += time.perf_counter() - wall
                self.figures[f"{part}, {CPU}"] += time.thread_time() - cpu

        return run


def steps(count: int) -> Figures:
    """Run a chain of so many steps, then its statements again by hand on tables that are empty again."""
    watch = Stopwatch()
    sent: list[Sent] = []
    _start(_WARM)
    _run()  # what is imported, opened and prepared once
    _start(count)
    with _watched(watch), _kept(sent):
        watch.timed("all", _run)()
    _start(count)
    watch.timed("floor: the same statements by hand", _send_all)(sent)
    transactions = {one.transaction for one in sent} - {None}
    return {**watch.figures, "statements": float(len(sent)), "transactions": float(len(transactions))}


def outcome() -> str | None:
    """Return the output of the chain that ran last, as JSON text."""
    return Instance.objects.values_list("output", flat=True).get(instance_id=_ID)


def _start(length: int) -> None:
    call_command("flush", "--no-input", reset_sequences=True, verbosity=0)
    DurableClient().start_new(chain, length, instance_id=_ID)


def _run() -> None:
    host.Host("step", "default").run_until_idle()


@contextmanager
def _watched(watch: Stopwatch) -> Iterator[None]:
    with ExitStack() as patches:
        for part, owner, name in _PARTS:
            patches.enter_context(patch.object(owner, name, watch.timed(part, getattr(owner, name))))
        yield


@contextmanager
def _kept(sent: list[Sent]) -> Iterator[None]:
    execute, execute_for_each, database = sql._executed, sql.run_for_each, type(connections[DEFAULT_DB_ALIAS])
    commit, commits = database._commit, 0  # type: ignore[attr-defined]  # of each kind of database

    def keep(text: str, parameters: Sequence[Any], *, has_many: bool) -> None:
        sent.append(Sent(text, parameters, has_many, commits if connection.in_atomic_block else None))

    def one(text: str, parameters: Sequence[Any], prepare: bool | None) -> Any:
        keep(text, parameters, has_many=False)
        return execute(text, parameters, prepare)

    def many(text: str, parameters: Sequence[Any]) -> None:
        keep(text, parameters, has_many=True)
        execute_for_each(text, parameters)

    def counted(self: Any) -> None:
        nonlocal commits
        commits += 1
        commit(self)

    with ExitStack() as patches:
        patches.enter_context(patch.object(sql, "_executed", one))
        patches.enter_context(patch.object(sql, "run_for_each", many))
        patches.enter_context(patch.object(database, "_commit", counted))
        yield


def _send_all(sent: Sequence[Sent]) -> None:
    """Send statements through the driver alone, in the transactions that they were in."""
    connection.ensure_connection()
    raw: Any = connection.connection
    send = _send_to_sqlite if isinstance(raw, sqlite3.Connection) else _send_to_postgresql
    for transaction, group in groupby(sent, key=lambda one: one.transaction):
        if transaction is not None:
            raw.execute("BEGIN IMMEDIATE" if send is _send_to_sqlite else "BEGIN")
        for one in group:
            send(raw, one)
        if transaction is not None:
            raw.execute("COMMIT")


def _send_to_sqlite(raw: sqlite3.Connection, one: Sent) -> None:
    text = one.text.replace("%s", "?")
    if one.has_many:
        raw.executemany(text, one.parameters)
    else:
        raw.execute(text, one.parameters).fetchall()


def _send_to_postgresql(raw: Any, one: Sent) -> None:
    with Cursor(raw) as cursor:
        cursor.execute(one.text, one.parameters)
        if cursor.pgresult and cursor.pgresult.nfields:
            cursor.fetchall()
