"""Runs the user's orchestrator function until it waits for a durable task.

``async def`` functions and generators are driven alike: both are suspended at a task and resumed once it is complete.
"""

from __future__ import annotations

import inspect
from typing import Any

from .context import OrchestrationContext
from .errors import NonDurableAwaitError, OrchestratorCodeError
from .registry import OrchestratorSpec
from .source import raising_line, raising_module, suspended_line
from .tasks import Task

_ALTERNATIVES = (
    "An orchestrator may wait only for what the methods of its context return: create_timer for time, call_activity "
    "for I/O and computation, wait_for_external_event for messages."
)


#: how asyncio, sniffio and their users complain outside an event loop
_NO_EVENT_LOOP = ("no running event loop", "no current event loop", "not in async context")


class CodeDriver:
    """The orchestrator's code of one execution, suspended or running."""

    def __init__(self, spec: OrchestratorSpec, context: OrchestrationContext) -> None:
        self._spec = spec
        self._context = context
        self._code: Any = None
        #: the task on which the code is suspended
        self.awaited: Task[Any] | None = None
        self.has_returned = False
        self.value: Any = None

    def start(self) -> None:
        """Call the function and run it until it waits.

        Raises:
            NonDurableAwaitError: it waits for something that is not a durable task.
            BaseException: whatever the code raises.
        """
        arguments: list[Any] = [self._context]
        if self._spec.takes_input and not (self._context.has_no_input and self._spec.input_is_optional):
            arguments.append(self._context.get_input())
        code = self._spec.function(*arguments)
        if inspect.iscoroutine(code) or inspect.isgenerator(code):
            self._code = code
            self.go_on()
        else:  # a plain function that had nothing to wait for
            self._return(code)

    def go_on(self) -> None:
        """Resume the code until it waits for a task that is not complete, or ends; raises as :meth:`start`."""
        try:
            task = self.awaited
            while task is None or task.is_completed:
                task = self._checked(self._resume(task))
            self.awaited = task
        except StopIteration as stop:
            self._return(stop.value)
        except (RuntimeError, AttributeError) as error:
            if not _misses_event_loop(error):
                raise
            raise NonDurableAwaitError(
                f"{raising_line(error)}: asyncio was used, but orchestrators do not run on an event loop: they are "
                f"replayed. {_ALTERNATIVES}"
            ) from error

    def close(self) -> None:
        """Drop the suspended code.

        Raises:
            OrchestratorCodeError: the code caught GeneratorExit and went on waiting, used its context, or raised.
        """
        code, self._code = self._code, None
        if code is None:
            return
        try:
            code.close()
        except OrchestratorCodeError:
            raise
        except Exception as error:  # user code: its except and finally clauses run now
            ignored = isinstance(error, RuntimeError) and "ignored GeneratorExit" in str(error)
            where = suspended_line(code) if ignored else raising_line(error)
            did = "went on" if ignored else f"raised {type(error).__name__}: {error}"
            raise OrchestratorCodeError(
                f"{where}: orchestrator {self._spec.name!r} caught the cancellation of its turn (GeneratorExit) and "
                f"{did}. Catch Exception instead of BaseException, and do no durable work in finally."
            ) from error

    def _resume(self, task: Task[Any] | None) -> Any:
        if task is None or inspect.iscoroutine(self._code):
            return self._code.send(None)
        if task.exception is not None:
            return self._code.throw(task.exception)
        return self._code.send(task.result)

    def _checked(self, waited_for: Any) -> Task[Any]:
        if isinstance(waited_for, Task):
            return waited_for
        what = "nothing" if waited_for is None else f"a {type(waited_for).__name__}"
        raise NonDurableAwaitError(
            f"{suspended_line(self._code)}: orchestrator {self._spec.name!r} waits for {what}, which is not a durable "
            f"task. {_ALTERNATIVES}"
        )

    def _return(self, value: Any) -> None:
        self.has_returned = True
        self.value = value
        self.awaited = None
        self._code = None


def _misses_event_loop(error: Exception) -> bool:
    """Tell whether code complains that it runs on no event loop; asyncio's locks and queues do so by accident."""
    return any(words in str(error) for words in _NO_EVENT_LOOP) or raising_module(error).startswith("asyncio.")
