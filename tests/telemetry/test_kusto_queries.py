"""What the saved queries answer, over rows made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from durable_host.telemetry.kusto import Value, saved_query
from tests.telemetry.kusto import Row, run

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
Tables = dict[str, list[Row]]


class Story:
    """Rows as they arrive, told one after another; times are minutes before now."""

    def __init__(self) -> None:
        self.tables: Tables = {"traces": [], "requests": [], "dependencies": [], "customEvents": []}
        self._numbers: Iterator[int] = count()

    def tell(self, ago: float, instance: str, state: str, **fields: Any) -> Story:
        """Add a tracking event."""
        whole = {"functionName": "approval", "functionType": "Orchestrator", "isReplay": False, "runtimeStatus": ""}
        whole |= fields | {"instanceId": instance, "state": state, "sequenceNumber": next(self._numbers)}
        dimensions = {f"prop__{name}": str(value) for name, value in whole.items()}
        row = {"customDimensions": {"Category": "Host.Triggers.DurableTask", **dimensions}, "cloud_RoleName": "shop"}
        return self._add("traces", ago, row)

    def run_activity(self, ago: float, instance: str, name: str, **how: Any) -> Story:
        """Add both spans of an activity.

        Args:
            how: ``wait`` and ``run`` in seconds, ``success``, ``attempt``, and further attributes of the SERVER span.
        """
        how = {"wait": 0.0, "run": 1.0, "success": True, "attempt": 1} | how
        wait, duration, success = how.pop("wait"), how.pop("run") * 1000, str(how.pop("success"))
        span, attributes = f"c{next(self._numbers)}", _of_task("activity", name, instance)
        begun = {"id": span, "name": f"activity:{name}", "success": success, "customDimensions": attributes}
        self._add("dependencies", ago + wait / 60, begun | {"duration": wait * 1000 + duration})
        served = attributes | {"durabletask.task.attempt": str(how.pop("attempt"))} | how
        ran = {"id": f"s{span}", "operation_ParentId": span, "duration": duration, "customDimensions": served}
        return self._add("requests", ago, begun | ran)

    def happen(self, ago: float, name: str) -> Story:
        """Add a lifecycle event."""
        return self._add("customEvents", ago, {"name": name})

    def _add(self, table: str, ago: float, row: Row) -> Story:
        self.tables[table].append({"timestamp": NOW - timedelta(minutes=ago), "operation_Id": "trace-1", **row})
        return self

    def asked(self, slug: str, **values: Value) -> list[Row]:
        """Return what a saved query answers."""
        return run(saved_query(slug).filled(values), self.tables, now=NOW)


def _of_task(kind: str, name: str, instance: str) -> dict[str, str]:
    return {
        "durabletask.type": kind,
        "durabletask.task.name": name,
        "durabletask.task.instance_id": instance,
        "durabletask.task.task_id": "0",
    }


@pytest.fixture
def story() -> Story:
    return Story()


def test_one_instance_without_replays(story: Story) -> None:
    story.tell(5, "one", "Scheduled", runtimeStatus="Pending", reason="NewInstance")
    story.tell(4, "one", "Started").tell(4, "one", "Listening", reason="WaitForExternalEvent:Approval")
    story.tell(4, "one", "Awaited").tell(4, "two", "Started")
    story.tell(3, "one", "Started", isReplay=True)
    story.tell(3, "one", "ExternalEventRaised", eventName="Approval").tell(3, "one", "Completed", output='"yes"')
    found = story.asked("one-instance", targetInstanceId="one")
    assert [(row["state"], row["reason"] or row["eventName"] or row["output"]) for row in found] == [
        ("Scheduled", "NewInstance"),
        ("Started", ""),
        ("Listening", "WaitForExternalEvent:Approval"),
        ("Awaited", ""),
        ("ExternalEventRaised", "Approval"),
        ("Completed", '"yes"'),
    ]
    assert {row["appName"] for row in found} == {"shop"}


def test_the_trace_of_one_instance_holds_what_its_spans_hold_together(story: Story) -> None:
    story.run_activity(5, "one", "pay", wait=2)
    story.tables["exceptions"] = [
        {"timestamp": NOW - timedelta(minutes=4), "outerMessage": "card declined", "operation_Id": "trace-1"}
    ]
    story.tables["traces"] = [
        {"timestamp": NOW - timedelta(minutes=3), "message": "user log", "operation_Id": "trace-1"},
        {"timestamp": NOW - timedelta(minutes=3), "message": "of another", "operation_Id": "trace-2"},
    ]
    found = story.asked("one-instance-trace", targetInstanceId="one")
    assert [(row["itemType"], row["what"], row["durationMs"]) for row in found] == [
        ("dependency", "activity:pay", 3000.0),
        ("request", "activity:pay", 1000.0),
        ("exception", "card declined", None),
        ("trace", "user log", None),
    ]
    assert found[1]["operation_ParentId"] == found[0]["id"]
    assert story.asked("one-instance-trace", targetInstanceId="two") == []


def test_a_span_of_days_is_shown_from_its_true_beginning(story: Story) -> None:
    began = NOW - timedelta(days=3)
    story.run_activity(5, "one", "later")
    truth = {"durabletask.true_start": began.isoformat(), "durabletask.duration_ms": str(3 * 86_400_000)}
    long = {"name": "orchestration:approval", "id": "o", "duration": 1.0, "success": "True"}
    long |= {"customDimensions": _of_task("orchestration", "approval", "one") | truth}
    story._add("requests", 6, long)
    first = story.asked("one-instance-trace", targetInstanceId="one")[0]
    assert (first["what"], first["began"], first["durationMs"]) == ("orchestration:approval", began, 259_200_000.0)


def test_the_summary_shows_the_last_state_though_a_turn_has_one_timestamp(story: Story) -> None:
    story.tell(9, "one", "Started").tell(5, "one", "Started", functionName="pay", functionType="Activity")
    story.tell(4, "one", "Awaited").tell(4, "one", "Completed", runtimeStatus="Completed", output="7")
    story.tell(4, "one", "Completed", functionName="pay", functionType="Activity", output="0")
    story.tell(3, "two", "Started", runtimeStatus="Running")
    found = story.asked("instance-summary")
    assert [(row["instanceId"], row["functionName"], row["state"], row["output"]) for row in found] == [
        ("two", "approval", "Started", ""),
        ("one", "approval", "Completed", "7"),
    ]
    assert found[1]["firstEvent"] == NOW - timedelta(minutes=9)


def test_failures_are_counted_by_the_type_of_their_error(story: Story) -> None:
    activity = {"functionName": "pay", "functionType": "Activity"}
    story.tell(9, "one", "Failed", reason="shop.CardError: declined", **activity)
    story.tell(8, "two", "Failed", reason="(Redacted 24 characters)\nshop.CardError\n  at pay", **activity)
    story.tell(8, "two", "Failed", reason="shop.CardError: (replayed)", isReplay=True, **activity)
    story.tell(7, "two", "Failed", reason="TaskFailedError: Activity 'pay' failed")
    story.tell(6, "three", "Failed", reason="(Redacted 20 characters)")
    found = story.asked("failures-by-error")
    assert [(row["functionName"], row["error"], row["failures"], row["lastInstance"]) for row in found] == [
        ("pay", "shop.CardError", 2, "two"),
        ("approval", "(unknown)", 1, "three"),
        ("approval", "TaskFailedError", 1, "two"),
    ]


def test_the_slowest_activity_comes_first(story: Story) -> None:
    for seconds in range(1, 21):
        story.run_activity(9, "one", "pay", run=seconds, wait=100)
    story.run_activity(9, "one", "ship", run=50, success=False)
    found = story.asked("slowest-activities")
    assert found == [
        {"activity": "ship", "runs": 1, "failures": 1, "p50Ms": 50_000, "p95Ms": 50_000, "maxMs": 50_000},
        {"activity": "pay", "runs": 20, "failures": 0, "p50Ms": 10_000, "p95Ms": 19_000, "maxMs": 20_000},
    ]


def test_silent_instances_are_stuck_unless_they_ended_or_sleep_by_order(story: Story) -> None:
    hours = 60
    story.tell(9 * hours, "lost", "Started").tell(9 * hours, "lost", "Awaited")
    story.tell(8 * hours, "waits", "Listening", reason="WaitForExternalEvent:Approval").tell(
        8 * hours, "waits", "Awaited"
    )
    story.tell(9 * hours, "done", "Started").tell(9 * hours, "done", "Completed")
    story.tell(9 * hours, "paused", "Started").tell(9 * hours, "paused", "Suspended")
    story.tell(9 * hours, "again", "Started").tell(9 * hours, "again", "Completed", continuedAsNew=True)
    story.tell(9 * hours, "busy", "Awaited").tell(1, "busy", "Started", functionName="pay", functionType="Activity")
    found = story.asked("stuck-instances")
    assert [(row["instanceId"], row["state"], row["waitedFor"]) for row in found] == [
        ("lost", "Awaited", None),
        ("again", "Completed", None),
        ("waits", "Awaited", "WaitForExternalEvent:Approval"),
    ]
    assert found[0]["silentFor"] == timedelta(hours=9)
    assert [row["instanceId"] for row in story.asked("stuck-instances", silence=timedelta(hours=8, minutes=30))] == [
        *("lost", "again"),
    ]


def test_approvals_wait_until_the_event_or_the_end(story: Story) -> None:
    wait = {"reason": "WaitForExternalEvent:Approval"}
    story.tell(90, "waits", "Listening", **wait).tell(90, "waits", "Awaited")
    story.tell(80, "answered", "Listening", **wait).tell(70, "answered", "ExternalEventRaised", eventName="approval")
    story.tell(80, "ended", "Listening", **wait).tell(70, "ended", "Terminated")
    story.tell(80, "sleeps", "Listening", reason="CreateTimer:2026-12-01T00:00:00Z")
    story.tell(80, "both", "Listening", **wait).tell(79, "both", "ExternalEventRaised", eventName="Approval")
    story.tell(78, "both", "Completed", continuedAsNew=True)
    story.tell(77, "both", "Listening", **wait).tell(77, "both", "Listening", reason="WaitForExternalEvent:Cancel")
    story.tell(76, "both", "ExternalEventRaised", eventName="Cancel")
    found = story.asked("approvals-waiting")
    assert [(row["instanceId"], row["eventName"], row["waitingFor"]) for row in found] == [
        ("waits", "Approval", timedelta(minutes=90)),
        ("both", "Approval", timedelta(minutes=77)),
    ]


def test_throughput_counts_starts_and_ends(story: Story) -> None:
    for ago, name in [(14, "Started"), (13, "Started"), (12, "Completed"), (4, "Failed"), (4, "Terminated")]:
        story.happen(ago, f"Orchestration{name}")
    story.happen(4, "ItemSold")
    found = story.asked("throughput")
    assert [tuple(row.values()) for row in found] == [
        (NOW - timedelta(minutes=15), 2, 1, 0, 0),
        (NOW - timedelta(minutes=5), 0, 0, 1, 1),
    ]


def test_retries_show_what_recovered_and_what_was_given_up(story: Story) -> None:
    story.run_activity(9, "one", "pay", success=False).run_activity(8, "one", "pay")
    story.run_activity(9, "two", "pay", success=False).run_activity(8, "two", "pay", success=False)
    story.run_activity(9, "one", "ship", attempt=2)
    story.run_activity(9, "one", "mail")
    found = story.asked("retries-by-activity")
    assert [tuple(row.values()) for row in found] == [
        ("pay", 4, 3, 0, 1, 1, 75.0),
        ("ship", 1, 0, 1, 0, 0, 0.0),
    ]
    assert list(found[0]) == [
        *("activity", "attempts", "failedAttempts", "redelivered", "recovered", "gaveUp", "failedPercent"),
    ]


def test_the_longest_wait_for_a_worker_is_found(story: Story) -> None:
    story.run_activity(9, "one", "pay", wait=3).run_activity(9, "two", "pay", wait=40)
    story.run_activity(9, "one", "ship", wait=1)
    found = story.asked("longest-queue-wait")
    assert [(row["activity"], row["runs"], row["p50Ms"], row["maxMs"], row["longestInstance"]) for row in found] == [
        ("pay", 2, 3000.0, 40_000.0, "two"),
        ("ship", 1, 1000.0, 1000.0, "one"),
    ]


def test_interventions_are_listed_with_their_reasons(story: Story) -> None:
    story.tell(9, "one", "Scheduled", runtimeStatus="Pending", reason="NewInstance")
    story.tell(8, "one", "Suspended", reason="audit")
    story.tell(7, "one", "Scheduled", runtimeStatus="Running", reason="audit over")
    story.tell(6, "one", "Terminated", reason="wrong order").tell(5, "two", "Rewound", reason="fixed")
    found = story.asked("interventions")
    assert [(row["act"], row["instanceId"], row["reason"]) for row in found] == [
        ("Rewound", "two", "fixed"),
        ("Terminated", "one", "wrong order"),
        ("Resumed", "one", "audit over"),
        ("Suspended", "one", "audit"),
    ]


def test_the_replayed_share_is_counted(story: Story) -> None:
    for number in range(3):
        story.tell(9 - number, "one", "Awaited")
    story.tell(5, "one", "Started", isReplay=True)
    story.tell(5, "two", "Started", functionName="monitor")
    assert [tuple(row.values()) for row in story.asked("replay-ratio")] == [
        ("approval", 1, 3, 1, 25.0),
        ("monitor", 1, 1, 0, 0.0),
    ]


def test_what_lies_before_the_window_is_left_out(story: Story) -> None:
    story.tell(100, "old", "Failed", reason="ValueError: x").tell(1, "new", "Failed", reason="ValueError: x")
    (found,) = story.asked("failures-by-error", lookback=timedelta(hours=1))
    assert (found["failures"], found["lastInstance"]) == (1, "new")
