"""Every history that a host of the past has recorded replays with the core of today, from each of its turns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from durable_host.core import events as ev
from durable_host.core import exported
from durable_host.core.codec import from_record
from durable_host.core.errors import NonDeterminismError
from durable_host.core.exported import ExportedExecution
from durable_host.core.registry import Registry
from tests.histories.functions import REGISTRY
from tests.histories.record import RECORDED, SCENARIOS

FILES = sorted(RECORDED.glob("*.json"))


def loaded(file: Path) -> ExportedExecution:
    return exported.load(json.loads(file.read_text(encoding="utf-8")))


def turn_ends(execution: ExportedExecution) -> list[int]:
    return [n for n, record in enumerate(execution.records, 1) if record.event_type == "OrchestratorCompleted"]


def test_every_scenario_is_recorded_and_no_record_is_lost() -> None:
    assert {file.stem for file in FILES} == set(SCENARIOS)
    kinds = {record.event_type for file in FILES for record in loaded(file).records}
    assert kinds == {
        "EventRaised", "EventSent", "ExecutionCompleted", "ExecutionResumed", "ExecutionRewound", "ExecutionStarted",
        "ExecutionSuspended", "ExecutionTerminated", "OrchestratorCompleted", "OrchestratorStarted",
        "SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceCreated", "SubOrchestrationInstanceFailed",
        "TaskCompleted", "TaskFailed", "TaskScheduled", "TimerCreated", "TimerFired",
    }  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_it_replays_from_every_turn_to_the_same_end(file: Path) -> None:
    execution = loaded(file)
    for end in turn_ends(execution):
        exported.check([replace(execution, records=execution.records[:end])], REGISTRY)
    replayed = exported.replay(execution, REGISTRY)
    ended = [record for record in execution.records if record.event_type == "ExecutionCompleted"]
    assert replayed.is_finished is bool(ended)
    if not ended:
        replayed.unload()


#: an instance that is terminated ends without its code
DECIDED = [file for file in FILES if file.stem != "terminated"]


@pytest.mark.parametrize("file", DECIDED, ids=[file.stem for file in DECIDED])
def test_the_last_turn_is_decided_as_it_was(file: Path) -> None:
    execution = loaded(file)
    *_, begin, end = [0, *turn_ends(execution)]
    recorded = [from_record(record) for record in execution.records[begin:end]]
    received = [event for event in recorded if not isinstance(event, _DECIDED)]
    before = exported.replay(replace(execution, records=execution.records[:begin]), REGISTRY)
    result = before.turn(received, recorded[0].timestamp)
    asked = [event for event in recorded if isinstance(event, _SCHEDULING)]
    ended = next((event for event in recorded if isinstance(event, ev.ExecutionCompleted)), None)
    assert list(result.scheduled) == asked
    if ended is None or result.completion is None:
        assert result.completion is ended
        before.unload()
    else:
        then, now = ended, result.completion
        assert (now.orchestration_status, now.result) == (then.orchestration_status, then.result)


_SCHEDULING = (ev.TaskScheduled, ev.TimerCreated, ev.SubOrchestrationInstanceCreated, ev.EventSent)
_DECIDED = (ev.OrchestratorStarted, ev.OrchestratorCompleted, ev.ExecutionCompleted, *_SCHEDULING)


def test_it_notices_code_that_does_something_else() -> None:
    async def chaining(ctx: object) -> int:
        return 0

    other = Registry(dict(REGISTRY.orchestrators), dict(REGISTRY.activities))
    del other.orchestrators["chaining"]
    other.add_orchestrator(chaining)
    with pytest.raises(NonDeterminismError, match=r"call_activity\('double'\)"):
        exported.check([loaded(RECORDED / "chaining.json")], other)
