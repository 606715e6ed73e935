"""Keys and tokens never reach a log."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from operator import is_
from typing import Any

_HIDDEN = "[hidden]"
_SECRETS = re.compile(
    r"""
      (?P<query> (?: \b | %3F | %26 ) (?: code | token ) (?: = | %3D ) ) [^&\s"'<>]+      # in an address
    | (?P<header> (?: x-functions-key | authorization ) ["']? \s* [:=] \s* ["']?
        (?: (?: bearer | basic ) \s+ )? ) [^\s"',}]+
    | (?P<userinfo> :// [^/\s:@]* : ) [^/\s@]+ (?= @ )
    | (?P<connection> InstrumentationKey \s* = \s* ) [^;\s"']+
    | (?P<scheme> \b bearer \s+ ) [\w.:~+/=-]{8,}
    | \b d[kt]_ [\w:-]{8,}                                        # a key or a token, wherever it stands
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: a text with none of these holds nothing to hide; to look for them is ten times as fast as the expression
_HINTS = ("code", "token", "functions-key", "authorization", "bearer", "dk_", "dt_", "://", "instrumentationkey")
#: fields, as those of captured headers, whose whole value is a secret
_SECRET_FIELDS = ("authorization", "x-functions-key", "cookie", "password", "connection-string")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = (int, float, bool, type(None))


def redacted(text: str) -> str:
    """Return a text without the keys and tokens in it."""
    if not _has_hint(text):
        return text
    return _SECRETS.sub(lambda found: f"{found[found.lastgroup] if found.lastgroup else ''}{_HIDDEN}", text)


def may_hide(fields: Mapping[str, Any]) -> bool:
    """Return whether there may be something to hide in some fields; most have nothing, and this is quick to see."""
    return any(map(_is_secret, fields)) or _has_hint("\n".join(map(str, fields.values())))


def redacted_value(name: str, value: Any) -> Any:
    """Return the value of a field or an attribute: itself, where there is nothing to hide."""
    if _is_secret(name):
        return _HIDDEN
    if isinstance(value, str):
        clean = redacted(value)
        return value if clean == value else clean
    if isinstance(value, (tuple, list)):
        parts = [redacted_value("", part) for part in value]
        return value if all(map(is_, parts, value)) else parts
    if isinstance(value, Mapping):
        fields = {key: redacted_value(str(key), part) for key, part in value.items()}
        return value if all(fields[key] is part for key, part in value.items()) else fields
    return value


def _has_hint(text: str) -> bool:
    folded = text.casefold()
    return any(hint in folded for hint in _HINTS)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return name.casefold().replace("_", "-").endswith(_SECRET_FIELDS)


class RedactingFilter(logging.Filter):
    """Takes keys and tokens out of messages, fields and stacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; let it pass."""
        message = record.getMessage()
        clean = redacted(message)
        if clean != message:
            record.msg, record.args = clean, ()
        for name, value in list(vars(record).items()):
            if name not in _STANDARD and not isinstance(value, _PLAIN):
                setattr(record, name, _clean_field(value))
        if record.exc_info and not record.exc_text:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return True


def _clean_field(value: object) -> object:
    """Return a field as it was, or as text where there is something to hide."""
    text = str(value)
    clean = redacted(text)
    return value if clean == text else clean
