"""The sentence that says why an instance is where it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durable_host.core.explain import OpenActivity, OpenChild, OpenEvent, RetryPause, Standing, explain, span, until
from durable_host.core.status import RuntimeStatus

from .story import T0

NOW = T0 + timedelta(hours=1)


def standing(status: RuntimeStatus = RuntimeStatus.RUNNING, **fields: Any) -> Standing:
    return Standing(**{"status": status, "turn_queue": "default", **fields})


def activity(name: str = "charge", **fields: Any) -> OpenActivity:
    defaults: dict[str, Any] = {
        "name": name,
        "task_id": 1,
        "queue": "high",
        "attempt": 1,
        "limit": None,
        "scheduled_at": NOW - timedelta(minutes=4),
        "is_running": True,
        "worker": "w1",
        "deliveries": 1,
        "lease_until": None,
    }
    return OpenActivity(**{**defaults, **fields})


def running(*activities: OpenActivity, **fields: Any) -> Standing:
    return standing(activities=activities, activities_total=len(activities), **fields)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (standing(RuntimeStatus.COMPLETED), "Completed."),
        (standing(RuntimeStatus.FAILED, ending="ValueError: no"), "Failed: ValueError: no."),
        (standing(RuntimeStatus.TERMINATED), "Terminated."),
        (standing(RuntimeStatus.SUSPENDED), "Suspended. Events are kept; it goes on when somebody resumes it."),
        (standing(RuntimeStatus.PENDING), "Waiting for its first turn."),
        (standing(RuntimeStatus.PENDING, scheduled_at=NOW + timedelta(minutes=3)), "Starts in 3 min."),
        (standing(), "Between two turns: nothing is open."),
        (standing(is_held=True), "Running its next turn."),
        (standing(message_since=NOW - timedelta(seconds=2)), "Running its next turn."),
        (
            standing(message_since=NOW - timedelta(minutes=2)),
            "Ready for 2 min, and no worker has taken it: all of queue default are busy.",
        ),
        (standing(stall_reason="code is\nelsewhere"), "Stalled: code is elsewhere."),
        (running(activity()), "Running charge."),
        (running(activity(attempt=3, limit=5)), "Running charge, attempt 3 of 5."),
        (
            running(activity(deliveries=2)),
            "Running charge, taken over from a worker that died (delivery 2).",
        ),
        (
            running(activity(is_running=False)),
            "Activity charge waits for another worker: the one that had it gave no sign of life.",
        ),
        (running(activity("a"), activity("b")), "Running 2 activities (a and b)."),
        (
            running(activity(), activity(attempt=2, limit=3)),
            "Running charge, attempt 2 of 3, 1 more activity open.",
        ),
        (
            standing(children=(OpenChild(instance_id="x", name="y", status=RuntimeStatus.RUNNING),), children_total=7),
            "Waiting for 7 sub-orchestrations.",
        ),
        (
            standing(timers=(NOW + timedelta(days=2),), timers_total=1),
            "Waiting for a timer at 3 May 2024 13:00 UTC.",
        ),
        (
            standing(
                waits=(
                    OpenEvent(name="Later", title="", due=None),
                    OpenEvent(name="Approval", title="", due=NOW - timedelta(hours=2), assignees=("finance", "ann")),
                )
            ),
            "Waiting for Approval from finance and ann, overdue for 2 h and Later.",
        ),
        (
            standing(
                retries=(RetryPause(name="charge", attempt=3, limit=5, next_at=NOW + timedelta(seconds=12)),),
                retries_total=3,
            ),
            "Retrying charge, attempt 3 of 5 in 12 s, 2 more calls also pausing.",
        ),
    ],
)
def test_the_sentence(found: Standing, sentence: str) -> None:
    assert explain(found, NOW) == sentence


def test_lengths_of_time_are_said_in_two_units() -> None:
    lengths = (0, 0.4, 59, 60, 61, 3_600, 8_040, 86_400, 90_061)
    assert [span(timedelta(seconds=one)) for one in lengths] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 min 1 s",
        "1 h",
        "2 h 14 min",
        "1 d",
        "1 d 1 h",
    ]
    assert until(NOW, NOW) == "now"
