"""The saved queries, over what the real exporter brought from two histories."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pytest_django import Settings

from durable_host import RuntimeStatus
from durable_host.core import events as ev
from durable_host.core.failure import FailureDetails
from durable_host.core.spans import SpanFold, activity_span
from durable_host.core.tracing import ExecutionTrace
from durable_host.core.tracking import tracking_log
from durable_host.telemetry import pipeline, tell
from durable_host.telemetry.kusto import Value, saved_query
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights
from tests.telemetry.kusto import Row, run
from tests.telemetry.test_kusto_evaluator import INSTANCE_SUMMARY, SINGLE_INSTANCE

BEGAN = (datetime.now(UTC) - timedelta(hours=8)).replace(microsecond=0)
DECLINED = FailureDetails(error_type="shop.CardError", error_message="declined")


def at(seconds: float) -> datetime:
    """Return a time of the story."""
    return BEGAN + timedelta(seconds=seconds)


def attempt(task: int, *, scheduled: float, failure: FailureDetails | None) -> Iterator[ev.HistoryEvent]:
    """Return what an attempt adds to history: it waits two seconds for a worker and runs for one."""
    yield ev.TaskScheduled(timestamp=at(scheduled), event_id=task, name="pay", input="7")
    yield ev.OrchestratorCompleted(timestamp=at(scheduled))
    ended, started = at(scheduled + 3), at(scheduled + 2)
    yield ev.OrchestratorStarted(timestamp=at(scheduled + 4))
    if failure:
        yield ev.TaskFailed(timestamp=ended, task_scheduled_id=task, failure_details=failure, started_at=started)
    else:
        yield ev.TaskCompleted(timestamp=ended, task_scheduled_id=task, result="true", started_at=started)


def begun(name: str) -> list[ev.HistoryEvent]:
    """Return the beginning of a history."""
    return [
        ev.OrchestratorStarted(timestamp=at(0)),
        ev.ExecutionStarted(timestamp=at(0), name=name, input="7"),
    ]


PAID: list[ev.HistoryEvent] = [
    *begun("order"),
    *attempt(0, scheduled=1, failure=DECLINED),
    *attempt(1, scheduled=6, failure=None),
    ev.ExecutionCompleted(timestamp=at(10), orchestration_status=RuntimeStatus.COMPLETED, result='"paid"'),
    ev.OrchestratorCompleted(timestamp=at(10)),
]
WAITING: list[ev.HistoryEvent] = [
    *begun("approval"),
    ev.OrchestratorCompleted(timestamp=at(1), listening=("Approval",)),
]


def told(instance_id: str, history: list[ev.HistoryEvent]) -> None:
    """Tell a history as workers would."""
    (started,) = [event for event in history if isinstance(event, ev.ExecutionStarted)]
    trace = ExecutionTrace.of(instance_id, started, 0)
    tell.records(tracking_log(history, instance_id, 0, replays=True), trace.span)
    fold = SpanFold(instance_id, 0)
    for event in history:
        tell.spans(fold.take(event))
        if isinstance(event, ev.TaskCompleted | ev.TaskFailed) and event.started_at:
            task_id = event.task_scheduled_id
            served = activity_span(
                instance_id=instance_id,
                generation=0,
                name="pay",
                task_id=task_id,
                attempt=1,
                client=trace.of_task(task_id),
                started_at=event.started_at,
                outcome=event,
            )
            tell.spans([served])


@pytest.fixture
def arrived(telemetry: Start, insights: AppInsights) -> dict[str, list[Row]]:
    """Return the tables after both histories were told."""
    telemetry(insights.env)
    told("order-1", PAID)
    told("order-2", WAITING)
    assert pipeline.flush(PATIENCE)
    return insights.tables


def ask(tables: dict[str, list[Row]], slug: str, *columns: str, **values: Value) -> list[Any]:
    """Return some columns of what a saved query answers."""
    rows = run(saved_query(slug).filled(values), tables, now=datetime.now(UTC))
    return [tuple(row[column] for column in columns) for row in rows]


def test_each_query_tells_the_truth(arrived: dict[str, list[Row]]) -> None:
    asked = partial(ask, arrived)
    steps = asked("one-instance", "functionName", "state", targetInstanceId="order-1")
    pay = [("pay", "Scheduled"), ("order", "Awaited"), ("pay", "Started")]
    assert steps == [
        *(("order", "Scheduled"), ("order", "Started")),
        *(*pay, ("pay", "Failed"), *pay, ("pay", "Completed")),
        ("order", "Completed"),
    ]
    trace = asked("one-instance-trace", "itemType", "what", "durationMs", targetInstanceId="order-1")
    assert [row for row in trace if row[0] in {"request", "dependency"}] == [
        ("request", "orchestration:order", 10_000.0),
        ("dependency", "activity:pay", 3_000.0),
        ("request", "activity:pay", 1_000.0),
        ("dependency", "activity:pay", 3_000.0),
        ("request", "activity:pay", 1_000.0),
    ]
    assert sorted(asked("instance-summary", "instanceId", "functionName", "state")) == [
        ("order-1", "order", "Completed"),
        ("order-2", "approval", "Awaited"),
    ]
    failures = asked("failures-by-error", "functionName", "functionType", "error", "failures", "lastInstance")
    assert failures == [("pay", "Activity", "shop.CardError", 1, "order-1")]
    assert asked("slowest-activities", "activity", "runs", "failures", "p95Ms") == [("pay", 2, 1, 1_000.0)]
    assert asked("stuck-instances", "instanceId", "state", "waitedFor") == [
        ("order-2", "Awaited", "WaitForExternalEvent:Approval")
    ]
    assert asked("approvals-waiting", "instanceId", "eventName") == [("order-2", "Approval")]
    throughput = asked("throughput", "started", "completed", "failed", "terminated")
    assert [sum(column) for column in zip(*throughput, strict=True)] == [2, 1, 0, 0]
    retries = asked("retries-by-activity", "activity", "attempts", "failedAttempts", "recovered", "gaveUp")
    assert retries == [("pay", 2, 1, 1, 0)]
    assert asked("longest-queue-wait", "activity", "runs", "maxMs") == [("pay", 2, 2_000.0)]
    assert asked("interventions", "act") == []
    assert asked("replay-ratio", "functionName", "replayed") == [("approval", 0), ("order", 0)]


def test_the_published_queries_do_so_unchanged(arrived: dict[str, list[Row]]) -> None:
    start = f"datetime({BEGAN - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S})"
    single = SINGLE_INSTANCE.replace("datetime(2018-03-25T09:20:00)", start)
    single = single.replace("ddd1aaa685034059b545eb004b15d4eb", "order-2")
    found = run(single, arrived, now=datetime.now(UTC))
    assert [row["state"] for row in found] == ["Scheduled", "Started", "Listening", "Awaited"]
    summary = INSTANCE_SUMMARY.replace("datetime(2017-09-30T04:30:00)", start)
    assert {row["instanceId"] for row in run(summary, arrived, now=datetime.now(UTC))} == {"order-1", "order-2"}


def test_replays_are_counted_by_one_query_and_left_out_of_the_others(
    telemetry: Start, insights: AppInsights, settings: Settings
) -> None:
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "TRACE_REPLAY_EVENTS": True}
    telemetry(insights.env)
    told("order-1", PAID)
    assert pipeline.flush(PATIENCE)
    ((name, replayed, percent),) = ask(insights.tables, "replay-ratio", "functionName", "replayed", "replayedPercent")
    replays = [row for row in insights.tables["traces"] if row["customDimensions"]["prop__isReplay"] == "True"]
    of_orchestrator = [row for row in replays if row["customDimensions"]["prop__functionType"] == "Orchestrator"]
    assert (name, replayed) == ("order", len(of_orchestrator))
    assert 0 < percent < 100
    steps = ask(insights.tables, "one-instance", "functionName", "state", targetInstanceId="order-1")
    assert len(steps) == len(insights.tables["traces"]) - len(replays) == 11
    assert ask(insights.tables, "failures-by-error", "failures") == [(1,)]
