"""What the catalogue tells of an orchestrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from dashboard.forms import hints
from dashboard.forms.shapes import Group, Shape
from durable_host.core.payload import describe_type
from durable_host.core.registry import OrchestratorSpec
from durable_host.core.status import RuntimeStatus
from durable_host.store.listing import InstanceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What an orchestrator takes."""

    type_name: str
    #: names of the fields; empty where it is one value
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """How it went lately."""

    started_at: datetime | None = None
    status: RuntimeStatus | None = None
    instance_id: str = ""
    #: the middle one of the durations of those that completed
    usual: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One line of the catalogue."""

    name: str
    summary: str
    takes: Takes
    lately: Lately


def first_line(doc: str) -> str:
    """Return the first sentence-like line of a docstring."""
    return doc.strip().partition("\n")[0]


def further_lines(doc: str) -> str:
    """Return a docstring after its first line."""
    return doc.strip().partition("\n")[2].strip("\n")


def takes(spec: OrchestratorSpec, shape: Shape) -> Takes:
    """Tell what an orchestrator takes."""
    if not spec.takes_input:
        return Takes(type_name="nothing")
    if isinstance(shape, Group):
        return Takes(type_name=describe_type(spec.input_type), fields=tuple(one.name for one in shape.members))
    return Takes(type_name=spec.input_name if spec.input_type is Any else hints.kind_of(shape).lower())


def lately(rows: Sequence[InstanceRow]) -> Lately:
    """Tell how the newest instances of one orchestrator went, newest first."""
    if not rows:
        return Lately()
    durations = [one.duration for one in rows if one.status is RuntimeStatus.COMPLETED and one.duration is not None]
    newest = rows[0]
    return Lately(
        started_at=newest.created_at,
        status=newest.status,
        instance_id=newest.instance_id,
        usual=timedelta(seconds=median(one.total_seconds() for one in durations)) if durations else None,
    )


def matches(spec: OrchestratorSpec, wanted: str) -> bool:
    """Tell whether an orchestrator is what somebody looks for: all words are in its name or its docstring."""
    text = f"{spec.name} {spec.doc}".casefold()
    return all(word in text for word in wanted.casefold().split())
