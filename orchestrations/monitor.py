"""Monitor: look again and again, with growing pauses, until something is as expected or the time is up.

This orchestrator is written as a generator, the style of azure-functions-durable: ``yield`` where the others ``await``.
"""

import asyncio
import json
import logging
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
from pydantic import BaseModel, Field, JsonValue

from durable_host import OrchestrationContext, RetryPolicy, Task, activity, orchestrator

# History would grow with every poll for as long as the monitor lives. So it begins anew after this many.
POLLS_PER_EXECUTION = 50

REQUEST_TIMEOUT_SECONDS = 10
BODY_LIMIT_BYTES = 1024 * 1024
YEAR_SECONDS = 365 * 24 * 3600

logger = logging.getLogger(__name__)


class Probe(BaseModel, frozen=True, extra="forbid"):
    """An address, and the answer that is hoped for. All conditions that are given must hold."""

    url: str = Field(pattern="^https?://", description="The address that is polled with GET.")
    status: int = Field(default=200, description="Expected HTTP status.")
    text: str | None = Field(default=None, max_length=1_000, description="Text that the answer must contain.")
    json_field: str | None = Field(
        default=None, max_length=1_000, description="Field of the JSON answer, such as job.state."
    )
    json_value: JsonValue = Field(default=None, description="Value that this field must have.")


class Progress(BaseModel, frozen=True, extra="forbid"):
    """What the monitor takes along when it begins anew."""

    polls: int
    pause_seconds: float
    expires_at: datetime


class Watch(BaseModel, frozen=True, extra="forbid"):
    """What to watch, how often and how long."""

    probe: Probe
    first_interval_seconds: float = Field(default=5, gt=0, le=YEAR_SECONDS)
    growth: float = Field(default=2, ge=1, le=100, description="Each pause is this many times the one before.")
    max_interval_seconds: float = Field(default=3600, gt=0, le=YEAR_SECONDS)
    expires_after_seconds: float = Field(default=24 * 3600, gt=0, le=10 * YEAR_SECONDS)
    alert_url: str | None = Field(
        default=None, pattern="^https?://", description="Where the alert is posted as JSON; without it, it is logged."
    )
    progress: Progress | None = Field(default=None, description="Leave empty: the monitor fills it for itself.")


@dataclass(frozen=True)
class Sighting:
    """What one poll has seen."""

    is_as_expected: bool
    summary: str


@dataclass(frozen=True)
class Alert:
    """How it ended."""

    outcome: Literal["met", "expired"]
    url: str
    polls: int
    last_seen: str


@dataclass(frozen=True)
class Delivery:
    """An alert on its way. The id tells the receiver which deliveries are the same."""

    id: str
    alert: Alert
    to: str | None


@orchestrator
def monitor(ctx: OrchestrationContext, watch: Watch) -> Generator[Task[Any], Any, Alert | None]:
    r"""Poll an address until it answers as expected or the time is up, then alert.

    An address that cannot be reached is not there yet: the monitor goes on.

        manage.py durable start-new monitor --input \
        '{"probe": {"url": "http://127.0.0.1:8000/", "status": 200}, "expires_after_seconds": 600}'
    """
    progress = watch.progress or begin(watch, ctx.current_utc_datetime)
    for _ in range(POLLS_PER_EXECUTION):
        sighting: Sighting = yield ctx.call_activity(poll, watch.probe)
        polls, now = progress.polls + 1, ctx.current_utc_datetime
        if sighting.is_as_expected or now >= progress.expires_at:
            outcome: Literal["met", "expired"] = "met" if sighting.is_as_expected else "expired"
            alert = Alert(outcome, watch.probe.url, polls, sighting.summary)
            yield ctx.call_activity(send_alert, Delivery(ctx.new_uuid(), alert, watch.alert_url))
            return alert
        next_poll = min(now + timedelta(seconds=progress.pause_seconds), progress.expires_at)
        ctx.set_custom_status({"polls": polls, "last_seen": sighting.summary, "next_poll": next_poll})
        yield ctx.create_timer(next_poll)
        pause = min(progress.pause_seconds * watch.growth, watch.max_interval_seconds)
        progress = Progress(polls=polls, pause_seconds=pause, expires_at=progress.expires_at)
    ctx.continue_as_new(watch.model_copy(update={"progress": progress}))
    return None


def begin(watch: Watch, now: datetime) -> Progress:
    """Return the progress of a monitor that has not polled yet."""
    return Progress(
        polls=0,
        pause_seconds=min(watch.first_interval_seconds, watch.max_interval_seconds),
        expires_at=now + timedelta(seconds=watch.expires_after_seconds),
    )


@activity
async def poll(probe: Probe) -> Sighting:
    """Ask the address once and compare its answer."""
    try:
        async with (
            asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
            httpx.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS, follow_redirects=True) as client,
            client.stream("GET", probe.url) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    break
            return compare(probe, response.status_code, bytes(body), response.encoding or "utf-8")
    except (httpx.HTTPError, TimeoutError) as error:
        return Sighting(False, f"{type(error).__name__} {error}".strip())


def compare(probe: Probe, status: int, body: bytes, encoding: str) -> Sighting:
    """Tell whether an answer is the one that is hoped for, and if not, why."""
    if status != probe.status:
        return Sighting(False, f"HTTP {status} instead of {probe.status}")
    if probe.text is not None and probe.text not in body.decode(encoding, "replace"):
        return Sighting(False, f"HTTP {status} without the text {probe.text!r}")
    if probe.json_field is not None and (found := field_of(body, probe.json_field)) != as_json(probe.json_value):
        return Sighting(False, f"HTTP {status} with {probe.json_field} = {found[:200] or 'nothing'}")
    return Sighting(True, f"HTTP {status} as expected")


def field_of(body: bytes, path: str) -> str:
    """Return the field of a JSON document that ``job.state`` names, as JSON; empty where there is no such field."""
    try:
        value = json.loads(body)
        for name in path.split("."):
            value = value[name]
        return as_json(value)
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def as_json(value: Any) -> str:
    """Write a value in one form only, so that equal values look equal. (In Python ``True == 1``; in JSON it is not.)"""
    return json.dumps(value, sort_keys=True)


@activity(
    retry=RetryPolicy(first_retry_interval=timedelta(seconds=10), max_number_of_attempts=6, backoff_coefficient=3)
)
async def send_alert(delivery: Delivery) -> None:
    """Post the alert to its address, or log it as a warning where there is none."""
    alert = delivery.alert
    if delivery.to is None:
        logger.warning("%s after %d polls: %s (%s)", alert.url, alert.polls, alert.outcome, alert.last_seen)
        return
    content = {"outcome": alert.outcome, "url": alert.url, "polls": alert.polls, "last_seen": alert.last_seen}
    async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS) as client:
        response = await client.post(delivery.to, json=content, headers={"Idempotency-Key": delivery.id})
        response.raise_for_status()
