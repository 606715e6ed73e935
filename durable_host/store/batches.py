"""One operation on many instances: asked for once, worked off by the hosts in small parts.

A part and its progress commit together. So a batch goes on where it was after whatever happened to its worker, and
nothing is done to an instance twice. While a worker has a part, the batch's row is locked, and others pass it over.
Every instance that a batch changes, or fails to change, has an audit record of its own, in the name of the person who
asked for the batch: the audit of one instance tells all that happened to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from pydantic import TypeAdapter

from durable_host.conf import host_settings
from durable_host.core.access import Operation
from durable_host.core.errors import BadRequestError, InstanceNotFoundError, InvalidOperationError
from durable_host.core.failure import storable_text
from durable_host.core.status import LEGAL_IN, RuntimeStatus
from durable_host.models import BatchOperation, Instance

from . import audit, clock, selection
from .cursors import decode_key, encode_key
from .limits import TooSlowError, time_limited
from .listing import CappedCount, capped
from .shapes import InstanceFilter, Wake
from .sql import Statement

#: what can be asked for → the name under which its statuses are known
BATCHABLE: dict[Operation, str] = {
    Operation.TERMINATE: "terminate",
    Operation.SUSPEND: "suspend",
    Operation.RESUME: "resume",
    Operation.REWIND: "rewind",
    Operation.RESTART: "restart",
    Operation.PURGE: "purge",
    Operation.RAISE_EVENT: "raise an event to",
}
_MOST_IDS = 10_000
_MOST_ERRORS = 20
_ESTIMATE_LIMIT = 100_000
_FILTER = TypeAdapter(InstanceFilter)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """What is to be done, and to which instances: those of a filter, or those that are named."""

    operation: Operation
    filter: InstanceFilter | None = None
    instance_ids: tuple[str, ...] = ()
    reason: str = ""
    #: of raise event
    event_name: str = ""
    #: JSON text
    event_data: str | None = None


class BatchState(StrEnum):
    """How a batch stands."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (BatchState.FINISHED, BatchState.CANCELLED)


