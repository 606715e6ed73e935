"""The orchestrator's side of the machine: everything that orchestrator code may do."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, overload

from .compound import RetryTask, TimeLimitedEvent
from .durable_http import HttpCalls
from .errors import OrchestratorCodeError, PayloadError
from .events import ExecutionStarted
from .failure import storable_text
from .ledger import Ledger, NextExecution
from .mailbox import WaitInfo, schema_of
from .names import check_instance_id, check_name
from .registry import OrchestratorSpec, Registry, name_of
from .retry import RetryPolicy
from .tasks import EventTask, Task, TaskAll, TimerTask, WhenAll, WhenAny

R = TypeVar("R")

# Durable Functions' own namespace, so that ids are the same as those of its Python SDK.
_UUID_SEED = "9e952958-5e33-4daf-827f-2fa12937b875"
_MAX_CUSTOM_STATUS_BYTES = 16 * 1024
_MAX_DESCRIPTION = 8_000


class OrchestrationContext(HttpCalls):
    """What an orchestrator is given. Every method is deterministic under replay.

    Names and semantics are those of Durable Functions (IDurableOrchestrationContext, DurableOrchestrationContext).
    Methods that return a task only ask for the work; await the task (or yield it, in a generator) for its result.
    Calls made after the orchestrator has ended, or from another thread, raise :class:`OrchestratorCodeError`.
    """

    def __init__(self, ledger: Ledger, registry: Registry, started: ExecutionStarted, spec: OrchestratorSpec) -> None:
        self._ledger = ledger
        self._registry = registry
        self._started = started
        self._spec = spec
        self._uuids = 0
        self._logger = ReplaySafeLogger(logging.getLogger(f"orchestrations.{spec.name}"), ledger)

    # --- what this instance is -------------------------------------------------------------------------------------

    @property
    def instance_id(self) -> str:
        """Id of this instance."""
        return self._ledger.instance_id

    @property
    def parent_instance_id(self) -> str | None:
        """Id of the instance that called this one as a sub-orchestration."""
        return self._started.parent_instance_id

    @property
    def name(self) -> str:
        """Name of this orchestrator."""
        return self._started.name

    @property
    def version(self) -> str:
        """Version that the instance was started with; empty where none was given."""
        return self._started.version

    @property
    def current_utc_datetime(self) -> datetime:
        """Time of the current turn, UTC; the only clock that replays."""
        return self._ledger.now

    @property
    def is_replaying(self) -> bool:
        """Whether the code runs to rebuild its state from history, so that what follows has happened before."""
        return self._ledger.is_replaying

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that is silent during replay, named ``orchestrations.<name>``."""
        return self._logger

    @property
    def has_no_input(self) -> bool:
        """Whether the instance was started without an input."""
        return self._started.input is None

    def get_input(self, expected_type: Any = None) -> Any:
        """Return the input as the type that the signature declares, or as ``expected_type``.

        Raises:
            PayloadError: the input does not fit the type.
        """
        type_ = self._spec.input_type if expected_type is None else expected_type
        return self._ledger.codec.loads(self._started.input, type_, f"The input of {self.name!r}")

    # --- work ------------------------------------------------------------------------------------------------------

    @overload
    def call_activity(
        self,
        name: Callable[..., Coroutine[Any, Any, R]],
        input_: Any = None,
        expected_type: None = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self,
        name: Callable[..., R],
        input_: Any = None,
        expected_type: None = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self,
        name: str | Callable[..., Any],
        input_: Any = None,
        expected_type: Any = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]: ...

    def call_activity(
        self,
        name: str | Callable[..., Any],
        input_: Any = None,
        expected_type: Any = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]:
        """Run an activity, at least once.

        Args:
            name: the function, or its registered name.
            input_: its input.
            expected_type: type of the result; by default the one that the activity's signature declares.
            retry: policy for this call; by default the activity's own.

        Returns:
            A task of the activity's result. Awaiting it raises :class:`TaskFailedError` if the activity failed.

        Raises:
            PayloadError: the input cannot be stored.
        """
        self._ledger.require_running()
        called = check_name(name_of(name, self._registry.activities), "The name of an activity")
        spec = self._registry.activities.get(called)
        type_ = expected_type or (spec.result_type if spec else Any)
        text = self._dump(input_, f"The input of activity {called!r}")
        policy = retry or (spec.retry if spec else None)
        return self._retrying(called, policy, lambda first: self._ledger.call_activity(called, text, type_, first))

    def call_activity_with_retry(
        self,
        name: str | Callable[..., Any],
        retry_options: RetryPolicy,
        input_: Any = None,
        expected_type: Any = None,
    ) -> Task[Any]:
        """Run an activity under a retry policy; see :meth:`call_activity`."""
        return self.call_activity(name, input_, expected_type, retry=retry_options)

    def call_sub_orchestrator(
        self,
        name: str | Callable[..., Any],
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]:
        """Run another orchestrator as a part of this one.

        Args:
            name: the function, or its registered name.
            instance_id: id of the new instance; by default one made from this instance's.
            version: its version; by default this instance's.
            expected_type: type of the result; by default the declared one.
            retry: policy for failed runs; each attempt is a new instance, so give it no ``instance_id``.

        Returns:
            A task of its result. Awaiting it raises :class:`SubOrchestrationFailedError` if it failed.

        Raises:
            InvalidInstanceIdError, OrchestratorCodeError: the id is refused; it is this instance's or its parent's.
            PayloadError: the input cannot be stored.
        """
        self._ledger.require_running()
        called = check_name(name_of(name, self._registry.orchestrators), "The name of an orchestrator")
        self._refuse_own_id(called, instance_id)
        spec = self._registry.orchestrators.get(called)
        type_ = expected_type or (spec.result_type if spec else Any)
        text = self._dump(input_, f"The input of orchestrator {called!r}")
        chosen_version = self.version if version is None else _checked_version(version)
        return self._retrying(
            called,
            retry,
            lambda _: self._ledger.call_sub_orchestrator(called, text, type_, instance_id, chosen_version),
        )

    def _refuse_own_id(self, called: str, chosen: str | None) -> None:
        if chosen is not None and check_instance_id(chosen) in (self.instance_id, self.parent_instance_id):
            raise OrchestratorCodeError(
                f"Sub-orchestration {called!r} was given the id {chosen!r}, which is this instance's own or its "
                f"parent's. Choose another."
            )

    def call_sub_orchestrator_with_retry(
        self,
        name: str | Callable[..., Any],
        retry_options: RetryPolicy,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
    ) -> Task[Any]:
        """Run another orchestrator under a retry policy; see :meth:`call_sub_orchestrator`."""
        return self.call_sub_orchestrator(name, input_, instance_id, version, expected_type, retry=retry_options)

    # --- time and events -------------------------------------------------------------------------------------------

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask:
        """Wake this orchestrator later; there is no limit to how much later.

        Args:
            fire_at: a time (UTC where it names no zone), or how long from now.
        """
        self._ledger.require_running()
        when = self.current_utc_datetime + fire_at if isinstance(fire_at, timedelta) else fire_at
        return self._ledger.create_timer(_utc(when))

    def wait_for_external_event(
        self,
        name: str,
        data_type: Any = Any,
        *,
        timeout: timedelta | None = None,
        title: str = "",
        description: str = "",
        assignees: Iterable[str] = (),
        due: datetime | None = None,
        expected_type: Any = None,
    ) -> EventTask[Any] | TimeLimitedEvent:
        """Wait for an event that somebody raises to this instance; names are compared without case.

        Events that came before the wait are taken first, oldest first. ``cancel()`` of the returned task ends the wait.

        Args:
            data_type: type of its data. It makes the buttons of the person who answers: ``bool`` gives Approve and
                Reject, a ``Literal`` or ``Enum`` one button a choice, a model a form.
            timeout: raise ``TimeoutError`` when no event has come after this long.
            title, description: what the person is asked, in a few words, and what there is to know about it.
            assignees: users or groups who are asked.
            due: when the answer is needed (UTC where it names no zone); by default the end of ``timeout``.
            expected_type: the same as ``data_type``, under its name in azure-functions-durable.
        """
        self._ledger.require_running()
        type_ = data_type if expected_type is None else expected_type
        limit = None if timeout is None else self.current_utc_datetime + timeout
        info = WaitInfo(
            name=check_name(name, "The name of an event"),
            title=storable_text(title, _MAX_DESCRIPTION),
            description=storable_text(description, _MAX_DESCRIPTION),
            assignees=_names(assignees),
            due=limit if due is None else _utc(due),
            schema=schema_of(type_),
        )
        event = self._ledger.wait_for_event(type_, info)
        if timeout is None or limit is None or event.is_completed:
            return event
        return TimeLimitedEvent(event, self._ledger.create_timer(limit), timeout)

    def send_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an external event to another instance. Nothing tells whether it arrived; a missing target drops it."""
        self._ledger.require_running()
        check_name(instance_id, "The id of the instance that an event is sent to")
        check_name(event_name, "The name of an event")
        self._ledger.send_event(instance_id, event_name, self._dump(data, f"The data of event {event_name!r}"))

    # --- combinations ----------------------------------------------------------------------------------------------

    def when_all(self, tasks: Iterable[Task[R]]) -> Task[list[R]]:
        """Wait for all tasks; give their results in order, or raise the first failure once all have ended."""
        return WhenAll(tasks)

    def when_any(self, tasks: Iterable[Task[Any]]) -> Task[Task[Any]]:
        """Wait for the first task to end and give that task. The others go on."""
        return WhenAny(tasks)

    def task_all(self, activities: Iterable[Task[R]]) -> Task[list[R]]:
        """As :meth:`when_all`, but raise the first failure at once (azure-functions-durable's semantics)."""
        return TaskAll(activities)

    def task_any(self, activities: Iterable[Task[Any]]) -> Task[Task[Any]]:
        """The name of :meth:`when_any` in azure-functions-durable."""
        return WhenAny(activities)

    # --- this instance's own state ---------------------------------------------------------------------------------

    def continue_as_new(self, input_: Any = None, *, save_events: bool = True, new_version: str | None = None) -> None:
        """Start this orchestrator over with a fresh history, under the same instance id; then return at once.

        Args:
            input_: input of the next execution.
            save_events: keep external events that nobody has taken.
            new_version: version of the next execution; by default the same.
        """
        self._ledger.require_running()
        text = self._dump(input_, "The input of continue_as_new")
        version = None if new_version is None else _checked_version(new_version)
        self._ledger.next_execution = NextExecution(text, save_events, version)

    def set_custom_status(self, status: Any) -> None:
        """Show a value of your own beside the status, from the end of this turn on.

        Raises:
            PayloadError: it cannot be stored, or is larger than 16 KiB of JSON.
        """
        self._ledger.require_running()
        text = self._dump(status, "The custom status")
        if text is not None and len(text.encode()) > _MAX_CUSTOM_STATUS_BYTES:
            raise PayloadError(
                f"The custom status is too large: {len(text.encode()):,} bytes of JSON, the limit is "
                f"{_MAX_CUSTOM_STATUS_BYTES:,}. Show less, and keep the rest in the result."
            )
        self._ledger.custom_status = text

    @property
    def custom_status(self) -> Any:
        """The value last set by :meth:`set_custom_status`."""
        text = self._ledger.custom_status
        return None if text is None else self._ledger.codec.loads(text, Any, "The custom status")

    @property
    def will_continue_as_new(self) -> bool:
        """Whether :meth:`continue_as_new` has been called."""
        return self._ledger.next_execution is not None

    def new_uuid(self) -> str:
        """Return a new UUID as text, the same one on every replay."""
        stamp = self.current_utc_datetime.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return str(
            uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_OID, _UUID_SEED), f"{self.instance_id}_{stamp}_{self._count()}")
        )

    def new_guid(self) -> uuid.UUID:
        """Return a new UUID, the same one on every replay."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{self.instance_id}_{self.current_utc_datetime}_{self._count()}")

    def _count(self) -> int:
        self._uuids += 1
        return self._uuids - 1

    def _dump(self, value: Any, what: str) -> str | None:
        return None if value is None else self._ledger.codec.dumps(value, what)

    def _retrying(
        self, name: str, policy: RetryPolicy | None, schedule: Callable[[int | None], Task[Any]]
    ) -> Task[Any]:
        return schedule(None) if policy is None else RetryTask(name, policy, self._ledger, schedule)


def _checked_version(version: str) -> str:
    return check_name(version, "A version") if version else ""


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _names(assignees: Iterable[str]) -> tuple[str, ...]:
    """Return the names; a single one need not be put into a list."""
    names = [assignees] if isinstance(assignees, str) else assignees
    return tuple(check_name(name, "An assignee") for name in names)


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs nothing while its orchestrator replays, and adds the instance id to each record."""

    def __init__(self, logger: logging.Logger, ledger: Ledger) -> None:
        super().__init__(logger, {"instance_id": ledger.instance_id})
        self._ledger = ledger

    def isEnabledFor(self, level: int) -> bool:
        """Return False during replay."""
        return not self._ledger.is_replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the instance id into the caller's own extra fields."""
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs
