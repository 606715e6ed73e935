"""The orchestrators and activities that this process knows, by name, with the types they declare."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar, overload

from .errors import UnknownOrchestratorError, did_you_mean
from .retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_QUEUE = "default"
_MARK = "__durable_spec__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityContext:
    """What an activity may know about its own run. Declare a parameter of this type to receive it."""

    instance_id: str
    #: number of the TaskScheduled event in the history of the instance
    task_id: int
    name: str
    #: 1 for the first delivery; more when a worker died while it ran
    attempt: int
    #: the same on every delivery and every retry of this call: hand it to services that can refuse a second effect
    idempotency_key: str


@dataclass(frozen=True)
class FunctionSpec:
    """A registered function and what its signature says."""

    name: str
    function: Callable[..., Any]

    @property
    def doc(self) -> str:
        """The docstring, without its indentation."""
        return inspect.getdoc(self.function) or ""

    @property
    def where(self) -> str:
        """File and line of the definition, for messages."""
        code = inspect.unwrap(self.function).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(inspect.unwrap(self.function), include_extras=True)

    @cached_property
    def _input_parameter(self) -> inspect.Parameter | None:
        raise NotImplementedError

    @property
    def takes_input(self) -> bool:
        """Whether the function has a parameter for its input."""
        return self._input_parameter is not None

    @cached_property
    def input_type(self) -> Any:
        """The declared type of the input, ``Any`` where none is declared."""
        parameter = self._input_parameter
        return Any if parameter is None else self._hints.get(parameter.name, Any)

    @property
    def input_name(self) -> str:
        """The name of the input parameter, for messages and forms."""
        parameter = self._input_parameter
        return parameter.name if parameter else "input"

    @property
    def input_is_optional(self) -> bool:
        """Whether the input parameter has a default."""
        parameter = self._input_parameter
        return parameter is None or parameter.default is not inspect.Parameter.empty

    @cached_property
    def result_type(self) -> Any:
        """The declared type of the result, ``Any`` where none is declared."""
        declared = self._hints.get("return", Any)
        return type(None) if declared is None else declared


@dataclass(frozen=True)
class ActivitySpec(FunctionSpec):
    """A registered activity."""

    #: durable queue, and RQ queue, whose workers run it
    queue: str = DEFAULT_QUEUE
    #: longest run of one attempt; None for no limit
    timeout: timedelta | None = None
    #: applied to calls that give no policy of their own
    retry: RetryPolicy | None = None
    #: run each attempt in a process of its own
    isolated: bool = False
    #: commit the function's own writes and its completion together
    transactional: bool = False

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop instead of the thread pool."""
        return inspect.iscoroutinefunction(inspect.unwrap(self.function))

    @cached_property
    def context_parameter(self) -> str | None:
        """Name of the parameter that receives the :class:`ActivityContext`, if there is one."""
        return next((name for name, hint in self._hints.items() if hint is ActivityContext), None)

    @cached_property
    def _input_parameter(self) -> inspect.Parameter | None:
        parameters = [
            one for one in inspect.signature(self.function).parameters.values() if one.name != self.context_parameter
        ]
        return parameters[0] if parameters else None


@dataclass(frozen=True)
class OrchestratorSpec(FunctionSpec):
    """A registered orchestrator."""

    @cached_property
    def _input_parameter(self) -> inspect.Parameter | None:
        parameters = list(inspect.signature(self.function).parameters.values())
        return parameters[1] if len(parameters) > 1 else None

    @cached_property
    def result_type(self) -> Any:
        """The declared result; for a generator, the third argument of ``Generator[...]``."""
        declared = self._hints.get("return", Any)
        if typing.get_origin(declared) is not None and "Generator" in str(typing.get_origin(declared)):
            arguments = typing.get_args(declared)
            return arguments[2] if len(arguments) == 3 else Any
        return type(None) if declared is None else declared


