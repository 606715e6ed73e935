"""The five patterns on real workers: what arrives at Application Insights and over OTLP, to the last record."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from durable_host.client import DurableClient
from durable_host.store import queries
from durable_host.telemetry import pipeline
from tests.e2e.conftest import BRIEF_LEASES, worker_env
from tests.e2e.test_patterns import EXPENSE, ORDER, Site, make_tree, serving
from tests.services import PATIENCE, PROJECT, running, wait_until
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights
from tests.telemetry.kusto import run
from tests.telemetry.otlp import Otlp, Span

# On one database only: which rows hold the histories makes no difference here.
pytestmark = pytest.mark.django_db(transaction=True, available_apps=["durable_host"])

#: so that what a process has told is gone when it is killed, on a busy machine, too
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50", "DURABLE_TELEMETRY_NICENESS": "0"}

#: what the field has published for its own App Insights data: one instance, replays left out
STORY = """
let targetInstanceId = "{instance_id}";
traces
| where customDimensions.Category == "Host.Triggers.DurableTask"
| extend functionName = customDimensions["prop__functionName"], instanceId = customDimensions["prop__instanceId"]
| extend state = customDimensions["prop__state"]
| extend isReplay = tobool(tolower(customDimensions["prop__isReplay"]))
| extend sequenceNumber = tolong(customDimensions["prop__sequenceNumber"])
| where isReplay != true and instanceId == targetInstanceId
| sort by timestamp asc, sequenceNumber asc
| project timestamp, functionName, state, instanceId, sequenceNumber, appName = cloud_RoleName
"""


class Observatory:
    """Workers that tell both backends, a client that does so too, and what has arrived."""

    def __init__(self, insights: AppInsights, otlp: Otlp, start_worker: Callable[..., Popen[bytes]]) -> None:
        self.insights = insights
        self.otlp = otlp
        self.start_worker = start_worker
        self.client = DurableClient()

    def finish(self, instance_id: str) -> Any:
        """Wait for the end of an instance, and for the telling of it."""
        status = self.client.wait_for_completion(instance_id, PATIENCE)
        assert pipeline.flush(PATIENCE)
        self.insights.wait_for_rows("customEvents", name=f"Orchestration{status.runtime_status}")
        self.otlp.wait_for(lambda: not self.missing(), "every parent of every span, and the inner span of every call")
        self.insights.wait_for(lambda: self.calls() >= len(self.otlp.spans), "the same at the other backend")
        runs = sum(span.kind == "SERVER" for span in self.otlp.spans)
        self.insights.wait_for(lambda: self.ends() >= runs, "the record of every end")
        return status

    def forget(self) -> None:
        """Forget what has arrived, once all of it has."""
        self.insights.clear()
        self.otlp.clear()

    def calls(self) -> int:
        """Return how many spans have arrived at Application Insights."""
        return len(self.insights.rows("requests")) + len(self.insights.rows("dependencies"))

    def ends(self) -> int:
        """Return how many records of an end have arrived: of executions and of activities."""
        told = [row["customDimensions"] for row in self.tracked()]
        return sum(row["prop__isReplay"] != "True" and row["prop__state"] in ("Completed", "Failed") for row in told)

    def missing(self) -> set[str]:
        """Return what is known not to have arrived: parents, the execution itself, and what ran for a call.

        An activity's outcome may be told after the turn that it led to, so the execution's end is not the last to come.
        """
        spans = list(self.otlp.spans)
        known, parents = {span.span_id for span in spans}, {span.parent_id for span in spans if span.parent_id}
        calls = {span.span_id for span in spans if span.name.startswith("activity:") and span.kind == "CLIENT"}
        has_ended = any(span.name.startswith("orchestration:") and span.kind == "SERVER" for span in spans)
        return parents - known | calls - parents | (set() if has_ended else {"?"})

    def story(self, instance_id: str) -> list[tuple[str, str]]:
        """Return what the published query says of an instance: function and state, in order."""
        rows = self.insights.rows("traces")
        found = run(STORY.replace("{instance_id}", instance_id), {"traces": rows}, now=datetime.now(UTC))
        return [(row["functionName"], row["state"]) for row in found]

    def counts(self, instance_id: str, function: str) -> list[tuple[str, int]]:
        """Return how often each state of a function was told."""
        return sorted(Counter(state for name, state in self.story(instance_id) if name == function).items())

    def tracked(self) -> list[dict[str, Any]]:
        """Return the tracking records that have arrived, replays included."""
        rows = self.insights.rows("traces")
        return [row for row in rows if row["customDimensions"].get("Category") == "Host.Triggers.DurableTask"]

    def tree(self) -> str:
        """Return all spans as an indented tree, children in the order of their beginning."""
        spans = sorted(self.otlp.spans, key=lambda span: (span.start, -span.end))
        assert len({span.trace_id for span in spans}) == 1
        assert len({span.span_id for span in spans}) == len(spans)
        return "\n".join(_lines(spans, "", ""))

    def processes(self) -> set[str]:
        """Return the processes that told of spans."""
        return {span.resource["service.instance.id"] for span in self.otlp.spans}


def _lines(spans: list[Span], parent: str, indent: str) -> Iterator[str]:
    for span in spans:
        if span.parent_id == parent:
            yield f"{indent}{span.name} {span.kind}"
            yield from _lines(spans, span.span_id, indent + "  ")


def sent_to(insights: AppInsights, otlp: Otlp) -> dict[str, str]:
    """Return the environment of a process that tells both."""
    return {**insights.env, **otlp.env, **AT_ONCE}


@pytest.fixture
def observatory(
    insights: AppInsights,
    otlp: Otlp,
    telemetry: Start,
    worker_process: Callable[..., Popen[bytes]],
    live_env: dict[str, str],
) -> Observatory:
    """Two backends, and workers and a client that send to both."""
    env = sent_to(insights, otlp)
    telemetry(env)

    def start_worker(*args: str, **host_settings: Any) -> Popen[bytes]:
        return worker_process(*args, **worker_env(live_env, **host_settings), **env)

    return Observatory(insights, otlp, start_worker)


@contextmanager
def closed(shop: Path) -> Iterator[None]:
    """Keep the shop's books to ourselves: whoever signs in them waits."""
    with closing(sqlite3.connect(shop, isolation_level=None)) as books:
        books.execute("BEGIN EXCLUSIVE")
        yield
        books.execute("ROLLBACK")


