"""Endpoints that are dead, hang or refuse; processes that fork; hosts that send nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from durable_host.telemetry import pipeline, providers, tell
from tests.services import PATIENCE, PROJECT
from tests.telemetry import wire
from tests.telemetry.conftest import Start
from tests.telemetry.insights import INSTRUMENTATION_KEY, AppInsights
from tests.telemetry.otlp import Otlp
from tests.telemetry.told import span

#: for a process whose last words count: on a busy machine they may take longer than a host waits for them
_TAKES_ITS_TIME = """
from durable_host.telemetry import pipeline
pipeline.stop.__defaults__ = (60,)
"""
#: for a process that must not wait: whoever does would wait for minutes
_WOULD_WAIT = """
from durable_host.telemetry import destinations
destinations.TIMEOUT_SECONDS = 600
"""
TELL = """
import logging
from durable_host.telemetry import pipeline, tell
from tests.telemetry.told import span
pipeline.start("worker")
tell.spans([span()])
logging.getLogger("durable_host.x").warning("a line")
"""


def run(code: str, tmp_path: Path, *environments: dict[str, str]) -> str:
    """Run code in a process of its own that sends all it has; return what it printed."""
    return _done(_TAKES_ITS_TIME + code, tmp_path, *environments).stdout


def run_hanging(code: str, tmp_path: Path, *environments: dict[str, str]) -> str:
    """Run code in a process of its own whose exporters wait for minutes; return what it printed."""
    return _done(_WOULD_WAIT + code, tmp_path, *environments, {"OTEL_EXPORTER_OTLP_TIMEOUT": "600"}).stdout


def run_with_log(code: str, tmp_path: Path, *environments: dict[str, str]) -> list[str]:
    """Run code in a process of its own that logs; return the lines of its log."""
    return _done(f"import django; django.setup()\n{code}", tmp_path, *environments).stderr.splitlines()


def _env(tmp_path: Path, *environments: dict[str, str]) -> dict[str, str]:
    env = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "durable_host.settings",
        "DURABLE_VAR": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
    }
    for more in environments:
        env |= more
    return env


def _done(code: str, tmp_path: Path, *environments: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command, env = [sys.executable, "-c", code], _env(tmp_path, *environments)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done


# ---- endpoints ----


def _azure(address: str) -> dict[str, str]:
    text = f"InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={address}"
    return {"APPLICATIONINSIGHTS_CONNECTION_STRING": text}


FLOOD = """
import json, os
from durable_host.telemetry import pipeline, tell
from tests.telemetry.told import ORCHESTRATION, span
pipeline.start("worker")
spans = [span(context=ORCHESTRATION.child(number)) for number in range(2000)]
for _ in range(12):
    tell.spans(spans)