@dataclass
class Registry:
    """Names → functions. One per process in production; tests make their own."""

    orchestrators: dict[str, OrchestratorSpec] = field(default_factory=dict)
    activities: dict[str, ActivitySpec] = field(default_factory=dict)

    def orchestrator(self, name: str) -> OrchestratorSpec:
        """Return the orchestrator of this name.

        Raises:
            UnknownOrchestratorError: there is none; the message says what is near.
        """
        spec = self.orchestrators.get(name)
        if spec is None:
            raise UnknownOrchestratorError(
                f"No orchestrator {name!r} is registered here. {did_you_mean(name, self.orchestrators)}"
            )
        return spec

    def queue_of(self, activity_name: str) -> str:
        """Return the queue of an activity; an unknown one goes to the default queue, where it fails with its reason."""
        spec = self.activities.get(activity_name)
        return spec.queue if spec else DEFAULT_QUEUE

    def add_orchestrator(self, function: F, name: str | None = None) -> F:
        """Register an orchestrator and return the function itself."""
        spec = OrchestratorSpec(name or function.__name__, function)
        if inspect.isasyncgenfunction(inspect.unwrap(function)):
            raise TypeError(
                f"{spec.name} at {spec.where} mixes async def with yield: await the tasks, or make it a plain def "
                f"function."
            )
        _check_parameters(spec, minimum=1, maximum=2, shape="(ctx) or (ctx, input)")
        _add(self.orchestrators, spec, "orchestrator")
        return function

    def add_activity(self, function: F, name: str | None = None, **options: Any) -> F:
        """Register an activity and return the function itself."""
        spec = ActivitySpec(name or function.__name__, function, **options)
        if spec.transactional and spec.is_async:
            raise TypeError(
                f"{spec.name} at {spec.where} is async def and transactional: a transaction belongs to one "
                f"thread. Make it a plain function."
            )
        if spec.transactional and spec.isolated:
            raise ValueError(
                f"{spec.name} at {spec.where} is isolated and transactional. Choose one: what a transaction does is "
                f"undone if its process dies, wherever it runs."
            )
        _check_parameters(spec, minimum=0, maximum=2, shape="(), (input) or (input, context: ActivityContext)")
        _add(self.activities, spec, "activity")
        return function


#: what the decorators fill
default_registry = Registry()


@overload
def activity(function: F) -> F: ...


@overload
def activity(
    *,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    timeout: timedelta | None = None,
    retry: RetryPolicy | None = None,
    isolated: bool = False,
    transactional: bool = False,
) -> Callable[[F], F]: ...


def activity(function: Any = None, *, name: str | None = None, **options: Any) -> Any:
    """Register a function as an activity. The function itself is returned unchanged, so that tests can call it.

    An activity has at most one input, typed by its annotation, and may declare a parameter of type
    :class:`ActivityContext`. It runs at least once for each call; plain functions run in a thread, ``async def`` ones
    on an event loop.

    Args:
        name: name under which orchestrators call it; the function's own by default.
        queue: queue whose workers run it.
        timeout: longest run of one attempt.
        retry: policy for calls that give none.
        isolated: run each attempt in a process of its own, which is killed at its time-out; should it die, only this
            attempt is lost. Such a process takes some 30 ms to start.
        transactional: run a plain function in the transaction that commits its completion, so that what it writes to
            the host's database is there exactly once. Keep it short: it holds its locks, on SQLite the only write lock.

    Raises:
        TypeError: the signature has more than one input, or an ``async def`` function is to be transactional.
        ValueError: another function has the name already, or the options exclude each other.
    """
    if function is not None:
        return default_registry.add_activity(function)
    return lambda decorated: default_registry.add_activity(decorated, name, **options)


@overload
def orchestrator(function: F) -> F: ...


@overload
def orchestrator(*, name: str | None = None) -> Callable[[F], F]: ...


def orchestrator(function: Any = None, *, name: str | None = None) -> Any:
    """Register an ``async def`` or generator function as an orchestrator; its docstring appears in the catalogue.

    The first parameter is the :class:`~durable_host.OrchestrationContext`, the second, if there is one, the input.

    Raises:
        TypeError: the signature has no context or more than one input.
        ValueError: another function has the name already.
    """
    if function is not None:
        return default_registry.add_orchestrator(function)
    return lambda decorated: default_registry.add_orchestrator(decorated, name)


def name_of(target: str | Callable[..., Any], specs: dict[str, Any]) -> str:
    """Return the registered name of a function, or the name itself.

    Raises:
        TypeError: the function is not registered.
    """
    if isinstance(target, str):
        return target
    name = getattr(target, _MARK, None)
    if name is None or specs.get(name) is None:
        label = getattr(target, "__qualname__", repr(target))
        raise TypeError(f"{label} is not registered: decorate it with @activity or @orchestrator, or pass a name.")
    return str(name)


def _check_parameters(spec: FunctionSpec, *, minimum: int, maximum: int, shape: str) -> None:
    required = [
        one
        for one in inspect.signature(spec.function).parameters.values()
        if one.default is inspect.Parameter.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    total = len(inspect.signature(spec.function).parameters)
    if len(required) > maximum or total < minimum:
        raise TypeError(
            f"{spec.name} at {spec.where} must have the signature {shape}; it has {len(required)} required "
            f"parameters. Put several values into one dataclass."
        )


def _add(specs: dict[str, Any], spec: Any, kind: str) -> None:
    present = specs.get(spec.name)
    if present is not None and present.where != spec.where:
        raise ValueError(
            f"Two functions are registered as {kind} {spec.name!r}: {present.where} and {spec.where}. Rename one, or "
            f"give it a name: @{kind}(name=…)."
        )
    specs[spec.name] = spec
    setattr(spec.function, _MARK, spec.name)
