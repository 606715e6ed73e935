"""The gate of every request: who asks, whether it may, how often, and the record of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Unpack

from django.http import HttpRequest

from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.access import Operation
from durable_host.core.errors import BadRequestError, InstanceNotFoundError
from durable_host.store import audit
from durable_host.store.audit import About, Asked, Deed, Outcome
from durable_host.store.filters import glob_matches
from durable_host.telemetry import propagation

from .callers import Anonymous, Caller, identify
from .errors import ApiError, DeniedError, TooManyError
from .loopback import address_of
from .rates import check_denials, check_rate


@dataclass(frozen=True, slots=True)
class Act(Deed):
    """A change that was allowed and is now to be made."""

    caller: Caller


def admit_reader(request: HttpRequest, operation: Operation, instance_id: str = "") -> Caller:
    """Return who reads.

    Raises:
        DeniedError: nobody that may.
        ApiError: too many denied attempts.
    """
    try:
        caller = identify(request, host_settings().task_hub, operation, instance_id)
        _check_right(caller, operation)
        _check_instance(caller, instance_id)
    except DeniedError:
        check_denials(address_of(request))
        raise
    return caller


@contextmanager
def acting(request: HttpRequest, operation: Operation, **about: Unpack[About]) -> Iterator[Act]:
    """Admit who wants to change something; leave a record, whatever comes of it.

    Args:
        request: the request.
        operation: what it asks for.
        about: of what, and what the record shall say besides (:class:`~durable_host.store.audit.About`).

    Raises:
        DeniedError, TooManyError: it may not, or not so often.
    """
    asked = Asked(
        hub=host_settings().task_hub,
        actor_kind=Anonymous.kind,
        actor=Anonymous.name,
        address=address_of(request),
        operation=operation,
        **about,
    )
    try:
        caller = identify(request, asked.hub, operation, asked.instance_id)
        asked = replace(asked, actor_kind=caller.kind, actor=caller.name)
        _check_right(caller, operation)
        _check_pattern(caller, asked.target)
        _check_instance(caller, asked.instance_id, must_exist=operation is not Operation.START)
        check_rate(operation, f"{caller.kind} {caller.name}")
        with propagation.incoming(request.headers):
            yield Act(asked, caller)
    except DeniedError as error:
        check_denials(asked.address)
        audit.record(asked, Outcome.DENIED, str(error))
        raise
    except TooManyError:
        raise  # a flood must not fill the audit, too
    except (ApiError, BadRequestError) as error:
        audit.record(asked, Outcome.REFUSED, str(error))
        raise


def _check_right(caller: Caller, operation: Operation) -> None:
    problem = caller.why_not(operation)
    if problem is not None:
        raise DeniedError(403, problem)


def _check_pattern(caller: Caller, orchestrator: str) -> None:
    if orchestrator and caller.name_pattern and not glob_matches(caller.name_pattern, orchestrator):
        raise DeniedError(
            403,
            f"Key {caller.name!r} is good for orchestrators {caller.name_pattern!r} only, not for {orchestrator!r}.",
        )


def _check_instance(caller: Caller, instance_id: str, *, must_exist: bool = True) -> None:
    """Look up whose instance it is, for callers that may touch some orchestrators only: a start replaces it, too."""
    if not instance_id or not caller.name_pattern:
        return
    status = DurableClient().get_status(instance_id, show_input=False)
    if status is not None:
        _check_pattern(caller, status.name)
    elif must_exist:
        raise InstanceNotFoundError(instance_id)
