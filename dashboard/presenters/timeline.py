"""The timeline of an execution: rows of bars on one scale; what is too much for a picture comes together by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from durable_host.core.digest import Outcome

from .acts import ZERO, Act, ActKind, Attempt, Story
from .scale import Scale, scale
from .words import duration

#: more rows than this come together by name
MOST_ROWS = 300
#: fewer of one name stay apart
_FEWEST = 10
_COLUMNS = 100
#: stands for the time of an execution of which nothing is known yet
_NEVER = datetime.fromtimestamp(0, UTC)
_BUCKETS = 24

_TONES = {
    Outcome.COMPLETED: "good",
    Outcome.FIRED: "good",
    Outcome.RECEIVED: "good",
    Outcome.FAILED: "bad",
    Outcome.RUNNING: "info",
    Outcome.WAITING: "info",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a row."""

    #: queued, run, pause, wait or point: the CSS class is ``bar-<look>``
    look: str
    tone: str
    begin: datetime
    end: datetime
    #: what it is, for the tooltip
    title: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One act with its bars."""

    act: Act
    bars: tuple[Bar, ...]

    @property
    def tone(self) -> str:
        """Tone of its outcome."""
        return _TONES.get(self.act.outcome, "neutral")


@dataclass(frozen=True, slots=True)
class Spread:
    """How some durations are spread."""

    least: timedelta
    median: timedelta
    p95: timedelta
    most: timedelta
    #: how many fall into each of some classes between the least and the most
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Many acts of one name in one row."""

    kind: ActKind
    name: str
    count: int
    outcomes: tuple[tuple[Outcome, int], ...]
    begin: datetime
    end: datetime
    is_open: bool
    ran: Spread | None
    waited: Spread | None
    #: how many were open in each hundredth of the width
    load: tuple[int, ...]
    #: places of failures
    failures: tuple[int, ...]
    retried: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A timeline, ready to be drawn."""

    rows: tuple[Row | Group, ...]
    scale: Scale
    #: pieces of the background in which the instance was suspended
    suspended: tuple[tuple[float, float], ...]
    #: place of now, while it goes on
    now: float | None
    #: what is in the picture, for its legend: looks and tones of bars
    legend: frozenset[str]
    #: how many acts are not shown, because they come before or after those that are
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a reader wants to see of a timeline."""

    #: only acts of this kind and name, each in a row of its own
    kind: str = ""
    name: str = ""
    outcome: str = ""
    slowest_first: bool = False
    first: int = 0
    size: int = 100


def timeline(
    story: Story, now: datetime | None, look: Look | None = None, *, begin: datetime | None = None
) -> Timeline:
    """Return the timeline of an execution.

    Args:
        story: its acts.
        now: the time, while it goes on; None for one that has ended.
        look: which of its acts; by default all.
        begin: when it was asked for, if that shall be in the picture.
    """
    shown = [act for act in story.acts if act.kind is not ActKind.LIFECYCLE or _is_mark(act)]
    end = max(filter(None, (now, story.last_at)), default=_NEVER)
    begin = min(filter(None, (begin, story.began_at, story.last_at)), default=end)
    if look is not None and look.name:
        return _closer(shown, story, look, now)
    drawn = _scale(shown, begin, end, now)
    big = {} if len(shown) <= MOST_ROWS else _big_names(shown)
    rows: list[Row | Group] = []
    seen: set[tuple[ActKind, str]] = set()
    for act in shown:
        key = (act.kind, act.name)
        if key not in big:
            rows.append(Row(act, _bars(act, now or end)))
        elif key not in seen:
            seen.add(key)
            rows.append(_group(big[key], drawn, now or end))
    hidden = max(0, len(rows) - MOST_ROWS)
    place = None if now is None else drawn.place(now)
    rows = rows[:MOST_ROWS]
    return Timeline(tuple(rows), drawn, _suspended(story, drawn), place, _legend(rows), 0, hidden)


def _is_mark(act: Act) -> bool:
    """Tell whether something that happened to the orchestration is worth a row: beginning and end are not."""
    return act.outcome in (Outcome.REWOUND, Outcome.TERMINATE_ASKED)


