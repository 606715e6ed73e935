"""What a worker and the processes that it starts say to each other."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from durable_host import RuntimeStatus
from durable_host.core import events as ev
from durable_host.core.codec import to_record
from durable_host.core.mailbox import WaitInfo
from durable_host.core.turn import TurnResult
from durable_host.dispatch import children, crossing
from durable_host.dispatch.children import ChildDiedError, Children
from durable_host.dispatch.exactly_once import Committed
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, InstanceHead, Receipt
from tests.core.story import T0
from tests.core.test_codec import STRATEGIES, json_text, number, some_text, text, when
from tests.services import PATIENCE


def an(*types: type[ev.HistoryEvent]) -> st.SearchStrategy[Any]:
    return st.one_of(*(st.builds(cls, timestamp=when, **STRATEGIES[cls]) for cls in types))


def some(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=3).map(tuple)


activities = st.builds(
    ClaimedActivity,
    pk=number,
    instance_pk=number,
    instance_id=some_text,
    generation=number,
    task_id=number,
    name=some_text,
    input=json_text,
    call_key=text,
    trace_parent=text,
    attempt=number,
    created_at=when,
)
waits = st.builds(
    WaitInfo, name=text, title=text, description=text, assignees=some(text), due=st.none() | when, schema=json_text
)
results = st.builds(
    TurnResult,
    events=some(an(*STRATEGIES)),
    scheduled=some(an(ev.TaskScheduled, ev.TimerCreated, ev.SubOrchestrationInstanceCreated, ev.EventSent)),
    cancelled_timers=some(number),
    status=st.sampled_from(RuntimeStatus),
    custom_status=json_text,
    waits=st.none() | some(waits),
    completion=st.none() | an(ev.ExecutionCompleted),
    next_started=st.none() | an(ev.ExecutionStarted),
)
HEAD = InstanceHead(
    pk=1,
    instance_id="one",
    name="order",
    version="",
    status=RuntimeStatus.RUNNING,
    generation=0,
    revision=3,
    next_sequence=7,
    custom_status=None,
    history_bytes=40,
    parent_pk=None,
    parent_generation=None,
    parent_task_id=None,
    due_at=T0,
)

ACTIVITY = ClaimedActivity(
    pk=1,
    instance_pk=1,
    instance_id="one",
    generation=0,
    task_id=0,
    name="charge",
    input=None,
    call_key="0",
    attempt=1,
    created_at=T0,
)


@for_all(result=results, started=st.none() | an(ev.ExecutionStarted))
def test_a_decision_arrives_as_it_was_made(result: TurnResult, started: ev.ExecutionStarted | None) -> None:
    decided = crossing.Decided(result, started)
    assert crossing.read_decided(crossing.write_decided(decided)) == decided


@for_all(said=st.none() | text)
def test_so_does_why_there_is_none(said: str | None) -> None:
    assert crossing.read_decided(crossing.write_decided(said)) == said


@for_all(activity=activities, event=an(ev.TaskCompleted, ev.TaskFailed))
def test_an_outcome_arrives_as_it_was(activity: ClaimedActivity, event: ev.TaskCompleted | ev.TaskFailed) -> None:
    outcome = ActivityOutcome(activity, event)
    receipt = Receipt(committed={1: HEAD}, lost={2}, late=[activity], owners={"a"}, next_timer=T0)
    for done in (outcome, Committed(outcome, receipt), None):
        assert crossing.read_done(crossing.write_done(done), activity) == done


@for_all(activity=activities, events=some(an(*STRATEGIES)))
def test_an_order_arrives_as_it_was(activity: ClaimedActivity, events: tuple[ev.HistoryEvent, ...]) -> None:
    records = [to_record(event) for event in events]
    turn = crossing.TurnOrder(
        module="shop", name="order", instance_id="one", generation=2, history=records, events=records, now=T0
    )
    assert crossing.TURN_ORDER.validate_json(crossing.TURN_ORDER.dump_json(turn)) == turn
    attempt = crossing.ActivityOrder(module="shop", activity=activity, deaths=1)
    assert crossing.ACTIVITY_ORDER.validate_json(crossing.ACTIVITY_ORDER.dump_json(attempt)) == attempt


# --- in a child -------------------------------------------------------------------------------------------------------


class Bomb:
    """Creates a directory where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def hand_out_a_bomb(order: bytes) -> bytes:
    return pickle.dumps(Bomb(order.decode()))


def say_what_is_no_outcome(order: bytes) -> bytes:
    return b'{"event": ["EventRaised", "2026-01-01T00:00:00Z"], "receipt": null}'


@pytest.fixture
def own_children(monkeypatch: pytest.MonkeyPatch) -> Children:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return Children()


def test_a_worker_never_runs_what_a_child_says(own_children: Children, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    with pytest.raises(ChildDiedError, match="an answer that makes no sense"):
        own_children.call(f"{__name__}.hand_out_a_bomb", str(trap).encode(), crossing.read_decided)
    assert not trap.exists()
    with pytest.raises(ChildDiedError, match="an answer that makes no sense: A child answered with EventRaised"):
        own_children.call(
            f"{__name__}.say_what_is_no_outcome", b"", lambda answer: crossing.read_done(answer, ACTIVITY)
        )


def test_a_child_whose_worker_has_gone_ends_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    receiver, sender = children._SERVER.Pipe(duplex=False)
    order = children._Order(f"{__name__}.hand_out_a_bomb", b"x", None, str(tmp_path / "stack"))
    process = children._SERVER.Process(target=children._serve, args=(sender, order))
    receiver.close()
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert "BrokenPipeError" not in capfd.readouterr().err
