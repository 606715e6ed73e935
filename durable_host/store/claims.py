"""Taking work, so that workers seldom do the same thing twice.

Claims only save effort: the fences in :mod:`checkpoint` decide.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db.models import F

from durable_host.core.events import HistoryEvent as Event
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import EPOCH, ActivityTask, Instance

from . import clock
from .rows import INBOX_COLUMNS, inbox_event
from .shapes import SHARED_TRIES, ClaimedActivity, ClaimedInstance, InstanceHead
from .sql import Row, Statement, as_time, is_postgresql

#: oldest messages whose receivers are looked at, for each instance that is wanted
_WINDOW = 2
#: messages that are looked at without asking first whether their receivers are free
_FEW = 20
#: one place of so many is for those that wait longest, whoever has them at hand: else a flood would leave them aside
_SHARE_OF_OTHERS = 10
#: messages that the turns of one batch take together
_MOST_MESSAGES = 10_000
#: suspects that are tried together, by the tries that they have had; from :data:`SHARED_TRIES` on, each alone
_SUSPECTS_TOGETHER = {1: 10}

HEAD_COLUMNS = (
    "id",
    "instance_id",
    "name",
    "version",
    "status",
    "generation",
    "revision",
    "next_sequence",
    "history_bytes",
    "custom_status",
    "parent_id",
    "parent_generation",
    "parent_task_id",
    "created_at",
    "scheduled_at",
)

_MESSAGE_COLUMNS = ("id", "instance_id", "generation", "visible_at", *INBOX_COLUMNS)

#: Tries of a message's receiver; none where it is of another hub, or not free. The key alone finds it: with a condition
#: on the hub, PostgreSQL reads the whole hub for each message as long as nobody has analyzed the table.
_TRIES = (
    "SELECT CASE WHEN receiver.hub = %s AND (receiver.available_at <= %s OR receiver.owner = %s)"
    " THEN receiver.turn_attempts END FROM durable_host_instance AS receiver WHERE receiver.id = message.instance_id"
)
_OLDEST = Statement(
    f"SELECT message.instance_id, ({_TRIES}) FROM durable_host_pendingevent AS message"  # noqa: S608
    " WHERE visible_at <= %s ORDER BY visible_at, id LIMIT %s"
)
#: the same of receivers that are free. It goes from message to message until it has enough: where a flood has just
#: filled tables that nobody has analyzed, PostgreSQL would rather begin a join with all instances.
_FREE_RECEIVERS = Statement(
    f"SELECT instance_id, tries FROM (SELECT message.instance_id, ({_TRIES}) AS tries"  # noqa: S608
    "  FROM durable_host_pendingevent AS message WHERE visible_at <= %s ORDER BY visible_at, id {fence}"
    ") AS oldest WHERE tries IS NOT NULL LIMIT %s",
    keeps_plan=False,
)
#: of one hub, as those are that are looked at; to ask for it again would tempt PostgreSQL to read the whole hub
_CLAIM = Statement(
    "UPDATE durable_host_instance SET owner = %s, available_at = %s, turn_attempts = turn_attempts + 1"  # noqa: S608
    " WHERE id {in_query}"
    "  SELECT id FROM durable_host_instance WHERE id {in_list} AND (available_at <= %s OR owner = %s)"
    "  ORDER BY id {in_list} DESC, updated_at, id LIMIT %s {skip_locked}"
    f"{{end_query}} RETURNING updated_at, turn_attempts, {', '.join(HEAD_COLUMNS)}"
)
#: PostgreSQL looks, claims and answers in one round trip: all messages, if they are few, each with its receiver as it
#: is now and the revision that it had when the messages were read. It claims nothing where there are many messages, or
#: suspects among the receivers.
_CLAIM_OF_FEW = Statement(
    "WITH message AS MATERIALIZED ("  # noqa: S608
    f"  SELECT {', '.join(_MESSAGE_COLUMNS)}, ({_TRIES}) AS tries"
    "  FROM durable_host_pendingevent AS message WHERE visible_at <= %s ORDER BY visible_at, id LIMIT %s"
    "), claimed AS ("
    "  UPDATE durable_host_instance SET owner = %s, available_at = %s, turn_attempts = turn_attempts + 1"
    "  WHERE id {in_query}"
    "   SELECT id FROM durable_host_instance"
    "   WHERE id {in_query} SELECT instance_id FROM message WHERE tries = 0 {end_query}"
    "   AND (available_at <= %s OR owner = %s)"
    "   AND (SELECT count(*) < %s AND max(tries) = 0 FROM message)"
    "   ORDER BY updated_at, id LIMIT %s {skip_locked}"
    f"  {{end_query}} RETURNING updated_at, turn_attempts, {', '.join(HEAD_COLUMNS)}, ("
    "   SELECT seen.revision FROM durable_host_instance AS seen WHERE seen.id = durable_host_instance.id) AS seen"
    f") SELECT message.*, claimed.* FROM message LEFT JOIN claimed ON claimed.id = message.instance_id"
    "  ORDER BY message.visible_at, message.id"
)
_DROP = Statement(
    "DELETE FROM durable_host_pendingevent WHERE id {in_list}"
    " AND EXISTS (SELECT 1 FROM durable_host_instance WHERE id = %s AND revision = %s)"
)


def claim_turns(
    hub: str, worker: str, *, limit: int, lease: timedelta, at_hand: Container[int] = ()
) -> tuple[list[ClaimedInstance], bool]:
    """Hold instances that have messages; return them and whether more wait.

    Those with the oldest messages are looked at, as many as are worth it; of them the worker prefers those that it has
    at hand, but for a tenth of its places, and then the least recently served. Instances that another worker holds are
    passed over. Messages to finished instances are dropped. Suspects, whose last claim ended without a turn, are taken
    apart from others, a few at a time and then each alone: what kills a worker shall not take others with it
    (docs/decisions/0008).

    Args:
        hub: task hub.
        worker: who holds them from now on.
        limit: how many at most.
        lease: for how long.
        at_hand: primary keys of instances that cost this worker no replay.
    """
    claim = _Claim(hub, worker, clock.now(), limit, lease)
    taken = (_claim_of_few(claim) if is_postgresql() else None) or _claim_of_many(claim, at_hand)
    claimed = [
        ClaimedInstance(head, box.events, box.ids, attempts, box.problem)
        for head, attempts in taken.heads
        for box in [taken.inbox[head.pk]]
        if (box.events or box.problem) and head.status not in FINISHED
    ]
    if len(claimed) < len(taken.heads):
        kept = {one.head.pk for one in claimed}
        _leave([head for head, _ in taken.heads if head.pk not in kept], taken.inbox, worker)
    return claimed, taken.has_more


class _Claim(NamedTuple):
    """Who claims, when, how many at most, and for how long."""

    hub: str
    worker: str
    now: datetime
    limit: int
    lease: timedelta


class _Taken(NamedTuple):
    """What a claim has taken, whatever comes of it."""

    #: each with its number of tries, this one included
    heads: Sequence[tuple[InstanceHead, int]] = ()
    inbox: Mapping[int, _Inbox] = MappingProxyType({})
    has_more: bool = False


def _claim_of_few(claim: _Claim) -> _Taken | None:
    """Claim in one statement; None where there is too much for it, and nothing was claimed."""
    hub, worker, now, limit, lease = claim
    receivers = now, worker, _FEW, limit
    rows = _CLAIM_OF_FEW.rows(hub, now, worker, now, _FEW, worker, now + lease, *receivers)
    tries = len(_MESSAGE_COLUMNS)
    if len(rows) == _FEW or any(row[tries] for row in rows):
        return None
    found = {row[1]: row[tries + 1 :] for row in rows if row[tries + 1] is not None}
    heads = _heads(columns[:-1] for columns in found.values())
    generations = {head.pk: head.generation for head, _ in heads}
    inbox = _inboxes(generations, (row[:tries] for row in rows if row[1] in found))
    # Somebody may have taken messages and moved on after they were read, and before the claim.
    if late := {head.pk: head.generation for head, _ in heads if head.revision != found[head.pk][-1]}:
        inbox |= _read_inbox(late, now)
    return _Taken(heads, inbox, len(found) == limit)


def _claim_of_many(claim: _Claim, at_hand: Container[int]) -> _Taken:
    hub, worker, now, limit, lease = claim
    receivers, has_others = _receivers(hub, worker, now, limit * _WINDOW)
    for together in _batches(receivers):
        preferred = [pk for pk in together if pk in at_hand][: limit - limit // _SHARE_OF_OTHERS]
        if found := _CLAIM.rows(worker, now + lease, together, now, worker, preferred, limit):
            heads = _heads(found)
            inbox = _read_inbox({head.pk: head.generation for head, _ in heads}, now)
            return _Taken(heads, inbox, len(together) < len(receivers) or len(found) == limit or has_others)
    return _Taken()  # mostly there is nothing: one cheap question, and no transaction


def _heads(rows: Iterable[Row]) -> list[tuple[InstanceHead, int]]:
    """Return who was claimed, with the number of tries, least recently served first."""
    return [(_head(columns), attempts) for _, attempts, *columns in sorted(rows)]


def _leave(heads: Collection[InstanceHead], inbox: Mapping[int, _Inbox], worker: str) -> None:
    """Undo claims; drop messages that came too late: their instance has finished, or goes on in another execution.

    But not where it has moved on since the claim: a worker whose lease was over may have committed after all, and then
    the messages may be for the execution that it has begun.
    """
    give_back([head.pk for head in heads], worker)
    for head in heads:
        if dropped := list(inbox[head.pk].ids):
            _DROP.run(dropped, head.pk, head.revision)


def _receivers(hub: str, worker: str, now: datetime, window: int) -> tuple[dict[int, int], bool]:
    """Return who has messages and is free, oldest message first, with its tries, and whether there may be others.

    As long as there are few messages, all of them are looked at. Of many, those whose receivers are held elsewhere must
    not fill the window, and so they are left out by the database.
    """
    few = _OLDEST.rows(hub, now, worker, now, _FEW)
    if len(few) < _FEW:
        return {pk: tries for pk, tries in few if tries is not None}, False
    found = _FREE_RECEIVERS.rows(hub, now, worker, now, window)
    return dict(found), len(found) == window


def _batches(receivers: Mapping[int, int]) -> Iterator[list[int]]:
    """Yield who may be tried together; first those of whom one has waited longest."""
    kinds: dict[int, list[int]] = defaultdict(list)
    for pk, tries in receivers.items():
        kinds[min(tries, SHARED_TRIES)].append(pk)
    for tries, pks in kinds.items():
        yield pks if tries == 0 else pks[: _SUSPECTS_TOGETHER.get(tries, 1)]


_CLAIM_ACTIVITIES = Statement(
    "WITH free AS MATERIALIZED ("
    "  SELECT id FROM durable_host_activitytask WHERE hub = %s AND queue = %s AND lease_until <= %s"
    "  ORDER BY id LIMIT %s {skip_locked}"
    ") UPDATE durable_host_activitytask SET owner = %s, lease_until = %s, attempt = attempt + 1"
    " WHERE id IN (SELECT id FROM free)"
    " RETURNING id, instance_id, generation, task_id, name, input, call_key, trace_parent, attempt, created_at,"
    " (SELECT caller.instance_id FROM durable_host_instance AS caller"
    "  WHERE caller.id = durable_host_activitytask.instance_id)"
)


def claim_activities(hub: str, queue: str, worker: str, *, limit: int, lease: timedelta) -> list[ClaimedActivity]:
    """Hold activities of a queue that nobody holds, or whose holder has died, oldest first."""
    now = clock.now()
    return [_activity(*row) for row in sorted(_CLAIM_ACTIVITIES.rows(hub, queue, now, limit, worker, now + lease))]


def renew_activities(pks: Collection[int], worker: str, lease: timedelta) -> None:
    """Show that the worker is alive: move the end of its leases."""
    if pks:
        ActivityTask.objects.filter(pk__in=pks, owner=worker).update(lease_until=clock.now() + lease)


def release_activities(pks: Collection[int], worker: str) -> set[str]:
    """Hand activities back that were not started, and return their queues."""
    held = ActivityTask.objects.filter(pk__in=pks, owner=worker)
    queues = set(held.values_list("queue", flat=True))
    held.update(lease_until=EPOCH, owner="", attempt=F("attempt") - 1)
    return queues


def give_back(pks: Collection[int], worker: str) -> None:
    """Undo claims whose turns could not be committed through no fault of theirs: they count as no attempt."""
    Instance.objects.filter(pk__in=pks, owner=worker, turn_attempts__gt=0).update(
        owner="", available_at=EPOCH, turn_attempts=F("turn_attempts") - 1
    )


def release_instances(pks: Collection[int], worker: str) -> None:
    """Let go of instances that are held without a turn."""
    Instance.objects.filter(pk__in=pks, owner=worker).update(owner="", available_at=EPOCH)


_NEXT_MESSAGE = Statement(
    "SELECT visible_at FROM ("
    "  SELECT visible_at, ("
    "    SELECT receiver.hub FROM durable_host_instance AS receiver WHERE receiver.id = message.instance_id"
    "  ) AS hub FROM durable_host_pendingevent AS message WHERE visible_at > %s ORDER BY visible_at {fence}"
    ") AS next WHERE hub = %s LIMIT 1",
    keeps_plan=False,
)


def next_message_at(hub: str, *, after: datetime) -> datetime | None:
    """Return when the next message after a time becomes visible: the next timer, or scheduled start."""
    for (visible_at,) in _NEXT_MESSAGE.rows(after, hub):
        return as_time(visible_at)
    return None


def load_heads(pks: Iterable[int]) -> dict[int, InstanceHead]:
    """Return the heads of instances as they are now, by primary key."""
    rows = Instance.objects.filter(pk__in=list(pks)).values_list(*HEAD_COLUMNS)
    return {columns[0]: _head(columns) for columns in rows}


_READ_INBOX = Statement(
    "SELECT message.* FROM {for_each} ("  # noqa: S608
    f"  SELECT {', '.join(_MESSAGE_COLUMNS)} FROM durable_host_pendingevent"
    "   WHERE instance_id {is_it} AND visible_at <= %s ORDER BY visible_at, id LIMIT %s"
    ") AS message ORDER BY visible_at, id LIMIT %s"
)


class _Inbox(NamedTuple):
    """The visible messages of one instance."""

    ids: tuple[int, ...]
    #: in the order in which they happened; not of those for an execution that is over, which are only removed
    events: tuple[Event, ...]
    #: why one cannot be read: a newer host has sent it
    problem: str


def _read_inbox(generations: dict[int, int], now: datetime) -> dict[int, _Inbox]:
    """Return the visible messages by instance.

    Of a flood there is one part, as it must fit into memory; the next turns take the rest.
    """
    most = _MOST_MESSAGES
    return _inboxes(generations, _READ_INBOX.rows(list(generations), now, most, most))


def _inboxes(generations: Mapping[int, int], messages: Iterable[Sequence[Any]]) -> dict[int, _Inbox]:
    """Sort messages, oldest first, given their :data:`_MESSAGE_COLUMNS`."""
    ids: dict[int, list[int]] = defaultdict(list)
    arrived: dict[int, list[Event]] = defaultdict(list)
    due: dict[int, deque[Event]] = defaultdict(deque)
    problems: dict[int, str] = {}
    for row_id, pk, generation, visible_at, *columns in messages:
        ids[pk].append(row_id)
        if generation is None or generation == generations[pk]:
            events = arrived[pk] if as_time(visible_at) == EPOCH else due[pk]
            try:
                events.append(inbox_event(*columns))
            except LookupError as error:
                problems[pk] = str(error)
    return {
        pk: _Inbox(tuple(ids[pk]), tuple(_in_order(arrived[pk], due[pk])), problems.get(pk, "")) for pk in generations
    }


def _in_order(arrived: Iterable[Event], due: deque[Event]) -> Iterator[Event]:
    """Put timers between messages: one that was due goes before a message that was sent later.

    Messages keep the order of their arrival, whatever the clocks of their senders say.
    """
    for event in arrived:
        while due and due[0].timestamp <= event.timestamp:
            yield due.popleft()
        yield event
    yield from due


def _head(columns: Sequence[Any]) -> InstanceHead:
    pk, instance_id, name, version, status, generation, revision, *more = columns
    next_sequence, history_bytes, custom_status, *parent, created_at, scheduled_at = more
    return InstanceHead(
        pk=pk,
        instance_id=instance_id,
        name=name,
        version=version,
        status=RuntimeStatus(status),
        generation=generation,
        revision=revision,
        next_sequence=next_sequence,
        history_bytes=history_bytes,
        custom_status=custom_status,
        parent_pk=parent[0],
        parent_generation=parent[1],
        parent_task_id=parent[2],
        due_at=as_time(max(created_at, scheduled_at or created_at)),
    )


def _activity(
    pk: int,
    instance_pk: int,
    generation: int,
    task_id: int,
    name: str,
    input_: str | None,
    call_key: str,
    trace_parent: str,
    attempt: int,
    created_at: datetime,
    instance_id: str,
) -> ClaimedActivity:
    return ClaimedActivity(
        pk=pk,
        instance_pk=instance_pk,
        instance_id=instance_id,
        generation=generation,
        task_id=task_id,
        name=name,
        input=input_,
        call_key=call_key,
        trace_parent=trace_parent,
        attempt=attempt,
        created_at=as_time(created_at),
    )
