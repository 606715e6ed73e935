"""The built-in activity ``BuiltIn::HttpActivity``: one HTTP request of a durable call."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from durable_host.conf import HostSettings, host_settings
from durable_host.core.http_messages import ACCEPTED, HTTP_ACTIVITY, HttpReply, HttpRequest, time_span
from durable_host.core.registry import Registry

from .addresses import Guard
from .errors import HttpRefusedError, HttpStatusError, HttpTimeoutError
from .exchange import exchange
from .transport import CheckedTransport


def register(registry: Registry) -> None:
    """Make the activity known; the workers of the turn queue run it."""
    registry.add_activity(http_activity, HTTP_ACTIVITY, queue=host_settings().turn_queue)


async def http_activity(requests: list[HttpRequest]) -> dict[str, Any]:
    """Send an HTTP request to an address that the settings allow. ``ctx.call_http`` calls this."""
    if len(requests) != 1:
        raise HttpRefusedError(f"{HTTP_ACTIVITY} takes a list of one request; it was given {len(requests)}.")
    [request] = requests
    settings = host_settings()
    limit = min(settings.http_timeout, request.timeout or settings.http_timeout)
    try:
        async with asyncio.timeout(limit.total_seconds()):
            reply = await _send(request, settings)
    except TimeoutError:
        raise _timed_out(request, limit, settings) from None
    if request.is_failure(reply.status_code):
        raise HttpStatusError(f"{request.shown} was answered with status {reply.status_code}.")
    return reply.to_json()


async def _send(request: HttpRequest, settings: HostSettings) -> HttpReply:
    guard = Guard(settings.http_allowed_hosts, settings.http_allow_private)
    async with CheckedTransport(guard) as transport:
        reply = await exchange(request, transport, settings.max_payload_bytes)
    if reply.status_code != ACCEPTED:
        return reply
    pause = round(settings.http_poll_interval / timedelta(milliseconds=1))
    return reply.model_copy(update={"async_request_sleep_time_milliseconds": pause})


def _timed_out(request: HttpRequest, limit: timedelta, settings: HostSettings) -> Exception:
    what = f"{request.shown} was not answered."
    if limit < settings.http_timeout:
        return TimeoutError(f"{what} Reached user specified timeout: {time_span(limit)}.")
    return HttpTimeoutError(f"{what} Reached the limit for one request, DURABLE_HOST['HTTP_TIMEOUT']: {limit}.")
