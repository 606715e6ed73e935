"""Histories as files: what a host has recorded, so that other code can be asked whether it would still fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .codec import Record, from_record
from .errors import BadRequestError, OrchestratorCodeError
from .payload import PayloadCodec
from .registry import Registry
from .turn import Execution

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ExportedExecution:
    """One execution of an instance, as it is stored."""

    instance_id: str
    generation: int
    records: tuple[Record, ...]


def dump(execution: ExportedExecution) -> dict[str, Any]:
    """Return an execution as JSON: its columns by name, without the empty ones."""
    return {
        "format": FORMAT,
        "instanceId": execution.instance_id,
        "generation": execution.generation,
        "events": [_dump(record) for record in execution.records],
    }


def load(data: Any) -> ExportedExecution:
    """Return the execution that :func:`dump` was given.

    Raises:
        BadRequestError: it is nothing that :func:`dump` returns.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadRequestError(f"This is no exported history of format {FORMAT}: 'durable export-history' makes them.")
    try:
        records = tuple(map(_load, data["events"]))
        return ExportedExecution(str(data["instanceId"]), int(data["generation"]), records)
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequestError(f"This exported history is damaged: {type(error).__name__} {error}.") from error


def replay(execution: ExportedExecution, registry: Registry) -> Execution:
    """Replay an execution by the code of a registry, and return it as it then stands.

    Raises:
        NonDeterminismError: the code asks for something else than history says it asked for.
        UnknownOrchestratorError: the orchestrator is not registered.
        LookupError: a newer host wrote an event that this one does not know.
    """
    replayed = Execution(registry, PayloadCodec(), execution.instance_id, execution.generation)
    replayed.replay(from_record(record) for record in execution.records)
    return replayed


def check(executions: Sequence[ExportedExecution], registry: Registry) -> None:
    """Replay executions one after the other, as a worker would take them up, and let go of each. Raises as replay."""
    for execution in executions:
        replayed = replay(execution, registry)
        with suppress(OrchestratorCodeError):  # code that catches its own end: history is not to blame
            replayed.unload()


def _dump(record: Record) -> dict[str, Any]:
    filled = {name: value for name, value in record._asdict().items() if value != Record._field_defaults.get(name)}
    return filled | {"timestamp": record.timestamp.isoformat()}


def _load(columns: Any) -> Record:
    return Record(**{**columns, "timestamp": datetime.fromisoformat(columns["timestamp"])})
