"""Another instance like one that was."""

from __future__ import annotations

import uuid

from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.registry import Registry
from durable_host.core.status import LEGAL_IN, allowed_names

from . import queries
from .filters import named
from .shapes import NewInstance


def copy_of(hub: str, instance_id: str, registry: Registry) -> NewInstance:
    """Return what starts a finished orchestration again under a new id: the same input, version and tags.

    Raises:
        InstanceNotFoundError: there is no such instance.
        InvalidOperationError: it has not finished.
        UnknownOrchestratorError: its orchestrator is no longer registered.
    """
    row = named(hub, instance_id).first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    if row.status not in LEGAL_IN["restart"]:
        raise InvalidOperationError("restart", instance_id, row.status, allowed_names("restart"))
    return NewInstance(
        instance_id=uuid.uuid4().hex,
        name=registry.orchestrator(row.name).name,
        input=queries.input_text(row),
        version=row.version,
        tags=row.tags,
    )
