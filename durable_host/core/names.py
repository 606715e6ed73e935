"""Names and ids that every database stores and every address carries."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from .errors import BadRequestError, InvalidInstanceIdError, PayloadError
from .payload import PayloadCodec

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


def check_version(version: str) -> str:
    """Return the version of an instance, which may be empty; raises as :func:`check_name`."""
    return check_name(version, "A version") if version else ""


def check_tags(tags: Mapping[Any, Any], codec: PayloadCodec) -> dict[str, str]:
    """Return the tags of an instance.

    Raises:
        BadRequestError: a name is not a text of 1 to 64 characters, or a value not one of at most 256.
        PayloadError: together they are too large, or hold what cannot be stored.
    """
    for key, value in tags.items():
        if not (isinstance(key, str) and 1 <= len(key) <= 64 and isinstance(value, str) and len(value) <= 256):
            raise BadRequestError(
                f"Tags are texts: a name of 1 to 64 and a value of at most 256 characters. Tag {key!r} is not."
            )
    codec.dumps(dict(tags), "The tags")
    return dict(tags)


def child_id(instance_id: str, generation: int, event_id: int) -> str:
    """Return the default id of a sub-orchestration: the parent's, its execution and the number of the call."""
    readable = f"{instance_id}:{generation:x}:{event_id:04x}"
    return readable if len(readable) <= MAX_LENGTH else uuid.uuid5(uuid.NAMESPACE_OID, readable).hex


def _is_storable(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= MAX_LENGTH and text.isprintable()


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…' ({len(text) - 2:,} characters)"
