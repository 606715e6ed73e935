"""Removing instances with everything that belongs to them."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.status import FINISHED, LEGAL_IN, allowed_names
from durable_host.models import ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent

from .filters import matching, named
from .shapes import InstanceFilter

_BATCH = 500


def purge_instance(hub: str, instance_id: str, *, recursive: bool = True) -> int:
    """Remove a finished instance and return how many were removed, sub-orchestrations included.

    Raises:
        InstanceNotFoundError: there is none.
        InvalidOperationError: it has not finished.
    """
    with transaction.atomic():
        row = named(hub, instance_id).select_for_update().first()
        if row is None:
            raise InstanceNotFoundError(instance_id)
        if row.status not in LEGAL_IN["purge"]:
            raise InvalidOperationError("purge", instance_id, row.status, allowed_names("purge"))
        return delete_instances(_with_children([row.pk]) if recursive else [row.pk])


def purge_instances(hub: str, filter_: InstanceFilter, *, recursive: bool = True) -> int:
    """Remove the finished instances that a filter means, in small transactions, and return how many were removed."""
    finished = matching(hub, filter_).filter(status__in=FINISHED)
    removed = 0
    while pks := list(finished.order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        with transaction.atomic():
            removed += delete_instances(_with_children(pks) if recursive else pks)
    return removed


def delete_instances(pks: Collection[int]) -> int:
    """Delete instances and all their rows, inside the caller's transaction; return how many."""
    if not pks:
        return 0
    for model in (HistoryEvent, PendingEvent, ActivityTask, EventWait):
        rows = model._default_manager.filter(instance_id__in=pks)
        rows._raw_delete(rows.db)  # no signals, no cascades: we name every table
    # Sub-orchestrations that stay stand for themselves from now on: lists show them, and retention finds them.
    Instance.objects.filter(parent_id__in=pks).exclude(pk__in=pks).update(parent=None)
    instances = Instance.objects.filter(pk__in=pks)
    return int(instances._raw_delete(instances.db))


def _with_children(pks: list[int]) -> list[int]:
    """Return the instances and their finished sub-orchestrations at every depth."""
    found, level = list(pks), list(pks)
    while level:
        level = list(Instance.objects.filter(parent_id__in=level, status__in=FINISHED).values_list("pk", flat=True))
        found += level
    return found