waiting = [len(drain._batch_processor._queue) for drain in pipeline.current()._drains[:2]]
is_flushed = pipeline.flush(0.5)
pipeline.stop(0.5)
print(json.dumps([is_flushed, *waiting]), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.case(35)
def test_an_endpoint_that_never_answers_slows_nobody_and_fills_no_memory(tmp_path: Path, protocol: str) -> None:
    with wire.silent_server() as address:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        shown = run_hanging(FLOOD, tmp_path, _azure(address), endpoint)
    is_flushed, *waiting = json.loads(shown)
    assert not is_flushed
    assert all(0 < count <= providers.QUEUE_SIZE for count in waiting)


@pytest.mark.case(35)
def test_a_process_whose_endpoint_hangs_ends_all_the_same(tmp_path: Path) -> None:
    with wire.silent_server() as address:
        run_hanging(TELL, tmp_path, _azure(address), {"OTEL_EXPORTER_OTLP_ENDPOINT": address})


#: nothing is sent but by the flush, which never ends
ONE_HANGS = (
    TELL
    + """
import os, sys, threading
threading.Thread(target=pipeline.flush, args=(600,), daemon=True).start()
sys.stdin.read()
os._exit(0)
"""
)


@pytest.mark.case(35)
def test_one_endpoint_that_hangs_does_not_keep_the_other_waiting(tmp_path: Path, otlp: Otlp) -> None:
    with wire.silent_server() as address:
        env = _env(tmp_path, _azure(address), otlp.env, {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
        command = [sys.executable, "-c", _WOULD_WAIT + ONE_HANGS]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert [one.name for one in otlp.wait_for_spans(1)] == ["activity:score"]
            process.stdin.close()


def test_a_dead_endpoint_is_said_once_and_the_process_ends_all_the_same(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    lines = run_with_log(
        TELL + "pipeline.flush(3)", tmp_path, _azure(nowhere), {"OTEL_EXPORTER_OTLP_ENDPOINT": nowhere}
    )
    assert 0 < len(lines) <= 6
    assert not any(INSTRUMENTATION_KEY in line for line in lines)


def test_a_service_that_is_busy_gets_it_later(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    insights.scripted.append((503, {"Retry-After": "0"}))
    tell.spans([span()])
    pipeline.flush(PATIENCE)
    assert len(insights.rows("dependencies")) == 1


def test_a_redirect_to_a_stranger_is_not_followed(telemetry: Start, insights: AppInsights, otlp: Otlp) -> None:
    telemetry(insights.env)
    insights.scripted.append((307, {"Location": f"{otlp.address}/v2.1/track"}))
    tell.spans([span()])
    pipeline.flush(PATIENCE)
    assert otlp.body_seen == b""


# ---- processes ----


def test_the_end_of_a_process_sends_what_waits(tmp_path: Path, insights: AppInsights, otlp: Otlp) -> None:
    run(TELL, tmp_path, insights.env, otlp.env)
    assert [one.name for one in otlp.spans] == ["activity:score"]
    assert [row["name"] for row in insights.rows("dependencies")] == ["activity:score"]
    assert [row["message"] for row in insights.rows("traces")] == ["a line"]


FORK = """
import os
from durable_host.telemetry import pipeline, tell
from tests.telemetry.told import ORCHESTRATION, span
pipeline.start("worker")
tell.spans([span("activity:parent")])
pipeline.flush(60)
child = os.fork()
if child == 0:
    tell.spans([span("activity:child", context=ORCHESTRATION.child("child"))])
    os._exit(0 if pipeline.flush(60) else 1)
status = os.waitpid(child, 0)[1]
tell.spans([span("activity:after")])
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_forked_child_flushes_what_it_told(
    tmp_path: Path, insights: AppInsights, otlp: Otlp, otlp_grpc: Otlp, protocol: str
) -> None:
    receiver = otlp if protocol == "http" else otlp_grpc
    run(FORK, tmp_path, insights.env, receiver.env)
    expected = ["activity:after", "activity:child", "activity:parent"]
    assert sorted(one.name for one in receiver.spans) == expected
    assert sorted(row["name"] for row in insights.rows("dependencies")) == expected


# ---- quiet ----

OFF = """
import sys
from durable_host.telemetry import pipeline, tell
from tests.telemetry.told import span
pipeline.start("worker")
tell.spans([span()])
pipeline.flush(60)
pipeline.stop()
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "azure.monitor", "grpc")
print(pipeline.is_on(), [name for name in sys.modules if name.startswith(heavy)])
"""


def test_nothing_asked_for_imports_no_sdk(tmp_path: Path) -> None:
    assert run(OFF, tmp_path).strip() == "False []"


WATCH = (
    """
import sys
reached = set()
def hook(event, args):
    if event == "socket.connect":
        reached.add(str(args[1]))
    elif event == "socket.getaddrinfo":
        reached.add(str(args[:2]))
sys.addaudithook(hook)
"""
    + TELL
    + """
from opentelemetry import metrics
metrics.get_meter("x").create_counter("c").add(1)
import time
time.sleep(2)
pipeline.flush(60)
pipeline.stop()
print(sorted(reached))
"""
)


def test_nothing_is_contacted_but_the_endpoints(tmp_path: Path, insights: AppInsights, otlp: Otlp) -> None:
    shown = run(WATCH, tmp_path, insights.env, otlp.env)
    ports = {address.rpartition(":")[2] for address in (insights.address, otlp.address)}
    reached = eval(shown)  # noqa: S307  what our own process printed
    assert reached
    assert all("'127.0.0.1'" in one and any(port in one for port in ports) for one in reached), reached
    assert insights.rows("dependencies")
    assert insights.rows("customMetrics", name="c")
    assert {row["name"] for row in insights.rows("customMetrics")} & {"_OTELRESOURCE_"} == set()
    assert "c" in otlp.metrics
