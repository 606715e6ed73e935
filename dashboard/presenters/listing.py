"""What the list of instances shows, as its address says it: read from it, written into it, said in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from durable_host.core.status import RuntimeStatus
from durable_host.store.shapes import InstanceFilter

#: window → its length; "today" and "all" have none
WINDOWS: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "today": None,
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
WINDOW_WORDS: dict[str, str] = {
    "1h": "the last hour",
    "24h": "the last 24 hours",
    "today": "today",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
    "all": "all time",
}
DEFAULT_WINDOW = "24h"
_GROWING = ("1h", "24h", "7d", "30d", "all")
#: longest text that the address carries for one filter
_LONGEST = 256
_MOST_TAGS = 10
#: times beyond have no counterpart in every zone
_YEARS = range(1900, 9000)
_FLAGS = {"subs": "has_subs", "stalled": "is_stalled", "waiting": "is_waiting"}
_TEXTS = ("name", "prefix", "custom", "error", "parent", "view", "by")
#: texts that have a filter of their own
_NAMED = {"name": "Orchestrator", "prefix": "Id begins with", "custom": "Custom status has", "error": "Error has"}
_ONLY = {"is_stalled": "Stalled", "is_waiting": "Waiting for an event"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """The filters of the list. Everything has a default, and what an address says wrongly is left out of it."""

    statuses: tuple[RuntimeStatus, ...] = ()
    #: an orchestrator, or a pattern with ``*`` and ``?``
    name: str = ""
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    custom: str = ""
    error: str = ""
    parent: str = ""
    #: a key of ``WINDOWS``; empty where two times are given
    since: str = DEFAULT_WINDOW
    created_from: datetime | None = None
    created_to: datetime | None = None
    has_subs: bool = False
    is_stalled: bool = False
    is_waiting: bool = False
    #: slug and owner of the saved view that it began with
    view: str = ""
    by: str = ""
    #: what the address said wrongly, in words
    problems: tuple[str, ...] = ()

    @property
    def is_custom_window(self) -> bool:
        """Whether two times are given instead of a window."""
        return not self.since

    @property
    def default_window(self) -> str:
        """The window of an address that names none: whoever asks for particular instances means old ones, too."""
        return "all" if self.prefix or self.parent else DEFAULT_WINDOW

    def pairs(self) -> list[tuple[str, str]]:
        """Return it as the address has it; what is as it is by default is left out."""
        texts = [(key, getattr(self, key)) for key in _TEXTS]
        window = [("since", self.since)] if self.since != self.default_window else []
        times = [("from", self.created_from), ("to", self.created_to)]
        return [
            *(("status", status.value) for status in self.statuses),
            *((key, text) for key, text in texts[:2] if text),
            *(("tag", f"{name}={value}") for name, value in self.tags),
            *((key, text) for key, text in texts[2:5] if text),
            *((key, one) for key, one in window if one),
            *((key, moment.isoformat()) for key, moment in times if moment is not None and not self.since),
            *((key, "1") for key, attribute in _FLAGS.items() if getattr(self, attribute)),
            *((key, text) for key, text in texts[5:] if text),
        ]

    def encoded(self) -> str:
        """Return it as a query string."""
        return urlencode(self.pairs())

    def address(self) -> str:
        """Return it as a link from one list to another: ``?…``."""
        return f"?{self.encoded()}"

    def filters(self) -> ListQuery:
        """Return it without the saved view that it began with, for comparisons and for saving."""
        return replace(self, view="", by="", problems=())

    def window(self, now: datetime, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
        """Return the earliest and the latest creation that it means."""
        if not self.since:
            return self.created_from, self.created_to
        if self.since == "today":
            return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0), None
        length = WINDOWS[self.since]
        return (None if length is None else now - length), None

    def frozen(self, now: datetime, zone: tzinfo) -> ListQuery:
        """Return it with times instead of a window that goes on: for what is confirmed now and done later."""
        start, end = self.window(now, zone)
        return replace(self, since="", created_from=start, created_to=end or now)

    def filter(self, now: datetime, zone: tzinfo) -> InstanceFilter:
        """Return it for the store."""
        start, end = self.window(now, zone)
        is_pattern = "*" in self.name or "?" in self.name
        return InstanceFilter(
            statuses=self.statuses,
            name=None if is_pattern else self.name or None,
            name_pattern=self.name if is_pattern else None,
            instance_id_prefix=self.prefix or None,
            custom_status=self.custom or None,
            tags=dict(self.tags),
            created_from=start,
            created_to=end,
            error_text=self.error or None,
            roots_only=not (self.has_subs or self.parent),
            stalled=self.is_stalled,
            waiting=self.is_waiting,
            parent_id=self.parent or None,
        )

    def toggled(self, status: RuntimeStatus) -> ListQuery:
        """Return it with a status added, or taken away where it is there."""
        chosen = {*self.statuses} ^ {status}
        return replace(self, statuses=tuple(one for one in RuntimeStatus if one in chosen))

    def wider(self) -> list[tuple[str, ListQuery]]:
        """Return longer windows, in words."""
        place = _GROWING.index(DEFAULT_WINDOW if self.since == "today" else self.since or "30d")
        names = _GROWING[place + 1 :]
        return [(WINDOW_WORDS[name], replace(self, since=name, created_from=None, created_to=None)) for name in names]


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter in words, and the list without it."""

    label: str
    value: str
    without: ListQuery

    def __str__(self) -> str:
        return f"{self.label}: {self.value}" if self.value else self.label


