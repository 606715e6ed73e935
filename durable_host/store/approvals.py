"""What instances ask of people: the open questions, the decisions that were made, and the making of one.

A decision is the external event that the instance waits for. It is made only while the question is still open, in the
transaction that also writes its audit record. Between a decision and the turn that takes it, the question is still in
the table, but its answer is in the inbox: so a second decision finds that one there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from pydantic_core import from_json

from durable_host.core.access import Operation
from durable_host.core.events import EventRaised, ExecutionSuspended
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import AuditRecord, EventWait, HistoryEvent, Instance, PendingEvent

from . import audit, clock
from .cursors import Beyond, as_key, decode, decode_key, encode, encode_key
from .filters import AnyOf, named
from .limits import time_limited
from .listing import CappedCount, capped
from .operations import wake_for
from .rows import inbox_row, send
from .shapes import Wake

_RAISED = EventRaised.__name__


class WaitScope(StrEnum):
    """Whose questions are meant."""

    #: those that name the person
    MINE = "mine"
    #: those that name one of the person's groups
    MY_GROUPS = "groups"
    #: both, and those that name nobody
    OPEN_TO_ME = "open"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWait:
    """A question that waits for its answer."""

    instance_id: str
    orchestrator: str
    instance_status: RuntimeStatus
    event_name: str
    title: str
    description: str
    #: users or groups who are asked; empty for everybody with the right
    assignees: tuple[str, ...]
    due: datetime | None
    since: datetime
    #: JSON schema of the answer; None for any
    schema: Any
    #: an answer has come that the code has not taken; the lists leave such questions out
    is_answered: bool = False

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether the answer was needed before this time."""
        return self.due is not None and self.due < now

    @property
    def key(self) -> str:
        """Names this very question: the next one under the same event name has another."""
        asked = (self.since, self.title, self.description, self.assignees, self.due, self.schema)
        return blake2b(repr(asked).encode(errors="surrogatepass"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class WaitPage:
    """A part of the open questions."""

    waits: tuple[OpenWait, ...]
    #: hand it to the next call; None at the end
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFilter:
    """Which questions are meant."""

    scope: WaitScope = WaitScope.ALL
    #: needed for every scope but all
    person: Person = field(default_factory=lambda: Person(""))
    orchestrator: str | None = None
    instance_id: str | None = None
    overdue_only: bool = False


def open_waits(hub: str, filter_: WaitFilter, *, page_size: int = 50, cursor: str | None = None) -> WaitPage:
    """Return a part of the open questions, most urgent first: those with a due time by it, then the rest by age.

    Raises:
        BadRequestError: the cursor is not one that a former page gave.
        TooSlowError: the database needs too long.
    """
    has_due, after = _position(cursor)
    rows = _meant(hub, filter_).select_related("instance")
    found: list[EventWait] = []
    with time_limited():
        if has_due:
            timed = rows.filter(due__isnull=False)
            timed = timed if after is None else timed.filter(Beyond("due", after, newest_first=False))
            found += timed.order_by("due", "pk")[: page_size + 1]
            after = None
        if len(found) <= page_size:
            others = rows.filter(due__isnull=True)
            others = others if after is None else others.filter(Beyond("since", after, newest_first=False))
            found += others.order_by("since", "pk")[: page_size + 1 - len(found)]
    shown = found[:page_size]
    return WaitPage(tuple(map(_open_wait, shown)), _cursor(shown[-1]) if len(found) > page_size else None)


def count_open_waits(hub: str, filter_: WaitFilter) -> CappedCount:
    """Count open questions; raises TooSlowError as :func:`open_waits`."""
    with time_limited():
        return capped(_meant(hub, filter_))


def get_wait(hub: str, instance_id: str, event_name: str) -> OpenWait | None:
    """Return one open question, or None where the instance asks nothing of this name."""
    rows = EventWait.objects.filter(instance__in=named(hub, instance_id), name_key=event_name.casefold())
    row = rows.select_related("instance").first()
    return None if row is None else replace(_open_wait(row), is_answered=rows.filter(_is_answered()).exists())


def _meant(hub: str, filter_: WaitFilter) -> QuerySet[EventWait]:
    rows = EventWait.objects.filter(instance__hub=hub).exclude(_is_answered())
    if filter_.orchestrator:
        rows = rows.filter(instance__name=filter_.orchestrator)
    if filter_.instance_id:
        rows = rows.filter(instance__in=named(hub, filter_.instance_id))
    if filter_.overdue_only:
        rows = rows.filter(due__lt=clock.now())
    person = filter_.person
    match filter_.scope:
        case WaitScope.ALL:
            return rows
        case WaitScope.MINE:
            return rows.filter(AnyOf("assignees", [person.name]))
        case WaitScope.MY_GROUPS:
            return rows.filter(AnyOf("assignees", sorted(person.groups)))
        case WaitScope.OPEN_TO_ME:
            names = [person.name, *sorted(person.groups)]
            return rows.filter(Q(assignees=[]) | Q(AnyOf("assignees", names)))


def _is_answered() -> Q:
    """Return the condition that an answer has come which the code has not taken: no turn yet, or it is suspended."""
    raised = {"event_type": _RAISED, "instance": OuterRef("instance_id"), "key": Lower(OuterRef("name"))}
    inbox = PendingEvent.objects.annotate(key=Lower("name")).filter(**raised)
    history = HistoryEvent.objects.annotate(key=Lower("name")).filter(**raised, timestamp__gte=OuterRef("since"))
    return Q(Exists(inbox)) | Q(Exists(history), instance__status=RuntimeStatus.SUSPENDED)


def _open_wait(row: EventWait) -> OpenWait:
    return OpenWait(
        instance_id=row.instance.instance_id,
        orchestrator=row.instance.name,
        instance_status=RuntimeStatus(row.instance.status),
        event_name=row.name,
        title=row.title,
        description=row.description,
        assignees=tuple(row.assignees),
        due=row.due,
        since=row.since,
        schema=None if row.schema is None else from_json(row.schema),
    )


def _cursor(row: EventWait) -> str:
    return encode(row.due is not None, row.since if row.due is None else row.due, row.pk)


def _position(cursor: str | None) -> tuple[bool, tuple[datetime, int] | None]:
    """Return whether questions with a due time are still to come, and after which key."""
    if cursor is None:
        return True, None
    parts: Sequence[Any] = decode(cursor)
    return bool(parts[:1] and parts[0]), as_key(parts[1:])


# --- what was decided -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision that was made."""

    instance_id: str
    orchestrator: str
    event_name: str
    #: title of the question; empty where it had none
    title: str
    answer: Any
    comment: str
    by: str
    by_kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DecidedPage:
    """A part of the decisions."""

    items: tuple[Decided, ...]
    cursor: str | None


def decided_waits(
    hub: str,
    *,
    since: datetime,
    by: str | None = None,
    instance_id: str | None = None,
    page_size: int = 50,
    cursor: str | None = None,
) -> DecidedPage:
    """Return decisions that people made since a time, newest first; of one person or instance where it is named.

    Raises:
        BadRequestError: the cursor is not one that a former page gave.
        TooSlowError: the database needs too long.
    """
    rows = AuditRecord.objects.filter(hub=hub, at__gte=since, outcome=audit.Outcome.DONE).exclude(event_name="")
    if by is not None:
        rows = rows.filter(actor=by)
    if instance_id is not None:
        rows = rows.filter(instance_id=instance_id)
    if cursor is not None:
        rows = rows.filter(Beyond("at", decode_key(cursor), newest_first=True))
    with time_limited():
        found = list(rows.order_by("-at", "-pk")[: page_size + 1])
    shown = found[:page_size]
    more = encode_key((shown[-1].at, shown[-1].pk)) if len(found) > page_size else None
    return DecidedPage(tuple(map(_decided, shown)), more)


def _decided(row: AuditRecord) -> Decided:
    return Decided(
        instance_id=row.instance_id,
        orchestrator=row.target,
        event_name=row.event_name,
        title=row.question,
        answer=from_json(row.answer) if row.answer else None,
        comment=row.detail,
        by=row.actor,
        by_kind=row.actor_kind,
        at=row.at,
    )


# --- deciding -------------------------------------------------------------------------------------------------------


class VerdictKind(StrEnum):
    """What came of a decision."""

    DECIDED = "decided"
    #: somebody was faster
    ALREADY_DECIDED = "already decided"
    #: the time of the question was over
    TIMED_OUT = "timed out"
    #: the instance has finished
    ENDED = "ended"
    #: the instance does not ask this (any more)
    NOT_OPEN = "not open"
    NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a decision, for the person who made it."""

    kind: VerdictKind
    message: str
    #: who decided before, where somebody did
    by: str = ""
    #: when that was, or when the time was over, or the end
    at: datetime | None = None

    @property
    def is_decided(self) -> bool:
        """Whether this decision counts."""
        return self.kind is VerdictKind.DECIDED


def decide(
    asked: audit.Asked, event_name: str, payload: str | None, comment: str = "", *, question: str | None = None
) -> tuple[Verdict, Wake]:
    """Answer a question if it is still open, and record it; otherwise change nothing and say what has happened.

    Args:
        asked: who decides, about which instance. Whether the person may is the caller's to check.
        event_name: the question.
        payload: the answer as JSON text.
        comment: kept in the audit.
        question: key of the very question that is answered, see :class:`OpenWait`; by default whichever is open.
    """
    with transaction.atomic():
        rows = named(asked.hub, asked.instance_id)
        # Whatever closes a question holds this lock, so what we see stays true until our commit.
        row = rows.select_for_update(no_key=connection.features.has_select_for_no_key_update).first()
        refusal = _refusal(row, asked, event_name, question)
        if refusal is not None or row is None:
            return refusal or _not_found(asked), Wake()
        wait = EventWait.objects.get(instance=row, name_key=event_name.casefold())
        raised = EventRaised(timestamp=clock.now(), name=wait.name, input=payload)
        send([inbox_row(row.pk, raised)])
        noted = replace(asked, operation=Operation.RAISE_EVENT, target=row.name, detail=comment)
        audit.record(noted, audit.Outcome.DONE, event_name=wait.name, question=wait.title, answer=payload or "null")
        verdict = Verdict(VerdictKind.DECIDED, "Your decision is recorded.", asked.actor, raised.timestamp)
        return verdict, wake_for(row)


def _refusal(row: Instance | None, asked: audit.Asked, event_name: str, question: str | None) -> Verdict | None:
    """Return why a question cannot be answered now; None where it can."""
    if row is None:
        return _not_found(asked)
    decided = _latest_decision(asked, event_name)
    if _has_answer_on_its_way(row, event_name):
        return decided or Verdict(VerdictKind.ALREADY_DECIDED, "An answer has come already; nothing was changed.")
    if row.status in FINISHED:
        if decided is not None:
            return decided
        message = f"The instance is {row.status} since {_text(row.completed_at)}; nothing was changed."
        return Verdict(VerdictKind.ENDED, message, at=row.completed_at)
    wait = EventWait.objects.filter(instance=row, name_key=event_name.casefold()).first()
    if wait is None:
        message = f"The instance does not wait for {event_name!r} any more; nothing was changed."
        return decided or Verdict(VerdictKind.NOT_OPEN, message)
    if question is not None and question != _open_wait(wait).key:
        message = "This question is over, another has taken its place; nothing was changed."
        return Verdict(VerdictKind.NOT_OPEN, message)
    return _lateness(row, wait)


def _has_answer_on_its_way(row: Instance, event_name: str) -> bool:
    """Tell whether an answer has come, from whomever, that the code has not taken: no turn yet, or it is suspended."""
    names = set(PendingEvent.objects.filter(instance=row, event_type=_RAISED).values_list("name", flat=True))
    if row.status == RuntimeStatus.SUSPENDED:
        history = HistoryEvent.objects.filter(instance=row, generation=row.generation)
        pause = history.filter(event_type=ExecutionSuspended.__name__).aggregate(at=Max("sequence"))["at"]
        names.update(history.filter(event_type=_RAISED, sequence__gt=pause).values_list("name", flat=True))
    return any(name is not None and name.casefold() == event_name.casefold() for name in names)


def _lateness(row: Instance, wait: EventWait) -> Verdict | None:
    """Return the verdict on a question whose timer comes before any answer that is given now."""
    if wait.due is None or wait.due > clock.now():
        return None
    fired = PendingEvent.objects.filter(instance=row, event_type="TimerFired", visible_at=wait.due).exists()
    if not fired and row.status == RuntimeStatus.SUSPENDED:  # it has been delivered, and waits for the end of the pause
        history = HistoryEvent.objects.filter(instance=row, generation=row.generation, event_type="TimerFired")
        fired = history.filter(timestamp=wait.due).exists()
    if not fired:
        return None  # overdue, but not given up
    return Verdict(VerdictKind.TIMED_OUT, f"Its time was over at {_text(wait.due)}; nothing was changed.", at=wait.due)


def _latest_decision(asked: audit.Asked, event_name: str) -> Verdict | None:
    rows = AuditRecord.objects.filter(hub=asked.hub, instance_id=asked.instance_id, outcome=audit.Outcome.DONE)
    rows = rows.filter(operation=Operation.RAISE_EVENT).order_by("-at", "-pk")
    for row in rows[:50]:
        if (row.event_name or row.detail.partition(";")[0]).casefold() == event_name.casefold():
            message = f"{row.actor or row.actor_kind} has answered already, at {_text(row.at)}; nothing was changed."
            return Verdict(VerdictKind.ALREADY_DECIDED, message, row.actor, row.at)
    return None


def _not_found(asked: audit.Asked) -> Verdict:
    return Verdict(VerdictKind.NOT_FOUND, f"There is no instance {asked.instance_id!r}; nothing was changed.")


def _text(when: datetime | None) -> str:
    return "an unknown time" if when is None else f"{when:%d %b %Y %H:%M:%S} UTC"
