"""What can be done to one instance: the table of actions, and which of them somebody is offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from durable_host.core.access import Operation, Permission, permission_for
from durable_host.core.status import LEGAL_IN, UNFINISHED, RuntimeStatus
from durable_host.store.effects import OpenWork, Remains
from durable_host.store.listing import CappedCount


class Verb(StrEnum):
    """The word of an action in its address."""

    RAISE_EVENT = "raise-event"
    SUSPEND = "suspend"
    RESUME = "resume"
    TERMINATE = "terminate"
    REWIND = "rewind"
    #: has a stalled or parked one tried again
    RELEASE = "release"
    RESTART = "restart"
    #: begins another with the input of this one, which can be edited before
    RESTART_EDITED = "restart-edited"
    PURGE = "purge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that can be done to an instance."""

    verb: Verb
    operation: Operation
    label: str
    icon: str
    #: statuses in which it is legal
    legal_in: frozenset[RuntimeStatus]
    #: it is legal only where the instance is stalled
    needs_stall: bool = False
    #: it ends or removes something: its button is red
    is_dangerous: bool = False

    @property
    def permission(self) -> Permission:
        """What somebody needs for it."""
        return permission_for(self.operation)

    def is_legal(self, status: str, *, is_stalled: bool = False) -> bool:
        """Tell whether it can be done to an instance of this status."""
        return status in self.legal_in and (is_stalled or not self.needs_stall)


class Holder(Protocol):
    """Whoever holds permissions: a user of Django."""

    def has_perm(self, perm: str) -> bool:
        """Tell whether it holds one."""


#: verb → action, in the order in which they are offered
ACTIONS: dict[Verb, Action] = {
    action.verb: action
    for action in (
        Action(
            verb=Verb.RAISE_EVENT,
            operation=Operation.RAISE_EVENT,
            label="Raise event",
            icon="bolt",
            legal_in=LEGAL_IN["raise an event to"],
        ),
        Action(
            verb=Verb.RELEASE,
            operation=Operation.RELEASE,
            label="Try again",
            icon="refresh",
            legal_in=UNFINISHED,
            needs_stall=True,
        ),
        Action(
            verb=Verb.SUSPEND,
            operation=Operation.SUSPEND,
            label="Suspend",
            icon="pause",
            legal_in=LEGAL_IN["suspend"],
        ),
        Action(
            verb=Verb.RESUME,
            operation=Operation.RESUME,
            label="Resume",
            icon="play",
            legal_in=LEGAL_IN["resume"],
        ),
        Action(
            verb=Verb.REWIND,
            operation=Operation.REWIND,
            label="Rewind",
            icon="rewind",
            legal_in=LEGAL_IN["rewind"],
        ),
        Action(
            verb=Verb.RESTART,
            operation=Operation.RESTART,
            label="Restart",
            icon="refresh",
            legal_in=LEGAL_IN["restart"],
        ),
        Action(
            verb=Verb.RESTART_EDITED,
            operation=Operation.START,
            label="Start another like this",
            icon="edit",
            legal_in=frozenset(RuntimeStatus),
        ),
        Action(
            verb=Verb.TERMINATE,
            operation=Operation.TERMINATE,
            label="Terminate",
            icon="stop",
            legal_in=LEGAL_IN["terminate"],
            is_dangerous=True,
        ),
        Action(
            verb=Verb.PURGE,
            operation=Operation.PURGE,
            label="Purge",
            icon="trash",
            legal_in=LEGAL_IN["purge"],
            is_dangerous=True,
        ),
    )
}


def offered(status: str, user: Holder, *, is_stalled: bool = False) -> tuple[Action, ...]:
    """Return what can be done to an instance of this status by this user, in the order to show it."""
    legal = (one for one in ACTIONS.values() if one.is_legal(status, is_stalled=is_stalled))
    return tuple(one for one in legal if user.has_perm(one.permission.value))


# --- what an action would do -----------------------------------------------------------------------------------------


def effects(verb: Verb, work: OpenWork | None, rest: Remains | None) -> tuple[str, ...]:
    """Return what an action would do now, a sentence each.

    Args:
        verb: the action.
        work: what the instance has begun, where it has not finished.
        rest: what it has left behind, where it has.
    """
    if verb is Verb.PURGE and rest is not None:
        return _purge(rest)
    if work is None:
        return _OF_FINISHED.get(verb, ())
    return _OF_OPEN.get(verb, _nothing)(work)


