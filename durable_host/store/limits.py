"""A limit on how long a question of a page may keep the database busy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction

from durable_host.core.errors import DurableError

#: longest time that a question of a page may take, in seconds
PATIENCE = 3.0
_QUERY_CANCELED = "57014"
_STEPS_BETWEEN_LOOKS = 20_000


class TooSlowError(DurableError):
    """The database could not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The database did not answer within {seconds:g} s. Narrow the question: a status, an orchestrator, or a "
            f"shorter window of time."
        )
        self.seconds = seconds


@contextmanager
def time_limited(seconds: float = PATIENCE) -> Iterator[None]:
    """Have the database give up on questions that take too long.

    On PostgreSQL the limit is of each statement, on SQLite of all together.

    Raises:
        TooSlowError: one did.
    """
    limited = _on_postgresql if connection.vendor == "postgresql" else _on_sqlite
    try:
        with limited(seconds):
            yield
    except OperationalError as error:
        if _is_interrupted(error):
            raise TooSlowError(seconds) from error
        raise


@contextmanager
def _on_postgresql(seconds: float) -> Iterator[None]:
    is_part = connection.in_atomic_block
    with transaction.atomic():
        _set_timeout(f"{int(seconds * 1000)}")
        yield
        if is_part:  # of a longer transaction, whose other statements have no limit; its end undoes it otherwise
            _set_timeout("DEFAULT")


def _set_timeout(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {value}")


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    """Not in a transaction, which would take the one write lock."""
    connection.ensure_connection()
    raw: Any = connection.connection
    end = time.monotonic() + seconds
    raw.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def _is_interrupted(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED or str(error) == "interrupted"