def called(name: str) -> str:
    """Return the part of a tree that a call of an activity has."""
    return f"    activity:{name} CLIENT\n      activity:{name} SERVER"


def test_a_chain_whose_worker_is_killed_is_one_story_and_one_trace(observatory: Observatory, tmp_path: Path) -> None:
    victim = observatory.start_worker(**BRIEF_LEASES)
    with closed(tmp_path / "shop.sqlite3"):
        id_ = observatory.client.start_new("function_chaining", ORDER)
        wait_until(lambda: ("reserve_stock", "Started") in observatory.story(id_), "the first activity to begin")
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    observatory.start_worker(**BRIEF_LEASES)
    observatory.finish(id_)
    chain, steps = "function_chaining", ["reserve_stock", "charge_card", "ship_order"]
    assert (
        observatory.story(id_)
        == [
            (chain, "Scheduled"),
            (chain, "Started"),
            ("reserve_stock", "Scheduled"),
            (chain, "Awaited"),
            ("reserve_stock", "Started"),  # by the one that was killed
            *[
                entry
                for step, following in zip(steps, [*steps[1:], None], strict=True)
                for entry in (
                    (step, "Started"),
                    (step, "Completed"),
                    *([(following, "Scheduled"), (chain, "Awaited")] if following else []),
                )
            ],
            (chain, "Completed"),
        ]
    )
    assert observatory.tree() == "\n".join(
        [f"create_orchestration:{chain} PRODUCER", f"  orchestration:{chain} SERVER", *map(called, steps)]
    )
    assert len(observatory.processes()) == 2
    told_by = {row["customDimensions"]["ProcessId"] for row in observatory.tracked()}
    assert len(told_by) == 3
    (request,) = observatory.insights.rows("requests", name=f"orchestration:{chain}")
    assert (request["success"], request["cloud_RoleName"]) == (True, "durable-host")
    assert len(observatory.insights.rows("requests")) == 4
    assert len(observatory.insights.rows("dependencies")) == 4
    assert [row["name"] for row in observatory.insights.rows("customEvents")] == [
        "OrchestrationStarted",
        "OrchestrationCompleted",
    ]


