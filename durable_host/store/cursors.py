"""Where a page ends: keys as texts that travel in addresses, and the comparison that cuts the next page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import BooleanField, DateTimeField, F, Func, Value
from pydantic_core import from_json, to_json

from durable_host.core.errors import BadRequestError

#: time and primary key of a row: no two rows have the same, and both are in the index that orders a list
Key = tuple[datetime, int]


class Beyond(Func):
    """Whether a row comes after a key in a list: one comparison of pairs, which an index answers at any depth.

    Args:
        column: the time that orders the list; the primary key decides between equal ones.
        key: where the page before ended.
        newest_first: the order of the list.
    """

    output_field = BooleanField()
    conditional = True

    def __init__(self, column: str, key: Key, *, newest_first: bool) -> None:
        super().__init__(F(column), F("pk"), Value(key[0], DateTimeField()), Value(key[1]))
        self.template = "(%(expressions)s)"
        self.arg_joiner = "<" if newest_first else ">"

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        """Write ``(a, b) < (c, d)``."""
        parts: list[str] = []
        params: list[Any] = []
        for source in self.get_source_expressions():
            sql, values = compiler.compile(source)
            parts.append(sql)
            params += values
        return f"({parts[0]}, {parts[1]}) {self.arg_joiner} ({parts[2]}, {parts[3]})", params


def encode(*parts: Any) -> str:
    """Return values as a text for an address."""
    return base64.urlsafe_b64encode(to_json(parts)).decode()


def decode(text: str) -> Sequence[Any]:
    """Return what :func:`encode` was given; times come back as texts.

    Raises:
        BadRequestError: it is no such text.
    """
    try:
        parts = from_json(base64.urlsafe_b64decode(text.encode()))
    except ValueError as error:
        raise _bad() from error
    if not isinstance(parts, list):
        raise _bad()
    return parts


def encode_key(key: Key) -> str:
    """Return a key as a text for an address."""
    return encode(*key)


def decode_key(text: str) -> Key:
    """Return the key that a text names.

    Raises:
        BadRequestError: it names none.
    """
    return as_key(decode(text))


def as_key(parts: Sequence[Any]) -> Key:
    """Return the key that two decoded values are.

    Raises:
        BadRequestError: they are none.
    """
    try:
        when, pk = parts
        key = datetime.fromisoformat(when).astimezone(UTC), int(pk)
    except (ValueError, TypeError, OverflowError) as error:
        raise _bad() from error
    if not 0 <= key[1] < 2**63:
        raise _bad()
    return key


def _bad() -> BadRequestError:
    return BadRequestError("This continuation token is not one that a former page gave. Start without one.")
