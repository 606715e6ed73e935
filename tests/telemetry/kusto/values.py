"""Values of the Kusto Query Language, and what operators make of them.

A null is None. Text is never null in Kusto: a None that meets a text counts as the empty one.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_ZERO = datetime(1, 1, 1, tzinfo=UTC)


class KustoError(Exception):
    """The query cannot be run: bad or unknown syntax, an unknown name, or types that do not go together."""


@dataclass(frozen=True)
class Dynamic:
    """A value of type ``dynamic``: its real type is known only when it is looked at."""

    value: Any

    def at(self, key: Any) -> Dynamic:
        """Return a part: of a bag by name, of an array by position; null where there is none."""
        if isinstance(self.value, dict):
            return Dynamic(self.value.get(key))
        if isinstance(self.value, list) and isinstance(key, int) and -len(self.value) <= key < len(self.value):
            return Dynamic(self.value[key])
        return Dynamic(None)


def plain(value: Any) -> Any:
    """Return a value without its dynamic shell."""
    return value.value if isinstance(value, Dynamic) else value


def concrete(value: Any, purpose: str) -> Any:
    """Return a value that Kusto would take for a key, where it takes no dynamic one.

    Raises:
        KustoError: it is dynamic.
    """
    if isinstance(value, Dynamic):
        raise KustoError(f"{purpose} is of a 'dynamic' type. Cast it, as with tostring().")
    return value


def kind(value: Any) -> str:
    """Return the name of a value's type, one name for all numbers."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    raise KustoError(f"No value of Kusto: {value!r}")


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "bool"),
    ((int, float), "number"),
    (str, "string"),
    (datetime, "datetime"),
    (timedelta, "timespan"),
    ((dict, list), "dynamic"),
)

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(symbol: str, left: Any, right: Any) -> bool | None:
    """Compare two values; null where both are null or a null has no place in an order.

    Raises:
        KustoError: values of different types.
    """
    left, right = _as_text(left, right), _as_text(right, left)
    left, right = plain(left), plain(right)
    if left is None and right is None:
        return None
    if left is None or right is None:
        return {"==": False, "!=": True}.get(symbol)
    if kind(left) != kind(right):
        raise KustoError(f"Cannot compare {kind(left)} {left!r} with {kind(right)} {right!r}. Cast one of them.")
    return _ORDERINGS[symbol](left, right)


def _as_text(value: Any, other: Any) -> Any:
    return "" if value is None and isinstance(plain(other), str) else value


def match(symbol: str, left: Any, right: Any) -> bool:
    """Apply a text operator, as ``has`` or ``!startswith``."""
    text, sought = text_of(left), text_of(right)
    name = " ".join(symbol.split()).removeprefix("!")
    if name == "~":
        return text.lower() != sought.lower()
    if name.endswith("_cs"):
        found = _MATCHES[name.removesuffix("_cs")](text, sought)
    elif name == "matches regex":
        found = re.search(sought, text) is not None
    else:
        found = _MATCHES[name](text.lower(), sought.lower())
    return found != symbol.startswith("!")


def _has_term(text: str, sought: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(sought)}(?![^\W_])", text) is not None


_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "=~": operator.eq,
    "has": _has_term,
    "contains": lambda text, sought: sought in text,
    "startswith": lambda text, sought: text.startswith(sought),
    "endswith": lambda text, sought: text.endswith(sought),
}


def calculate(symbol: str, left: Any, right: Any) -> Any:
    """Apply an arithmetic operator; null where an operand is null, or for a division by zero.

    Raises:
        KustoError: types that do not go together.
    """
    left, right = concrete(left, "An operand of arithmetic"), concrete(right, "An operand of arithmetic")
    if left is None or right is None:
        return None
    if {kind(left), kind(right)} & {"string", "bool"}:
        raise KustoError(f"No arithmetic with {left!r} {symbol} {right!r}. Join texts with strcat().")
    try:
        return _ARITHMETIC[symbol](left, right)
    except ZeroDivisionError:
        return None
    except TypeError as error:
        raise KustoError(f"No arithmetic with {left!r} {symbol} {right!r}.") from error


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        return int(left / right)  # towards zero
    return left / right


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": operator.mod,
}


def bin_of(value: Any, size: Any) -> Any:
    """Round down to a multiple of the size, a time from the year 1 on."""
    value = concrete(value, "The argument of bin()")
    if value is None:
        return None
    if isinstance(value, datetime):
        return _ZERO + (value - _ZERO) // size * size
    return value // size * size


def text_of(value: Any) -> str:
    """Return what ``tostring`` makes of a value."""
    value = plain(value)
    if value is None:
        return ""
    writer = _WRITERS.get(kind(value), str)
    return writer(value)


def _timespan_text(span: timedelta) -> str:
    sign = "-" if span < timedelta() else ""
    span = abs(span)
    minutes, seconds = divmod(span.seconds, 60)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
    return f"{sign}{days}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"


def _json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: str(value).lower(),
    "datetime": lambda value: value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
    "timespan": _timespan_text,
    "dynamic": _json_text,
}


def moment_of(text: str) -> datetime | None:
    """Return the time that a text names, UTC unless it says otherwise; None where it names none."""
    # Kusto writes ticks of 100 ns, Python reads microseconds.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.strip().strip("\"'"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
