"""What a worker's acts mean: executions that are followed, told once each, forgotten; replays; late results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from durable_host.conf import host_settings
from durable_host.core import events as ev
from durable_host.core.codec import Record, to_record
from durable_host.core.status import RuntimeStatus
from durable_host.dispatch.witness import Witness
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, Receipt
from durable_host.telemetry import chronicle as chronicles
from durable_host.telemetry import pipeline, tracking_logs
from durable_host.telemetry.chronicle import LocalChronicle, Subject
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.otlp import Otlp
from tests.telemetry.test_relay import NOW, attempt, first_turn, last_turn, outcome

SUBJECT = Subject(1, "n-1", 0)
Told = Callable[[], list[str]]


@pytest.fixture
def told(telemetry: Start, otlp: Otlp) -> Told:
    """Return, in order, what has been told: states of tracking records, then names of spans."""
    telemetry(otlp.env)

    def read() -> list[str]:
        assert pipeline.flush(PATIENCE)
        logs = [log for log in otlp.logs if log.scope == "durable_host.tracking"]
        logs.sort(key=lambda log: int(log.attributes["prop__sequenceNumber"]))
        states = [f"{log.attributes['prop__functionName']} {log.attributes['prop__state']}" for log in logs]
        return states + [f"{span.name} {span.kind}" for span in otlp.spans]

    return read


def follow(chronicle: LocalChronicle, pk: int) -> Subject:
    """Begin to follow an execution and tell its first turn."""
    subject = Subject(pk, f"n-{pk}", 0)
    chronicle.replayed(subject, [])
    chronicle.turn(subject, first_turn())
    return subject


def test_each_turn_is_told_once_it_is_committed(told: Told) -> None:
    chronicle = LocalChronicle()
    chronicle.replayed(SUBJECT, [])
    assert told() == []
    chronicle.turn(SUBJECT, first_turn())
    first = ["nightly Started", "score Scheduled", "nightly Awaited"]
    assert told() == first
    chronicle.turn(SUBJECT, last_turn())
    spans = ["activity:score CLIENT", "orchestration:nightly SERVER"]
    assert told() == [*first, "nightly Completed", *spans]  # what the activity did is told by who ran it


def test_what_was_replayed_was_told_before(told: Told) -> None:
    chronicle = LocalChronicle()
    chronicle.replayed(SUBJECT, first_turn())
    chronicle.turn(SUBJECT, last_turn())
    assert told() == ["nightly Completed", "activity:score CLIENT", "orchestration:nightly SERVER"]


def test_a_replay_is_told_with_the_turn_that_it_was_for_where_replays_are_asked_for(
    told: Told, otlp: Otlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(host_settings(), trace_replay_events=True)
    for module in (chronicles, tracking_logs):
        monkeypatch.setattr(module, "host_settings", lambda: settings)
    chronicle, at = LocalChronicle(), NOW + timedelta(minutes=5)
    chronicle.replayed(SUBJECT, first_turn())
    assert told() == []  # the turn may lose yet
    chronicle.turn(SUBJECT, last_turn(at))
    assert told()[:3] == ["nightly Started", "score Scheduled", "nightly Completed"]
    marks = [
        (log.attributes["prop__isReplay"], log.time // 1000) for log in otlp.logs if "prop__isReplay" in log.attributes
    ]
    micro = int(at.timestamp()) * 10**6
    assert sorted(marks) == [("False", micro + 2), ("True", micro), ("True", micro + 1)]


def test_a_turn_that_was_replayed_in_vain_leaves_no_word(told: Told) -> None:
    chronicle = LocalChronicle()
    chronicle.replayed(SUBJECT, first_turn())
    chronicle.forget(SUBJECT.pk)
    assert told() == []


def test_a_terminated_execution_ends_with_what_it_awaited(told: Told, otlp: Otlp) -> None:
    chronicle = LocalChronicle()
    chronicle.replayed(SUBJECT, first_turn())
    at, terminated = NOW + timedelta(seconds=3), RuntimeStatus.TERMINATED
    turn = [
        ev.OrchestratorStarted(timestamp=at),
        ev.ExecutionTerminated(timestamp=at, input='"enough"'),
        ev.ExecutionCompleted(timestamp=at, orchestration_status=terminated, result='"enough"'),
        ev.OrchestratorCompleted(timestamp=at),
    ]
    chronicle.turn(SUBJECT, [to_record(event) for event in turn])
    # Terminated itself is told by the client that asked for it.
    assert told() == ["activity:score CLIENT", "orchestration:nightly SERVER"]
    status = {span.name: span.attributes["durabletask.task.status"] for span in otlp.spans}
    assert status == {"activity:score": "NotAwaited", "orchestration:nightly": "Terminated"}


def test_of_an_execution_whose_beginning_is_not_known_nothing_is_told(told: Told) -> None:
    chronicle = LocalChronicle()
    chronicle.turn(SUBJECT, last_turn())
    forgotten = follow(chronicle, 2)
    before = told()
    chronicle.forget_all()
    chronicle.turn(forgotten, last_turn())
    assert told() == before


def test_executions_that_nobody_forgets_do_not_pile_up(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(host_settings(), resident_executions=2, turn_batch=1)
    monkeypatch.setattr(chronicles, "host_settings", lambda: settings)
    chronicle = LocalChronicle()
    first, second, *_ = [follow(chronicle, pk) for pk in (1, 2, 3)]
    chronicle.turn(first, last_turn())  # so that the second is the one that was not heard of for longest
    follow(chronicle, 4)
    assert len(chronicle._followed) == 3
    before = told()
    chronicle.turn(second, last_turn())
    assert told() == before


def test_each_span_and_record_is_paced(told: Told) -> None:
    paces: list[None] = []
    chronicle = LocalChronicle(lambda: paces.append(None))
    follow(chronicle, 1)
    chronicle.ended(attempt(), outcome())
    assert len(paces) == len(told()) == 5


def test_a_history_that_cannot_be_read_stops_nobody(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    LocalChronicle().replayed(SUBJECT, [Record("NobodyKnows", NOW)])
    assert "Telemetry was lost." in caplog.text
    assert told() == []


# ---- what the witness passes on ----


def activity(pk: int) -> ClaimedActivity:
    """Return an activity that a worker holds."""
    return ClaimedActivity(
        pk=pk,
        instance_pk=1,
        instance_id="n-1",
        generation=0,
        task_id=pk,
        name=f"step{pk}",
        input=None,
        call_key=f"n-1:{pk}",
        trace_parent=attempt(pk).trace_parent,
        attempt=1,
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


def test_of_results_that_came_too_late_those_are_told_that_nobody_else_tells(told: Told) -> None:
    counted, overtaken, moot = (activity(pk) for pk in (1, 2, 3))
    outcomes = [
        ActivityOutcome(one, ev.TaskCompleted(timestamp=NOW, task_scheduled_id=one.task_id, result="1", started_at=NOW))
        for one in (counted, overtaken, moot)
    ]
    witness = Witness(is_visit=True)
    witness.ended(outcomes, Receipt(late=[overtaken, moot], moot=[moot]))
    assert told() == ["step1 Completed", "step3 Completed", "activity:step1 SERVER", "activity:step3 SERVER"]
    assert not witness.hand_over()


def test_a_witness_of_a_host_that_sends_nothing_does_nothing() -> None:
    witness = Witness()
    witness.started(activity(1))
    witness.ended([], Receipt())
    assert not witness.is_on
    assert not witness.hand_over()
    witness.close()
