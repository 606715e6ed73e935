"""The compact form of a history."""

from datetime import UTC, datetime, timedelta
from typing import Any

from durable_host.core import events as ev
from durable_host.core.digest import _HANDLERS, EntryKind, Outcome, digest
from durable_host.core.failure import FailureDetails
from durable_host.core.status import RuntimeStatus

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
BOOM = FailureDetails(error_type="ValueError", error_message="boom")


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def history(*events: ev.HistoryEvent) -> list[ev.HistoryEvent]:
    return [
        ev.OrchestratorStarted(timestamp=at(0)),
        ev.ExecutionStarted(timestamp=at(0), name="trip", input="1"),
        *events,
        ev.OrchestratorCompleted(timestamp=at(9)),
    ]


def end(status: RuntimeStatus = RuntimeStatus.COMPLETED) -> ev.ExecutionCompleted:
    return ev.ExecutionCompleted(timestamp=at(8), orchestration_status=status, result="2")


def test_markers_are_counted_and_left_out() -> None:
    found = digest(history(end()))
    assert found.markers == 2
    assert [(one.name, one.outcome, one.duration) for one in found.entries] == [
        ("trip", Outcome.STARTED, None),
        ("trip", Outcome.COMPLETED, timedelta(seconds=8)),
    ]


def test_outcomes_join_what_was_scheduled() -> None:
    found = digest(
        history(
            ev.TaskScheduled(timestamp=at(1), event_id=0, name="a", input="[]"),
            ev.TaskScheduled(timestamp=at(1), event_id=1, name="b", input=None),
            ev.TimerCreated(timestamp=at(1), event_id=2, fire_at=at(3)),
            ev.SubOrchestrationInstanceCreated(timestamp=at(1), event_id=3, name="c", instance_id="kid", input=None),
            ev.TaskFailed(timestamp=at(2), task_scheduled_id=1, failure_details=BOOM),
            ev.TaskCompleted(timestamp=at(2.5), task_scheduled_id=0, result="7"),
            ev.TimerFired(timestamp=at(3), task_scheduled_id=2, fire_at=at(3)),
            ev.SubOrchestrationInstanceCompleted(timestamp=at(4), task_scheduled_id=3, result="8"),
        )
    )
    one, other, timer, kid = found.entries[1:]
    assert (one.kind, one.outcome, one.input, one.result) == (EntryKind.ACTIVITY, Outcome.COMPLETED, "[]", "7")
    assert one.duration == timedelta(seconds=1.5)
    assert (other.outcome, other.failure) == (Outcome.FAILED, BOOM)
    assert (timer.outcome, timer.fire_at) == (Outcome.FIRED, at(3))
    assert (kid.outcome, kid.instance_id, kid.result) == (Outcome.COMPLETED, "kid", "8")


def test_what_has_no_outcome_goes_on_until_the_end_is_there() -> None:
    open_ends = (
        ev.TaskScheduled(timestamp=at(1), event_id=0, name="a", input=None),
        ev.TimerCreated(timestamp=at(1), event_id=1, fire_at=at(99)),
    )
    running = digest(history(*open_ends)).entries[1:]
    ended = digest(history(*open_ends, end(RuntimeStatus.CONTINUED_AS_NEW))).entries[1:]

    assert [one.outcome for one in running] == [Outcome.RUNNING, Outcome.WAITING]
    assert [one.outcome for one in ended] == [Outcome.NOT_AWAITED, Outcome.CANCELLED, Outcome.CONTINUED_AS_NEW]


def test_what_came_from_outside_is_there_too() -> None:
    found = digest(
        history(
            ev.ExecutionSuspended(timestamp=at(1), reason="lunch"),
            ev.ExecutionResumed(timestamp=at(2)),
            ev.EventRaised(timestamp=at(3), name="Go", input="true"),
            ev.EventSent(timestamp=at(4), event_id=0, instance_id="other", name="Hi", input=None),
            ev.ExecutionTerminated(timestamp=at(5), input='"enough"'),
            end(RuntimeStatus.TERMINATED),
        )
    )
    assert [(one.kind.value, one.outcome.value, one.name) for one in found.entries[1:]] == [
        ("orchestration", "Suspended", "trip"),
        ("orchestration", "Resumed", "trip"),
        ("event received", "Received", "Go"),
        ("event sent", "Sent", "Hi"),
        ("orchestration", "TerminateAsked", "trip"),
        ("orchestration", "Terminated", "trip"),
    ]
    assert found.entries[1].reason == "lunch"
    assert found.entries[4].instance_id == "other"


def test_every_event_type_is_known() -> None:
    markers = {ev.OrchestratorStarted, ev.OrchestratorCompleted}
    assert set(_HANDLERS) == set(ev.EventTypes.BY_NAME.values()) - markers


def test_an_outcome_that_nobody_scheduled_here_is_left_out() -> None:
    found = digest(history(ev.TaskCompleted(timestamp=at(1), task_scheduled_id=7, result=None)))
    assert len(found.entries) == 1
