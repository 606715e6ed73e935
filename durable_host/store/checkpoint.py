"""The checkpoint: what a batch of turns decided becomes true in one transaction, or not at all.

1. Lock the instances and compare revisions: a turn whose instance has moved on has lost and leaves no trace.
2. Lock the activities whose outcomes are recorded: a result that is not the latest delivery's is dropped.
3. Append history, take the inbox rows, remove the finished activities.
4. Write what the turns ask for: activities, timers, sub-orchestrations, messages, waits.
5. Move the instances on.

Locks are taken in the order of primary keys, instances first, so that two checkpoints never wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction

from durable_host.core.events import OrchestratorCompleted
from durable_host.core.failure import FailureDetails
from durable_host.core.status import FINISHED
from durable_host.models import EPOCH, ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from . import bulk, clock, outbox
from .rows import append_history, history_rows, inbox_row, send
from .shapes import ActivityOutcome, ClaimedActivity, Holder, InstanceHead, Receipt, TurnWrite


def checkpoint(turns: Sequence[TurnWrite], outcomes: Sequence[ActivityOutcome], holder: Holder) -> Receipt:
    """Commit turns, and put outcomes that no turn took into the inboxes of their instances."""
    receipt = Receipt()
    with transaction.atomic():
        now = clock.now()
        owners = _lock_instances(turns, outcomes)
        fresh = _lock_activities(turns, outcomes, receipt)
        receipt.moot = [one for one in receipt.late if _is_over(one, owners)]
        winners = [turn for turn in turns if _has_won(turn, owners, fresh)]
        won = {turn.head.pk for turn in winners}
        receipt.lost = {turn.head.pk for turn in turns} - won
        stranded = [one for turn in turns if turn.head.pk not in won for one in turn.outcomes]
        _forward([*outcomes, *stranded], fresh, owners, holder, receipt)
        _append_history(winners)
        _take(winners)
        outbox.deliver(winners, holder, receipt, now)
        _replace_waits(winners, now)
        _move_on(winners, holder, receipt, now)
    return receipt


class _Locked(NamedTuple):
    """An instance as it is while the checkpoint holds its lock."""

    pk: int
    revision: int
    generation: int
    status: str
    owner: str
    #: end of the owner's hold
    until: datetime


def _lock_instances(turns: Iterable[TurnWrite], outcomes: Iterable[ActivityOutcome]) -> dict[int, _Locked]:
    """Lock every instance concerned."""
    pks = {turn.head.pk for turn in turns} | {one.activity.instance_pk for one in outcomes}
    rows = Instance.objects.select_for_update(no_key=connection.features.has_select_for_no_key_update)
    columns = ("pk", "revision", "generation", "status", "owner", "available_at")
    found = rows.filter(pk__in=pks).order_by("pk").values_list(*columns)
    return {values[0]: _Locked(*values) for values in found}


def _is_over(activity: ClaimedActivity, instances: Mapping[int, _Locked]) -> bool:
    """Tell whether the execution that asked for the activity has ended: then no other delivery can have answered."""
    locked = instances.get(activity.instance_pk)
    return locked is None or locked.generation != activity.generation or locked.status in FINISHED


def _lock_activities(turns: Iterable[TurnWrite], outcomes: Sequence[ActivityOutcome], receipt: Receipt) -> set[int]:
    """Lock the activities whose outcomes are to be recorded; return those that are still this delivery's."""
    wanted = {one.activity.pk: one.activity for turn in turns for one in turn.outcomes}
    wanted |= {one.activity.pk: one.activity for one in outcomes}
    if not wanted:
        return set()
    found = dict(
        ActivityTask.objects.select_for_update().filter(pk__in=list(wanted)).order_by("pk").values_list("pk", "attempt")
    )
    fresh = {pk for pk, activity in wanted.items() if found.get(pk) == activity.attempt}
    receipt.late = [activity for pk, activity in wanted.items() if pk not in fresh]
    return fresh


def _has_won(turn: TurnWrite, owners: Mapping[int, _Locked], fresh: Collection[int]) -> bool:
    """Tell whether the instance is as the turn found it and every outcome that the turn took still counts."""
    present = owners.get(turn.head.pk)
    if present is None or present.revision != turn.head.revision:
        return False  # purged, or another worker committed first
    return all(one.activity.pk in fresh for one in turn.outcomes)


def _forward(
    outcomes: Iterable[ActivityOutcome],
    fresh: Collection[int],
    owners: Mapping[int, _Locked],
    holder: Holder,
    receipt: Receipt,
) -> None:
    """Turn outcomes into messages, and find out who must be told of them."""
    counted = [one for one in outcomes if one.activity.pk in fresh]
    if not counted:
        return
    now = clock.now()
    send([inbox_row(one.activity.instance_pk, one.event, generation=one.activity.generation) for one in counted])
    ActivityTask.objects.filter(pk__in=[one.activity.pk for one in counted]).delete()
    for one in counted:
        held = owners[one.activity.instance_pk]
        if held.owner and held.owner != holder.worker and held.until > now:
            receipt.owners.add(held.owner)
        else:
            receipt.has_messages = True


def _append_history(turns: Sequence[TurnWrite]) -> None:
    append_history(
        [
            row
            for turn in turns
            for row in history_rows(turn.head.pk, turn.head.generation, turn.head.next_sequence, turn.result.events)
        ]
    )


def _take(turns: Sequence[TurnWrite]) -> None:
    """Remove what the turns consumed, and what nobody will need after an execution has ended."""
    inbox_ids = [row_id for turn in turns for row_id in turn.inbox_ids]
    if inbox_ids:
        PendingEvent.objects.filter(pk__in=inbox_ids).delete()
    done = [one.activity.pk for turn in turns for one in turn.outcomes]
    if done:
        ActivityTask.objects.filter(pk__in=done).delete()
    for turn in turns:
        if turn.result.cancelled_timers:
            PendingEvent.objects.filter(
                instance_id=turn.head.pk, generation=turn.head.generation, task_id__in=turn.result.cancelled_timers
            ).delete()
    ended = [turn.head.pk for turn in turns if turn.result.completion]
    if ended:
        PendingEvent.objects.filter(instance_id__in=ended, generation__isnull=False).delete()
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
    "owner",
    "available_at",
    "turn_attempts",
    "stall_reason",
)


def _move_on(turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, now: datetime) -> None:
    """Write the instances' new state."""
    busy = {activity.instance_pk for activity in receipt.taken}
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
        # an execution that has not set one shows what the one before it showed
        custom_status=head.custom_status if result.custom_status is None else result.custom_status,
    )
    if result.next_started is None:
        return moved
    return replace(moved, generation=head.generation + 1, next_sequence=0, version=result.next_started.version)


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
        holder.worker if is_busy else "",
        now + holder.affinity if is_busy else EPOCH,
        0,
        "",
    )