def test_a_fan_out_over_two_workers_is_one_trace(observatory: Observatory, tmp_path: Path) -> None:
    for _ in range(2):
        observatory.start_worker("--max-activities", "1")
    id_ = observatory.client.start_new("meeting", str(tmp_path / "both"))
    assert observatory.finish(id_).output == 2
    assert observatory.tree() == "\n".join(
        ["create_orchestration:meeting PRODUCER", "  orchestration:meeting SERVER", *[called("met")] * 2]
    )
    assert len(observatory.processes()) == 3
    states = [(state, 2) for state in ("Completed", "Scheduled", "Started")]
    observatory.insights.wait_for(lambda: observatory.counts(id_, "met") == states, "what both workers told")
    story = observatory.story(id_)
    assert (story[0], story[-1]) == (("meeting", "Scheduled"), ("meeting", "Completed"))


def test_each_of_the_other_patterns_is_one_story_and_one_trace(observatory: Observatory, tmp_path: Path) -> None:
    observatory.start_worker()  # one for all: a worker that tells takes seconds to start
    measuring_a_tree_shows_each_file(observatory, tmp_path)
    observatory.forget()
    counting_primes_shows_each_part(observatory)
    observatory.forget()
    a_monitor_shows_its_timers_and_the_alert_that_it_sends(observatory)
    observatory.forget()
    an_approval_shows_who_was_waited_for_and_the_event(observatory)


