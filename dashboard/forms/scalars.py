"""Single values: what is typed, and the JSON that it means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from .shapes import Kind

#: what the field for the zone of a time may say, besides an offset as it was given
LOCAL, UTC_ZONE, NO_ZONE = "local", "utc", "none"

_INTEGER = re.compile(r"[+-]?\d{1,4000}")
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?")
_DECIMAL = re.compile(r"[+-]?(\d{1,2000}(\.\d{0,2000})?|\.\d{1,2000})([eE][+-]?\d{1,6})?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?")
_ISO_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SPOKEN_DURATION = re.compile(r"(-?)\s*(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m)?\s*(?:(\d+)\s*s)?")


class UnreadableError(ValueError):
    """What was typed is no such value; the message says what to type."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A value as it stands in its field."""

    text: str
    #: of a date and time: LOCAL, UTC_ZONE, NO_ZONE or an offset as ``+02:00``
    zone: str = ""


def parse(kind: Kind, typed: Typed) -> Any:
    """Return the JSON value that was typed.

    Raises:
        UnreadableError: it is none of this kind.
    """
    reader = _READERS.get(kind)
    return typed.text if reader is None else reader(typed)


def show(kind: Kind, value: Any) -> Typed | None:
    """Return what must be typed for a JSON value, None where it is none of this kind."""
    if kind in (Kind.INTEGER, Kind.NUMBER):
        return _show_number(kind, value)
    if kind is Kind.DECIMAL and isinstance(value, int | float) and not isinstance(value, bool):
        return Typed(repr(value))
    # A field has no way to hold a carriage return: browsers make line feeds of them.
    if not isinstance(value, str) or "\r" in value:
        return None
    shown = _SHOWN[kind](value) if kind in _SHOWN else Typed(value)
    try:
        return shown if shown is not None and parse(kind, shown) == value else _as_typed(kind, value)
    except UnreadableError:
        return None


def input_type(kind: Kind, text: str) -> str:
    """Return the ``type`` of the input: the browser's own where it would keep the text as it is."""
    if kind is Kind.SECRET:
        return "password"
    native = {Kind.DATE: ("date", _DAY), Kind.TIME: ("time", _CLOCK), Kind.DATETIME: ("datetime-local", _LOCAL_MOMENT)}
    if kind in native:
        name, pattern = native[kind]
        # A browser empties a field whose value it cannot show: better to show what was typed, as text.
        return name if not text or pattern.fullmatch(text) else "text"
    return "text"


_LOCAL_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")


def default_zone(schema: Any) -> str:
    """Return the zone that a new date and time is in."""
    if schema.get("x-zone") == "naive":
        return NO_ZONE
    return UTC_ZONE if str(timezone.get_current_timezone()) == "UTC" else LOCAL


# --- readers ---------------------------------------------------------------------------------------------------------


def _integer(typed: Typed) -> int:
    text = typed.text.strip().replace(" ", "")
    if not _INTEGER.fullmatch(text):
        raise UnreadableError("Type a whole number, such as 12.")
    return int(text)


def _number(typed: Typed) -> int | float:
    text = typed.text.strip()
    if not _NUMBER.fullmatch(text):
        raise UnreadableError("Type a number, such as 3.5.")
    value = float(text)
    if math.isinf(value):
        raise UnreadableError("That number is too large.")
    return int(text) if _INTEGER.fullmatch(text) and len(text) < 16 else value


def _decimal(typed: Typed) -> str:
    text = typed.text.strip()
    if not _DECIMAL.fullmatch(text):
        raise UnreadableError("Type a number, such as 19.90.")
    return text


def _moment(typed: Typed) -> str:
    text = typed.text.strip()
    found = _MOMENT.fullmatch(text)
    if not found:
        raise UnreadableError("Give a date and a time, such as 2026-03-01T18:30.")
    if found[3] or typed.zone == NO_ZONE:
        return text
    if typed.zone != LOCAL:
        return text + ("Z" if typed.zone in (UTC_ZONE, "") else typed.zone)
    try:
        naive = datetime.fromisoformat(text)
    except ValueError:
        return text  # the type says what is wrong with it
    offset = f"{naive.replace(tzinfo=timezone.get_current_timezone()):%z}"
    return f"{text}{offset[:3]}:{offset[3:5]}"


def _duration(typed: Typed) -> str:
    text = typed.text.strip()
    spoken = _SPOKEN_DURATION.fullmatch(text.lower())
    if spoken and any(spoken.groups()[1:]):
        sign, days, *rest = spoken.groups()
        clock = "".join(f"{int(part)}{unit}" for part, unit in zip(rest, "HMS", strict=True) if part)
        return f"{sign}P{f'{int(days)}D' if days else ''}{f'T{clock}' if clock else ''}"
    if not text.lstrip("+-").upper().startswith("P") and ":" not in text:
        raise UnreadableError("Type a duration, such as 90s, 1h 30m or 2d.")
    return text


_READERS: dict[Kind, Callable[[Typed], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.DATETIME: _moment,
    Kind.DURATION: _duration,
    Kind.LONG_TEXT: lambda typed: typed.text.replace("\r\n", "\n"),
}


# --- what is shown ---------------------------------------------------------------------------------------------------


def _show_number(kind: Kind, value: Any) -> Typed | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is Kind.INTEGER and value != int(value)):
        return None
    if kind is Kind.INTEGER and isinstance(value, float):
        return None
    return Typed(repr(value))


def _show_moment(value: str) -> Typed | None:
    found = _MOMENT.fullmatch(value)
    if not found:
        return None
    zone = {None: NO_ZONE, "Z": UTC_ZONE}.get(found[3], found[3])
    return Typed(f"{found[1]}T{found[2]}", zone or NO_ZONE)


def _show_duration(value: str) -> Typed | None:
    found = _ISO_DURATION.fullmatch(value)
    if not found or not any(found.groups()[1:]):
        return None
    parts = [f"{number}{unit}" for number, unit in zip(found.groups()[1:], "dhms", strict=True) if number]
    return Typed(found[1] + " ".join(parts))


_SHOWN = {Kind.DATETIME: _show_moment, Kind.DURATION: _show_duration}


def _as_typed(kind: Kind, value: str) -> Typed | None:
    """Return a text as it is, if it would be read as itself."""
    typed = Typed(value, NO_ZONE)
    return typed if parse(kind, typed) == value else None


def zone_choices(zone: str, moment: datetime | None = None) -> list[tuple[str, str]]:
    """Return the zones that a date and time can be given in, as value and label."""
    current = timezone.get_current_timezone()
    choices = [] if str(current) == "UTC" else [(LOCAL, str(current))]
    choices += [(UTC_ZONE, "UTC"), (NO_ZONE, "No zone")]
    if zone and zone not in dict(choices):
        choices.append((zone, zone if zone != LOCAL else f"{(moment or datetime.now(UTC)):%Z}"))
    return choices
