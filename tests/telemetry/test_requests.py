"""What a client tells of its requests is as old as they are: workers may act on them before it comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from durable_host import client as clients
from durable_host.client import DurableClient
from durable_host.core.registry import Registry
from durable_host.telemetry import pipeline
from durable_host.telemetry.w3c import nanoseconds
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights
from tests.telemetry.otlp import Otlp

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["durable_host"])


async def patient(ctx: Any) -> None:
    await ctx.wait_for_external_event("Go")


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When a worker could act on each request: at the bell."""
    moments: list[datetime] = []
    monkeypatch.setattr(clients, "ring_after_commit", lambda wake: moments.append(datetime.now(UTC)))
    return moments


def test_a_request_is_told_as_older_than_what_comes_of_it(
    telemetry: Start, insights: AppInsights, otlp: Otlp, acted: list[datetime]
) -> None:
    telemetry(insights.env, otlp.env)
    registry = Registry()
    registry.add_orchestrator(patient)
    client = DurableClient(registry=registry)
    id_ = client.start_new("patient")
    client.raise_event(id_, "Go")
    client.terminate(id_, "enough")
    assert pipeline.flush(PATIENCE)
    records = [row["timestamp"] for row in insights.rows("traces")]
    assert all(record <= at for record, at in zip(records, acted, strict=True)), (records, acted)
    (event,) = otlp.named("orchestration_event:Go")
    assert event.start <= nanoseconds(acted[1])
