"""Answers that the routes give, and that views of your own may give.

from durable_host.api.responses import create_check_status_response

def order(request):
    instance_id = DurableClient().start_new("handle_order", json.loads(request.body))
    return create_check_status_response(request, instance_id)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from pydantic_core import to_json

from durable_host import links
from durable_host.client import DurableClient, OrchestrationStatus
from durable_host.conf import host_settings
from durable_host.core.access import ON_ONE_INSTANCE, Operation
from durable_host.core.errors import BadRequestError
from durable_host.core.status import RuntimeStatus

from .payloads import status_payload

#: when to look again, in seconds: at a check-status payload, and at a status that is not final
_LOOK_FIRST = 10
_LOOK_AGAIN = 5
_FAILURE_FLAG = "&returnInternalServerErrorOnFailure=true"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a value as JSON. It may hold addresses with tokens: nobody shall keep a copy."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    return HttpResponse(to_json(value), status=status, content_type="application/json", headers=all_headers)


def create_check_status_response(
    request: HttpRequest, instance_id: str, *, return_internal_server_error_on_failure: bool = False
) -> HttpResponse:
    """Return 202 with the addresses at which a client watches and steers an instance.

    Args:
        request: the request that is being answered.
        instance_id: the instance.
        return_internal_server_error_on_failure: let the status of a failed instance be a 500.
    """
    payload = DurableClient().create_http_management_payload(request, instance_id)
    if return_internal_server_error_on_failure:
        payload["statusQueryGetUri"] += _FAILURE_FLAG
    return check_status(payload)


def wait_for_completion_or_create_check_status_response(
    request: HttpRequest,
    instance_id: str,
    timeout: float = 10.0,
    retry_interval: float = 1.0,
    return_internal_server_error_on_failure: bool = False,
) -> HttpResponse:
    """Wait a while for an instance: return its output if it completes, its status if it ends otherwise, else 202.

    Args:
        request: the request that is being answered.
        instance_id: the instance.
        timeout: seconds to wait at most.
        retry_interval: seconds between two looks at most.
        return_internal_server_error_on_failure: answer 500 if the instance fails.

    Raises:
        BadRequestError: the interval is longer than the timeout.
        InstanceNotFoundError: there is no such instance.
    """
    return finished_or(
        lambda: create_check_status_response(
            request, instance_id, return_internal_server_error_on_failure=return_internal_server_error_on_failure
        ),
        instance_id,
        timeout,
        retry_interval,
        fails=return_internal_server_error_on_failure,
    )


def check_status(payload: dict[str, str]) -> HttpResponse:
    """Return 202 with these addresses."""
    return json_response(payload, 202, {"Location": payload["statusQueryGetUri"], "Retry-After": str(_LOOK_FIRST)})


def status_response(
    status: OrchestrationStatus,
    location: str,
    *,
    fails: bool = False,
    history: list[dict[str, Any]] | None = None,
) -> HttpResponse:
    """Return a status: 202 with the address to look at again while it is not final, 200 then.

    Args:
        status: what is known.
        location: where to look again.
        fails: answer 500 where the instance failed.
        history: entries of its history, where they are asked for.
    """
    payload = status_payload(status)
    if history is not None:
        payload["historyEvents"] = history
    if not status.is_finished:
        return json_response(payload, 202, {"Location": location, "Retry-After": str(_LOOK_AGAIN)})
    return json_response(payload, 500 if fails and status.runtime_status is RuntimeStatus.FAILED else 200)


def finished_or(
    otherwise: Callable[[], HttpResponse], instance_id: str, timeout: float, interval: float, *, fails: bool
) -> HttpResponse:
    """Wait for an instance and return what became of it, or ``otherwise()`` if it has not finished in time.

    Raises:
        BadRequestError, InstanceNotFoundError: as the function for users' views.
    """
    if interval > timeout:
        raise BadRequestError(f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")
    waits = _waits(host_settings().max_http_waits)
    if not waits.acquire(blocking=False):
        return otherwise()  # all others would wait for those who wait
    try:
        longest = host_settings().max_http_wait.total_seconds()
        status = DurableClient().wait_for_completion(instance_id, min(timeout, longest))
    except TimeoutError:
        return otherwise()
    finally:
        waits.release()
    if status.runtime_status is RuntimeStatus.COMPLETED:
        return json_response(status.output)
    return status_response(status, "", fails=fails)


@lru_cache(maxsize=1)
def _waits(number: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(number)


def instance_addresses(
    request: HttpRequest,
    instance_id: str,
    *,
    base: str,
    fails: bool = False,
    signed: Collection[Operation] = ON_ONE_INSTANCE,
) -> dict[str, str]:
    """Return the addresses of an instance under one of the mounts."""
    hub = host_settings().task_hub
    query = _FAILURE_FLAG if fails else ""
    origin = request.build_absolute_uri("/")
    return links.management_payload(hub, origin, instance_id, base=base, signed=signed, query=query)
