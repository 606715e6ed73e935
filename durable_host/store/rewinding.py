"""Giving failed instances another chance."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from durable_host.core.actions import Actions, StartChild, actions_of
from durable_host.core.closing import outcome_for_parent
from durable_host.core.codec import from_record, to_record
from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.events import ExecutionCompleted, ExecutionRewound, ExecutionStarted
from durable_host.core.events import HistoryEvent as Event
from durable_host.core.registry import Registry
from durable_host.core.rewind import plan_rewind, with_origin
from durable_host.core.sizes import stored_bytes
from durable_host.core.status import LEGAL_IN, RuntimeStatus, allowed_names
from durable_host.core.tracing import ExecutionTrace
from durable_host.models import EPOCH, Instance

from . import clock
from .claims import load_heads
from .filters import named
from .operations import wake_for
from .outbox import activity_row, schedule
from .rows import append_history, history_rows, inbox_row, read_history, send
from .shapes import NewInstance, Wake
from .starting import ParentLink, insert_instances


def rewind(hub: str, instance_id: str, reason: str | None, registry: Registry) -> Wake:
    """Take a failed instance, and the failed sub-orchestrations that it waits for, back to before the failure.

    The failed execution stays readable; a new one begins with the part of its history that is kept.

    Raises:
        InstanceNotFoundError: there is no such instance.
        InvalidOperationError: it has not failed.
    """
    with transaction.atomic():
        row = named(hub, instance_id).select_for_update().first()
        if row is None:
            raise InstanceNotFoundError(instance_id)
        if row.status not in LEGAL_IN["rewind"]:
            raise InvalidOperationError("rewind", instance_id, row.status, allowed_names("rewind"))
        _rewind(row, reason, registry)
        return wake_for(row)


def _rewind(row: Instance, reason: str | None, registry: Registry) -> None:
    history = [from_record(record) for record in read_history({row.pk: row.generation})[row.pk]]
    plan = with_origin(plan_rewind(history), row.generation)
    generation = row.generation + 1
    append_history(history_rows(row.pk, generation, 0, map(to_record, plan.kept)))
    owed = actions_of(plan.owed, row.instance_id, registry, _trace(row.instance_id, generation, plan.kept))
    _write_owed(row, generation, owed)
    rewound = ExecutionRewound(timestamp=clock.now(), reason=reason)
    send([inbox_row(row.pk, event, generation=generation) for event in (rewound, *plan.redelivered)])
    # Sub-orchestrations that still run, or run again, now answer to the new execution.
    children = Instance.objects.filter(parent=row)
    children.update(parent_generation=generation)
    Instance.objects.filter(pk=row.pk).update(
        status=RuntimeStatus.RUNNING,
        generation=generation,
        next_sequence=len(plan.kept),
        history_bytes=stored_bytes(plan.kept),
        revision=row.revision + 1,
        updated_at=clock.now(),
        completed_at=None,
        output=None,
        failure=None,
        available_at=EPOCH,
    )
    _settle_children(row, owed.children, reason, registry)


def _trace(instance_id: str, generation: int, history: Iterable[Event]) -> ExecutionTrace | None:
    """Return where the spans of the new execution belong."""
    started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    return ExecutionTrace.of(instance_id, started, generation) if started else None


def _settle_children(row: Instance, owed: tuple[StartChild, ...], reason: str | None, registry: Registry) -> None:
    """See to it that every sub-orchestration that is waited for will answer: rewind it, repeat its answer, start it."""
    by_id = {
        child.instance_id: child
        for child in Instance.objects.select_for_update().filter(
            hub=row.hub, instance_id__in=[action.instance_id for action in owed]
        )
    }
    head = load_heads([row.pk])[row.pk]
    for action in owed:
        child = by_id.get(action.instance_id)
        started = action.started
        if child is None:  # it was purged
            new = NewInstance(
                instance_id=action.instance_id,
                name=started.name,
                input=started.input,
                version=started.version,
                trace_parent=started.trace_parent,
                trace_state=started.trace_state,
            )
            insert_instances(row.hub, [new], {new.instance_id: ParentLink(head, action.task_id)})
        elif child.status == RuntimeStatus.FAILED:
            _rewind(child, reason, registry)
        elif child.is_finished:
            completion = ExecutionCompleted(
                timestamp=clock.now(), orchestration_status=RuntimeStatus(child.status), result=child.output
            )
            answer = outcome_for_parent(completion, action.task_id)
            send([inbox_row(row.pk, answer, generation=head.generation)])


def _write_owed(row: Instance, generation: int, owed: Actions) -> None:
    """Schedule the work of kept history that has no outcome."""
    now = clock.now()
    schedule([activity_row(row.hub, row.pk, generation, action, now) for action in owed.activities])
    send(
        [inbox_row(row.pk, timer.fired, generation=generation, visible_at=timer.fired.fire_at) for timer in owed.timers]
    )
