"""Times, durations, statuses and types as people read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from rich.text import Text

from durable_host.core.digest import Outcome
from durable_host.core.failure import FailureDetails
from durable_host.core.payload import describe_type
from durable_host.core.status import RuntimeStatus

from .screen import Screen, shown

_STATUS = {
    RuntimeStatus.PENDING: ("○", "dim"),
    RuntimeStatus.RUNNING: ("●", "blue"),
    RuntimeStatus.SUSPENDED: ("‖", "magenta"),
    RuntimeStatus.COMPLETED: ("✓", "green"),
    RuntimeStatus.FAILED: ("✗", "bold red"),
    RuntimeStatus.TERMINATED: ("■", "yellow"),
    RuntimeStatus.CONTINUED_AS_NEW: ("↻", "blue"),
    RuntimeStatus.CANCELED: ("■", "yellow"),
}
_OUTCOME = {
    Outcome.STARTED: ("▸", "blue"),
    Outcome.RUNNING: ("●", "blue"),
    Outcome.COMPLETED: ("✓", "green"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.NOT_AWAITED: ("-", "dim"),
    Outcome.WAITING: ("○", "blue"),
    Outcome.FIRED: ("✓", "green"),
    Outcome.CANCELLED: ("-", "dim"),
    Outcome.RECEIVED: ("←", "cyan"),
    Outcome.SENT: ("→", "cyan"),
    Outcome.TERMINATED: ("■", "yellow"),
    Outcome.CONTINUED_AS_NEW: ("↻", "blue"),
    Outcome.CANCELED: ("■", "yellow"),
    Outcome.TERMINATE_ASKED: ("■", "yellow"),
    Outcome.SUSPENDED: ("‖", "magenta"),
    Outcome.RESUMED: ("▸", "magenta"),
    Outcome.REWOUND: ("↺", "magenta"),
}
_SIZES = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MODULES = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


def status_text(screen: Screen, status: RuntimeStatus) -> Text:
    """Return a status with its symbol and colour."""
    symbol, style = _STATUS[status]
    return Text(screen.symbol(f"{symbol} ") + status.value, style)


def outcome_text(screen: Screen, outcome: Outcome) -> Text:
    """Return an outcome with its symbol and colour."""
    symbol, style = _OUTCOME[outcome]
    return Text(screen.symbol(f"{symbol} ") + outcome.value, style)


def clock(when: datetime | None) -> str:
    """Return a time in Django's time zone, to the second."""
    return "" if when is None else timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S")


def zone() -> str:
    """Return the name of Django's time zone."""
    return timezone.get_current_timezone_name()


def length(delta: timedelta | None) -> str:
    """Return a duration in at most two units, as options take it: ``12ms``, ``3.4s``, ``5m20s``, ``2d3h``."""
    if delta is None:
        return ""
    total = max(0.0, delta.total_seconds())
    if total < 0.9995:
        return f"{total * 1000:.0f}ms"
    if total < 59.95:
        return f"{total:.1f}s"
    whole = round(total)
    for size, unit, below, below_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{unit}" + (f"{rest}{below_unit}" if rest else "")
    return f"{whole // 60}m" + (f"{whole % 60}s" if whole % 60 else "")


def age(delta: timedelta) -> str:
    """Return a duration in one unit: ``46s``, ``3h``."""
    seconds = round(abs(delta.total_seconds()))
    size, unit = next(((size, unit) for size, unit in _SIZES if seconds >= size), (1, "s"))
    return f"{round(seconds / size)}{unit}"


def distance(when: datetime) -> str:
    """Return how far a time is from now: ``3m ago``, ``in 2h``."""
    delta = timezone.now() - when
    if abs(delta) < timedelta(seconds=0.5):
        return "just now"
    return f"{age(delta)} ago" if delta > timedelta(0) else f"in {age(delta)}"


def failure_text(failure: FailureDetails) -> Text:
    """Return a failure with those of its causes that it does not name itself, without stacks."""
    lines = [str(failure)]
    for cause in list(failure.chain())[1:]:
        if cause.error_message not in lines[-1]:
            lines.append(f"caused by {cause}")
    return shown("\n".join(lines), "red")


def type_name(type_: Any) -> str:
    """Return a type as its author would write it, without modules."""
    return _MODULES.sub("", describe_type(type_)).replace("NoneType", "None")
