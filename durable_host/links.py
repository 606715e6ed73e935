"""Addresses of one instance, each with a token of its own.

A token is a signature over hub, instance, operation and time: good for that operation on that instance, until it
expires. It holds nothing but the time and the signature; what it is good for is what the address says anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from urllib.parse import quote, urlencode, urljoin

from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.urls import NoReverseMatch, reverse

from .conf import host_settings
from .core.access import ON_ONE_INSTANCE, Operation

#: what the addresses are called in Durable Functions, and how they end
_ADDRESSES: dict[str, tuple[Operation, str, str]] = {
    "statusQueryGetUri": (Operation.STATUS, "", ""),
    "sendEventPostUri": (Operation.RAISE_EVENT, "/raiseEvent/{eventName}", ""),
    "terminatePostUri": (Operation.TERMINATE, "/terminate", "reason={text}&"),
    "rewindPostUri": (Operation.REWIND, "/rewind", "reason={text}&"),
    "purgeHistoryDeleteUri": (Operation.PURGE, "", ""),
    "restartPostUri": (Operation.RESTART, "/restart", ""),
    "suspendPostUri": (Operation.SUSPEND, "/suspend", "reason={text}&"),
    "resumePostUri": (Operation.RESUME, "/resume", "reason={text}&"),
}
TOKEN_PREFIX = "dt_"  # noqa: S105  the public beginning of every token
_SALT = "durable_host.instance"
#: where a client of today finds the instances, and one of the first version
BASE = "durable-http:api-root"
BASE_V1 = "durable-http-v1:api-root"
#: what Prometheus scrapes
METRICS = "durable-metrics"
#: what stands first in an address and is no instance id
COLLECTIONS = frozenset({"instances", "orchestrators", "entities", "makeprimary"})


def served_at(name: str) -> str | None:
    """Return the path of one of the API's addresses; None in a site that does not include ``durable_host.api.urls``."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def sign(hub: str, instance_id: str, operation: Operation) -> str:
    """Return a token for one operation on one instance."""
    subject = _subject(hub, instance_id, operation)
    return TOKEN_PREFIX + _signer().sign(subject).removeprefix(f"{subject}:")


def is_token(text: str) -> bool:
    """Tell a token from a key."""
    return text.startswith(TOKEN_PREFIX)


def check(token: str, hub: str, instance_id: str, operation: Operation) -> str | None:
    """Return why a token does not open this operation on this instance, or None where it does."""
    signed = f"{_subject(hub, instance_id, operation)}:{token.removeprefix(TOKEN_PREFIX)}"
    try:
        _signer().unsign(signed, max_age=host_settings().token_lifetime)
    except SignatureExpired:
        return "The token of this address has expired. Ask for the instance's addresses again."
    except BadSignature:
        return "The token does not belong to this operation on this instance."
    return None


def management_payload(
    hub: str,
    origin: str,
    instance_id: str,
    *,
    base: str = BASE,
    signed: Collection[Operation] = ON_ONE_INSTANCE,
    query: str = "",
) -> dict[str, str]:
    """Return Durable Functions' check-status payload.

    Args:
        hub: task hub.
        origin: scheme and host of the addresses.
        instance_id: the instance.
        base: name of the URL under which the addresses lie.
        signed: operations whose addresses shall work as they stand.
        query: further query of the address of the status, as ``&name=value``.
    """
    path = urljoin(origin, reverse(base)) + _instance_path(instance_id, base)
    uris = {"id": instance_id}
    for name, (operation, tail, parameters) in _ADDRESSES.items():
        code = {"code": sign(hub, instance_id, operation)} if operation in signed else {}
        where = urlencode({"taskHub": hub, "connection": "Storage", **code})
        uris[name] = f"{path}{tail}?{parameters}{where}"
    uris["statusQueryGetUri"] += query
    return uris


def _instance_path(instance_id: str, base: str) -> str:
    quoted = quote(instance_id, safe=":")
    is_short = base == BASE_V1 and instance_id.lower() not in COLLECTIONS
    return quoted if is_short else f"instances/{quoted}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt=_SALT)


def _subject(hub: str, instance_id: str, operation: Operation) -> str:
    # Hashed, so that no part of a token can be read as a part of the instance id.
    return hashlib.sha256("\n".join((hub, operation, instance_id)).encode()).hexdigest()