def measuring_a_tree_shows_each_file(observatory: Observatory, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", 40, 10)
    id_ = observatory.client.start_new("fan_out_fan_in", {"root": str(root)})
    files = observatory.finish(id_).output["files"]
    assert observatory.tree() == "\n".join(
        [
            "create_orchestration:fan_out_fan_in PRODUCER",
            "  orchestration:fan_out_fan_in SERVER",
            called("list_files"),
            *[called("measure_file")] * files,
        ]
    )
    states = [(state, files) for state in ("Completed", "Scheduled", "Started")]
    observatory.insights.wait_for(lambda: observatory.counts(id_, "measure_file") == states, "what was told of each")


def counting_primes_shows_each_part(observatory: Observatory) -> None:
    id_ = observatory.client.start_new("async_http_api", {"up_to": 20_000, "parts": 4})
    observatory.finish(id_)
    assert observatory.tree() == "\n".join(
        [
            "create_orchestration:async_http_api PRODUCER",
            "  orchestration:async_http_api SERVER",
            *[called("count_primes")] * 4,
        ]
    )
    assert observatory.story(id_).count(("count_primes", "Completed")) == 4


def a_monitor_shows_its_timers_and_the_alert_that_it_sends(observatory: Observatory) -> None:
    with serving(Site()) as url:
        watch = {
            "probe": {"url": f"{url}/ready"},
            "first_interval_seconds": 0.05,
            "growth": 2,
            "max_interval_seconds": 0.4,
            "expires_after_seconds": 3600,
            "alert_url": f"{url}/alerts",
        }
        id_ = observatory.client.start_new("monitor", watch)
        observatory.finish(id_)
    round_ = [("poll", "Scheduled"), ("monitor", "Awaited"), ("poll", "Started"), ("poll", "Completed")]
    pause = [("monitor", "Listening"), ("monitor", "Awaited"), ("monitor", "TimerExpired")]
    alert = "send_alert"
    story = observatory.story(id_)
    assert story == [
        ("monitor", "Scheduled"),
        ("monitor", "Started"),
        *round_,
        *pause,
        *round_,
        *pause,
        *round_,
        (alert, "Scheduled"),
        ("monitor", "Awaited"),
        (alert, "Started"),
        (alert, "Completed"),
        ("monitor", "Completed"),
    ]
    timer = "    orchestration:monitor:timer INTERNAL"
    assert observatory.tree() == "\n".join(
        [
            "create_orchestration:monitor PRODUCER",
            "  orchestration:monitor SERVER",
            called("poll"),
            timer,
            called("poll"),
            timer,
            called("poll"),
            called(alert),
        ]
    )


def an_approval_shows_who_was_waited_for_and_the_event(observatory: Observatory) -> None:
    id_ = observatory.client.start_new("human_interaction", EXPENSE)
    wait_until(lambda: queries.count_open_work("default")["waits"], "the question")
    observatory.client.raise_event(id_, "ApprovalEvent", True)
    observatory.finish(id_)
    pattern = "human_interaction"
    assert observatory.story(id_) == [
        (pattern, "Scheduled"),
        (pattern, "Started"),
        ("request_approval", "Scheduled"),
        (pattern, "Awaited"),
        ("request_approval", "Started"),
        ("request_approval", "Completed"),
        (pattern, "Listening"),  # the timer and the event
        (pattern, "Listening"),
        (pattern, "Awaited"),
        (pattern, "Scheduled"),  # the client that raised the event
        (pattern, "ExternalEventRaised"),
        ("process_approval", "Scheduled"),
        (pattern, "Awaited"),
        ("process_approval", "Started"),
        ("process_approval", "Completed"),
        (pattern, "Completed"),
    ]
    assert observatory.tree() == "\n".join(
        [
            f"create_orchestration:{pattern} PRODUCER",
            f"  orchestration:{pattern} SERVER",
            called("request_approval"),
            "    orchestration_event:ApprovalEvent PRODUCER",
            called("process_approval"),
        ]
    )
    inputs = [row["customDimensions"].get("prop__input") for row in observatory.tracked()]
    assert any(inputs)
    assert all(input_.startswith("(Redacted ") for input_ in inputs if input_)


@pytest.mark.parametrize("tells_replays", [True, False])
def test_replays_are_told_where_they_are_asked_for_and_marked(observatory: Observatory, tells_replays: bool) -> None:
    # Nothing is kept between turns, so that each of the five turns after the first replays those before it.
    observatory.start_worker(RESIDENT_EXECUTIONS=0, TRACE_REPLAY_EVENTS=tells_replays)
    id_ = observatory.client.start_new("chain", 5)
    observatory.finish(id_)
    marks = [row["customDimensions"]["prop__isReplay"] for row in observatory.tracked()]
    assert marks.count("True") == (2 + 4 + 6 + 8 + 10 if tells_replays else 0)
    told = [("add_one", "Scheduled"), ("chain", "Awaited"), ("add_one", "Started"), ("add_one", "Completed")]
    assert observatory.story(id_) == [("chain", "Scheduled"), ("chain", "Started"), *told * 5, ("chain", "Completed")]


def test_what_an_activity_traces_hangs_below_it_also_when_its_worker_dies(observatory: Observatory) -> None:
    victim = observatory.start_worker(**BRIEF_LEASES)
    id_ = observatory.client.start_new("call", {"activity": "tracing"})
    observatory.otlp.wait_for(lambda: observatory.otlp.named("inside"), "the span of the first attempt")
    observatory.insights.wait_for_rows("dependencies", name="inside")
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    observatory.start_worker(**BRIEF_LEASES)
    context = observatory.finish(id_).output
    assert observatory.tree() == "\n".join(
        [
            "create_orchestration:call PRODUCER",
            "  orchestration:call SERVER",
            called("tracing"),
            "        inside INTERNAL",
            "        inside INTERNAL",
        ]
    )
    (server,) = [span for span in observatory.otlp.named("activity:tracing") if span.kind == "SERVER"]
    assert context == f"00-{server.trace_id}-{server.span_id}-01"
    assert server.attributes["durabletask.task.attempt"] == 2


def test_a_stock_worker_tells_although_its_forked_processes_leave_without_a_farewell(
    observatory: Observatory, live_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**worker_env(live_env), **sent_to(observatory.insights, observatory.otlp)}
    argv = [sys.executable, str(PROJECT / "manage.py"), "rqworker", "default", "--worker-class", "rq.Worker"]
    with running(argv, env, tmp_path / "stock.log"):
        observatory.finish(observatory.client.start_new("chain", 2))
    assert observatory.tree() == "\n".join(
        ["create_orchestration:chain PRODUCER", "  orchestration:chain SERVER", *[called("add_one")] * 2]
    )
