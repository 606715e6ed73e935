"""What the command line's words mean: times, durations, tags, statuses, JSON."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentTypeError
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from durable_host.conf import host_settings
from durable_host.core.errors import PayloadError
from durable_host.core.payload import PayloadCodec
from durable_host.core.status import RuntimeStatus

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_MOMENT_HELP = "an ISO date or time, such as 2026-03-01 or 2026-03-01T18:30, or a duration, such as 90m or 7d"


def duration(text: str) -> timedelta:
    """Read ``90s``, ``1h30m``, ``2d``."""
    compact = text.strip().lower().replace(" ", "")
    if not compact or _PART.sub("", compact):
        raise ArgumentTypeError(f"{text!r} is not a duration: give numbers with units, such as 90s, 1h30m or 2d.")
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact)))
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is too long a duration.") from None


def seconds(text: str) -> float:
    """Read a number of seconds, or a duration."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    return duration(text).total_seconds()


def moment(text: str) -> datetime:
    """Read an ISO date or time; one without an offset is in Django's time zone."""
    try:
        found = parse_datetime(text)
        day = parse_date(text) if found is None else None
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a time: {error}.") from None
    if found is None and day is None:
        raise ArgumentTypeError(f"{text!r} is not a time: give an ISO date or time, such as 2026-03-01T18:30.")
    when = found or datetime.combine(day or datetime.min, datetime.min.time())
    try:
        return (timezone.make_aware(when) if timezone.is_naive(when) else when).astimezone(UTC)
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is too far away.") from None


def past_moment(text: str) -> datetime:
    """Read an ISO date or time, or how long ago it was."""
    try:
        ago = duration(text)
    except ArgumentTypeError:
        if not re.match(r"\d{4}-", text):
            raise ArgumentTypeError(f"{text!r} is not a time: give {_MOMENT_HELP}.") from None
        return moment(text)
    return moved(-ago, text)


def moved(delta: timedelta, text: str) -> datetime:
    """Return the time so far from now."""
    try:
        return timezone.now() + delta
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is too far away.") from None


def future_moment(text: str) -> datetime:
    """Read a duration as the time when it will be over."""
    return moved(duration(text), text)


def tag(text: str) -> tuple[str, str]:
    """Read ``key=value``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r} is not a tag: write name=value.")
    return key, value


def statuses(text: str) -> list[RuntimeStatus]:
    """Read statuses, separated by commas, in any case."""
    known = {status.value.lower(): status for status in RuntimeStatus}
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted if part.lower() not in known]
    if unknown or not wanted:
        raise ArgumentTypeError(
            f"{', '.join(unknown) or text!r} is not a status. They are: {', '.join(RuntimeStatus)}."
        )
    return [known[part.lower()] for part in wanted]


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 1,000,000.")
    return int(text)


def generation(text: str) -> int:
    """Read the number of an execution."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise ArgumentTypeError(f"{text!r} is not the number of an execution: the first is 0.")
    return int(text)


def tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return tags as a mapping.

    Raises:
        PayloadError: one is given twice.
    """
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise PayloadError(f"--tag {twice[0]} is given twice.")
    return dict(pairs)


def read_json(source: str | None, what: str, option: str) -> Any:
    """Return the value of a JSON option: the text itself, ``@FILE``, or ``-`` for standard input.

    Raises:
        PayloadError: it cannot be read, is not JSON, or cannot be stored.
    """
    if source is None:
        return None
    raw = _read(source, what)
    text = raw.removeprefix("\ufeff")
    if not text.strip():
        raise PayloadError(f"{what} is empty. JSON for nothing is null.")
    codec = PayloadCodec(host_settings().max_payload_bytes)
    try:
        stored = codec.check_json(text, what)
    except PayloadError as error:
        raise PayloadError(f"{error}{_hint(source, option)}") from None

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            name = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise PayloadError(f"{what} is ambiguous: one object has the name {name!r} twice.")
        return found

    json.loads(text, object_pairs_hook=no_duplicates)
    return json.loads(stored)


def _read(source: str, what: str) -> str:
    if source != "-" and not source.startswith("@"):
        return source
    place = "standard input" if source == "-" else source[1:]
    try:
        if source == "-":
            if sys.stdin.isatty():
                print("Type the JSON, then Ctrl-D.", file=sys.stderr)
            raw = sys.stdin.buffer.read()
        else:
            raw = Path(place).read_bytes()
        return raw.decode()
    except OSError as error:
        raise PayloadError(f"{what} cannot be read from {place}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise PayloadError(f"{what} in {place} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}.") from None


def _hint(source: str, option: str) -> str:
    if source and source[0].isalpha() and len(source) < 80 and "NaN" not in source and "'" not in source:
        return f" A text needs quotes of its own: {option} '{json.dumps(source, ensure_ascii=False)}'"
    return ""
