"""Names and ids that every database stores and every address carries."""

from __future__ import annotations

import uuid

from .errors import InvalidInstanceIdError, PayloadError

MAX_LENGTH = 256
_NOT_IN_IDS = frozenset("/\\#?")


def check_name(name: str, what: str) -> str:
    """Return the name of a function, event or person.

    Raises:
        PayloadError: it is empty, longer than 256 characters, or holds a control character or half of a surrogate pair.
    """
    if not _is_storable(name):
        raise PayloadError(f"{what} must be 1 to {MAX_LENGTH} printable characters; it is {_shown(name)}.")
    return name


def check_instance_id(instance_id: str) -> str:
    """Return an instance id that somebody chose (Durable Functions, DurableClient.StartNewAsync, for the rules).

    Raises:
        InvalidInstanceIdError: as :func:`check_name`, and for ids that begin with ``@`` or hold ``/ \\ # ?``.
    """
    if not _is_storable(instance_id) or instance_id.startswith("@") or not _NOT_IN_IDS.isdisjoint(instance_id):
        raise InvalidInstanceIdError(
            f"An instance id must be 1 to {MAX_LENGTH} printable characters without / \\ # ? and must not start with "
            f"@; it is {_shown(instance_id)}."
        )
    return instance_id


def child_id(instance_id: str, generation: int, event_id: int) -> str:
    """Return the default id of a sub-orchestration: the parent's, its execution and the number of the call."""
    readable = f"{instance_id}:{generation:x}:{event_id:04x}"
    return readable if len(readable) <= MAX_LENGTH else uuid.uuid5(uuid.NAMESPACE_OID, readable).hex


def _is_storable(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= MAX_LENGTH and text.isprintable()


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…' ({len(text) - 2:,} characters)"