@dataclass(frozen=True, slots=True)
class BatchError:
    """What went wrong with one instance."""

    instance_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """What is known of a batch."""

    id: str
    request: BatchRequest
    actor_kind: str
    actor: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    state: BatchState
    #: how many instances it meant when it was asked for
    estimate: CappedCount
    done: int
    #: no longer there, or in no status for it
    skipped: int
    failed: int
    #: the last few
    errors: tuple[BatchError, ...]

    @property
    def handled(self) -> int:
        """Instances that it is through with."""
        return self.done + self.skipped + self.failed

    @property
    def percent(self) -> int | None:
        """How far it is; None where nobody knows."""
        if self.state is BatchState.FINISHED:
            return 100
        if self.estimate.is_capped or not self.estimate.value:
            return None
        return min(99, 100 * self.handled // self.estimate.value)


@dataclass(frozen=True, slots=True)
class Part:
    """What came of one part of a batch."""

    wake: Wake


#: does the operation of a batch to one instance, inside the caller's transaction
Act = Callable[[BatchRequest, str], Wake]


def create(hub: str, request: BatchRequest, *, actor_kind: str, actor: str, address: str) -> tuple[str, Wake]:
    """Write down a batch; return its id and who must be told.

    Raises:
        BadRequestError: the operation is none for many, or it does not say which instances.
    """
    _check(request)
    estimate = _estimate(hub, request)
    row = BatchOperation.objects.create(
        hub=hub,
        public_id=uuid.uuid4().hex[:12],
        operation=request.operation,
        filter=None if request.filter is None else _FILTER.dump_python(request.filter, mode="json"),
        instance_ids=sorted(set(request.instance_ids)),
        reason=storable_text(request.reason, 1_000),
        event_name=request.event_name,
        event_data=request.event_data,
        actor_kind=actor_kind,
        actor=actor,
        address=address[:64],
        created_at=clock.now(),
        estimate=estimate.value,
        estimate_is_capped=estimate.is_capped,
    )
    return row.public_id, Wake(frozenset({host_settings().turn_queue}))


def get(hub: str, batch_id: str) -> BatchStatus | None:
    """Return a batch, or None where there is none of this id."""
    row = BatchOperation.objects.filter(hub=hub, public_id=batch_id.replace("\x00", "")).first()
    return None if row is None else _status(row)


def latest(hub: str, *, limit: int = 50) -> tuple[BatchStatus, ...]:
    """Return the newest batches."""
    return tuple(map(_status, BatchOperation.objects.filter(hub=hub).order_by("-pk")[:limit]))


def cancel(hub: str, batch_id: str) -> bool:
    """Have a batch stop after the part that is under way; return False where it is over, or was stopped before."""
    rows = BatchOperation.objects.filter(hub=hub, public_id=batch_id, finished_at=None, cancelled_at=None)
    return rows.update(cancelled_at=clock.now()) > 0


_OPEN = Statement("SELECT 1 FROM durable_host_batchoperation WHERE hub = %s AND finished_at IS NULL LIMIT 1")


def is_any_open(hub: str) -> bool:
    """Tell whether some batch is not over. Every bell asks."""
    return bool(_OPEN.rows(hub))


def work_part(hub: str, act: Act, *, size: int = 25) -> Part | None:
    """Work off one part of the oldest batch that no other worker has at this moment; None where there is none.

    Args:
        hub: task hub.
        act: does the operation to one instance. What it raises is the failure of that instance alone, except where
            the database fails: then the whole part is undone.
        size: instances in a part.
    """
    with transaction.atomic():
        skip = connection.features.has_select_for_update_skip_locked
        rows = BatchOperation.objects.select_for_update(skip_locked=skip).filter(hub=hub, finished_at=None)
        row = rows.order_by("pk").first()
        if row is None:
            return None
        row.started_at = row.started_at or clock.now()
        wakes: list[Wake] = []
        if row.cancelled_at is None:
            request = _request(row)
            # In the order in which checkpoints lock, so that nobody waits in a circle.
            for instance_id in _next_ids(row, request, size):
                wakes += _do(row, request, instance_id, act)
        else:
            row.finished_at = clock.now()
        row.errors = row.errors[-_MOST_ERRORS:]
        progress = ["started_at", "finished_at", "cursor", "done", "skipped", "failed", "errors"]
        row.save(update_fields=progress)
    queues = frozenset(queue for wake in wakes for queue in wake.queues)
    return Part(Wake(queues, frozenset(owner for wake in wakes for owner in wake.owners)))


def _do(row: BatchOperation, request: BatchRequest, instance_id: str, act: Act) -> list[Wake]:
    asked = audit.Asked(
        hub=row.hub,
        actor_kind=row.actor_kind,
        actor=row.actor,
        address=row.address,
        operation=request.operation,
        instance_id=instance_id,
        detail="; ".join(filter(None, (request.event_name, f"batch {row.public_id}", request.reason))),
    )
    try:
        with transaction.atomic():
            wake = act(request, instance_id)
            audit.record(asked, audit.Outcome.DONE)
    except (OperationalError, InterfaceError):
        raise
    except (InstanceNotFoundError, InvalidOperationError):
        row.skipped += 1
        return []
    except Exception as error:  # whatever is wrong with one instance: the others must not wait for it for ever
        message = storable_text(f"{type(error).__name__}: {error}", 500)
        row.failed += 1
        row.errors.append([instance_id, message])
        audit.record(asked, audit.Outcome.REFUSED, message)
        return []
    row.done += 1
    return [wake]


def _next_ids(row: BatchOperation, request: BatchRequest, size: int) -> Sequence[str]:
    """Return the next instances, move the cursor behind them, and note the end."""
    if request.filter is None:
        begin = int(row.cursor or 0)
        row.cursor = str(begin + size)
        if begin + size >= len(request.instance_ids):
            row.finished_at = clock.now()
        ids = request.instance_ids[begin : begin + size]
        known = Instance.objects.filter(hub=row.hub, instance_id__in=ids).order_by("pk")
        present = list(known.values_list("instance_id", flat=True))
        return [*present, *sorted(set(ids) - set(present))]
    meant = _narrowed(request, request.filter, row.created_at)
    if meant is None:
        row.finished_at = clock.now()
        return []
    after = decode_key(row.cursor) if row.cursor else None
    found = selection.newest(row.hub, meant, limit=size, after=after)
    if found.after is None:
        row.finished_at = clock.now()
    else:
        row.cursor = encode_key(found.after)
    rows = Instance.objects.filter(pk__in=[pk for _, pk in found.keys])
    return list(rows.order_by("pk").values_list("instance_id", flat=True))


def _narrowed(request: BatchRequest, filter_: InstanceFilter, asked_at: datetime) -> InstanceFilter | None:
    """Return the filter, of those only to whom the operation can be done and who were there when it was asked for.

    What a restart starts is newer, so that no batch meets its own work.
    """
    legal = LEGAL_IN[BATCHABLE[request.operation]]
    statuses = tuple(status for status in filter_.statuses or RuntimeStatus if status in legal)
    until = min(filter(None, (filter_.created_to, asked_at)))
    return replace(filter_, statuses=statuses, created_to=until) if statuses else None


def _estimate(hub: str, request: BatchRequest) -> CappedCount:
    if request.filter is None:
        return CappedCount(len(set(request.instance_ids)))
    meant = _narrowed(request, request.filter, clock.now())
    if meant is None:
        return CappedCount(0)
    try:
        with time_limited():
            window = selection.search_window(hub, meant)
            count = capped(selection.within(hub, meant, window), _ESTIMATE_LIMIT)
    except TooSlowError:
        return CappedCount(0, is_capped=True)
    return count if window is None else replace(count, is_capped=True)


def _check(request: BatchRequest) -> None:
    if request.operation not in BATCHABLE:
        raise BadRequestError(f"{request.operation.value} is no operation for many instances.")
    if (request.filter is None) == (not request.instance_ids):
        raise BadRequestError("A batch is for the instances of a filter or for those that are named: say which.")
    if len(request.instance_ids) > _MOST_IDS:
        raise BadRequestError(f"A batch names at most {_MOST_IDS:,} instances. Use a filter instead.")
    if request.operation is Operation.RAISE_EVENT and not request.event_name:
        raise BadRequestError("Say which event is to be raised.")


def _request(row: BatchOperation) -> BatchRequest:
    return BatchRequest(
        operation=Operation(row.operation),
        filter=None if row.filter is None else _FILTER.validate_python(row.filter),
        instance_ids=tuple(row.instance_ids),
        reason=row.reason,
        event_name=row.event_name,
        event_data=row.event_data,
    )


def _status(row: BatchOperation) -> BatchStatus:
    errors: Sequence[Any] = row.errors
    return BatchStatus(
        id=row.public_id,
        request=_request(row),
        actor_kind=row.actor_kind,
        actor=row.actor,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        state=_state(row),
        estimate=CappedCount(row.estimate, row.estimate_is_capped),
        done=row.done,
        skipped=row.skipped,
        failed=row.failed,
        errors=tuple(BatchError(instance_id, message) for instance_id, message in errors),
    )


def _state(row: BatchOperation) -> BatchState:
    if row.finished_at is not None:
        return BatchState.CANCELLED if row.cancelled_at else BatchState.FINISHED
    if row.cancelled_at is not None:
        return BatchState.CANCELLING
    return BatchState.WAITING if row.started_at is None else BatchState.RUNNING
