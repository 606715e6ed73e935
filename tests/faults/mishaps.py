"""Orchestrators and activities that do to their process what user code should not, and innocent ones beside them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from durable_host import (
    ActivityContext,
    OrchestrationContext,
    RetryPolicy,
    RuntimeStatus,
    TaskFailedError,
    activity,
    orchestrator,
)
from durable_host.client import DurableClient
from durable_host.models import AuditRecord
from tests.services import PATIENCE


def exit_hard() -> None:
    os._exit(9)


def segfault() -> None:
    ctypes.string_at(0)


def be_killed() -> None:
    """As the kernel does it where memory has run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def loop() -> None:
    while True:
        pass


def loop_in_c() -> None:
    """Loop without any Python code, so that no other thread of the process can run."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def recurse() -> None:
    recurse()


def run_out_of_memory() -> None:
    raise MemoryError


def eat_memory() -> None:
    """Take more than a test's memory group has, until the kernel ends the process; never what a machine needs."""
    eaten = [os.urandom(1 << 20) * 16 for _ in range(250)]
    raise AssertionError(f"{len(eaten)} times 16 MB, and still alive")


MISHAPS: dict[str, Callable[[], None]] = {
    mishap.__name__: mishap
    for mishap in (exit_hard, segfault, be_killed, loop, loop_in_c, recurse, run_out_of_memory, eat_memory)
}


# --- activities -------------------------------------------------------------------------------------------------------


@activity(isolated=True, timeout=timedelta(seconds=1))
def isolated_briefly(mishap: str) -> None:
    MISHAPS[mishap]()


@activity(isolated=True)
def isolated(mishap: str | None) -> int:
    if mishap:
        MISHAPS[mishap]()
    return os.getpid()


@activity(isolated=True)
async def isolated_async(context: ActivityContext) -> int:
    await asyncio.sleep(0)
    if context.attempt == 1:
        os._exit(9)
    return context.attempt


@activity(timeout=timedelta(milliseconds=500))
def sleeper(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@activity
def here(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@activity
def mishap(name: str) -> None:
    MISHAPS[name]()


@activity(retry=RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=3))
def charge(effects: str, context: ActivityContext) -> str:
    """Note the key that a payment service would be given, and fail twice."""
    with open(effects, "a", encoding="utf-8") as file:
        file.write(f"{context.idempotency_key}\n")
    if len(Path(effects).read_text().splitlines()) < 3:
        raise ConnectionError("the answer was lost")
    return context.idempotency_key


@activity(transactional=True)
def book(entry: str) -> str:
    """Write a row of its own; what is written counts if this activity's completion does."""
    AuditRecord.objects.create(
        hub="ledger", at=datetime.now(UTC), actor_kind="test", operation="start", target=entry, outcome="done"
    )
    time.sleep(0.02)
    return entry


# --- orchestrators ----------------------------------------------------------------------------------------------------


@orchestrator
async def asking(ctx: OrchestrationContext, request: dict[str, Any]) -> Any:
    """Call the activity that the request names; tell how it failed, if it does."""
    try:
        return await ctx.call_activity(request["activity"], request.get("input"))
    except TaskFailedError as error:
        return f"{error.error_type}: {error.error_message}"


@orchestrator
async def innocent(ctx: OrchestrationContext, seconds: float) -> str:
    for _ in range(3):
        await ctx.call_activity(here, seconds)
    return "fine"


@orchestrator
async def guilty(ctx: OrchestrationContext, mishap: str) -> str:
    MISHAPS[mishap]()
    return "nothing happened"


@orchestrator
async def guilty_later(ctx: OrchestrationContext, mishap: str) -> str:
    """Do it in the turn that takes an activity's result."""
    await ctx.call_activity(here, 0.0)
    MISHAPS[mishap]()
    return "nothing happened"


@orchestrator
async def mended(ctx: OrchestrationContext, sign: str) -> str:
    if not Path(sign).exists():
        os._exit(9)
    return "mended"


@orchestrator
async def bookkeeping(ctx: OrchestrationContext, name: str) -> int:
    booked = [await ctx.call_activity(book, f"{name}-{number}") for number in range(10)]
    return len(booked)


# --- in the test ------------------------------------------------------------------------------------------------------


def ask(client: DurableClient, activity: str, input_: object = None) -> str:
    """Start an instance that calls one activity."""
    return client.start_new("asking", {"activity": activity, "input": input_})


def output(client: DurableClient, instance_id: str, patience: float = PATIENCE) -> object:
    """Wait for an instance to complete, and return its output."""
    status = client.wait_for_completion(instance_id, patience)
    assert status.runtime_status is RuntimeStatus.COMPLETED, status
    return status.output
