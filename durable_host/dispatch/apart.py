"""What a child process does: one attempt of an activity, or one turn. See :mod:`children`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module

from django.db import connections

from durable_host.conf import host_settings
from durable_host.core.codec import Record, from_record
from durable_host.core.errors import NonDeterminismError, UnknownOrchestratorError
from durable_host.core.events import ExecutionStarted, HistoryEvent
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import default_registry
from durable_host.core.turn import Execution, TurnResult
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity
from durable_host.telemetry import pipeline
from durable_host.telemetry.propagation import activity_context

from .attempt import Attempt
from .exactly_once import Committed, run_transactional

RUN_ACTIVITY = f"{__name__}.run_activity"
DECIDE_TURN = f"{__name__}.decide_turn"


def run_activity(module: str, activity: ClaimedActivity, deaths: int) -> ActivityOutcome | Committed | None:
    """Run an activity in this process, which has nothing else to do. Return None where it does not know the function.

    Args:
        module: where its function is; the settings may not name it.
        activity: the delivery.
        deaths: processes that it has ended in this delivery.
    """
    import_module(module)
    spec = default_registry.activities.get(activity.name)
    if spec is None:  # registered by hand
        return None
    codec = PayloadCodec(host_settings().max_payload_bytes)
    attempt = Attempt(activity, spec, codec, deaths=deaths)
    pipeline.start("worker")
    try:
        with activity_context(activity.trace_parent):
            return run_transactional(attempt) if spec.transactional else _run(attempt)
    finally:
        connections.close_all()
        pipeline.flush()  # a child leaves without any farewell


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOrder:
    """The turn that a child is to decide."""

    #: where the orchestrator is; the settings may not name it
    module: str
    name: str
    instance_id: str
    generation: int
    history: Sequence[Record]
    events: Sequence[HistoryEvent]
    now: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """What a turn decided."""

    result: TurnResult
    started: ExecutionStarted | None


def decide_turn(order: TurnOrder) -> Decided | str | None:
    """Replay an execution and decide its next turn; return why this is not possible, where it is not.

    Return None where this process does not know the orchestrator.
    """
    import_module(order.module)
    if order.name not in default_registry.orchestrators:  # registered by hand
        return None
    settings = host_settings()
    codec = PayloadCodec(settings.max_payload_bytes)
    execution = Execution(default_registry, codec, order.instance_id, order.generation, settings.limits)
    try:
        execution.replay(from_record(record) for record in order.history)
        return Decided(execution.turn(order.events, order.now), execution.started)
    except (NonDeterminismError, UnknownOrchestratorError) as error:
        return str(error)
    except Exception as error:  # as in a worker: a history that this version cannot read
        return f"{type(error).__name__}: {error}"


def _run(attempt: Attempt) -> ActivityOutcome:
    try:
        value = attempt.call()
        return attempt.completed(asyncio.run(value) if inspect.iscoroutine(value) else value)
    except BaseException as error:  # user code: the activity; SystemExit fails it like any other
        return attempt.failed(error)
