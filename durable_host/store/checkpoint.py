"""The checkpoint: what a batch of turns decided becomes true in one transaction, or not at all.

1. Lock the instances and compare revisions: a turn whose instance has moved on has lost and leaves no trace.
2. Remove the activities whose outcomes are recorded: a result that is not the latest delivery's is dropped.
3. Append history, take the inbox rows.
4. Write what the turns ask for: timers, sub-orchestrations, messages, waits, activities.
5. Move the instances on; last, write the activities that the worker takes at once, whose keys it needs.

Locks are taken in the order of primary keys, instances first, so that two checkpoints never wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from durable_host.conf import host_settings
from durable_host.core.events import OrchestratorCompleted
from durable_host.core.failure import FailureDetails
from durable_host.core.status import FINISHED
from durable_host.models import EPOCH, ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from . import bulk, clock, outbox, sql
from .rows import append_history, history_rows, inbox_row, send
from .shapes import ActivityOutcome, ClaimedActivity, Delivery, Holder, InstanceHead, Receipt, TurnWrite
from .sql import Statement


def checkpoint(turns: Sequence[TurnWrite], outcomes: Sequence[ActivityOutcome], holder: Holder) -> Receipt:
    """Commit turns, and put outcomes that no turn took into the inboxes of their instances."""
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


def _write(turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, now: datetime) -> None:
    """Write what the turns that have won decided: mostly in one round trip, as the part that answers comes last."""
    asked = outbox.activities(turns, holder, receipt, now)
    taken = [row for row in asked if row.owner]
    with sql.together():
        _append_history(turns)
        _take(turns)
        outbox.deliver(turns, holder, receipt, now)
        outbox.schedule([row for row in asked if not row.owner])
        _replace_waits(turns, now)
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
            PendingEvent.objects.filter(
                instance_id=turn.head.pk, generation=turn.head.generation, task_id__in=turn.result.cancelled_timers
            ).delete()
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


def _replace_waits(turns: Iterable[TurnWrite], now: datetime) -> None:
    began = {turn.head.pk: _began_to_wait_for(turn) for turn in turns}
    for turn in turns:
        if turn.result.waits is None and began[turn.head.pk]:  # the same is asked once more
            EventWait.objects.filter(instance_id=turn.head.pk, name_key__in=began[turn.head.pk]).update(since=now)
    changed = [turn for turn in turns if turn.result.waits is not None]
    if not changed:
        return
    pks = [turn.head.pk for turn in changed]
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
        head = next_head(turn)
        receipt.committed[head.pk] = head
        is_busy = turn.keeps_running or head.pk in busy
        rows.append(_moved(turn, head, holder, is_busy, now))
    bulk.update(Instance, _MOVED, rows)


def next_head(turn: TurnWrite) -> InstanceHead:
    """Return the head of the instance after its turn."""
    head, result = turn.head, turn.result
    moved = replace(
        head,
        status=result.status,
        revision=head.revision + 1,
        next_sequence=head.next_sequence + len(result.events),
        history_bytes=head.history_bytes if result.history_bytes is None else result.history_bytes,
        # an execution that has not set one shows what the one before it showed
        custom_status=head.custom_status if result.custom_status is None else result.custom_status,
    )
    if result.next_started is None:
        return moved
    version = result.next_started.version
    return replace(moved, generation=head.generation + 1, next_sequence=0, history_bytes=None, version=version)


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
