"""What a child process does: one attempt of an activity, or one turn. See :mod:`children`."""

from __future__ import annotations

import asyncio
import inspect
from importlib import import_module

from django.db import connections

from durable_host.conf import host_settings
from durable_host.core.codec import from_record
from durable_host.core.errors import NonDeterminismError, UnknownOrchestratorError
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import default_registry
from durable_host.core.turn import Execution
from durable_host.store.shapes import ActivityOutcome
from durable_host.telemetry import pipeline
from durable_host.telemetry.propagation import activity_context

from . import crossing
from .attempt import Attempt
from .exactly_once import Committed, run_transactional

RUN_ACTIVITY = f"{__name__}.run_activity"
DECIDE_TURN = f"{__name__}.decide_turn"


def run_activity(order: bytes) -> bytes:
    """Run an activity in this process, which has nothing else to do, and return how it ended.

    Args:
        order: an :class:`~.crossing.ActivityOrder`.
    """
    return crossing.write_done(_run_activity(crossing.ACTIVITY_ORDER.validate_json(order)))


def decide_turn(order: bytes) -> bytes:
    """Replay an execution, decide its next turn and return what was decided, or why that is not possible.

    Args:
        order: a :class:`~.crossing.TurnOrder`.
    """
    return crossing.write_decided(_decide_turn(crossing.TURN_ORDER.validate_json(order)))


def _run_activity(order: crossing.ActivityOrder) -> ActivityOutcome | Committed | None:
    import_module(order.module)
    spec = default_registry.activities.get(order.activity.name)
    if spec is None:  # registered by hand
        return None
    codec = PayloadCodec(host_settings().max_payload_bytes)
    attempt = Attempt(order.activity, spec, codec, deaths=order.deaths)
    pipeline.start("worker")
    try:
        with activity_context(order.activity.trace_parent):
            return run_transactional(attempt) if spec.transactional else _run(attempt)
    finally:
        connections.close_all()
        pipeline.flush()  # a child leaves without any farewell


def _decide_turn(order: crossing.TurnOrder) -> crossing.Decided | str | None:
    import_module(order.module)
    if order.name not in default_registry.orchestrators:  # registered by hand
        return None
    settings = host_settings()
    codec = PayloadCodec(settings.max_payload_bytes)
    execution = Execution(default_registry, codec, order.instance_id, order.generation, settings.limits)
    try:
        execution.replay(from_record(record) for record in order.history)
        events = [from_record(record) for record in order.events]
        return crossing.Decided(execution.turn(events, order.now), execution.started)
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
