"""Activities that raise and return what nobody expects, and orchestrators that wait for very much."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from durable_host import OrchestrationContext, RetryPolicy, TaskFailedError, activity, orchestrator

MEGABYTE = 1_000_000
TWICE = RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=2)


class UnpicklableError(Exception):
    """What no other process can be given."""

    def __init__(self, needed: str, also: object) -> None:
        super().__init__(f"{needed} {type(also).__name__}")
        self.lock = threading.Lock()


class SpeechlessError(Exception):
    """What cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class BareError(BaseException):
    """What ``except Exception`` does not catch."""


def _endless_cause() -> BaseException:
    error: BaseException = ValueError("the first of many")
    for number in range(5_000):
        outer = ValueError(f"cause {number}")
        outer.__cause__ = error
        error = outer
    return error


#: name → an error; its class is what the orchestrator is told
ODDITIES: dict[str, Callable[[], BaseException]] = {
    "UnpicklableError": lambda: UnpicklableError("has", object()),
    "SpeechlessError": SpeechlessError,
    "BareError": lambda: BareError("base"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "OverflowError": lambda: OverflowError("x" * 10 * MEGABYTE),
    "UnicodeError": lambda: UnicodeError("\ud800 \x00 \x1b[31m"),
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError("x" * 1000)] * 5_000),
    "ValueError": _endless_cause,
}


@activity
def odd(name: str) -> NoReturn:
    raise ODDITIES[name]()


@activity
async def odd_async(name: str) -> NoReturn:
    await asyncio.sleep(0)
    raise ODDITIES[name]()


@activity(isolated=True)
def odd_isolated(name: str) -> NoReturn:
    raise ODDITIES[name]()


@orchestrator
async def catching(ctx: OrchestrationContext, request: dict[str, str]) -> list[Any]:
    """Call an activity that raises; return what is caught."""
    try:
        await ctx.call_activity(request["activity"], request["error"])
    except TaskFailedError as error:
        return [error.error_type, len(str(error)) < 100_000]
    return ["nothing", True]


@activity(retry=TWICE)
def large(path: str) -> str:
    """Return what is larger than anything that is stored."""
    with open(path, "ab") as file:
        file.write(b"x")
    return "x" * 100 * MEGABYTE


@orchestrator
async def asking_much(ctx: OrchestrationContext, path: str) -> str:
    try:
        return await ctx.call_activity(large, path)
    except TaskFailedError as error:
        return f"{error.error_type}: {error.error_message}"


@orchestrator
async def alarms(ctx: OrchestrationContext, due: datetime) -> int:
    """Wait for a hundred timers that are due at the same moment."""
    return len(await ctx.when_all([ctx.create_timer(due) for _ in range(100)]))
