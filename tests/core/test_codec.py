"""Events as columns and back."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from durable_host import RuntimeStatus
from durable_host.core import codec
from durable_host.core import events as ev
from durable_host.core.codec import Record, from_record, to_record
from durable_host.core.failure import FailureDetails

from .story import T0

text = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=20)
some_text = text.filter(bool)
json_text = st.none() | st.sampled_from(["null", "1", '"x"', '{"a":[1]}'])
when = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))
number = st.integers(0, 2**31 - 1)
failures = st.recursive(
    st.none(),
    lambda inner: st.builds(
        FailureDetails,
        error_type=some_text,
        error_message=text,
        stack_trace=st.none() | text,
        inner_failure=inner,
        is_non_retriable=st.booleans(),
        bases=st.lists(some_text, max_size=3).map(tuple),
        task_ids=st.lists(number, max_size=3).map(tuple),
    ),
    max_leaves=4,
)
a_failure = failures.filter(lambda failure: failure is not None)
carried = st.lists(st.builds(ev.CarriedEvent, name=some_text, input=json_text, timestamp=when), max_size=3).map(tuple)
retry_note = st.none() | st.builds(ev.RetryNote, name=some_text, first_attempt_id=number, attempt=number, limit=number)

STRATEGIES: dict[type[ev.HistoryEvent], dict[str, st.SearchStrategy[Any]]] = {
    ev.ExecutionStarted: {
        "name": some_text,
        "input": json_text,
        "version": text,
        "parent_instance_id": st.none() | text,
        "tags": st.none() | st.dictionaries(text, text, max_size=3),
        "scheduled_start_time": st.none() | when,
        "generation": number,
        "trace_parent": st.none() | text,
        "trace_state": st.none() | text,
        "first_started": st.none() | when,
        "carried": carried,
    },
    ev.ExecutionCompleted: {
        "orchestration_status": st.sampled_from(RuntimeStatus),
        "result": json_text,
        "failure_details": failures,
    },
    ev.ExecutionTerminated: {"input": json_text, "recurse": st.booleans()},
    ev.ExecutionSuspended: {"reason": st.none() | text},
    ev.ExecutionResumed: {"reason": st.none() | text},
    ev.ExecutionRewound: {"reason": st.none() | text},
    ev.OrchestratorStarted: {},
    ev.OrchestratorCompleted: {"listening": st.lists(text, max_size=3).map(tuple)},
    ev.TaskScheduled: {
        "event_id": number,
        "name": some_text,
        "input": json_text,
        "first_attempt_id": st.none() | number,
        "origin": st.none() | number,
    },
    ev.TaskCompleted: {"task_scheduled_id": number, "result": json_text, "started_at": st.none() | when},
    ev.TaskFailed: {"task_scheduled_id": number, "failure_details": a_failure, "started_at": st.none() | when},
    ev.SubOrchestrationInstanceCreated: {
        "event_id": number,
        "name": some_text,
        "instance_id": some_text,
        "input": json_text,
        "version": text,
    },
    ev.SubOrchestrationInstanceCompleted: {"task_scheduled_id": number, "result": json_text},
    ev.SubOrchestrationInstanceFailed: {"task_scheduled_id": number, "failure_details": a_failure},
    ev.TimerCreated: {"event_id": number, "fire_at": when, "retry": retry_note},
    ev.TimerFired: {"task_scheduled_id": number, "fire_at": when, "retry": retry_note},
    ev.EventSent: {"event_id": number, "instance_id": some_text, "name": some_text, "input": json_text},
    ev.EventRaised: {"name": some_text, "input": json_text},
}


def test_every_event_type_has_an_encoder_a_decoder_and_a_test() -> None:
    names = set(ev.EventTypes.BY_NAME)
    assert {cls.__name__ for cls in codec._ENCODERS} == names
    assert set(codec._DECODERS) == names
    assert {cls.__name__ for cls in STRATEGIES} == names
    defined = {
        name
        for name, cls in vars(ev).items()
        if isinstance(cls, type) and issubclass(cls, ev.HistoryEvent) and cls not in (ev.HistoryEvent, ev.TaskOutcome)
    }
    assert names == defined


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_the_test_knows_all_fields(cls: type[ev.HistoryEvent]) -> None:
    assert {one.name for one in fields(cls)} - {"timestamp", "event_id"} == set(STRATEGIES[cls]) - {"event_id"}


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
@for_all(data=st.data())
def test_an_event_comes_back_as_it_was(cls: type[ev.HistoryEvent], data: st.DataObject) -> None:
    event = data.draw(st.builds(cls, timestamp=when, **STRATEGIES[cls]))
    record = to_record(event)
    assert record.event_type == event.event_type == cls.__name__
    assert record.timestamp == event.timestamp
    assert from_record(record) == event
    assert from_record(Record(*record)) == event
    assert record.detail is None or isinstance(json.loads(record.detail), dict)


def test_the_frequent_events_need_no_detail() -> None:
    frequent = [
        ev.OrchestratorStarted(timestamp=T0),
        ev.OrchestratorCompleted(timestamp=T0),
        ev.TaskScheduled(timestamp=T0, event_id=3, name="work", input="1"),
        ev.TaskCompleted(timestamp=T0, task_scheduled_id=3, result="2"),
        ev.EventRaised(timestamp=T0, name="go", input="3"),
        ev.ExecutionStarted(timestamp=T0, name="order", input=None),
    ]
    records = [to_record(event) for event in frequent]
    assert [record.detail for record in records] == [None] * len(records)
    assert records[2] == Record("TaskScheduled", T0, 3, None, "work", "1")
    assert records[3] == Record("TaskCompleted", T0, -1, 3, None, "2")


def test_times_come_back_in_utc() -> None:
    rome = timezone(timedelta(hours=2))
    event = ev.TimerCreated(timestamp=T0, event_id=0, fire_at=datetime(2024, 1, 1, 2, tzinfo=rome))
    back = from_record(to_record(event))
    assert isinstance(back, ev.TimerCreated)
    assert back.fire_at == event.fire_at
    assert back.fire_at.utcoffset() == timedelta(0)


def test_a_type_of_the_future_is_refused_with_the_remedy() -> None:
    with pytest.raises(LookupError, match=r"'EntityLockRequested'.*A newer version wrote it: run that one"):
        from_record(Record("EntityLockRequested", T0))


def test_events_cannot_be_changed() -> None:
    event = ev.TimerFired(timestamp=T0, task_scheduled_id=1, fire_at=T0)
    with pytest.raises(AttributeError):
        event.task_scheduled_id = 2  # type: ignore[misc]