def read(given: Mapping[str, Sequence[str]], zone: tzinfo) -> ListQuery:
    """Read the filters from an address.

    Args:
        given: parameter → its values.
        zone: of times that name none.
    """
    problems: list[str] = []
    first = {key: values[0].strip() if values else "" for key, values in given.items()}
    texts = {key: _text(key, first.get(key, ""), problems) for key in _TEXTS}
    start = _time(first.get("from", ""), zone, problems)
    end = _time(first.get("to", ""), zone, problems)
    if start and end and start > end:
        problems.append("The window ended before it began; its ends were exchanged.")
        start, end = end, start
    since = first.get("since", "")
    if since not in WINDOWS:
        since = "" if start or end else ListQuery(prefix=texts["prefix"], parent=texts["parent"]).default_window
    return ListQuery(
        **texts,
        statuses=tuple(status for status in RuntimeStatus if status.value in given.get("status", ())),
        tags=_tags(given.get("tag", ()), problems),
        since=since,
        created_from=None if since else start,
        created_to=None if since else end,
        has_subs=bool(first.get("subs")),
        is_stalled=bool(first.get("stalled")),
        is_waiting=bool(first.get("waiting")),
        problems=tuple(problems),
    )


def narrowed(given: Mapping[str, Sequence[str]], condition: str, zone: tzinfo) -> ListQuery:
    """Return the filters of an address with one more: ``status=Failed``. A tag is added, others are replaced."""
    key, _, value = condition.partition("=")
    values = [*given.get("tag", ()), value] if key == "tag" else [value]
    return read({**given, key: values}, zone)


def chips(query: ListQuery, times: Mapping[str, str]) -> list[Chip]:
    """Return the filters in words, each with the list without it.

    Args:
        query: the filters.
        times: "from" and "to" of its own window as the reader's zone has them.
    """
    found: list[Chip] = []
    if query.statuses:
        words = " or ".join(status.value for status in query.statuses)
        found.append(Chip("Status", words, replace(query, statuses=())))
    found += [
        Chip(label, getattr(query, key), _without(query, key)) for key, label in _NAMED.items() if getattr(query, key)
    ]
    for tag in query.tags:
        found.append(Chip("Tag", "=".join(tag), replace(query, tags=tuple(one for one in query.tags if one != tag))))
    if query.parent:
        found.append(Chip("Sub-orchestrations of", query.parent, replace(query, parent="")))
    found += [Chip(label, "", _without(query, key)) for key, label in _ONLY.items() if getattr(query, key)]
    if query.since != "all":
        unbounded = replace(query, since="all", created_from=None, created_to=None)
        found.append(Chip("Created", window_words(query, times), unbounded))
    return found


def _without(query: ListQuery, key: str) -> ListQuery:
    changed: Any = {key: getattr(ListQuery(), key)}
    return replace(query, **changed)


def window_words(query: ListQuery, times: Mapping[str, str]) -> str:
    """Return the window in words, as "in the last 24 hours"."""
    if query.since:
        words = WINDOW_WORDS[query.since]
        return f"of {words}" if query.since in ("today", "all") else f"in {words}"
    if "from" not in times:
        return f"until {times.get('to', '')}"
    return f"from {times['from']} to {times['to']}" if "to" in times else f"since {times['from']}"


def window_times(query: ListQuery, zone: tzinfo, form: str = "%Y-%m-%d %H:%M %Z") -> dict[str, str]:
    """Return the ends of its own window, "from" and "to", as a zone has them."""
    ends = {"from": query.created_from, "to": query.created_to}
    return {key: moment.astimezone(zone).strftime(form) for key, moment in ends.items() if moment is not None}


def in_words(query: ListQuery, times: Mapping[str, str]) -> str:
    """Return all filters in one line, for a page that asks to be sure and for the audit."""
    parts = [str(chip) for chip in chips(query, times)]
    if not (query.has_subs or query.parent):
        parts.append("no sub-orchestrations")
    return "; ".join(parts) or "every instance"


def _text(key: str, text: str, problems: list[str]) -> str:
    if len(text) <= _LONGEST:
        return text
    problems.append(f"“{_NAMED.get(key, key)}” has more than {_LONGEST} characters, as nothing has; it was left out.")
    return ""


def _tags(given: Iterable[str], problems: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for text in filter(None, map(str.strip, given)):
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            problems.append(f"“{text[:80]}” is no tag: write name=value. It was left out.")
        elif len(found) < _MOST_TAGS:
            found[name.strip()[:_LONGEST]] = value.strip()[:_LONGEST]
    return tuple(found.items())


def _time(text: str, zone: tzinfo, problems: list[str]) -> datetime | None:
    if not text:
        return None
    try:
        # A plus in an address that was written by hand comes as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.year not in _YEARS:
            raise ValueError(moment.year)
    except ValueError:
        problems.append(f"“{text[:40]}” is no time; it was left out.")
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
