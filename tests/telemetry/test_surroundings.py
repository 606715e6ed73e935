"""What surrounds orchestrations: requests that come in, calls that activities make, contexts on their way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry import trace

from durable_host.core.tracing import TraceContext, server_side
from durable_host.telemetry import pipeline, propagation
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights
from tests.telemetry.otlp import Otlp
from tests.telemetry.test_trouble import run
from tests.telemetry.told import CALLER, NOW, ORCHESTRATION

HEADERS = {"traceparent": CALLER.traceparent, "tracestate": CALLER.state}
SECRET = "dk_Zx81kdLq0PTb3nQv"

# ---- contexts, with telemetry off ----


def test_a_request_without_a_context_brings_none() -> None:
    with propagation.incoming({}):
        creation = propagation.begin_create("nightly", "n-1")
    assert (creation.trace_parent, creation.trace_state) == (None, None)
    creation.committed()


def test_a_host_that_traces_nothing_passes_on_what_it_was_given() -> None:
    with propagation.incoming(HEADERS):
        creation = propagation.begin_create("nightly", "n-1")
        onward: dict[str, str] = {}
        propagation.outgoing(onward)
    assert (creation.trace_parent, creation.trace_state) == (CALLER.traceparent, "vendor=1")
    assert onward == HEADERS


def test_a_context_ends_with_its_request() -> None:
    with propagation.incoming(HEADERS):
        pass
    onward: dict[str, str] = {}
    propagation.outgoing(onward)
    assert onward == {}


def test_what_an_activity_calls_hangs_under_its_own_span() -> None:
    call = ORCHESTRATION.child(3)
    onward: dict[str, str] = {}
    with propagation.activity_context(call.traceparent):
        propagation.outgoing(onward)
    assert TraceContext.parse(onward["traceparent"]) == TraceContext(
        call.trace_id, server_side(call).span_id, is_sampled=True
    )


@pytest.mark.parametrize("trace_parent", ["", None, "00-nonsense"])
def test_an_activity_that_nobody_traces_runs_as_it_is(trace_parent: str | None) -> None:
    with propagation.activity_context(trace_parent):
        assert not trace.get_current_span().get_span_context().is_valid


# ---- spans of clients ----


def test_a_start_is_a_span_under_the_callers_once_it_is_committed(
    telemetry: Start, insights: AppInsights, otlp: Otlp
) -> None:
    telemetry(insights.env, otlp.env)
    with propagation.incoming(HEADERS):
        creation = propagation.begin_create("nightly", "n-1", "2.0")
        propagation.begin_create("nightly", "n-2")  # rolled back: never committed
    creation.committed()
    pipeline.flush(PATIENCE)
    (seen,), (row,) = otlp.spans, insights.rows("dependencies")
    assert (seen.name, seen.kind, seen.parent_id) == (
        "create_orchestration:nightly@(2.0)",
        "PRODUCER",
        f"{CALLER.span_id:016x}",
    )
    assert creation.trace_parent == f"00-{seen.trace_id}-{seen.span_id}-01"
    assert creation.trace_state == "vendor=1"
    assert seen.attributes == {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "nightly",
        "durabletask.task.instance_id": "n-1",
        "durabletask.task.execution_id": "n-1:0",
        "durabletask.task.version": "2.0",
    }
    assert (row["operation_Id"], row["type"]) == (seen.trace_id, "Queue Message")


def test_an_event_that_nobody_traces_belongs_to_the_trace_of_its_instance(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    propagation.event_sent("Approval", "n-1", ORCHESTRATION, NOW)
    pipeline.flush(PATIENCE)
    (seen,) = otlp.spans
    assert (seen.name, seen.kind) == ("orchestration_event:Approval", "PRODUCER")
    assert (seen.trace_id, seen.parent_id) == (f"{CALLER.trace_id:032x}", f"{ORCHESTRATION.span_id:016x}")
    assert seen.attributes == {
        "durabletask.type": "event",
        "durabletask.task.name": "Approval",
        "durabletask.event.target_instance_id": "n-1",
    }


def test_an_event_of_a_traced_caller_stays_in_its_trace_and_links_to_the_instance(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    other = TraceContext(7, 8)
    with propagation.incoming({"traceparent": other.traceparent}):
        propagation.event_sent("Approval", "n-1", ORCHESTRATION, NOW)
    pipeline.flush(PATIENCE)
    (seen,) = otlp.spans
    assert (seen.trace_id, seen.parent_id) == (f"{7:032x}", f"{8:016x}")
    assert seen.links == [f"{ORCHESTRATION.span_id:016x}"]


# ---- instrumentations ----

WEB = """
import json
from wsgiref.util import setup_testing_defaults
from durable_host.wsgi import application

def get(path, query="", **headers):
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1", **headers}
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = "127.0.0.1"
    list(application(environ, lambda status, headers, exc=None: None))

get("/nothing-here", "code=%(secret)s&x=1", HTTP_TRACEPARENT=%(parent)r)
for path in ("/static/app.css", "/metrics", "/healthz", "/readyz"):
    get(path)
"""


def test_requests_are_traced_without_their_keys_and_machines_questions_are_not(
    tmp_path: Path, insights: AppInsights, otlp: Otlp
) -> None:
    run(WEB % {"secret": SECRET, "parent": CALLER.traceparent}, tmp_path, insights.env, otlp.env)
    (row,) = insights.rows("requests")
    assert (row["operation_Id"], row["operation_ParentId"]) == (f"{CALLER.trace_id:032x}", f"{CALLER.span_id:016x}")
    assert row["url"] == "http://127.0.0.1/nothing-here?code=[hidden]&x=1"
    assert (row["resultCode"], row["success"]) == ("404", False)
    assert [one.kind for one in otlp.spans] == ["SERVER"]
    for seen in (insights.body_seen, otlp.body_seen):
        assert SECRET.encode() not in seen


OUTGOING = """
import json, threading, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
import httpx, requests
from durable_host.telemetry import pipeline, propagation

class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({key.lower(): value for key, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

pipeline.start("worker")
server = HTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/x?code=%(secret)s"
with propagation.activity_context(%(parent)r):
    seen = [httpx.get(url, timeout=60).json(), requests.get(url).json(), json.load(urllib.request.urlopen(url))]
print(json.dumps([one.get("traceparent") for one in seen]))
"""


def test_an_activitys_calls_are_traced_and_carry_the_context_on(
    tmp_path: Path, insights: AppInsights, otlp: Otlp
) -> None:
    call = ORCHESTRATION.child(3)
    code = OUTGOING % {"secret": SECRET, "parent": call.traceparent}
    carried = [TraceContext.parse(one) for one in json.loads(run(code, tmp_path, insights.env, otlp.env))]
    calls = [one for one in otlp.spans if one.kind == "CLIENT"]
    assert len(calls) == 3
    assert {one.parent_id for one in calls} == {f"{server_side(call).span_id:016x}"}
    assert [f"{one.span_id:016x}" for one in carried if one] == [one.span_id for one in calls]
    assert len(insights.rows("dependencies", type="HTTP")) == 3
    for seen in (insights.body_seen, otlp.body_seen):
        assert SECRET.encode() not in seen


def test_an_instrumentation_can_be_switched_off(tmp_path: Path, otlp: Otlp) -> None:
    code = OUTGOING % {"secret": SECRET, "parent": CALLER.traceparent}
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "httpx, urllib"}
    carried = json.loads(run(code, tmp_path, otlp.env, disabled))
    assert [bool(one) for one in carried] == [False, True, False]
    assert len(otlp.spans) == 1