_OF_FINISHED: dict[Verb, tuple[str, ...]] = {
    Verb.REWIND: (
        "It goes back to just before its failure and on from there, under its own id.",
        "Failed sub-orchestrations that it waits for are rewound with it.",
        "The history of the failed execution stays readable.",
    ),
    Verb.RESTART: (
        "The same orchestrator starts from its beginning, with the same input, version and tags.",
        "Nothing that this instance has done is undone or reused: every activity runs again.",
    ),
}


def _nothing(work: OpenWork) -> tuple[str, ...]:
    return ()


def _suspend(work: OpenWork) -> tuple[str, ...]:
    return _said(
        "Its code does not go on until somebody resumes it.",
        _count(
            work.running,
            "The activity that runs now goes on to its end; its result is kept.",
            "{} activities that run now go on to their end; their results are kept.",
        ),
        _count(
            work.waiting,
            "The activity that waits for a worker still runs; its result is kept.",
            "{} activities that wait for a worker still run; their results are kept.",
        ),
        _count(
            work.timers,
            "Its timer may come due meanwhile; the code learns of it when it is resumed.",
            "{} timers may come due meanwhile; the code learns of them when it is resumed.",
        ),
        _listening(work, "Answers to {} are accepted and kept until then."),
        _count(
            work.sub_orchestrations,
            "Its sub-orchestration goes on: it is not suspended.",
            "Its {} sub-orchestrations go on: they are not suspended.",
        ),
    )


def _release(work: OpenWork) -> tuple[str, ...]:
    return (
        "A worker tries its next turn now. If a turn of it has ended a process, it is tried in a process of its own.",
        "Nothing changes in its history. If it cannot go on this time either, it is set aside again.",
    )


def _resume(work: OpenWork) -> tuple[str, ...]:
    return _said(
        "Its code goes on where it was.",
        _count(
            work.messages,
            "One message came meanwhile; it is taken now.",
            "{} messages came meanwhile; they are taken now, in the order in which they came.",
        ),
        _listening(work, "It listens for {}."),
    )


def _terminate(work: OpenWork) -> tuple[str, ...]:
    return _said(
        "It ends as Terminated. Its code does not run again, not even to clean up.",
        _count(
            work.running,
            "The activity that runs now goes on to its end, but its result is ignored.",
            "{} activities that run now go on to their end, but their results are ignored.",
        ),
        _count(
            work.waiting,
            "The activity that waits for a worker will not run.",
            "{} activities that wait for a worker will not run.",
        ),
        _count(work.timers, "Its timer is dropped.", "Its {} timers are dropped."),
        _listening(work, "Nobody can answer {} any more."),
        _count(
            work.sub_orchestrations,
            "Its sub-orchestration that has not finished ends with it.",
            "{} sub-orchestrations that have not finished end with it.",
        ),
        "What its activities have done stays done.",
    )


def _purge(rest: Remains) -> tuple[str, ...]:
    return _said(
        "The instance is removed with its input, output and custom status. It cannot be brought back.",
        _count(
            rest.history_events, "The one event of its history is removed.", "{} events of its history are removed."
        ),
        _count(
            rest.sub_orchestrations,
            "Its finished sub-orchestration is removed with it.",
            "{} finished sub-orchestrations are removed with it.",
        ),
        _count(
            rest.unfinished,
            "One sub-orchestration has not finished; it stays.",
            "{} sub-orchestrations have not finished; they stay.",
        ),
        "The audit keeps who did what to it, this purge included.",
    )


def _said(*sentences: str) -> tuple[str, ...]:
    return tuple(filter(None, sentences))


def _count(count: CappedCount, one: str, many: str) -> str:
    if count.value == 0:
        return ""
    return one if count.value == 1 and not count.is_capped else many.format(count)


def _listening(work: OpenWork, sentence: str) -> str:
    return sentence.format(" and ".join(work.events)) if work.events else ""


_OF_OPEN: dict[Verb, Callable[[OpenWork], tuple[str, ...]]] = {
    Verb.SUSPEND: _suspend,
    Verb.RESUME: _resume,
    Verb.RELEASE: _release,
    Verb.TERMINATE: _terminate,
}
