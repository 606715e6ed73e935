"""What can be done to many instances at once: what it means, to whom it can be done, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from durable_host.core.access import Operation
from durable_host.core.status import RuntimeStatus
from durable_host.store.batches import BatchRequest, BatchState, BatchStatus
from durable_host.store.listing import CappedCount
from durable_host.store.shapes import InstanceFilter

from .actions import ACTIONS, Action, Holder, Verb
from .listing import ListQuery, in_words, window_times

_FOR_MANY = (
    Verb.SUSPEND,
    Verb.RESUME,
    Verb.RAISE_EVENT,
    Verb.REWIND,
    Verb.RESTART,
    Verb.TERMINATE,
    Verb.PURGE,
)
#: what it does, a sentence or two for all of them
EFFECTS: dict[Operation, str] = {
    Operation.SUSPEND: "Their code does not go on until somebody resumes them. Activities that run go on to their end, "
    "and the results are kept. Sub-orchestrations are not suspended with them.",
    Operation.RESUME: "Their code goes on where it was, with whatever has come meanwhile.",
    Operation.RAISE_EVENT: "Each gets the same event. One that does not listen for it now keeps it until it does.",
    Operation.REWIND: "What failed runs again; what has succeeded is kept.",
    Operation.RESTART: "Each is started again from its beginning, with the same input, under a new id. "
    "The old ones stay as they are, and nothing that they did is undone.",
    Operation.TERMINATE: "They end now as Terminated, and their sub-orchestrations with them. Their code does not run "
    "again, not even to clean up. There is no way back but a restart from the beginning.",
    Operation.PURGE: "They are removed with their inputs, outputs and histories, and so are their finished "
    "sub-orchestrations. They cannot be brought back; the audit stays.",
}
#: operations that ask for a reason and to be sure
DESTRUCTIVE = frozenset({Operation.TERMINATE, Operation.PURGE})


@dataclass(frozen=True, slots=True)
class Share:
    """The instances of one status, and whether the operation can be done to them."""

    status: RuntimeStatus
    count: CappedCount
    is_legal: bool


def for_many(user: Holder) -> list[Action]:
    """Return the operations on many instances that a user may ask for."""
    return [ACTIONS[verb] for verb in _FOR_MANY if user.has_perm(ACTIONS[verb].permission.value)]


def action_of(operation: str) -> Action | None:
    """Return the action of an operation on many; None where there is none of this name."""
    return next((ACTIONS[verb] for verb in _FOR_MANY if ACTIONS[verb].operation == operation), None)


def shares(counts: Mapping[RuntimeStatus, CappedCount], chosen: Iterable[RuntimeStatus], action: Action) -> list[Share]:
    """Return the statuses that have some of the instances.

    Args:
        counts: how many there are, whatever the status.
        chosen: the statuses that are meant; all where there is none.
        action: what is to be done.
    """
    meant = {*chosen} or {*RuntimeStatus}
    return [
        Share(status, count, action.is_legal(status))
        for status, count in counts.items()
        if status in meant and count.value
    ]


def affected(parts: Iterable[Share]) -> CappedCount:
    """Return how many it will be done to."""
    legal = [one.count for one in parts if one.is_legal]
    return CappedCount(sum(one.value for one in legal), any(one.is_capped for one in legal))


_STATES: dict[BatchState, tuple[str, str, str]] = {
    BatchState.WAITING: ("Waiting for a worker", "neutral", "clock"),
    BatchState.RUNNING: ("Running", "info", "running"),
    BatchState.CANCELLING: ("Stopping", "warn", "stop"),
    BatchState.FINISHED: ("Finished", "good", "check-circle"),
    BatchState.CANCELLED: ("Stopped", "warn", "stop"),
}


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch for the template."""

    batch: BatchStatus
    action: Action
    #: its state in words, its tone and its icon
    state: str
    tone: str
    icon: str
    #: tone of the bar: a few failures are no reason to paint all of it red
    bar_tone: str
    heading: str
    #: which instances it means, in words
    target: str


def batch_line(batch: BatchStatus, zone: tzinfo) -> BatchLine:
    """Return a batch for the template, its times in this zone."""
    action = action_of(batch.request.operation)
    if action is None:
        raise LookupError(f"{batch.request.operation} is no operation on many instances")
    state, tone, icon = _STATES[batch.state]
    if batch.state is BatchState.FINISHED and batch.failed:
        state, tone, icon = "Finished with failures", "bad", "warning"
    return BatchLine(
        batch,
        action,
        state,
        tone,
        icon,
        "warn" if tone == "bad" else tone,
        heading(action, batch.estimate),
        target_words(batch.request, zone),
    )


def heading(action: Action, count: CappedCount, kind: str = "instance") -> str:
    """Return what is done to how many, as "Terminate: 312 instances"."""
    if count.is_capped and not count.value:
        return f"{action.label}: all that match"
    return f"{action.label}: {count} {kind}{'' if count.value == 1 and not count.is_capped else 's'}"


def target_words(request: BatchRequest, zone: tzinfo) -> str:
    """Return which instances a batch means."""
    if request.filter is None:
        count = len(request.instance_ids)
        return f"{count:,} ticked instance{'' if count == 1 else 's'}"
    query = query_of(request.filter)
    return in_words(query, window_times(query, zone))


def query_of(filter_: InstanceFilter) -> ListQuery:
    """Return the list that shows what a filter means."""
    return ListQuery(
        statuses=filter_.statuses,
        name=filter_.name or filter_.name_pattern or "",
        prefix=filter_.instance_id_prefix or "",
        tags=tuple(filter_.tags.items()),
        custom=filter_.custom_status or "",
        error=filter_.error_text or "",
        parent=filter_.parent_id or "",
        since="" if filter_.created_from or filter_.created_to else "all",
        created_from=filter_.created_from,
        created_to=filter_.created_to,
        has_subs=not filter_.roots_only,
        is_stalled=filter_.stalled,
        is_waiting=filter_.waiting,
    )
