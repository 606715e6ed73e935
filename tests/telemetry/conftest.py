"""Fixtures: receivers of telemetry, and the pipeline of the test process sending to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from opentelemetry import _logs, metrics, trace

from durable_host.telemetry import environment, gauges, pipeline
from tests.telemetry import wire
from tests.telemetry.insights import AppInsights
from tests.telemetry.otlp import Otlp

Start = Callable[..., None]


@pytest.fixture(scope="session")
def insights_server() -> Iterator[AppInsights]:
    """Application Insights' ingestion, for all tests of this process."""
    with wire.app_insights() as server:
        yield server


@pytest.fixture(scope="session")
def otlp_http_server() -> Iterator[Otlp]:
    """An OTLP receiver for HTTP."""
    with wire.otlp_over_http() as server:
        yield server


@pytest.fixture(scope="session")
def otlp_grpc_server() -> Iterator[Otlp]:
    """An OTLP receiver for gRPC."""
    with wire.otlp_over_grpc() as server:
        yield server


@pytest.fixture
def insights(insights_server: AppInsights) -> AppInsights:
    """Application Insights' ingestion, with empty tables."""
    insights_server.clear()
    return insights_server


@pytest.fixture
def otlp(otlp_http_server: Otlp) -> Otlp:
    """An OTLP receiver for HTTP that has got nothing yet."""
    otlp_http_server.clear()
    return otlp_http_server


@pytest.fixture
def otlp_grpc(otlp_grpc_server: Otlp) -> Otlp:
    """An OTLP receiver for gRPC that has got nothing yet."""
    otlp_grpc_server.clear()
    return otlp_grpc_server


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start the pipeline of this process with some environment; it ends with the test.

    It does not become OpenTelemetry's global one, which can be set only once in a process, and instruments nothing.
    """
    before = dict(os.environ)

    def start(*environments: dict[str, str], **more: str) -> None:
        for env in (*environments, more):
            os.environ.update(env)
        os.environ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = "*"
        environment.destinations.cache_clear()
        pipeline.start("worker")

    monkeypatch.setattr(pipeline, "_process", pipeline._Process())
    for module, name in (
        (trace, "set_tracer_provider"),
        (metrics, "set_meter_provider"),
        (_logs, "set_logger_provider"),
    ):
        monkeypatch.setattr(module, name, lambda provider: None)
    environment.destinations.cache_clear()
    gauges.feed(None)  # a host of an earlier test may have said what to read
    yield start
    pipeline.stop(1)
    os.environ.clear()
    os.environ.update(before)
    environment.destinations.cache_clear()
