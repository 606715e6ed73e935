"""What clients ask of a started instance: each is one message in its inbox."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from durable_host.conf import host_settings
from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from durable_host.core.status import LEGAL_AFTER, LEGAL_IN, RuntimeStatus, allowed_names
from durable_host.models import EPOCH, Instance, PendingEvent

from . import clock
from .filters import named
from .rows import InboxRow, inbox_row, send
from .shapes import Wake


def raise_event(hub: str, instance_id: str, name: str, payload: str | None) -> Wake:
    """Send an external event.

    Raises:
        InstanceNotFoundError: there is no such instance.
        InvalidOperationError: it has finished.
    """
    event = EventRaised(timestamp=clock.now(), name=name, input=payload)
    return _send(hub, instance_id, event, "raise an event to")


def suspend(hub: str, instance_id: str, reason: str | None) -> Wake:
    """Ask an instance to pause; raises as :func:`raise_event`."""
    return _send(hub, instance_id, ExecutionSuspended(timestamp=clock.now(), reason=reason), "suspend")


def resume(hub: str, instance_id: str, reason: str | None) -> Wake:
    """Ask an instance to go on that is suspended, or will be; raises as :func:`raise_event`."""
    return _send(hub, instance_id, ExecutionResumed(timestamp=clock.now(), reason=reason), "resume")


def terminate(hub: str, instance_id: str, reason: str | None, *, recursive: bool) -> Wake:
    """Ask for the end of an instance; raises as :func:`raise_event`.

    It works for stalled and parked instances too: no user code runs.
    """
    with transaction.atomic():
        row = _find(hub, instance_id, "terminate")
        send([termination(row.pk, reason, clock.now(), recurse=recursive)])
        if row.status == RuntimeStatus.PENDING:  # a scheduled start comes now, so that history has its input
            PendingEvent.objects.filter(instance=row).update(visible_at=EPOCH)
        if row.stall_reason:
            Instance.objects.filter(pk=row.pk).update(available_at=EPOCH)
        return wake_for(row)


def termination(instance_pk: int, reason: str | None, at: datetime, *, recurse: bool) -> InboxRow:
    """Return the unsaved message that ends an instance."""
    return inbox_row(instance_pk, ExecutionTerminated(timestamp=at, input=reason, recurse=recurse))


def wake_for(row: Instance) -> Wake:
    """Return who must be told of a message to this instance."""
    if row.owner and row.available_at > clock.now():
        return Wake(owners=frozenset({row.owner}))
    return Wake(queues=frozenset({host_settings().turn_queue}))


def _send(hub: str, instance_id: str, event: HistoryEvent, operation: str) -> Wake:
    with transaction.atomic():
        row = _find(hub, instance_id, operation)
        send([inbox_row(row.pk, event)])
        return wake_for(row)


def _find(hub: str, instance_id: str, operation: str) -> Instance:
    row = named(hub, instance_id).first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    if row.status not in LEGAL_IN[operation] and not _will_be_legal(row, operation):
        raise InvalidOperationError(operation, instance_id, row.status, allowed_names(operation))
    return row


def _will_be_legal(row: Instance, operation: str) -> bool:
    """Tell whether what was asked of an instance before, and no turn has taken yet, makes the operation legal."""
    if row.is_finished or operation not in LEGAL_AFTER:
        return False
    asked = PendingEvent.objects.filter(instance=row, event_type__in=LEGAL_AFTER.values())
    return asked.order_by("-pk").values_list("event_type", flat=True).first() == LEGAL_AFTER[operation]
