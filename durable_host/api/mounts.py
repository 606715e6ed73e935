"""The addresses under which the same routes are served, and the small differences of their dialects."""

from __future__ import annotations

from enum import Enum
from typing import Any

from django.http import HttpRequest
from django.urls.resolvers import RoutePattern

from durable_host import links

_OPERATIONS = {
    word.lower(): word for word in ("raiseEvent", "terminate", "suspend", "resume", "rewind", "restart", "release")
}


class Mount(Enum):
    """One family of addresses; the value is its URL namespace."""

    #: /runtime/webhooks/durabletask/, where Durable Functions has them now
    WEBHOOKS = "durable-http"
    #: /admin/extensions/DurableTaskExtension/, where its first version had them
    V1 = "durable-http-v1"
    #: /orchestrators/, the starting address of the first version's samples
    STARTERS = "durable-http-starters"
    #: /durabletask/, what the client libraries call; their bodies are JSON within JSON
    RPC = "durable-rpc"

    @property
    def links_base(self) -> str:
        """The URL name under which the addresses of its check-status payloads lie."""
        return links.BASE_V1 if self in (Mount.V1, Mount.STARTERS) else links.BASE


def mount_of(request: HttpRequest) -> Mount:
    """Return the mount through which a request came."""
    match = request.resolver_match
    return Mount(match.namespaces[-1]) if match and match.namespaces else Mount.WEBHOOKS


class MountPattern(RoutePattern):
    """A prefix whose routes match whatever the case of their fixed words, with and without a slash at the end."""

    def __init__(self, prefix: str, mount: Mount) -> None:
        super().__init__(prefix, is_endpoint=False)
        self.mount = mount

    def match(self, path: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        """Match the prefix, and hand on the rest as the routes spell it."""
        found = super().match(path)
        if found is None:
            return None
        rest, args, kwargs = found
        return _canonical(rest, self.mount), args, kwargs


def _canonical(rest: str, mount: Mount) -> str:
    parts = rest.removesuffix("/").split("/")
    if mount is Mount.STARTERS:
        parts.insert(0, "orchestrators")
    if mount is Mount.V1 and parts[0] and parts[0].lower() not in links.COLLECTIONS:
        parts.insert(0, "instances")
    parts[0] = parts[0].lower()
    if parts[0] == "instances" and len(parts) > 2:
        parts[2] = _OPERATIONS.get(parts[2].lower(), parts[2])
    return "/".join(parts)
