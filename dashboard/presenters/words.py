"""Times, durations and sizes in the words that people use."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SIZES = ("B", "kB", "MB", "GB")


def duration(value: timedelta | None) -> str:
    """Return a duration with at most two units: ``450 ms``, ``3.2 s``, ``2 h 14 min``; empty for None."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    return sign + (_short(seconds) if seconds < 59.95 else _long(round(seconds)))


def _short(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    if seconds < 0.000_95:
        return "< 1 ms"
    if seconds < 0.999_5:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def _long(seconds: int) -> str:
    place = next(number for number, (size, _) in enumerate(_UNITS) if seconds >= size)
    size, unit = _UNITS[place]
    whole, rest = divmod(seconds, size)
    if place + 1 == len(_UNITS):
        return f"{whole} {unit}"
    small_size, small_unit = _UNITS[place + 1]
    small = rest // small_size
    return f"{whole} {unit} {small} {small_unit}" if small else f"{whole} {unit}"


def relative(moment: datetime, now: datetime) -> str:
    """Return a moment as seen from another: ``just now``, ``3 min ago``, ``in 2 h``."""
    distance = (moment - now).total_seconds()
    if abs(distance) < 5:
        return "just now"
    if distance > 0:  # what is due in 2 d 23 h is nearer to three days than to two
        return f"in {_largest(distance + _unit_of(distance)[0] / 2)}"
    return f"{_largest(-distance)} ago"


def _largest(seconds: float) -> str:
    size, unit = _unit_of(seconds)
    return f"{int(seconds // size)} {unit}"


def _unit_of(seconds: float) -> tuple[float, str]:
    return next((size, unit) for size, unit in _UNITS if seconds >= size)


def exact(moment: datetime) -> str:
    """Return a moment to the millisecond with the zone that it is in."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {moment:%Z}".rstrip()


def size(count: int) -> str:
    """Return a number of bytes: ``812 B``, ``4.1 kB``, ``1 MB``."""
    amount = float(count)
    for unit in _SIZES:
        if amount < 999.5 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f}".removesuffix(".0") + f" {unit}"
