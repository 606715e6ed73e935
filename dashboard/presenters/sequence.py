"""The sequence diagram of an execution: who sends what to whom, in the order of history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from durable_host.core.digest import Outcome

from .acts import Act, ActKind, Story
from .words import duration

#: activities and sub-orchestrations with a lifeline of their own
MOST_LIFELINES = 12
#: arrows that are drawn
MOST_ARROWS = 400
#: so many alike in a row become one arrow
_ALIKE = 4
OUTSIDE, ORCHESTRATOR, OTHERS = "outside", "orchestrator", "others"


class ArrowKind(StrEnum):
    """What an arrow means; also its CSS class."""

    CALL = "call"
    RESULT = "result"
    FAILURE = "failure"
    EVENT = "event"
    #: something that the orchestrator does by itself: a timer, a wait
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """A column."""

    key: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line from one column to another; a note stays in its column."""

    at: datetime
    source: int
    target: int
    kind: ArrowKind
    label: str
    #: of a sub-orchestration
    instance_id: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Diagram:
    """A diagram, ready to be drawn."""

    lifelines: tuple[Lifeline, ...]
    arrows: tuple[Arrow, ...]
    #: arrows that are not in it
    hidden: int


@dataclass(frozen=True, slots=True)
class _Message:
    at: datetime
    sequence: int
    source: str
    target: str
    kind: ArrowKind
    label: str
    instance_id: str = ""
    took: timedelta | None = None


def sequence(story: Story, name: str) -> Diagram:
    """Return the diagram of an execution.

    Args:
        story: its acts.
        name: of the orchestrator.
    """
    partners = _partners(story.acts)
    messages = sorted(_messages(story.acts, partners), key=lambda one: one.sequence)
    folded = list(_folded(messages))
    used = {key for one in folded for key in (one[0].source, one[0].target)} | {ORCHESTRATOR}
    lines = [
        Lifeline(OUTSIDE, "Outside", "outside"),
        Lifeline(ORCHESTRATOR, name, "orchestrator"),
        *partners.values(),
        Lifeline(OTHERS, "Other functions", "activity"),
    ]
    shown = tuple({line.key: line for line in lines if line.key in used}.values())
    places = {line.key: place for place, line in enumerate(shown)}
    arrows = tuple(_arrow(alike, places) for alike in folded[:MOST_ARROWS])
    return Diagram(shown, arrows, max(0, len(folded) - MOST_ARROWS))


def _partners(acts: Iterable[Act]) -> dict[str, Lifeline]:
    """Return the columns of what is called, in the order of the first calls."""
    found: dict[str, Lifeline] = {}
    for act in acts:
        if act.kind in (ActKind.ACTIVITY, ActKind.SUB_ORCHESTRATION):
            key = f"{act.kind}:{act.name}"
            if len(found) < MOST_LIFELINES or key in found:
                found.setdefault(key, Lifeline(key, act.name, act.kind.value))
    return found


def _messages(acts: Iterable[Act], partners: dict[str, Lifeline]) -> Iterable[_Message]:
    for act in acts:
        if act.attempts:
            yield from _call_messages(act, partners)
        elif act.kind in _OTHER:
            yield from _OTHER[act.kind](act)


def _call_messages(act: Act, partners: dict[str, Lifeline]) -> Iterable[_Message]:
    key = f"{act.kind}:{act.name}"
    partner = key if key in partners else OTHERS
    known = act.instance_id or ""
    for number, one in enumerate(act.attempts, 1):
        label = act.name if number == 1 else f"{act.name}, attempt {number}"
        yield _Message(one.scheduled_at, one.sequence, ORCHESTRATOR, partner, ArrowKind.CALL, label, known)
        if one.ended_at is not None and one.end_sequence is not None:
            kind = ArrowKind.FAILURE if one.failure else ArrowKind.RESULT
            said = one.failure.error_type if one.failure else "result"
            yield _Message(one.ended_at, one.end_sequence, partner, ORCHESTRATOR, kind, said, took=one.ran)
    for pause in act.pauses:
        said = f"pause {duration(pause.until - pause.since)}, then attempt {pause.attempt} of {pause.limit}"
        yield _Message(pause.since, pause.sequence, ORCHESTRATOR, ORCHESTRATOR, ArrowKind.NOTE, said)


