"""What an outside caller can ask for, and which right allows it: the tables that keys, tokens and users share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum


class Scope(StrEnum):
    """A right that an API key carries, or a user has by a Django permission."""

    READ = "read"
    START = "start"
    EVENTS = "events"
    MANAGE = "manage"
    PURGE = "purge"


class Permission(StrEnum):
    """What a logged-in user may, by the name of a Django permission."""

    VIEW = "durable_host.view_instance"
    #: inputs, outputs, custom status and event data; without it, only that they are there
    VIEW_PAYLOAD = "durable_host.view_payload"
    VIEW_AUDIT = "durable_host.view_auditrecord"
    START = "durable_host.add_instance"
    RAISE_EVENT = "durable_host.raise_event"
    MANAGE = "durable_host.change_instance"
    PURGE = "durable_host.delete_instance"

    @property
    def codename(self) -> str:
        """The name within its application."""
        return self.value.partition(".")[2]


class Operation(StrEnum):
    """What a request asks for; the value is its word in addresses and in the audit."""

    STATUS = "status"
    LIST = "list"
    START = "start"
    RAISE_EVENT = "raiseEvent"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    REWIND = "rewind"
    RESTART = "restart"
    RELEASE = "release"
    PURGE = "purge"
    PURGE_MANY = "purgeMany"


#: operation → the scope that allows it
SCOPE_OF: dict[Operation, Scope] = {
    Operation.STATUS: Scope.READ,
    Operation.LIST: Scope.READ,
    Operation.START: Scope.START,
    Operation.RAISE_EVENT: Scope.EVENTS,
    Operation.TERMINATE: Scope.MANAGE,
    Operation.SUSPEND: Scope.MANAGE,
    Operation.RESUME: Scope.MANAGE,
    Operation.REWIND: Scope.MANAGE,
    Operation.RESTART: Scope.MANAGE,
    Operation.RELEASE: Scope.MANAGE,
    Operation.PURGE: Scope.PURGE,
    Operation.PURGE_MANY: Scope.PURGE,
}

#: operations on one instance of which each has an address of its own in the check-status payload (Durable Functions)
ON_ONE_INSTANCE = frozenset(Operation) - {Operation.LIST, Operation.START, Operation.PURGE_MANY, Operation.RELEASE}

#: scope → the Django permission that gives a logged-in user the same right
PERMISSION_OF: dict[Scope, str] = {
    Scope.READ: Permission.VIEW.value,
    Scope.START: Permission.START.value,
    Scope.EVENTS: Permission.RAISE_EVENT.value,
    Scope.MANAGE: Permission.MANAGE.value,
    Scope.PURGE: Permission.PURGE.value,
}


def permission_for(operation: Operation) -> Permission:
    """Return what a user needs for an operation."""
    return Permission(PERMISSION_OF[SCOPE_OF[operation]])


#: the groups that the host makes, and what each may
ROLES: dict[str, frozenset[Permission]] = {
    "Durable viewer": frozenset({Permission.VIEW}),
    "Durable approver": frozenset({Permission.VIEW, Permission.RAISE_EVENT}),
    "Durable starter": frozenset({Permission.VIEW, Permission.VIEW_PAYLOAD, Permission.START}),
    "Durable operator": frozenset(
        {Permission.VIEW, Permission.VIEW_PAYLOAD, Permission.RAISE_EVENT, Permission.MANAGE, Permission.VIEW_AUDIT}
    ),
    "Durable admin": frozenset(Permission),
}


def may_answer(assignees: Iterable[str], user: str, groups: Collection[str]) -> bool:
    """Tell whether a question is put to a user, by name or by a group; one that names nobody is put to everybody.

    Names are compared exactly, as Django compares those of users and groups. Whether the user has the right to answer
    at all is another matter.
    """
    asked = list(assignees)
    return not asked or any(name == user or name in groups for name in asked)
