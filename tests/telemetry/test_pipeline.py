"""What is told arrives, in both destinations, as it was told."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from durable_host.core.spans import SpanKind
from durable_host.telemetry import pipeline, tell
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights
from tests.telemetry.otlp import Otlp
from tests.telemetry.told import CALLER, NOW, ORCHESTRATION, orchestration, span

SECRET = "dk_Zx81kdLq0PTb3nQv"


def _hex(span_id: int) -> str:
    return f"{span_id:016x}"


def test_both_destinations_get_a_span_with_its_own_ids_parent_and_times(
    telemetry: Start, insights: AppInsights, otlp: Otlp
) -> None:
    telemetry(insights.env, otlp.env)
    one = span()
    tell.spans([one])
    assert pipeline.flush(PATIENCE)

    (row,) = insights.rows("dependencies")
    assert (row["operation_Id"], row["operation_ParentId"], row["id"]) == (
        f"{CALLER.trace_id:032x}",
        _hex(ORCHESTRATION.span_id),
        _hex(one.context.span_id),
    )
    assert (row["timestamp"], row["duration"], row["success"]) == (one.start, 1000, True)
    assert row["customDimensions"] == {"durabletask.type": "activity", "durabletask.task.task_id": "3"}
    (seen,) = otlp.spans
    assert (seen.trace_id, seen.parent_id, seen.span_id) == (row["operation_Id"], row["operation_ParentId"], row["id"])
    assert seen.end - seen.start == 10**9
    assert seen.end == int(NOW.timestamp()) * 10**9 + 123456000
    assert seen.attributes == {"durabletask.type": "activity", "durabletask.task.task_id": 3}


def test_grpc_brings_the_same(telemetry: Start, otlp_grpc: Otlp) -> None:
    telemetry(otlp_grpc.env)
    tell.spans([span()])
    logging.getLogger("durable_host.somewhere").warning("a line")
    assert pipeline.flush(PATIENCE)
    assert [(one.name, one.kind) for one in otlp_grpc.spans] == [("activity:score", "CLIENT")]
    assert [one.body for one in otlp_grpc.logs] == ["a line"]


@pytest.mark.parametrize(
    ("kind", "table", "type_"),
    [
        (SpanKind.SERVER, "requests", ""),
        (SpanKind.CLIENT, "dependencies", "N/A"),
        (SpanKind.PRODUCER, "dependencies", "Queue Message"),
        (SpanKind.INTERNAL, "dependencies", "InProc"),
    ],
)
def test_each_kind_has_its_table(
    telemetry: Start, insights: AppInsights, otlp: Otlp, kind: SpanKind, table: str, type_: str
) -> None:
    telemetry(insights.env, otlp.env)
    tell.spans([span(kind=kind)])
    pipeline.flush(PATIENCE)
    (row,) = insights.rows(table)
    assert row["type"] == type_
    assert [one.kind for one in otlp.spans] == [kind.value]


def test_a_failed_span_says_why_and_links_lead_on(telemetry: Start, insights: AppInsights, otlp: Otlp) -> None:
    telemetry(insights.env, otlp.env)
    before = ORCHESTRATION.child("before")
    tell.spans([span(error="ValueError: no", links=(before,))])
    pipeline.flush(PATIENCE)
    (row,), (seen,) = insights.rows("dependencies"), otlp.spans
    assert row["success"] is False
    assert _hex(before.span_id) in row["customDimensions"]["_MS.links"]
    assert (seen.is_error, seen.error, seen.links) == (True, "ValueError: no", [_hex(before.span_id)])


def test_a_root_span_begins_its_trace(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    tell.spans([orchestration(parent=None)])
    pipeline.flush(PATIENCE)
    (seen,) = otlp.spans
    assert (seen.trace_id, seen.parent_id) == (f"{CALLER.trace_id:032x}", "")


def test_who_sends_is_said(telemetry: Start, insights: AppInsights, otlp: Otlp) -> None:
    telemetry(insights.env, otlp.env, OTEL_SERVICE_NAME="billing", OTEL_RESOURCE_ATTRIBUTES="service.version=7")
    tell.spans([span()])
    pipeline.flush(PATIENCE)
    (row,), (seen,) = insights.rows("dependencies"), otlp.spans
    assert (row["cloud_RoleName"], row["application_Version"]) == ("billing", "7")
    assert row["cloud_RoleInstance"].endswith(f"/worker-{os.getpid()}")
    assert seen.resource["service.name"] == "billing"


# ---- age ----


def test_application_insights_takes_what_began_three_days_ago_and_otlp_gets_the_truth(
    telemetry: Start, insights: AppInsights, otlp: Otlp
) -> None:
    telemetry(insights.env, otlp.env)
    tell.spans([orchestration(took=timedelta(days=3))])
    assert pipeline.flush(PATIENCE)

    (row,), (event,), (seen,) = insights.rows("requests"), insights.rows("customEvents"), otlp.spans
    assert insights.refused == []
    assert NOW - row["timestamp"] < timedelta(hours=47, minutes=1)
    truth = row["customDimensions"]
    assert truth["durabletask.true_start"] == (NOW - timedelta(days=3)).isoformat()
    assert int(truth["durabletask.duration_ms"]) == timedelta(days=3) / timedelta(milliseconds=1)
    assert event["customMeasurements"] == {"durationMs": 3 * 86_400_000.0}
    assert seen.end - seen.start == 3 * 86_400 * 10**9
    assert "durabletask.true_start" not in seen.attributes


def test_what_ended_three_days_ago_arrives_too(telemetry: Start, insights: AppInsights, otlp: Otlp) -> None:
    telemetry(insights.env, otlp.env)
    long_ago = NOW - timedelta(days=3)
    tell.spans([span(start=long_ago, end=long_ago + timedelta(seconds=2))])
    entry = logging.makeLogRecord({"name": "durable_host.x", "levelno": logging.INFO, "msg": "old"})
    entry.created = long_ago.timestamp()
    logging.getLogger("durable_host.x").handle(entry)
    assert pipeline.flush(PATIENCE)
    (row,), (line,) = insights.rows("dependencies"), insights.rows("traces")
    assert (row["duration"], row["customDimensions"]["durabletask.duration_ms"]) == (0, "2000")
    assert line["customDimensions"]["durabletask.true_time"] == long_ago.isoformat()
    assert insights.refused == []


def test_the_receiver_refuses_old_items_as_the_service_does(insights: AppInsights) -> None:
    """Or the two tests above would prove nothing."""
    body = (
        '[{"name":"Event","time":"2020-01-01T00:00:00Z","iKey":"00000000-1111-2222-3333-444444444444",'
        '"data":{"baseType":"EventData","baseData":{"name":"x"}}}]'
    )
    status, answer = insights.take(body.encode())
    assert (status, answer["itemsAccepted"]) == (400, 0)
    assert answer["errors"][0]["message"].startswith("103:")


# ---- secrets ----


def test_no_key_leaves_in_a_url_an_attribute_a_log_or_an_exception(
    telemetry: Start, insights: AppInsights, otlp: Otlp
) -> None:
    telemetry(insights.env, otlp.env)
    url = f"https://host/api?code={SECRET}&x=1"
    tell.spans(
        [
            span(attributes={"http.url": url, "http.method": "GET", "durabletask.note": f"Bearer {SECRET}"}),
            span(f"GET {url}", error=f"refused: {url}"),
        ]
    )
    host = logging.getLogger("durable_host.somewhere")
    host.warning("calling %s", url, extra={"address": url, "headers": {"Authorization": f"Basic {SECRET[3:]}"}})
    try:
        raise ValueError(url)
    except ValueError:
        host.exception("it failed")
    assert pipeline.flush(PATIENCE)

    assert len(insights.rows("dependencies")) == 2
    assert len(insights.rows("exceptions")) == 1
    for seen in (insights.body_seen, otlp.body_seen):
        assert SECRET[3:].encode() not in seen
        assert b"code=[hidden]" in seen


# ---- what is heard ----


def test_only_the_hosts_and_the_orchestrations_lines_are_exported(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    heard = ("durable_host.store", "orchestrations.nightly")
    for name in (*heard, "durable_host.acts", "opentelemetry.sdk", "azure.core"):
        logging.getLogger(name).error("of %s", name)
    assert pipeline.flush(PATIENCE)
    assert sorted(one.body for one in otlp.logs) == [f"of {name}" for name in heard]


# ---- sampling ----


@pytest.mark.case(37)
def test_an_unsampled_trace_is_not_exported(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    hidden = replace(ORCHESTRATION, is_sampled=False)
    tell.spans([span("activity:a", context=hidden.child(1), parent=hidden), span("activity:b")])
    pipeline.flush(PATIENCE)
    assert [one.name for one in otlp.spans] == ["activity:b"]


def test_a_sampler_that_is_asked_for_decides_and_lifecycle_events_stay(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    tell.spans([span(), orchestration()])
    pipeline.flush(PATIENCE)
    assert insights.rows("dependencies") == insights.rows("requests") == []
    assert [one["name"] for one in insights.rows("customEvents")] == ["OrchestrationCompleted"]


# ---- lifecycle ----


@pytest.mark.parametrize("status", ["Completed", "Failed", "Terminated"])
def test_an_end_is_a_custom_event(telemetry: Start, insights: AppInsights, status: str) -> None:
    telemetry(insights.env)
    tell.spans([orchestration(status, error="ValueError: 4711" if status == "Failed" else "")])
    pipeline.flush(PATIENCE)
    (row,) = insights.rows("customEvents")
    assert (row["name"], row["customMeasurements"]) == (f"Orchestration{status}", {"durationMs": 5000.0})
    assert row["customDimensions"]["durabletask.task.instance_id"] == "n-1"
    assert (row["operation_Id"], row["operation_ParentId"]) == (
        f"{CALLER.trace_id:032x}",
        _hex(ORCHESTRATION.span_id),
    )
    assert "4711" not in str(row)


def test_continue_as_new_is_no_end(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    tell.spans([orchestration("ContinuedAsNew")])
    pipeline.flush(PATIENCE)
    assert insights.rows("customEvents") == []
