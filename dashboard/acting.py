"""Changes that somebody makes in the pages: checked, made and audited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from django.http import HttpRequest

from durable_host.api.loopback import address_of
from durable_host.conf import host_settings
from durable_host.core.access import Operation, permission_for
from durable_host.core.errors import BadRequestError
from durable_host.store import audit
from durable_host.store.audit import About, Asked, Deed, Outcome

from .access import MissingPermissionError, can


@contextmanager
def acting(request: HttpRequest, operation: Operation, **about: Unpack[About]) -> Iterator[Deed]:
    """Let the user change something; leave a record, whatever comes of it.

        with acting(request, Operation.SUSPEND, instance_id=instance_id, detail=reason) as deed:
            deed.commit(DurableClient().suspend, instance_id, reason)

    Args:
        request: the request of a logged-in user.
        operation: what it asks for.
        about: of what, and what the record shall say besides (:class:`~durable_host.store.audit.About`).

    Raises:
        AlreadyDoneError: the form was sent before, and counted (``durable_host.store.audit``).
        MissingPermissionError: the user may not; :func:`dashboard.access.allowed` answers it.
        BadRequestError: whatever the client refuses; the record says so.
    """
    asked = Asked(
        hub=host_settings().task_hub,
        actor_kind="user",
        actor=request.user.get_username(),
        address=address_of(request),
        operation=operation,
        **about,
    )
    needed = permission_for(operation)
    if not can(request, needed):
        error = MissingPermissionError(needed)
        audit.record(asked, Outcome.DENIED, str(error))
        raise error
    try:
        yield Deed(asked)
    except BadRequestError as refusal:
        audit.record(asked, Outcome.REFUSED, str(refusal))
        raise
