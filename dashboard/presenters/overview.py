"""What the overview says first: whether something is wrong, how bad it is, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from durable_host.core.fingerprint import normalised
from durable_host.store.approvals import OpenWait
from durable_host.store.listing import CappedCount
from durable_host.store.overview import BackingOffs, FailureGroup, FailureGroups, HourlyActivity, LongRunner, Stalled

from .workers import QueueLine

_NOTHING = CappedCount(0)
#: a shorter part of a message is in too many others
_LEAST_PART = 6


@dataclass(frozen=True, slots=True)
class Overdue:
    """Questions whose time is over, the longest overdue first."""

    waits: tuple[OpenWait, ...]
    total: CappedCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What may need somebody. None: the database was too slow to say."""

    queues: tuple[QueueLine, ...] | None
    stalled: Stalled | None
    failures: FailureGroups | None
    overdue: Overdue | None
    backing_off: BackingOffs | None
    long_runners: tuple[LongRunner, ...] | None

    @property
    def unserved(self) -> tuple[QueueLine, ...]:
        """The queues without a worker."""
        return tuple(one for one in self.queues or () if one.is_unserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of what needs attention, and where it is on the page."""

    anchor: str
    icon: str
    tone: str
    count: CappedCount
    #: after the count
    label: str
    #: whether the database was too slow to say how many
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """The line that says whether something is wrong."""

    tone: str
    text: str
    problems: tuple[Problem, ...]

    @property
    def is_calm(self) -> bool:
        """Whether all was looked at, and nothing is wrong."""
        return not self.problems


_SERIOUSNESS = ("bad", "warn", "info")


def headline(attention: Attention) -> Headline:
    """Say how it stands: the worst kind of trouble first."""
    problems = tuple(one for one in _all_problems(attention) if one.is_unknown or one.count.value)
    known = [one.tone for one in problems if not one.is_unknown]
    tone = next((one for one in _SERIOUSNESS if one in known), "warn" if problems else "good")
    return Headline(tone, _words(tone, problems), problems)


def _words(tone: str, problems: Sequence[Problem]) -> str:
    if not problems:
        return "All calm"
    if all(one.is_unknown for one in problems):
        return "Not everything could be looked at"
    return {"bad": "Needs attention", "warn": "Worth a look", "info": "Under control"}[tone]


def _all_problems(attention: Attention) -> list[Problem]:
    unserved = attention.unserved
    long_ones = attention.long_runners
    return [
        _problem(
            "queues",
            "workers",
            "bad" if any(one.tone == "bad" for one in unserved) else "warn",
            None if attention.queues is None else CappedCount(len(unserved)),
            ("queue without a worker", "queues without a worker"),
        ),
        _problem("stalled", "warning", "bad", _total(attention.stalled), ("stalled instance", "stalled instances")),
        _problem("failures", "x-circle", "bad", _total(attention.failures), ("failure in 24 h", "failures in 24 h")),
        _problem("overdue", "approvals", "warn", _total(attention.overdue), ("overdue approval", "overdue approvals")),
        _problem(
            "long",
            "clock",
            "warn",
            None if long_ones is None else CappedCount(len(long_ones)),
            ("runs longer than usual", "run longer than usual"),
        ),
        _problem("retries", "refresh", "info", _total(attention.backing_off), ("call retries", "calls retry")),
    ]


def _total(found: Stalled | FailureGroups | Overdue | BackingOffs | None) -> CappedCount | None:
    return None if found is None else found.total


def _problem(anchor: str, icon: str, tone: str, count: CappedCount | None, labels: tuple[str, str]) -> Problem:
    one, many = labels
    label = one if count is not None and str(count) == "1" else many
    return Problem(anchor=anchor, icon=icon, tone=tone, count=count or _NOTHING, label=label, is_unknown=count is None)


# --- the way to the instances ---------------------------------------------------------------------------------------


def common_part(group: FailureGroup) -> str:
    """Return a text that all failures of a group have: the longest part between numbers, ids and quoted values.

    It stands in the stored message as it is; where no part is long enough, it is the type of the error.
    """
    parts = [part.strip() for whole in normalised(group.message).split("'…'") for part in whole.split("#")]
    # Runs of spaces were made one: a part that had one is not in the message itself.
    found = max((part for part in parts if part in group.message), key=len, default="")
    return found if len(found) >= _LEAST_PART else group.error_type


def failures_query(group: FailureGroup) -> str:
    """Return the query string of the list that shows the failures of a group, older ones too."""
    pairs = [("status", "Failed"), ("name", group.orchestrator), ("error", common_part(group))]
    return urlencode([*((key, text) for key, text in pairs if text), ("since", "all"), ("subs", "1")])


# --- hours ----------------------------------------------------------------------------------------------------------

_BAR, _GAP, _HEIGHT = 8, 2, 28
_LEAST = 2.0


def hourly_bars(row: HourlyActivity, hours: Sequence[datetime]) -> SafeString:
    """Return a bar for each hour: what failed in red at its foot, what completed above.

    Args:
        row: the numbers, oldest hour first.
        hours: their beginnings, in the reader's zone.
    """
    top = max((good + bad for good, bad in zip(row.completed, row.failed, strict=True)), default=0) or 1
    bars = format_html_join(
        "",
        "<g><title>{}</title>{}{}</g>",
        (
            (_told(hour, good, bad), *_column(number, good / top, bad / top))
            for number, (hour, good, bad) in enumerate(zip(hours, row.completed, row.failed, strict=True))
        ),
    )
    width = max(1, len(hours) * (_BAR + _GAP) - _GAP)
    label = f"{row.name} by hour: {sum(row.completed):,} completed, {sum(row.failed):,} failed"
    return format_html(
        '<svg class="sparkbars hours" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>",
        width, _HEIGHT, label, bars,
    )  # fmt: skip


def _told(hour: datetime, good: int, bad: int) -> str:
    return f"{hour:%H:%M}: {good:,} completed, {bad:,} failed"


def _column(number: int, good: float, bad: float) -> tuple[SafeString, SafeString]:
    foot = _height(bad)
    rest = min(_height(good), _HEIGHT - foot)
    if not foot and not rest:
        return _rect(number, _HEIGHT - 1, 1, "tone-none"), SafeString("")
    return (
        _rect(number, _HEIGHT - foot, foot, "tone-bad") if foot else SafeString(""),
        _rect(number, _HEIGHT - foot - rest, rest, "tone-plain") if rest else SafeString(""),
    )


def _height(share: float) -> float:
    """Return the height of a share; what is there at all can be seen."""
    return max(_LEAST, round(share * _HEIGHT, 1)) if share else 0.0


def _rect(number: int, top: float, height: float, tone: str) -> SafeString:
    x = number * (_BAR + _GAP)
    return format_html(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', tone, x, round(top, 1), _BAR, round(height, 1)
    )
