"""The audit in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durable_host.core.access import Operation
from durable_host.core.errors import InvalidInstanceIdError
from durable_host.core.names import check_instance_id
from durable_host.store.audit import Audited

#: operation → what somebody did, before "an instance"
_DONE: dict[Operation, str] = {
    Operation.STATUS: "looked at",
    Operation.LIST: "listed",
    Operation.START: "started",
    Operation.RAISE_EVENT: "sent an event to",
    Operation.TERMINATE: "terminated",
    Operation.SUSPEND: "suspended",
    Operation.RESUME: "resumed",
    Operation.REWIND: "rewound",
    Operation.RESTART: "restarted",
    Operation.RELEASE: "released",
    Operation.PURGE: "purged",
    Operation.PURGE_MANY: "purged many",
}
#: operation → its name in filters and tables
_LABELS: dict[Operation, str] = {
    Operation.STATUS: "Look at",
    Operation.LIST: "List",
    Operation.START: "Start",
    Operation.RAISE_EVENT: "Raise event",
    Operation.TERMINATE: "Terminate",
    Operation.SUSPEND: "Suspend",
    Operation.RESUME: "Resume",
    Operation.REWIND: "Rewind",
    Operation.RESTART: "Restart",
    Operation.RELEASE: "Release",
    Operation.PURGE: "Purge",
    Operation.PURGE_MANY: "Purge many",
}
#: kind of an actor → what it is called where it has no name, and beside its name
_ACTORS = {
    "user": ("a user", ""),
    "key": ("a key", "key"),
    "token": ("a check-status link", "link"),
    "local": ("this machine", "local"),
    "host": ("the host", "by itself"),
    "anonymous": ("somebody", "not logged in"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One record as it is shown."""

    at: datetime
    #: name of the user or key, or what it is
    who: str
    #: what kind it is, where that is not plain
    kind: str
    #: name for a filter; empty for nobody by name
    actor: str
    operation: Operation
    verb: str
    label: str
    instance_id: str
    #: orchestrator
    target: str
    outcome: str
    detail: str
    address: str

    @property
    def has_page(self) -> bool:
        """Whether the id can be an instance's: of what was refused or denied, anything may stand here."""
        try:
            return bool(check_instance_id(self.instance_id))
        except InvalidInstanceIdError:
            return False

    @property
    def is_done(self) -> bool:
        """Whether it was done."""
        return self.outcome == "done"


def label(operation: Operation) -> str:
    """Return the name of an operation."""
    return _LABELS[operation]


def told(record: Audited) -> Told:
    """Return a record in words."""
    asked = record.asked
    nameless, kind = _ACTORS.get(asked.actor_kind, (asked.actor_kind, asked.actor_kind))
    return Told(
        at=record.at,
        who=asked.actor or nameless,
        kind=kind if asked.actor else "",
        actor=asked.actor,
        operation=asked.operation,
        verb=_DONE[asked.operation] if record.outcome == "done" else f"asked to {_LABELS[asked.operation].lower()}",
        label=_LABELS[asked.operation],
        instance_id=asked.instance_id,
        target=asked.target,
        outcome=record.outcome,
        detail=asked.detail,
        address=asked.address,
    )
