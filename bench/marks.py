"""The marks: what a figure, or its ratio to another of the same round, must reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from .contenders import DATABASES, HOST, Contender

Values = list[float]


class View(Protocol):
    """The figures of one workload on one database, as a mark looks at them."""

    @property
    def first(self) -> str:
        """Name of the contender that is held against the others."""

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""

    def values(self, contender: str, key: str | None = None) -> Values | None:
        """Return each round's figure of a contender, the compared one or another; None if it was not measured."""

    def configurations(self, peer: str) -> list[str]:
        """Return the contenders that are configurations of a peer."""

    def of(self, workload: str) -> View | None:
        """Return another workload; None if it was not asked for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What must be reached.

    Args:
        text: what is judged.
        limits: by database; none where the mark does not hold for a database.
        judge: takes what is judged from a round's figures; None if they were not measured.
        is_least: whether the limit is the least that is wanted, not the most.
    """

    text: str
    limits: Mapping[str, float]
    judge: Callable[[View], Values | None]
    is_least: bool = False

    def is_met(self, database: str, values: Values) -> bool:
        """Tell whether the median reaches the limit."""
        limit = self.limits[database]
        return median(values) >= limit if self.is_least else median(values) <= limit


def ahead(peer: str, least: float) -> Mark:
    """The first contender is so many times as fast as the fastest configuration of a peer."""

    def judge(view: View) -> Values | None:
        ratios = [speed for name in view.configurations(peer) if (speed := speed_ratio(view, view.first, name))]
        return min(ratios, key=median, default=None)

    return Mark(f"speed ÷ {peer}", dict.fromkeys(DATABASES, least), judge, is_least=True)


def times(than: Contender, limits: Mapping[str, float], *, of: Contender = HOST) -> Mark:
    """One contender takes at most so many times as long as another."""
    text = f"time ÷ {than.name}" if of is HOST else f"time of {of.name} ÷ {than.name}"
    return Mark(text, limits, lambda view: speed_ratio(view, than.name, of.name))


def never_slower(few: Contender, many: Contender) -> Mark:
    """More worker processes are not slower than fewer, but for a twentieth that is noise."""
    text = f"speed of {many.workers} workers ÷ {few.workers}"
    limits = dict.fromkeys(DATABASES, 0.95)
    return Mark(text, limits, lambda view: speed_ratio(view, many.name, few.name), is_least=True)


def flat(than: str, piece: str, size: int, most: float) -> Mark:
    """A piece of the work takes at most so many times as long as in a smaller workload."""

    def judge(view: View) -> Values | None:
        other = view.of(than)
        small = other.values(other.first) if other else None
        large = view.values(view.first)
        return _divide(large, small)

    return Mark(f"time {piece} ÷ that of {size:,}", dict.fromkeys(DATABASES, most), judge)


def own_tail(most: float) -> Mark:
    """The 95th percentile is at most so many times the median."""

    def judge(view: View) -> Values | None:
        return _divide(view.values(view.first, "p95_ms"), view.values(view.first, "p50_ms"))

    return Mark("p95 ÷ own p50", dict.fromkeys(DATABASES, most), judge)


def at_most(key: str, text: str, most: float, *, of: Contender = HOST) -> Mark:
    """A figure of a contender is at most so much."""
    return Mark(text, dict.fromkeys(DATABASES, most), lambda view: view.values(of.name, key))


def value_at_most(text: str, most: float) -> Mark:
    """The compared figure of the first contender is at most so much."""
    return Mark(text, dict.fromkeys(DATABASES, most), lambda view: view.values(view.first))


def speed_ratio(view: View, fast: str, slow: str) -> Values | None:
    """Return by how many times one contender was as fast as another, round by round."""
    of_fast, of_slow = view.values(fast), view.values(slow)
    return _divide(of_fast, of_slow) if view.is_rate else _divide(of_slow, of_fast)


def _divide(ours: Values | None, theirs: Values | None) -> Values | None:
    if not ours or not theirs or len(ours) != len(theirs):
        return None
    return [one / other for one, other in zip(ours, theirs, strict=True)]