def _closer(shown: Sequence[Act], story: Story, look: Look, now: datetime | None) -> Timeline:
    """Return a part of the acts of one name, on a scale of their own."""
    found = [act for act in shown if act.name == look.name and look.kind in ("", act.kind)]
    found = [act for act in found if look.outcome in ("", act.outcome)]
    if look.slowest_first:
        found.sort(key=lambda act: act.ran or ZERO, reverse=True)
    part = found[look.first : look.first + look.size]
    end = max(filter(None, (now, story.last_at)), default=_NEVER)
    begins = min((act.started_at for act in part), default=end)
    ends = max((end if act.is_open else act.ended_at or act.started_at for act in part), default=end)
    drawn = _scale(part, begins, ends, now)
    rows = [Row(act, _bars(act, now or end)) for act in part]
    place = drawn.place(now) if now is not None and now <= drawn.end else None
    after = max(0, len(found) - look.first - len(part))
    return Timeline(tuple(rows), drawn, _suspended(story, drawn), place, _legend(rows), look.first, after)


def _legend(rows: Iterable[Row | Group]) -> frozenset[str]:
    found: set[str] = set()
    for row in rows:
        if isinstance(row, Group):
            found |= {"group", *(["bad"] if row.failures else [])}
            continue
        for bar in row.bars:
            found.add("open" if bar.is_open and bar.look == "run" else bar.tone if bar.look == "run" else bar.look)
    return frozenset(found)


def _scale(shown: Sequence[Act], begin: datetime, end: datetime, now: datetime | None) -> Scale:
    return scale(begin, end, _moments(shown, now or end), _busy(shown, now or end))


def _moments(shown: Iterable[Act], now: datetime) -> Iterable[datetime]:
    """Yield when something began or ended."""
    for act in shown:
        yield act.started_at
        if act.ended_at is not None:
            yield act.ended_at
        for one in act.attempts:
            yield from filter(None, (one.scheduled_at, one.started_at, one.ended_at))
        for pause in act.pauses:
            yield min(pause.until, now)


def _busy(shown: Iterable[Act], now: datetime) -> Iterable[tuple[datetime, datetime]]:
    """Yield the spells in which something ran."""
    for act in shown:
        for one in act.attempts if act.kind is ActKind.ACTIVITY else ():
            if one.ended_at is not None:
                yield one.started_at or one.scheduled_at, one.ended_at
            elif act.is_open:
                yield one.scheduled_at, now


def _suspended(story: Story, drawn: Scale) -> tuple[tuple[float, float], ...]:
    spells = [act for act in story.acts if act.kind is ActKind.SUSPENSION]
    return tuple((drawn.place(act.started_at), drawn.place(act.ended_at or drawn.end)) for act in spells)


# --- bars -----------------------------------------------------------------------------------------------------------


def _bars(act: Act, now: datetime) -> tuple[Bar, ...]:
    if act.attempts:
        return tuple(_attempt_bars(act, now))
    tone = _TONES.get(act.outcome, "neutral")
    if act.kind in (ActKind.LIFECYCLE, ActKind.EVENT, ActKind.SENT):
        return (Bar("point", tone, act.started_at, act.started_at, f"{act.name}: {act.outcome}"),)
    end = act.ended_at or (now if act.is_open or act.kind is ActKind.SUSPENSION else act.started_at)
    if act.kind is ActKind.SUSPENSION:
        return (Bar("wait", "pause", act.started_at, end, f"suspended for {duration(end - act.started_at)}"),)
    return (Bar("wait", tone, act.started_at, end, _waiting(act, end), act.is_open),)


def _waiting(act: Act, end: datetime) -> str:
    what = "timer" if act.kind is ActKind.TIMER else f"waits for {act.name}"
    return f"{what}: {duration(end - act.started_at)}"


