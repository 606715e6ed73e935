"""The checkpoint: what a batch of turns decided becomes true in one transaction, or not at all.

1. Lock the instances and compare revisions: a turn whose instance has moved on has lost and leaves no trace.
2. Remove the activities whose outcomes are recorded: a result that is not the latest delivery's is dropped.
3. Append history, take the inbox rows.
4. Write what the turns ask for: timers, sub-orchestrations, messages, waits, activities.
5. Move the instances on; last, write the activities that the worker takes at once, whose keys it needs.

Locks are taken in the order of primary keys, instances first, so that two checkpoints never wait for each other.

On PostgreSQL one turn that asks no question is one statement, which checks as it writes, and fails where it has lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DataError, IntegrityError, connection, transaction

from durable_host.conf import host_settings
from durable_host.core.events import OrchestratorCompleted
from durable_host.core.failure import FailureDetails
from durable_host.core.status import FINISHED
from durable_host.models import EPOCH, ActivityTask, EventWait, HistoryEvent, Instance

from . import bulk, clock, outbox, sql
from .rows import append_history, history_rows, inbox_row, send
from .shapes import ActivityOutcome, ClaimedActivity, Delivery, Holder, InstanceHead, Receipt, TurnWrite
from .sql import Statement


def checkpoint(turns: Sequence[TurnWrite], outcomes: Sequence[ActivityOutcome], holder: Holder) -> Receipt:
    """Commit turns, and put outcomes that no turn took into the inboxes of their instances."""
    for turn in turns:
        turn.prepare()
    if len(turns) == 1 and not outcomes and _fits_one_statement(turns[0]):
        with suppress(DataError, IntegrityError):  # it has lost, or the database refuses it: the long way tells
            return _in_one_statement(turns[0], holder)
    receipt = Receipt()
    with transaction.atomic():
        now = clock.now()
        owners = _lock_instances(turns, outcomes, now)
        fresh = _remove_activities(turns, outcomes, receipt)
        receipt.moot = [one for one in receipt.late if _is_over(one, owners)]
        winners = [turn for turn in turns if _has_won(turn, owners, fresh)]
        won = {turn.head.pk for turn in winners}
        receipt.lost = {turn.head.pk for turn in turns} - won
        stranded = [one for turn in turns if turn.head.pk not in won for one in turn.outcomes]
        _forward([*outcomes, *stranded], fresh, owners, holder, receipt)
        _write(winners, holder, receipt, now)
    return receipt


def _in_one_statement(turn: TurnWrite, holder: Holder) -> Receipt:
    """Commit a turn in one round trip: PostgreSQL itself ends the statement if one of the fences finds nothing.

    Raises:
        DataError: the turn has lost; nothing was written.
    """
    receipt = Receipt()
    _write([turn], holder, receipt, clock.now(), is_fenced=True)
    return receipt


def _fits_one_statement(turn: TurnWrite) -> bool:
    """Tell whether all that a turn asks for is written without a question."""
    result, actions = turn.result, turn.actions
    has_news = turn.head.parent_pk is not None and result.completion is not None
    begins_to_wait = bool(result.waits) or (result.waits is None and _began_to_wait_for(turn))
    return (
        sql.is_postgresql()
        and not connection.in_atomic_block  # where an error would undo more than the statement
        and len(turn.outcomes) <= 1
        and not (actions.messages or actions.children or turn.end_children or has_news or begins_to_wait)
        and outbox.wants_its_work(result)
        and result.next_started is None
    )


def _write(
    turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, now: datetime, *, is_fenced: bool = False
) -> None:
    """Write what the turns that have won decided: mostly in one round trip, as the part that answers comes last.

    Args:
        turns, holder, receipt, now: what to write, who does, what becomes of it, and when.
        is_fenced: whether nothing is locked yet, and it is this statement that finds out if the one turn has won.
    """
    asked = outbox.activities(turns, holder, receipt, now)
    taken = [row for row in asked if row.owner]
    with sql.together():
        if is_fenced:
            _raise_fences(turns[0], holder, receipt, bool(taken), now)
        _append_history(turns)
        _take(turns)
        outbox.deliver(turns, holder, receipt, now)
        outbox.schedule([row for row in asked if not row.owner])
        _replace_waits(turns, now)
        if not is_fenced:
            _move_on(turns, holder, receipt, {row.instance_id for row in taken}, now)
        receipt.taken = outbox.take_on(taken, {turn.head.pk: turn.head for turn in turns})


class _Locked(NamedTuple):
    """An instance as it is while the checkpoint holds its lock."""

    pk: int
    revision: int
    generation: int
    status: str
    owner: str
    #: whether the owner's hold goes on
    is_held: bool


_LOCK_INSTANCES = Statement(
    "SELECT id, revision, generation, status, owner, available_at > %s FROM durable_host_instance"
    " WHERE {checkpoint_rules} AND id {in_list} ORDER BY id {lock}"
)


def _lock_instances(
    turns: Iterable[TurnWrite], outcomes: Iterable[ActivityOutcome], now: datetime
) -> dict[int, _Locked]:
    """Lock every instance concerned, though not for others where this process is halted before it has committed."""
    pks = {turn.head.pk for turn in turns} | {one.activity.instance_pk for one in outcomes}
    idle_limit = str(host_settings().idle_transaction_limit // timedelta(milliseconds=1))
    return {values[0]: _Locked(*values) for values in _LOCK_INSTANCES.rows(now, idle_limit, list(pks))}


def _is_over(activity: ClaimedActivity, instances: Mapping[int, _Locked]) -> bool:
    """Tell whether the execution that asked for the activity has ended: then no other delivery can have answered."""
    locked = instances.get(activity.instance_pk)
    return locked is None or locked.generation != activity.generation or locked.status in FINISHED


def _remove_activities(
    turns: Iterable[TurnWrite], outcomes: Iterable[ActivityOutcome], receipt: Receipt
) -> set[Delivery]:
    """Remove the activities whose outcomes are to be recorded; return the deliveries that were still the latest.

    A turn that loses leaves its outcomes to the inbox, so that none of them needs its row any more.
    """
    wanted = {one.activity.delivery: one.activity for turn in turns for one in turn.outcomes}
    wanted |= {one.activity.delivery: one.activity for one in outcomes}
    fresh = set(bulk.delete_returning(ActivityTask, ("id", "attempt"), list(wanted)))
    receipt.late = [activity for delivery, activity in wanted.items() if delivery not in fresh]
    return fresh


def _has_won(turn: TurnWrite, owners: Mapping[int, _Locked], fresh: Collection[Delivery]) -> bool:
    """Tell whether the instance is as the turn found it and every outcome that the turn took still counts."""
    present = owners.get(turn.head.pk)
    if present is None or present.revision != turn.head.revision:
        return False  # purged, or another worker committed first
    return all(one.activity.delivery in fresh for one in turn.outcomes)


def _forward(
    outcomes: Iterable[ActivityOutcome],
    fresh: Collection[Delivery],
    owners: Mapping[int, _Locked],
    holder: Holder,
    receipt: Receipt,
) -> None:
    """Turn outcomes into messages, and find out who must be told of them."""
    counted = [one for one in outcomes if one.activity.delivery in fresh]
    if not counted:
        return
    send([inbox_row(one.activity.instance_pk, one.event, generation=one.activity.generation) for one in counted])
    for one in counted:
        held = owners[one.activity.instance_pk]
        if held.owner and held.owner != holder.worker and held.is_held:
            receipt.owners.add(held.owner)
        else:
            receipt.has_messages = True


def _append_history(turns: Sequence[TurnWrite]) -> None:
    append_history(
        [
            row
            for turn in turns
            for row in history_rows(turn.head.pk, turn.head.generation, turn.head.next_sequence, turn.records)
        ]
    )


_DELETE_MESSAGES = Statement("DELETE FROM durable_host_pendingevent WHERE id {in_list}")
_DELETE_TIMERS = Statement(
    "DELETE FROM durable_host_pendingevent WHERE instance_id = %s AND generation = %s AND task_id {in_list}"
)
_DELETE_OF_EXECUTIONS = Statement(
    "DELETE FROM durable_host_pendingevent WHERE instance_id {in_list} AND generation IS NOT NULL"
)


def _take(turns: Sequence[TurnWrite]) -> None:
    """Remove what the turns consumed, and what nobody will need after an execution has ended."""
    inbox_ids = [row_id for turn in turns for row_id in turn.inbox_ids]
    if inbox_ids:
        _DELETE_MESSAGES.run(inbox_ids)
    for turn in turns:
        if turn.result.cancelled_timers:
            _DELETE_TIMERS.run(turn.head.pk, turn.head.generation, [*turn.result.cancelled_timers])
    ended = [turn.head.pk for turn in turns if turn.result.completion]
    if ended:
        _DELETE_OF_EXECUTIONS.run(ended)
        _forget_old_executions(turns)
    given_up = [turn.head.pk for turn in turns if not outbox.wants_its_work(turn.result)]
    if given_up:
        ActivityTask.objects.filter(instance_id__in=given_up).delete()


def _forget_old_executions(turns: Iterable[TurnWrite]) -> None:
    """Keep the execution that has just continued as new, and none before it: an eternal orchestration stays small."""
    for turn in turns:
        if turn.result.next_started is not None and turn.head.generation > 0:
            HistoryEvent.objects.filter(instance_id=turn.head.pk, generation__lt=turn.head.generation).delete()


_DELETE_WAITS = Statement("DELETE FROM durable_host_eventwait WHERE instance_id {in_list}")


def _replace_waits(turns: Iterable[TurnWrite], now: datetime) -> None:
    began = {turn.head.pk: _began_to_wait_for(turn) for turn in turns}
    for turn in turns:
        if turn.result.waits is None and began[turn.head.pk]:  # the same is asked once more
            EventWait.objects.filter(instance_id=turn.head.pk, name_key__in=began[turn.head.pk]).update(since=now)
    changed = [turn for turn in turns if turn.result.waits is not None]
    if not changed:
        return
    pks = [turn.head.pk for turn in changed]
    if not any(turn.result.waits for turn in changed):
        _DELETE_WAITS.run(pks)
        return
    since = {
        (pk, key): at
        for pk, key, at in EventWait.objects.filter(instance_id__in=pks).values_list("instance_id", "name_key", "since")
        if key not in began[pk]
    }
    EventWait.objects.filter(instance_id__in=pks).delete()
    EventWait.objects.bulk_create(
        EventWait(
            instance_id=turn.head.pk,
            name=wait.name,
            name_key=wait.name.casefold(),
            title=wait.title,
            description=wait.description,
            assignees=list(wait.assignees),
            due=wait.due,
            schema=wait.schema,
            since=since.get((turn.head.pk, wait.name.casefold()), now),
        )
        for turn in changed
        for wait in turn.result.waits or ()
    )


def _began_to_wait_for(turn: TurnWrite) -> frozenset[str]:
    """Return the names, without case, of the events that the code began to wait for in this turn."""
    completed = (event for event in turn.result.events if isinstance(event, OrchestratorCompleted))
    return frozenset(name.casefold() for event in completed for name in event.listening)


#: the key, and what a turn changes of its instance
_MOVED = (
    "id",
    "status",
    "updated_at",
    "completed_at",
    "custom_status",
    "output",
    "failure",
    "version",
    "generation",
    "revision",
    "next_sequence",
    "history_bytes",
    "owner",
    "available_at",
    "turn_attempts",
    "stall_reason",
)


def _move_on(
    turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, busy: Collection[int], now: datetime
) -> None:
    """Write the instances' new state; those that are busy stay with their worker."""
    rows = []
    for turn in turns:
        head = receipt.committed[turn.head.pk] = turn.next_head
        is_busy = turn.keeps_running or head.pk in busy
        rows.append(_moved(turn, head, holder, is_busy, now))
    bulk.update(Instance, _MOVED, rows)


