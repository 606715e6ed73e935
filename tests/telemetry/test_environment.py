"""What the environment asks for."""

from __future__ import annotations

import logging

import pytest
from django.core.checks import run_checks

from durable_host.checks import TAG
from durable_host.telemetry import pipeline, tell
from durable_host.telemetry.environment import Protocol, Signal, destinations, read
from tests.telemetry.conftest import Start
from tests.telemetry.told import span

KEY = "a1b2c3d4-0000-4000-8000-123456789abc"
AZURE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
CONNECTION = f"InstrumentationKey={KEY};IngestionEndpoint=https://x.in.applicationinsights.azure.com/"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
COLLECTOR = "http://collector:4318"


def test_nothing_asked_for_is_nothing() -> None:
    assert not read({})
    assert read({}).problems == ()


def test_both_may_be_on() -> None:
    found = read({AZURE: CONNECTION, ENDPOINT: COLLECTOR})
    assert found.azure == CONNECTION
    assert found.azure_signals == set(Signal)
    assert found.otlp == dict.fromkeys(Signal, Protocol.HTTP)


@pytest.mark.parametrize("end", ["", ";", " ;"])
def test_a_pasted_connection_string_is_taken(end: str) -> None:
    found = read({AZURE: f" {CONNECTION}{end}"})
    assert (found.azure.rstrip(), found.problems) == (CONNECTION, ())


def test_each_signal_may_go_elsewhere_or_nowhere() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4317",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_LOGS_EXPORTER": "none",
    }
    assert read(env).otlp == {Signal.TRACES: Protocol.GRPC}
    assert read({**env, ENDPOINT: COLLECTOR}).otlp == {Signal.TRACES: Protocol.GRPC, Signal.METRICS: Protocol.HTTP}
    assert read({AZURE: CONNECTION, "OTEL_LOGS_EXPORTER": "none"}).azure_signals == {Signal.TRACES, Signal.METRICS}


def test_the_sdk_can_be_disabled() -> None:
    assert not read({AZURE: CONNECTION, ENDPOINT: COLLECTOR, "OTEL_SDK_DISABLED": "TRUE"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("InstrumentationKey=4711;IngestionEndpoint=https://x/", "UUID"),
        (f"IngestionEndpoint=https://x/;Key={KEY}", "UUID"),
        (f"InstrumentationKey={KEY.upper()}", "lower case"),
        (KEY, "of the form"),
        (f"InstrumentationKey={KEY};IngestionEndpoint=somewhere", "IngestionEndpoint"),
    ],
)
def test_a_wrong_connection_string_is_one_problem_that_does_not_show_it(text: str, said: str) -> None:
    found = read({AZURE: text})
    (problem,) = found.problems
    assert not found
    assert problem.startswith(AZURE)
    assert said in problem
    assert KEY not in problem.lower()
    assert "4711" not in problem


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {ENDPOINT: COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'",
        ),
        ({ENDPOINT: "collector:4318"}, f"{ENDPOINT} is no address"),
        ({ENDPOINT: "http://collector:99999"}, f"{ENDPOINT} is no address"),
    ],
)
def test_a_wrong_otlp_setting_is_one_problem_for_all_signals(env: dict[str, str], said: str) -> None:
    found = read(env)
    (problem,) = found.problems
    assert not found
    assert problem.startswith(said)


def test_grpc_takes_an_address_without_a_scheme() -> None:
    found = read({ENDPOINT: "collector:4317", PROTOCOL: "grpc"})
    assert (set(found.otlp), found.problems) == (set(Signal), ())


def test_an_unknown_sampler_is_a_problem_and_every_trace_is_kept() -> None:
    found = read({ENDPOINT: COLLECTOR, "OTEL_TRACES_SAMPLER": "some"})
    assert found.otlp
    assert found.problems[0].startswith("OTEL_TRACES_SAMPLER is 'some'")


def test_the_host_goes_on_without_what_is_wrong(telemetry: Start, caplog: pytest.LogCaptureFixture) -> None:
    telemetry({AZURE: "InstrumentationKey=4711;IngestionEndpoint=https://x/"})
    assert not pipeline.is_on()
    tell.spans([span()])
    (entry,) = caplog.records
    assert (entry.levelno, entry.name) == (logging.ERROR, "durable_host.telemetry.pipeline")
    assert "4711" not in caplog.text


def test_what_an_exporter_refuses_is_one_error(telemetry: Start, caplog: pytest.LogCaptureFixture) -> None:
    telemetry({ENDPOINT: COLLECTOR, PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"})
    assert not pipeline.is_on()
    assert {entry.levelname for entry in caplog.records} == {"ERROR"}
    assert "for OTLP cannot be made" in caplog.text


def test_the_check_shows_the_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AZURE, KEY)
    destinations.cache_clear()
    try:
        messages = run_checks(tags=[TAG])  # as a worker does when it starts
    finally:
        monkeypatch.undo()
        destinations.cache_clear()
    (message,) = [one for one in messages if one.id == "durable_host.W002"]
    assert KEY not in str(message)


def test_a_secret_is_not_in_what_is_shown_of_the_destinations() -> None:
    assert KEY not in repr(read({AZURE: CONNECTION}))
    assert not pipeline.is_on()
