"""Who asks: an API key, the token of an address, a logged-in user, or somebody at this very machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from django.http import HttpRequest
from ninja.utils import check_csrf

from durable_host import links
from durable_host.conf import host_settings
from durable_host.core.access import PERMISSION_OF, SCOPE_OF, Operation
from durable_host.store import keys
from durable_host.store.keys import KeyInfo

from .errors import DeniedError
from .loopback import why_not_local

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_WHO = (
    "Send an API key as x-functions-key, as Authorization: Bearer, or as ?code=; or use an address of a check-status "
    "payload. manage.py durable_key create makes a key."
)


class Caller(Protocol):
    """Somebody who asks, and what it may."""

    @property
    def kind(self) -> str:
        """What sort of caller: key, token, user, local or anonymous."""

    @property
    def name(self) -> str:
        """Its name, for the audit and the rate limits; never a secret."""

    @property
    def name_pattern(self) -> str:
        """Glob of the orchestrators that it may touch; empty for all."""

    def why_not(self, operation: Operation) -> str | None:
        """Return why it may not do this, or None where it may."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody that is known; for the audit."""

    kind = "anonymous"
    name = ""
    name_pattern = ""

    def why_not(self, operation: Operation) -> str | None:
        """Return why it may not do this."""
        return _WHO


@dataclass(frozen=True, slots=True)
class Local:
    """Whoever works at this machine, on a host that is only for them."""

    kind = "local"
    name = "local"
    name_pattern = ""

    def why_not(self, operation: Operation) -> str | None:
        """Return None: it may do everything."""
        return None


@dataclass(frozen=True, slots=True)
class TokenBearer:
    """Whoever has an address of a check-status payload. The address has been checked against what is asked."""

    instance_id: str
    kind = "token"
    name_pattern = ""

    @property
    def name(self) -> str:
        """The instance whose addresses it has."""
        return self.instance_id

    def why_not(self, operation: Operation) -> str | None:
        """Return None: the token says exactly this."""
        return None


@dataclass(frozen=True, slots=True)
class KeyBearer:
    """A program with an API key."""

    key: KeyInfo
    kind = "key"

    @property
    def name(self) -> str:
        """The key's name."""
        return self.key.name

    @property
    def name_pattern(self) -> str:
        """The key's pattern of orchestrator names."""
        return self.key.name_pattern

    def why_not(self, operation: Operation) -> str | None:
        """Return why the key does not open this."""
        scope = SCOPE_OF[operation]
        return None if scope in self.key.scopes else f"Key {self.name!r} has no scope {scope.value!r}."


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A user of the site."""

    username: str
    permissions: frozenset[str]
    kind = "user"
    name_pattern = ""

    @property
    def name(self) -> str:
        """The user's name."""
        return self.username

    def why_not(self, operation: Operation) -> str | None:
        """Return which permission is missing."""
        needed = PERMISSION_OF[SCOPE_OF[operation]]
        return None if needed in self.permissions else f"User {self.username!r} has no permission {needed!r}."


def identify(request: HttpRequest, hub: str, operation: Operation, instance_id: str) -> Caller:
    """Return who sent a request.

    A secret that is given must be right; only where none is given do the session and the machine count.

    Raises:
        DeniedError: nobody that is known, or a secret that opens nothing.
    """
    secret = _secret(request)
    if secret is not None:
        return _bearer(secret, hub, operation, instance_id)
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated and user.is_active:
        _check_csrf(request)
        held = {one for one in PERMISSION_OF.values() if user.has_perm(one)}
        return LoggedIn(user.get_username(), frozenset(held))
    if host_settings().keyless_loopback:
        reason = why_not_local(request)
        if reason is None:
            return Local()
        raise DeniedError(403, f"{reason} {_WHO}")
    raise DeniedError(401, _WHO, headers=_CHALLENGE)


def _secret(request: HttpRequest) -> str | None:
    """Return the key or token of a request: from a header, or else from the query."""
    given = request.headers.get("x-functions-key")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if not given and scheme.lower() == "bearer":
        given = credentials.strip()
    if not given:
        given = next((request.GET[name] for name in request.GET if name.lower() == "code"), None)
    return given or None


def _bearer(secret: str, hub: str, operation: Operation, instance_id: str) -> Caller:
    if links.is_token(secret):
        problem = links.check(secret, hub, instance_id, operation)
        if problem is not None:
            raise DeniedError(401, problem, headers=_CHALLENGE)
        return TokenBearer(instance_id)
    key = keys.find(hub, secret)
    if key is None:
        raise DeniedError(401, f"No such key. {_WHO}", headers=_CHALLENGE)
    if key.is_revoked or key.is_expired:
        state = "was revoked" if key.is_revoked else "has expired"
        raise DeniedError(401, f"Key {key.name!r} {state}. Ask for a new one.", headers=_CHALLENGE)
    keys.note_use(key)
    return KeyBearer(key)


def _check_csrf(request: HttpRequest) -> None:
    """A browser sends the cookie of a session by itself: for writes it must prove that a page of this site asks."""
    if request.method not in _SAFE_METHODS and check_csrf(request, _needs_csrf) is not None:
        raise DeniedError(403, "A logged-in browser must send its CSRF token as X-CSRFToken. Programs use an API key.")


def _needs_csrf() -> None:
    """Stand for a view that is not exempt."""
