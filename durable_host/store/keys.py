"""API keys. The only writer of :class:`~durable_host.models.ApiKey`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from durable_host.core.access import Scope
from durable_host.core.errors import BadRequestError
from durable_host.core.names import check_name
from durable_host.models import ApiKey

from . import clock
from .filters import glob_matches
from .outage import OUTAGE

PREFIX = "dk"
_ID_BYTES = 6
_SECRET_BYTES = 32
_NOTE_USE_EVERY = timedelta(minutes=1)
_MAX_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A key without its secret."""

    pk: int
    name: str
    public_id: str
    scopes: frozenset[Scope]
    #: glob of the orchestrators that it is good for; empty for all
    name_pattern: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def is_revoked(self) -> bool:
        """Whether somebody has taken it back."""
        return self.revoked_at is not None

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= clock.now()

    def is_good_for(self, orchestrator: str) -> bool:
        """Tell whether it may touch instances of this orchestrator."""
        return not self.name_pattern or glob_matches(self.name_pattern, orchestrator)


def create(
    hub: str,
    name: str,
    scopes: Collection[Scope],
    *,
    name_pattern: str = "",
    expires_at: datetime | None = None,
) -> tuple[KeyInfo, str]:
    """Make a key and return it with its text, which nobody will see again.

    Raises:
        BadRequestError: the name is taken or not acceptable, there is no scope, or the expiry has passed.
    """
    check(hub, name, name_pattern, expires_at)
    if not scopes:
        raise BadRequestError(f"A key needs a scope at least. There are: {', '.join(Scope)}.")
    public_id = secrets.token_hex(_ID_BYTES)
    text = f"{PREFIX}_{public_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(
        hub=hub,
        name=name,
        public_id=public_id,
        digest=_digest(text),
        scopes=sorted(scopes),
        name_pattern=name_pattern,
        created_at=clock.now(),
        expires_at=expires_at,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(name) from error
    return _info(row), text


def check(hub: str, name: str, name_pattern: str, expires_at: datetime | None) -> None:
    """Refuse what :func:`create` would; raises as that."""
    check_name(name, "A key's name")
    if len(name) > _MAX_NAME:
        raise BadRequestError(f"A key's name has at most {_MAX_NAME} characters; this one has {len(name)}.")
    if name_pattern:
        check_name(name_pattern, "A pattern of orchestrator names")
    if expires_at is not None and expires_at <= clock.now():
        raise BadRequestError(f"The key would expire at {expires_at.isoformat()}, which has passed.")
    if ApiKey.objects.filter(hub=hub, name=name).exists():
        raise _taken(name)


def _taken(name: str) -> BadRequestError:
    return BadRequestError(f"There is a key {name!r} already, or was one. Give the new one another name.")


def list_all(hub: str) -> list[KeyInfo]:
    """Return the keys of a hub, oldest first."""
    return [_info(row) for row in ApiKey.objects.filter(hub=hub).order_by("created_at", "pk")]


def revoke(hub: str, name: str) -> KeyInfo:
    """Take a key back; from now on it opens nothing.

    Raises:
        BadRequestError: there is no key of the name.
    """
    with transaction.atomic():
        ApiKey.objects.filter(hub=hub, name=name, revoked_at=None).update(revoked_at=clock.now())
        row = ApiKey.objects.filter(hub=hub, name=name).first()
        if row is None:
            raise BadRequestError(f"No key {name!r} exists in this task hub.")
    return _info(row)


def find(hub: str, text: str) -> KeyInfo | None:
    """Return the key whose text this is, revoked and expired ones too, or None."""
    prefix, _, rest = text.partition("_")
    public_id = rest.partition("_")[0]
    row = None
    if prefix == PREFIX and len(public_id) == 2 * _ID_BYTES and public_id.isalnum():
        row = ApiKey.objects.filter(hub=hub, public_id=public_id).first()
    expected = row.digest if row else ""
    # Compared also where there is no row: the time that an answer takes shall not tell.
    return _info(row) if secrets.compare_digest(_digest(text), expected) and row else None


def note_use(key: KeyInfo) -> None:
    """Write down that a key is used, at most once a minute; where the database takes no writes, reading goes on."""
    now = clock.now()
    if key.last_used_at is None or now - key.last_used_at >= _NOTE_USE_EVERY:
        due = Q(last_used_at=None) | Q(last_used_at__lte=now - _NOTE_USE_EVERY)
        with suppress(*OUTAGE), transaction.atomic():
            ApiKey.objects.filter(due, public_id=key.public_id).update(last_used_at=now)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _info(row: ApiKey) -> KeyInfo:
    return KeyInfo(
        pk=row.pk,
        name=row.name,
        public_id=row.public_id,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        name_pattern=row.name_pattern,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
