"""A scale of time: moments to places from 0 to 100, where long idle spells are folded so that bursts can be seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from .words import duration

#: an idle spell shorter than this is shown as it is
SHORTEST_FOLD = timedelta(seconds=10)
#: and one that is not so many times as long as all that would be squashed beside it
_TIMES_LONGER = 20
_MOST_FOLDS = 8
#: of the whole width, for all folded spells together and for one of them
_FOLDS_SHARE, _FOLD_SHARE = 45.0, 12.0
_TICKS = 6
_UNITS = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (timedelta(seconds=1), "s"),
)
#: what a label takes of the width
_LABEL_SHARE = 7.0

_STEPS = (
    *(timedelta(milliseconds=step) for step in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(timedelta(seconds=step) for step in (1, 2, 5, 10, 15, 30)),
    *(timedelta(minutes=step) for step in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=step) for step in (1, 2, 3, 6, 12)),
    *(timedelta(days=step) for step in (1, 2, 7, 14, 28, 91, 182, 364, 3640)),
)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis."""

    at: float
    label: str
    #: whether it goes first where there is little room
    is_minor: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """A spell that is shown shorter than it was."""

    begin: float
    end: float
    label: str
    length: timedelta


@dataclass(frozen=True, slots=True)
class Scale:
    """Where each moment is, in hundredths of the width."""

    begin: datetime
    end: datetime
    #: moments at which the pace changes, and their places
    _moments: tuple[datetime, ...]
    _places: tuple[float, ...]
    ticks: tuple[Tick, ...]
    folds: tuple[Fold, ...]

    def place(self, moment: datetime) -> float:
        """Return the place of a moment; one that is outside is at the edge."""
        if moment <= self.begin:
            return 0.0
        if moment >= self.end:
            return 100.0
        number = bisect_right(self._moments, moment) - 1
        since, until = self._moments[number], self._moments[number + 1]
        low, high = self._places[number], self._places[number + 1]
        return low + (high - low) * ((moment - since) / (until - since))


def scale(
    begin: datetime, end: datetime, moments: Iterable[datetime], busy: Iterable[tuple[datetime, datetime]]
) -> Scale:
    """Return the scale of a picture.

    Args:
        begin, end: its first and last moment.
        moments: when something began or ended.
        busy: spells in which something ran: they are never folded.
    """
    end = max(end, begin + timedelta(milliseconds=1))
    idle = _folded(begin, end, moments, busy)
    marks = [begin, *(moment for spell in idle for moment in spell), end]
    marks = [moment for place, moment in enumerate(marks) if place == 0 or moment > marks[place - 1]]
    places = _places(marks, set(idle))
    folds = tuple(
        Fold(places[marks.index(since)], places[marks.index(until)], _roughly(until - since), until - since)
        for since, until in idle
    )
    return Scale(begin, end, tuple(marks), tuple(places), _ticks(marks, places, set(idle)), folds)


def _roughly(length: timedelta) -> str:
    """Return a length in its largest unit: there is little room."""
    size, unit = next((size, unit) for size, unit in _UNITS if length >= size)
    return f"{round(length / size)} {unit}"


def _folded(
    begin: datetime, end: datetime, moments: Iterable[datetime], busy: Iterable[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """Return the idle spells to fold, in order: few, long, and much longer than everything else together."""
    long = sorted(_long_spells(begin, end, moments), key=lambda spell: spell[0] - spell[1])
    if not long:
        return []
    covered = _merged(busy)
    starts = [since for since, _ in covered]
    rest = end - begin
    chosen: list[tuple[datetime, datetime]] = []
    for count, (since, until) in enumerate(long[:_MOST_FOLDS], 1):
        number = bisect_right(starts, since) - 1
        if number >= 0 and covered[number][1] > since:
            break
        rest -= until - since
        if timedelta(0) < rest <= (until - since) / _TIMES_LONGER:
            chosen = long[:count]
    return sorted(chosen)


def _long_spells(begin: datetime, end: datetime, moments: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Return the spells in which nothing began or ended and that are long enough to fold."""
    # Of tens of thousands of moments only the first and the last of each second can be the edge of a long spell.
    seconds: dict[int, tuple[datetime, datetime]] = {}
    for moment in (begin, end, *moments):
        low, high = seconds.get(second := int(moment.timestamp()), (moment, moment))
        seconds[second] = min(low, moment), max(high, moment)
    edges = [moment for _, both in sorted(seconds.items()) for moment in both if begin <= moment <= end]
    return [(since, until) for since, until in pairwise(edges) if until - since >= SHORTEST_FOLD]


def _merged(spells: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for since, until in sorted(spells):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged


def _places(marks: Sequence[datetime], folded: set[tuple[datetime, datetime]]) -> list[float]:
    spells = list(pairwise(marks))
    share = min(_FOLD_SHARE, _FOLDS_SHARE / len(folded)) if folded else 0.0
    room = 100.0 - share * len(folded)
    shown = sum((until - since for since, until in spells if (since, until) not in folded), timedelta(0))
    places = [0.0]
    for since, until in spells:
        width = share if (since, until) in folded else room * ((until - since) / shown)
        places.append(places[-1] + width)
    places[-1] = 100.0
    return places


def _ticks(
    marks: Sequence[datetime], places: Sequence[float], folded: set[tuple[datetime, datetime]]
) -> tuple[Tick, ...]:
    """Return marks at round distances from the beginning; after a fold, from where it ends."""
    shown = sum(
        (until - since for since, until in pairwise(marks) if (since, until) not in folded),
        timedelta(0),
    )
    step = next((one for one in _STEPS if shown / one <= _TICKS), _STEPS[-1])
    ticks: list[Tick] = []
    for number, (since, until) in enumerate(pairwise(marks)):
        if (since, until) in folded:
            continue
        low, high = places[number], places[number + 1]
        for count in range(int((until - since) / step) + 1):
            place = low + (high - low) * (step * count / (until - since))
            # A label needs room: before the right edge or a fold, and beside the one before.
            if place <= high - _LABEL_SHARE and (not ticks or place - ticks[-1].at >= _LABEL_SHARE):
                label = f"+{duration(step * count)}" if number and count else duration(since + step * count - marks[0])
                is_squeezed = place > high - 2 * _LABEL_SHARE
                ticks.append(Tick(place, label, is_squeezed or len(ticks) % 2 == 1))
    return tuple(ticks)