_MOVE_ONE = Statement(
    f"UPDATE durable_host_instance SET {', '.join(f'{name} = %s' for name in _MOVED[1:])}"  # noqa: S608
    " WHERE id = %s AND revision = %s RETURNING 1"
)
_REMOVE_ONE = Statement("DELETE FROM durable_host_activitytask WHERE id = %s AND attempt = %s RETURNING 1")


def _raise_fences(turn: TurnWrite, holder: Holder, receipt: Receipt, has_taken: bool, now: datetime) -> None:
    """Move one instance on if it is as the turn found it, and remove the activities whose outcomes still count."""
    head = receipt.committed[turn.head.pk] = turn.next_head
    key, *moved = _moved(turn, head, holder, turn.keeps_running or has_taken, now)
    _MOVE_ONE.must_hit(*moved, key, turn.head.revision)
    for outcome in turn.outcomes:
        _REMOVE_ONE.must_hit(*outcome.activity.delivery)


def _moved(turn: TurnWrite, head: InstanceHead, holder: Holder, is_busy: bool, now: datetime) -> bulk.Row:
    """Return the values of :data:`_MOVED`."""
    completion = turn.result.completion if head.status in FINISHED else None
    failure: FailureDetails | None = completion.failure_details if completion else None
    return (
        head.pk,
        head.status.value,
        now,
        completion.timestamp if completion else None,
        head.custom_status,
        completion.result if completion else None,
        outbox.failure_text(failure),
        head.version,
        head.generation,
        head.revision,
        head.next_sequence,
        head.history_bytes,
        holder.worker if is_busy else "",
        now + holder.affinity if is_busy else EPOCH,
        0,
        "",
    )
