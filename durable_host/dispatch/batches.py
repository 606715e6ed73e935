"""Working off batches: what each operation does to one instance, and when a host gives them a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic_core import to_json

from durable_host.conf import host_settings
from durable_host.core import events as ev
from durable_host.core.access import Operation
from durable_host.core.registry import Registry
from durable_host.store import batches, operations, purging, restarting, rewinding, starting
from durable_host.store.batches import BatchRequest
from durable_host.store.shapes import Wake

from . import announcements, doorbell


class BatchRunner:
    """Gives batches their share of a host's time: one small part between two rounds of other work.

    Args:
        registry: the functions that the host knows.
        wake: has the host look for what a part has given it to do.
    """

    def __init__(self, registry: Registry, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._wake = wake
        self._hub = host_settings().task_hub
        self._may_have_work = True

    def look(self) -> None:
        """Ask the database again: a bell rang, or it is time."""
        self._may_have_work = True

    def step(self) -> bool:
        """Work off one part, if there is one; tell whether there was."""
        if not self._may_have_work:
            return False
        part = batches.work_part(self._hub, self._act) if batches.is_any_open(self._hub) else None
        self._may_have_work = part is not None
        if part is not None:
            self._wake()
            doorbell.ring(part.wake)
        return part is not None

    def _act(self, request: BatchRequest, instance_id: str) -> Wake:
        return _ACTS[request.operation](self, request, instance_id)

    def _announce(self, instance_id: str, event: ev.HistoryEvent) -> None:
        announcements.request(self._hub, instance_id, event)

    def _terminate(self, request: BatchRequest, instance_id: str) -> Wake:
        reason = to_json(request.reason).decode() if request.reason else None
        self._announce(instance_id, ev.ExecutionTerminated(timestamp=_now(), input=reason))
        return operations.terminate(self._hub, instance_id, reason, recursive=True)

    def _suspend(self, request: BatchRequest, instance_id: str) -> Wake:
        self._announce(instance_id, ev.ExecutionSuspended(timestamp=_now(), reason=request.reason or None))
        return operations.suspend(self._hub, instance_id, request.reason or None)

    def _resume(self, request: BatchRequest, instance_id: str) -> Wake:
        self._announce(instance_id, ev.ExecutionResumed(timestamp=_now(), reason=request.reason or None))
        return operations.resume(self._hub, instance_id, request.reason or None)

    def _rewind(self, request: BatchRequest, instance_id: str) -> Wake:
        wake = rewinding.rewind(self._hub, instance_id, request.reason or None, self._registry)
        self._announce(instance_id, ev.ExecutionRewound(timestamp=_now(), reason=request.reason or None))
        return wake

    def _restart(self, request: BatchRequest, instance_id: str) -> Wake:
        with announcements.starts([restarting.copy_of(self._hub, instance_id, self._registry)]) as traced:
            return starting.start_all(self._hub, traced)

    def _purge(self, request: BatchRequest, instance_id: str) -> Wake:
        purging.purge_instance(self._hub, instance_id)
        return Wake()

    def _raise_event(self, request: BatchRequest, instance_id: str) -> Wake:
        raised = ev.EventRaised(timestamp=_now(), name=request.event_name, input=request.event_data)
        self._announce(instance_id, raised)
        return operations.raise_event(self._hub, instance_id, request.event_name, request.event_data)


_ACTS: dict[Operation, Callable[[BatchRunner, BatchRequest, str], Wake]] = {
    Operation.TERMINATE: BatchRunner._terminate,
    Operation.SUSPEND: BatchRunner._suspend,
    Operation.RESUME: BatchRunner._resume,
    Operation.REWIND: BatchRunner._rewind,
    Operation.RESTART: BatchRunner._restart,
    Operation.PURGE: BatchRunner._purge,
    Operation.RAISE_EVENT: BatchRunner._raise_event,
}


def _now() -> datetime:
    return datetime.now(UTC)
