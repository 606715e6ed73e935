"""What turns ask for, as rows: activities, timers, sub-orchestrations, messages, the news for parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from durable_host.core.actions import ScheduleActivity
from durable_host.core.closing import outcome_for_parent
from durable_host.core.events import SubOrchestrationInstanceFailed
from durable_host.core.failure import FailureDetails
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.core.turn import TurnResult
from durable_host.models import EPOCH, ActivityTask, Instance

from . import bulk, clock
from .operations import termination
from .rows import InboxRow, inbox_row, send
from .shapes import ClaimedActivity, Holder, InstanceHead, NewInstance, Receipt, TurnWrite
from .starting import ParentLink, start_instances


def deliver(turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, now: datetime) -> None:
    """Write everything that the turns ask for but activities, and note in the receipt who must be told."""
    rows = [
        *_timers(turns, receipt),
        *_next_executions(turns),
        *_news_for_parents(turns),
        *_messages(turns, holder.hub),
    ]
    rows += _start_children(turns, holder.hub, receipt)
    rows += _end_children(turns)
    if not rows:
        return
    send(rows)
    receipt.has_messages |= any(row.visible_at <= now for row in rows)


def failure_text(failure: FailureDetails | None) -> str | None:
    """Return failure details as JSON text."""
    return to_json(failure.to_json()).decode() if failure else None


class ActivityRow(NamedTuple):
    """The columns of an activity that is to be written."""

    hub: str
    queue: str
    instance_id: int
    generation: int
    task_id: int
    name: str
    input: str | None
    call_key: str
    trace_parent: str
    created_at: datetime
    attempt: int = 0
    owner: str = ""
    lease_until: datetime = EPOCH


def activity_row(hub: str, instance_pk: int, generation: int, action: ScheduleActivity, now: datetime) -> ActivityRow:
    """Return the row of an activity that nobody holds yet."""
    origin = generation if action.origin is None else action.origin
    call_key = f"{origin}.{action.first_attempt_id}"
    return ActivityRow(
        hub,
        action.queue,
        instance_pk,
        generation,
        action.task_id,
        action.name,
        action.input,
        call_key,
        action.trace_parent,
        now,
    )


def schedule(rows: Sequence[ActivityRow]) -> None:
    """Put activities into their queues."""
    bulk.insert(ActivityTask, ActivityRow._fields, rows)


def wants_its_work(result: TurnResult) -> bool:
    """Tell whether what the orchestrator asked for is to be done: also what it did not wait for before it returned."""
    return result.status not in (RuntimeStatus.FAILED, RuntimeStatus.TERMINATED)


def activities(turns: Sequence[TurnWrite], holder: Holder, receipt: Receipt, now: datetime) -> list[ActivityRow]:
    """Return the activities that the turns ask for; as many as the worker has room for are its own from the start."""
    room = Counter(holder.room)
    rows: list[ActivityRow] = []
    for turn in turns:
        for action in turn.actions.activities if wants_its_work(turn.result) else ():
            row = activity_row(holder.hub, turn.head.pk, turn.head.generation, action, now)
            if room[action.queue] > 0:
                room[action.queue] -= 1
                row = row._replace(attempt=1, owner=holder.worker, lease_until=now + holder.activity_lease)
            else:
                receipt.waiting_queues.add(action.queue)
            rows.append(row)
    return rows


def take_on(rows: Sequence[ActivityRow], heads: Mapping[int, InstanceHead]) -> list[ClaimedActivity]:
    """Write activities that are held; return them with the keys that the database gave them."""
    found = bulk.insert_returning(ActivityTask, ActivityRow._fields, rows, ("instance_id", "task_id", "id"))
    keys = {(instance_pk, task_id): pk for instance_pk, task_id, pk in found}
    return [
        ClaimedActivity(
            pk=keys[row.instance_id, row.task_id],
            instance_pk=row.instance_id,
            instance_id=heads[row.instance_id].instance_id,
            generation=row.generation,
            task_id=row.task_id,
            name=row.name,
            input=row.input,
            call_key=row.call_key,
            trace_parent=row.trace_parent,
            attempt=row.attempt,
            created_at=row.created_at,
        )
        for row in rows
    ]


def _timers(turns: Iterable[TurnWrite], receipt: Receipt) -> list[InboxRow]:
    rows = [
        inbox_row(turn.head.pk, timer.fired, generation=turn.head.generation, visible_at=timer.fired.fire_at)
        for turn in turns
        if turn.result.completion is None
        for timer in turn.actions.timers
        if timer.task_id not in turn.result.cancelled_timers
    ]
    times = [row.visible_at for row in rows]
    receipt.next_timer = min(times, default=None)
    return rows


def _next_executions(turns: Iterable[TurnWrite]) -> list[InboxRow]:
    return [
        inbox_row(turn.head.pk, turn.result.next_started, generation=turn.head.generation + 1)
        for turn in turns
        if turn.result.next_started is not None
    ]


def _news_for_parents(turns: Iterable[TurnWrite]) -> list[InboxRow]:
    """Tell parents how their sub-orchestrations ended; a parent that was purged is not told."""
    ended = [
        (turn.head, turn.result.completion)
        for turn in turns
        if turn.head.parent_pk is not None and turn.result.completion and turn.result.status in FINISHED
    ]
    if not ended:
        return []
    present = set(Instance.objects.filter(pk__in=[head.parent_pk for head, _ in ended]).values_list("pk", flat=True))
    return [
        inbox_row(
            head.parent_pk, outcome_for_parent(completion, head.parent_task_id or 0), generation=head.parent_generation
        )
        for head, completion in ended
        if head.parent_pk in present
    ]


def _messages(turns: Iterable[TurnWrite], hub: str) -> list[InboxRow]:
    """Return the events that orchestrators sent; a missing or finished target drops them."""
    sent = [message for turn in turns for message in turn.actions.messages]
    if not sent:
        return []
    targets = dict(
        Instance.objects.filter(hub=hub, instance_id__in=[message.instance_id for message in sent])
        .exclude(status__in=FINISHED)
        .values_list("instance_id", "pk")
    )
    return [
        inbox_row(targets[message.instance_id], message.event) for message in sent if message.instance_id in targets
    ]


def _start_children(turns: Iterable[TurnWrite], hub: str, receipt: Receipt) -> list[InboxRow]:
    """Insert sub-orchestrations, and return the refusals of those whose id is in use."""
    asked = [(turn.head, child) for turn in turns if wants_its_work(turn.result) for child in turn.actions.children]
    if not asked:
        return []
    news: dict[str, NewInstance] = {}
    parents: dict[str, ParentLink] = {}
    repeated: list[InboxRow] = []
    for head, child in asked:
        if child.instance_id in news:  # asked for twice in this batch
            repeated.append(_refusal(head, child.task_id, child.instance_id, RuntimeStatus.PENDING))
            continue
        started = child.started
        news[child.instance_id] = NewInstance(
            instance_id=child.instance_id,
            name=started.name,
            input=started.input,
            version=started.version,
            trace_parent=started.trace_parent,
            trace_state=started.trace_state,
        )
        parents[child.instance_id] = ParentLink(head, child.task_id)
    in_use = start_instances(hub, news.values(), parents)
    receipt.has_messages |= len(in_use) < len(news)
    refused = [(parents[instance_id], instance_id, status) for instance_id, status in in_use.items()]
    return repeated + [_refusal(link.head, link.task_id, instance_id, status) for link, instance_id, status in refused]


def _refusal(head: InstanceHead, task_id: int, instance_id: str, status: str) -> InboxRow:
    details = FailureDetails(
        error_type="InstanceAlreadyExistsError",
        error_message=f"Sub-orchestration {instance_id!r} was not started: an instance of this id is {status}.",
        is_non_retriable=True,
    )
    event = SubOrchestrationInstanceFailed(timestamp=clock.now(), task_scheduled_id=task_id, failure_details=details)
    return inbox_row(head.pk, event, generation=head.generation)


def _end_children(turns: Iterable[TurnWrite]) -> list[InboxRow]:
    """Pass a termination on to the sub-orchestrations that are still going."""
    reasons = {turn.head.pk: turn.result.completion for turn in turns if turn.end_children}
    if not reasons:
        return []
    children = (
        Instance.objects.filter(parent_id__in=list(reasons)).exclude(status__in=FINISHED).values_list("pk", "parent_id")
    )
    # Those that are set aside must not sleep through it.
    Instance.objects.filter(pk__in=[pk for pk, _ in children]).exclude(stall_reason="").update(available_at=EPOCH)
    rows: list[InboxRow] = []
    for pk, parent_pk in children:
        completion = reasons[parent_pk]
        if completion is not None:
            rows.append(termination(pk, completion.result, completion.timestamp, recurse=True))
    return rows
