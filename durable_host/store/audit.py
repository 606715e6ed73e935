"""The audit: who asked for which change, and what came of it. The only writer of AuditRecord."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypedDict, TypeVar

from django.db import IntegrityError, transaction

from durable_host.core.access import Operation
from durable_host.core.errors import DurableError
from durable_host.core.failure import storable_text
from durable_host.models import AuditRecord

from . import clock
from .shapes import NewInstance

T = TypeVar("T")
Outcome = AuditRecord.Outcome

_NAME = 256
_ADDRESS = 64
_DETAIL = 2_000
#: longer answers are in the history alone: half of a JSON text is none
_ANSWER = 10_000


class About(TypedDict, total=False):
    """What a request for a change is about."""

    #: the orchestrator
    target: str
    instance_id: str
    #: what the record shall say besides: the name of an event, a reason
    detail: str
    #: names this very request, if it must count once however often it is sent
    request_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks for; see :class:`About`."""

    hub: str
    actor_kind: str
    actor: str
    address: str
    operation: Operation
    target: str = ""
    instance_id: str = ""
    detail: str = ""
    request_key: str = ""


class AlreadyDoneError(DurableError):
    """The same request was done before: nothing was changed by this one."""

    def __init__(self, instance_id: str, at: datetime) -> None:
        super().__init__("This was done already; it was sent twice.")
        self.instance_id = instance_id
        self.at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One record, for reading."""

    asked: Asked
    at: datetime
    outcome: str


@dataclass(frozen=True, slots=True)
class Deed:
    """A change that somebody was allowed to make."""

    asked: Asked

    def commit(self, act: Callable[..., T], *args: Any, **options: Any) -> T:
        """Make the change and record it, in one transaction."""
        return perform(self.asked, lambda: act(*args, **options))

    def commit_start(self, start: Callable[[NewInstance], str], new: NewInstance) -> str:
        """As :meth:`commit`, for a start: the record names the new instance, beside the one that it repeats."""
        return perform(self.asked, lambda: start(new), note=_note_started)

    def commit_apart(self, act: Callable[..., T], *args: Any) -> T:
        """Make a change that has transactions of its own, then record it."""
        result = act(*args)
        record(self.asked, Outcome.DONE, f"{result} instances")
        return result


def _note_started(asked: Asked, started_id: str) -> Asked:
    if asked.operation is Operation.RESTART:
        return replace(asked, detail=f"as {started_id}")
    return replace(asked, instance_id=started_id)


def perform(asked: Asked, act: Callable[[], T], *, note: Callable[[Asked, T], Asked] | None = None) -> T:
    """Do what was asked and record it, in one transaction: neither is true without the other.

    Args:
        asked: who asks for what.
        act: does it; whatever it raises undoes both.
        note: adds to the record what only the result tells.

    Raises:
        AlreadyDoneError: a request of the same key was done before, or is faster now.
    """
    with once(asked):
        result = act()
        record(asked if note is None else note(asked, result), Outcome.DONE)
        return result


@contextmanager
def once(asked: Asked) -> Iterator[None]:
    """A transaction that records what was asked; one that repeats a request of the same key is undone.

    Raises:
        AlreadyDoneError: as :func:`perform`.
    """
    _refuse_repetition(asked)
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        _refuse_repetition(asked)
        raise


def _refuse_repetition(asked: Asked) -> None:
    if not asked.request_key:
        return
    done = AuditRecord.objects.filter(hub=asked.hub, request_key=asked.request_key).first()
    if done is not None:
        raise AlreadyDoneError(done.instance_id, done.at)


def record(
    asked: Asked, outcome: Outcome, reason: str = "", *, event_name: str = "", question: str = "", answer: str = ""
) -> None:
    """Record what came of a request; of a decision also what was asked, its title, and the answer as JSON text."""
    AuditRecord.objects.create(
        hub=asked.hub,
        at=clock.now(),
        actor_kind=asked.actor_kind,
        actor=storable_text(asked.actor, _NAME)[:_NAME],
        address=asked.address[:_ADDRESS],
        operation=asked.operation,
        target=storable_text(asked.target, _NAME)[:_NAME],
        instance_id=storable_text(asked.instance_id, _NAME)[:_NAME],
        outcome=outcome,
        detail=storable_text("; ".join(filter(None, (asked.detail, reason))), _DETAIL),
        event_name=event_name,
        question=storable_text(question, _DETAIL),
        answer=answer if len(answer) <= _ANSWER else "",
        request_key=(asked.request_key or None) if outcome is Outcome.DONE else None,
    )


def latest(hub: str, *, instance_id: str | None = None, limit: int = 100) -> Sequence[Audited]:
    """Return the newest records, of one instance where it is named."""
    rows = AuditRecord.objects.filter(hub=hub)
    if instance_id is not None:
        rows = rows.filter(instance_id=instance_id)
    return [as_audited(row) for row in rows.order_by("-at", "-pk")[:limit]]


def as_audited(row: AuditRecord) -> Audited:
    """Return a record for reading."""
    asked = Asked(
        hub=row.hub,
        actor_kind=row.actor_kind,
        actor=row.actor,
        address=row.address,
        operation=Operation(row.operation),
        target=row.target,
        instance_id=row.instance_id,
        detail=row.detail,
    )
    return Audited(asked=asked, at=row.at, outcome=row.outcome)
