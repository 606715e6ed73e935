"""Starting, watching, answering and ending orchestrations from any Django code.

    from durable_host.client import DurableClient

    DurableClient().start_new("nightly", date.today())

Inside the caller's own ``transaction.atomic()`` a start or an event commits or vanishes with the caller's rows; workers
are told after that commit.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

from . import links
from .conf import host_settings
from .core.errors import (
    BadRequestError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    InvalidOperationError,
)
from .core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from .core.names import check_instance_id, check_name, check_tags, check_version
from .core.payload import PayloadCodec
from .core.registry import OrchestratorSpec, Registry, default_registry, name_of
from .core.status import LEGAL_IN, allowed_names
from .dispatch import announcements
from .dispatch.doorbell import ring_after_commit
from .dispatch.endings import Endings
from .store import operations, purging, queries, rewinding, stalls, starting
from .store.shapes import InstanceFilter, NewInstance, OrchestrationStatus, Page

_POLL_FIRST = 0.002
_POLL_LONGEST = 0.25

__all__ = ["DurableClient", "InstanceFilter", "OrchestrationStatus", "Page"]


class DurableClient:
    """The operations of Durable Functions' DurableClient, on one task hub.

    Args:
        hub: task hub; by default the setting ``DURABLE_HOST["TASK_HUB"]``.
        registry: functions that may be started; by default those that this process has registered.
    """

    def __init__(self, hub: str | None = None, *, registry: Registry = default_registry) -> None:
        self._hub = hub or host_settings().task_hub
        self._registry = registry
        self._codec = PayloadCodec(host_settings().max_payload_bytes)

    # --- starting --------------------------------------------------------------------------------------------------

    def start_new(
        self,
        orchestrator: str | Callable[..., Any],
        input_: Any = None,
        *,
        instance_id: str | None = None,
        start_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> str:
        """Start an orchestration and return its instance id.

        Args:
            orchestrator: the function, or its registered name.
            input_: its input; checked against the type that the orchestrator declares.
            instance_id: an id of your own, 1 to 256 characters; by default a new one. The id of a finished instance may
                be used again: the old instance is replaced.
            start_at: when to start; at once by default.
            tags: short texts to find the instance by.
            version: its version; by default ``DURABLE_HOST["DEFAULT_VERSION"]``.

        Raises:
            UnknownOrchestratorError: no orchestrator has the name.
            PayloadError: the input cannot be stored or does not fit.
            InvalidInstanceIdError: the id is not acceptable.
            InstanceAlreadyExistsError: an unfinished instance has the id.
        """
        return self.start_prepared(self.prepare(orchestrator, input_, instance_id, start_at, tags, version))

    def prepare(
        self,
        orchestrator: str | Callable[..., Any],
        input_: Any = None,
        instance_id: str | None = None,
        start_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> NewInstance:
        """Check everything that :meth:`start_new` would, and write nothing. Arguments and errors are the same."""
        spec = self._registry.orchestrator(name_of(orchestrator, self._registry.orchestrators))
        return NewInstance(
            instance_id=uuid.uuid4().hex if instance_id is None else check_instance_id(instance_id),
            name=spec.name,
            input=self._input_text(spec, input_),
            version=check_version(host_settings().default_version if version is None else version),
            tags=check_tags(tags or {}, self._codec),
            start_at=None if start_at is None else _utc(start_at),
        )

    def start_prepared(self, new: NewInstance) -> str:
        """Start what :meth:`prepare` has checked, and return the instance id.

        Raises:
            InstanceAlreadyExistsError: an unfinished instance has the id.
        """
        with announcements.starts([new]) as traced:
            ring_after_commit(starting.start_all(self._hub, traced))
        return new.instance_id

    def start_or_get(
        self,
        orchestrator: str | Callable[..., Any],
        input_: Any = None,
        *,
        instance_id: str,
        start_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> tuple[str, bool]:
        """Start an orchestration unless an unfinished one has the id already, in one atomic step.

        Returns:
            The instance id, and whether this call started it (as Django's ``get_or_create``).

        Raises:
            UnknownOrchestratorError, PayloadError, InvalidInstanceIdError: as :meth:`start_new`.
        """
        try:
            started = self.start_new(
                orchestrator, input_, instance_id=instance_id, start_at=start_at, tags=tags, version=version
            )
        except InstanceAlreadyExistsError:
            return instance_id, False
        return started, True

    def start_many(
        self,
        orchestrator: str | Callable[..., Any],
        inputs: Iterable[Any],
        *,
        instance_ids: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> list[str]:
        """Start one orchestration for each input, all in one transaction or none, and return their ids in order.

        Raises:
            BadRequestError: as :meth:`start_new`; also where ``instance_ids`` repeats one or has another length.
        """
        values = list(inputs)
        ids: Sequence[str | None] = instance_ids if instance_ids is not None else [None] * len(values)
        if len(ids) != len(values) or (len(set(ids)) < len(ids) and instance_ids is not None):
            raise BadRequestError(
                f"instance_ids must name {len(values)} different ids, one for each input; it has {len(ids)}, "
                f"{len(set(ids))} of them different."
            )
        news = [
            self.prepare(orchestrator, value, id_, None, tags, version) for value, id_ in zip(values, ids, strict=True)
        ]
        with announcements.starts(news) as traced:
            ring_after_commit(starting.start_all(self._hub, traced))
        return [new.instance_id for new in news]

    def restart(self, instance_id: str, *, restart_with_new_instance_id: bool = True) -> str:
        """Start a finished orchestration again with its input, and return the id of the new instance.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: its own id is to be used again and it has not finished.
            UnknownOrchestratorError: its orchestrator is no longer registered.
        """
        return self.start_prepared(self.prepare_restart(instance_id, with_new_id=restart_with_new_instance_id))

    def prepare_restart(self, instance_id: str, *, with_new_id: bool = True) -> NewInstance:
        """Check everything that :meth:`restart` would, and write nothing. It raises the same errors."""
        status = self._status(instance_id)
        if not with_new_id and status.runtime_status not in LEGAL_IN["restart"]:
            raise InvalidOperationError("restart", instance_id, status.runtime_status, allowed_names("restart"))
        return self.prepare(
            status.name,
            status.input,
            instance_id=None if with_new_id else instance_id,
            tags=status.tags,
            version=status.version,
        )

    def create_http_management_payload(self, request: HttpRequest, instance_id: str) -> dict[str, str]:
        """Return the addresses at which an instance is watched and steered over HTTP, for a view of your own.

        Each carries a token that is good for this instance and for that operation, for
        ``DURABLE_HOST["TOKEN_LIFETIME"]``. Whoever has an address can use it: hand them to those who may.

        Args:
            request: the request that is being answered: the addresses have its scheme and host.
            instance_id: the instance.
        """
        return links.management_payload(self._hub, request.build_absolute_uri("/"), instance_id)

    # --- watching --------------------------------------------------------------------------------------------------

    def get_status(self, instance_id: str, *, show_input: bool = True) -> OrchestrationStatus | None:
        """Return what is known of an instance, or None where there is none."""
        return queries.get_status(self._hub, instance_id, with_input=show_input)

    def get_history(self, instance_id: str, *, generation: int | None = None) -> list[HistoryEvent]:
        """Return the events of an instance's latest execution, or of the numbered one.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        return queries.get_history(self._hub, instance_id, generation=generation)

    def query(
        self,
        filter_: InstanceFilter | None = None,
        *,
        page_size: int = 100,
        continuation: str | None = None,
        show_input: bool = False,
        newest_first: bool = True,
    ) -> Page:
        """Return one page of the instances that a filter means.

        Args:
            filter_: status, name, id prefix, tags, time window; all by default.
            page_size: 1 to 1,000.
            continuation: what the page before gave.
            show_input: read the inputs as well.
            newest_first: order by time of creation.

        Raises:
            BadRequestError: the continuation token or the page size is not acceptable.
        """
        if not 1 <= page_size <= 1000:
            raise BadRequestError(f"page_size must be 1 to 1,000, it is {page_size}.")
        return queries.query(
            self._hub,
            filter_ or InstanceFilter(),
            page_size=page_size,
            continuation=continuation,
            with_input=show_input,
            newest_first=newest_first,
        )

    def wait_for_completion(
        self,
        instance_id: str,
        timeout: float | None = None,
        *,
        on_poll: Callable[[OrchestrationStatus], None] | None = None,
    ) -> OrchestrationStatus:
        """Wait until an instance has finished, and return its status.

        Args:
            instance_id: whom to wait for.
            timeout: seconds to wait at most; for ever by default.
            on_poll: called with the status each time it is read.

        Raises:
            InstanceNotFoundError: there is no such instance.
            TimeoutError: it has not finished in time; it goes on.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        pause = _POLL_FIRST
        with Endings(self._hub) as endings:
            while True:
                status = self._status(instance_id)
                if on_poll is not None:
                    on_poll(status)
                if status.is_finished:
                    return status
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"Instance {instance_id!r} is still {status.runtime_status} after {timeout} s. It goes on."
                    )
                pause = _POLL_LONGEST if endings.are_heard else min(_POLL_LONGEST, pause * 1.5)
                endings.wait(instance_id, min(pause, left))

    # --- steering --------------------------------------------------------------------------------------------------

    def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Send an external event; one that nobody waits for yet is kept.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: it has finished.
            PayloadError: the data cannot be stored, or the name is not acceptable.
        """
        check_name(event_name, "An event name")
        payload = self._codec.dumps(data, f"The data of event {event_name!r}")
        with self._announced(instance_id, EventRaised, name=event_name, input=payload):
            ring_after_commit(operations.raise_event(self._hub, instance_id, event_name, payload))

    def terminate(self, instance_id: str, reason: str | None = None, *, recursive: bool = True) -> None:
        """End an instance without running its code, by default with its sub-orchestrations.

        Activities that run already end by themselves; their results are dropped.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: it has finished.
        """
        text = self._reason(reason)
        payload = None if text is None else self._codec.dumps(text, "The reason")
        with self._announced(instance_id, ExecutionTerminated, input=payload):
            ring_after_commit(operations.terminate(self._hub, instance_id, payload, recursive=recursive))

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Pause an instance: events are kept, its code does not go on. Raises as :meth:`terminate`."""
        with self._announced(instance_id, ExecutionSuspended, reason=reason):
            ring_after_commit(operations.suspend(self._hub, instance_id, self._reason(reason)))

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on. Raises as :meth:`terminate`."""
        with self._announced(instance_id, ExecutionResumed, reason=reason):
            ring_after_commit(operations.resume(self._hub, instance_id, self._reason(reason)))

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """Take a failed instance back to before its failure: what succeeded is kept, what failed runs again.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: it has not failed.
        """
        with self._announced(instance_id, ExecutionRewound, reason=reason):
            ring_after_commit(rewinding.rewind(self._hub, instance_id, self._reason(reason), self._registry))

    def release(self, instance_id: str, reason: str | None = None) -> None:
        """Have a stalled or parked instance tried again at once; no history tells of it, and so not of the reason.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: it is not stalled.
        """
        self._reason(reason)
        ring_after_commit(stalls.release(self._hub, instance_id))

    def purge(self, instance_id: str, *, recursive: bool = True) -> int:
        """Remove a finished instance with its history; return how many instances were removed.

        Raises:
            InstanceNotFoundError: there is no such instance.
            InvalidOperationError: it has not finished.
        """
        return purging.purge_instance(self._hub, instance_id, recursive=recursive)

    def purge_by(self, filter_: InstanceFilter, *, recursive: bool = True) -> int:
        """Remove the finished instances that a filter means; return how many were removed."""
        return purging.purge_instances(self._hub, filter_, recursive=recursive)

    # --- checks ----------------------------------------------------------------------------------------------------

    def _input_text(self, spec: OrchestratorSpec, input_: Any) -> str | None:
        what = f"The input {spec.input_name!r} of orchestrator {spec.name!r}"
        text = None if input_ is None else self._codec.dumps(input_, what)
        if spec.takes_input and not (text is None and spec.input_is_optional):
            self._codec.loads(text, spec.input_type, what)
        return text

    def _reason(self, reason: str | None) -> str | None:
        if reason is not None:
            self._codec.dumps(reason, "The reason")
        return reason

    @contextmanager
    def _announced(self, instance_id: str, event: type[HistoryEvent], **fields: Any) -> Iterator[None]:
        """Tell of the request that the block makes, as of its beginning."""
        request = event(timestamp=datetime.now(UTC), **fields)
        yield
        announcements.request(self._hub, instance_id, request)

    def _status(self, instance_id: str) -> OrchestrationStatus:
        status = self.get_status(instance_id)
        if status is None:
            raise InstanceNotFoundError(instance_id)
        return status


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