def _lifecycle(act: Act) -> Iterable[_Message]:
    if act.outcome is Outcome.STARTED:
        yield _Message(act.started_at, act.sequence, OUTSIDE, ORCHESTRATOR, ArrowKind.EVENT, "start")
    elif act.outcome in (Outcome.RESUMED, Outcome.REWOUND, Outcome.TERMINATE_ASKED):
        said = {Outcome.RESUMED: "resume", Outcome.REWOUND: "rewind"}.get(act.outcome, "terminate")
        yield _Message(act.started_at, act.sequence, OUTSIDE, ORCHESTRATOR, ArrowKind.EVENT, said)
    else:
        kind = ArrowKind.FAILURE if act.failure else ArrowKind.RESULT
        said = act.failure.error_type if act.failure else act.outcome.value
        yield _Message(act.started_at, act.sequence, ORCHESTRATOR, OUTSIDE, kind, said)


def _timer(act: Act) -> Iterable[_Message]:
    length = f" of {duration(act.fire_at - act.started_at)}" if act.fire_at else ""
    yield _Message(act.started_at, act.sequence, ORCHESTRATOR, ORCHESTRATOR, ArrowKind.NOTE, f"timer{length}")
    if act.outcome is Outcome.FIRED and act.ended_at and act.end_sequence is not None:
        yield _Message(act.ended_at, act.end_sequence, ORCHESTRATOR, ORCHESTRATOR, ArrowKind.NOTE, "timer fires")


def _wait(act: Act) -> Iterable[_Message]:
    said = f"waits for {act.name}"
    yield _Message(act.started_at, act.sequence, ORCHESTRATOR, ORCHESTRATOR, ArrowKind.NOTE, said)
    if act.ended_at and act.end_sequence is not None:
        yield _Message(act.ended_at, act.end_sequence, OUTSIDE, ORCHESTRATOR, ArrowKind.EVENT, act.name)


def _event(act: Act) -> Iterable[_Message]:
    yield _Message(act.started_at, act.sequence, OUTSIDE, ORCHESTRATOR, ArrowKind.EVENT, act.name)


def _sent(act: Act) -> Iterable[_Message]:
    known = act.instance_id or ""
    yield _Message(act.started_at, act.sequence, ORCHESTRATOR, OUTSIDE, ArrowKind.EVENT, act.name, known)


def _suspension(act: Act) -> Iterable[_Message]:
    yield _Message(act.started_at, act.sequence, OUTSIDE, ORCHESTRATOR, ArrowKind.EVENT, "suspend")


_OTHER = {
    ActKind.LIFECYCLE: _lifecycle,
    ActKind.TIMER: _timer,
    ActKind.WAIT: _wait,
    ActKind.EVENT: _event,
    ActKind.SENT: _sent,
    ActKind.SUSPENSION: _suspension,
}


def _folded(messages: Sequence[_Message]) -> Iterable[list[_Message]]:
    """Bring together what is alike and follows each other, where it is much."""
    for _, run in groupby(messages, key=lambda one: (one.source, one.target, one.kind, one.label)):
        alike = list(run)
        if len(alike) < _ALIKE:
            yield from ([one] for one in alike)
        else:
            yield alike


def _arrow(alike: list[_Message], places: dict[str, int]) -> Arrow:
    first = alike[0]
    label = first.label
    if len(alike) > 1:
        label = f"{len(alike):,} x {label}"
    elif first.took is not None:
        label = f"{label} after {duration(first.took)}"
    return Arrow(
        first.at, places[first.source], places[first.target], first.kind, label,
        first.instance_id if len(alike) == 1 else "", len(alike),
    )  # fmt: skip


# --- as text --------------------------------------------------------------------------------------------------------

_MERMAID = {
    ArrowKind.CALL: "->>",
    ArrowKind.RESULT: "-->>",
    ArrowKind.FAILURE: "--x",
    ArrowKind.EVENT: "-)",
}
#: what ends or changes a statement of Mermaid's language
_SPECIAL = {ord(sign): f"#{ord(sign)};" for sign in "#;<>&\"'`%{}[]()\\"} | {ord("\n"): " ", ord("\r"): " "}


def mermaid(diagram: Diagram) -> str:
    """Return the diagram in the language of Mermaid."""
    lines = ["sequenceDiagram"]
    for place, line in enumerate(diagram.lifelines):
        kind = "actor" if line.kind == "outside" else "participant"
        lines.append(f"    {kind} p{place} as {_safe(line.label)}")
    for one in diagram.arrows:
        if one.kind is ArrowKind.NOTE:
            lines.append(f"    Note over p{one.source}: {_safe(one.label)}")
        else:
            lines.append(f"    p{one.source}{_MERMAID[one.kind]}p{one.target}: {_safe(one.label)}")
    if diagram.hidden:
        lines.append(f"    %% {diagram.hidden:,} more are left out")
    return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    return text.translate(_SPECIAL)
