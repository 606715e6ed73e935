"""What a rewind would keep and what would run again, as two short lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from durable_host.core import events as ev
from durable_host.core.digest import Entry, EntryKind, Outcome, digest
from durable_host.core.failure import FailureDetails
from durable_host.core.rewind import plan_rewind

_SHOWN = 30
_WORDS = {
    EntryKind.ACTIVITY: "activity",
    EntryKind.TIMER: "timer",
    EntryKind.SUB_ORCHESTRATION: "sub-orchestration",
    EntryKind.EVENT_RECEIVED: "event",
    EntryKind.EVENT_SENT: "event to another instance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Calls in a row that are alike."""

    kind: str
    name: str
    count: int
    outcome: Outcome
    #: of the first
    at: datetime
    #: how the last one failed, where it did
    failure: FailureDetails | None
    #: of a single sub-orchestration
    instance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """One of the lists: the first lines, and how many calls there are in all."""

    lines: tuple[Line, ...]
    calls: int
    #: lines that are not shown
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RewindPreview:
    """What would become of a failed history."""

    failure: FailureDetails | None
    kept: Lines
    again: Lines
    #: asked for after the cut: the code decides anew whether it wants them
    forgotten: Lines

    @property
    def repeats_code_only(self) -> bool:
        """Whether no call failed: the same code gets the same results, and may well fail in the same way."""
        return self.again.calls == 0


def rewind_preview(history: Sequence[ev.HistoryEvent]) -> RewindPreview:
    """Return what a rewind of this history would do; it is planned by the same function that rewinds."""
    plan = plan_rewind(history)
    kept_ids = {event.event_id for event in plan.kept}
    owed = {event.event_id for event in plan.owed}
    everything = [entry for entry in digest(history).entries if entry.event_id >= 0]
    stays = [one for one in digest((*plan.kept, *plan.redelivered)).entries if one.event_id not in owed]
    return RewindPreview(
        failure=next((event.failure_details for event in history if isinstance(event, ev.ExecutionCompleted)), None),
        kept=_lines(one for one in stays if one.kind is not EntryKind.ORCHESTRATION),
        again=_lines(one for one in everything if one.event_id in owed),
        forgotten=_lines(one for one in everything if one.event_id not in kept_ids),
    )


def _lines(entries: Iterable[Entry]) -> Lines:
    found = [_line(list(alike)) for _, alike in groupby(entries, key=lambda one: (one.kind, one.name, one.outcome))]
    return Lines(lines=tuple(found[:_SHOWN]), calls=sum(line.count for line in found), more=max(0, len(found) - _SHOWN))


def _line(alike: list[Entry]) -> Line:
    first = alike[0]
    return Line(
        kind=_WORDS[first.kind],
        name=first.name,
        count=len(alike),
        outcome=first.outcome,
        at=first.started_at,
        failure=alike[-1].failure,
        instance_id=first.instance_id if len(alike) == 1 else None,
    )