def _attempt_bars(act: Act, now: datetime) -> Iterable[Bar]:
    many = len(act.attempts) > 1
    for number, one in enumerate(act.attempts, 1):
        prefix = f"attempt {number}: " if many else ""
        yield from _one_attempt(act, one, prefix, now)
    for pause in act.pauses:
        until = min(pause.until, now)
        title = f"pause of {duration(pause.until - pause.since)} before attempt {pause.attempt} of {pause.limit}"
        yield Bar("pause", "warn", pause.since, max(pause.since, until), title)


def _one_attempt(act: Act, one: Attempt, prefix: str, now: datetime) -> Iterable[Bar]:
    if one.ended_at is None:
        is_open = act.is_open
        end = now if is_open else one.scheduled_at
        said = f"{prefix}no outcome yet, scheduled {duration(end - one.scheduled_at)} ago" if is_open else "not awaited"
        yield Bar("run", "info" if is_open else "neutral", one.scheduled_at, end, said, is_open)
        return
    began = one.scheduled_at if one.started_at is None else min(max(one.started_at, one.scheduled_at), one.ended_at)
    if began > one.scheduled_at:
        waited = f"{prefix}waited {duration(began - one.scheduled_at)} for a worker"
        yield Bar("queued", "neutral", one.scheduled_at, began, waited)
    said = f"{prefix}{'failed after' if one.failure else 'ran'} {duration(one.ended_at - began)}"
    yield Bar("run", "bad" if one.failure else "good", began, one.ended_at, said)


# --- groups ---------------------------------------------------------------------------------------------------------


def _big_names(shown: Sequence[Act]) -> dict[tuple[ActKind, str], list[Act]]:
    """Return the acts that come together: the most frequent names first, until few enough rows are left."""
    names: dict[tuple[ActKind, str], list[Act]] = {}
    for act in shown:
        names.setdefault((act.kind, act.name), []).append(act)
    left = len(shown)
    chosen: dict[tuple[ActKind, str], list[Act]] = {}
    for key, acts in sorted(names.items(), key=lambda item: -len(item[1])):
        if left <= MOST_ROWS or len(acts) < _FEWEST:
            break
        chosen[key] = acts
        left -= len(acts) - 1
    return chosen


def _group(acts: Sequence[Act], drawn: Scale, now: datetime) -> Group:
    first = acts[0]
    ends = [now if act.is_open else act.ended_at or act.started_at for act in acts]
    return Group(
        kind=first.kind,
        name=first.name,
        count=len(acts),
        outcomes=tuple(Counter(act.outcome for act in acts).most_common()),
        begin=first.started_at,
        end=max(ends),
        is_open=any(act.is_open for act in acts),
        ran=_spread([act.ran for act in acts if act.ran is not None and not act.is_open]),
        waited=_spread([act.waited for act in acts if act.waited is not None]),
        load=_load(acts, ends, drawn),
        failures=tuple(sorted({_column(drawn, end) for act, end in zip(acts, ends, strict=True) if act.failure})),
        retried=sum(len(act.attempts) > 1 for act in acts),
    )


def _spread(lengths: list[timedelta]) -> Spread | None:
    if not lengths:
        return None
    lengths.sort()
    least, most = lengths[0], lengths[-1]
    classes = [0] * _BUCKETS
    width = (most - least) / _BUCKETS
    for one in lengths:
        classes[min(_BUCKETS - 1, int((one - least) / width)) if width else 0] += 1
    middle, high = len(lengths) // 2, min(len(lengths) - 1, len(lengths) * 95 // 100)
    return Spread(least, lengths[middle], lengths[high], most, tuple(classes))


def _load(acts: Sequence[Act], ends: Sequence[datetime], drawn: Scale) -> tuple[int, ...]:
    """Return how many were open in each column: by their beginnings and ends alone, however many there are."""
    changes = [0] * (_COLUMNS + 1)
    for act, end in zip(acts, ends, strict=True):
        changes[_column(drawn, act.started_at)] += 1
        changes[_column(drawn, end) + 1] -= 1
    load, level = [], 0
    for change in changes[:_COLUMNS]:
        level += change
        load.append(level)
    return tuple(load)


def _column(drawn: Scale, moment: datetime) -> int:
    return min(_COLUMNS - 1, int(drawn.place(moment)))
