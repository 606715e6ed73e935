"""Tracking records as Application Insights and an OTLP backend get them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from durable_host.core.failure import FailureDetails
from durable_host.core.status import RuntimeStatus
from durable_host.core.tracking_records import FunctionType, Teller, TrackingRecord, TrackingState
from durable_host.telemetry import pipeline, tell
from tests.services import PATIENCE
from tests.telemetry.conftest import Start
from tests.telemetry.insights import AppInsights, Row
from tests.telemetry.otlp import Otlp
from tests.telemetry.told import CALLER, NOW, ORCHESTRATION

SCHEDULED = TrackingRecord(
    at=NOW,
    state=TrackingState.SCHEDULED,
    function_name="nightly",
    instance_id="n-1",
    teller=Teller.CLIENT,
    runtime_status=RuntimeStatus.PENDING,
    reason="NewInstance",
)
STARTED = SCHEDULED._replace(
    state=TrackingState.STARTED, runtime_status=RuntimeStatus.RUNNING, input='{"card":"4711"}', reason=""
)
FAILURE = FailureDetails(error_type="ValueError", error_message="card 4711", stack_trace="in charge, line 7")


def _told(insights: AppInsights, *records: TrackingRecord) -> list[Row]:
    tell.records(records, trace=ORCHESTRATION)
    assert pipeline.flush(PATIENCE)
    return sorted(insights.rows("traces"), key=lambda row: int(row["customDimensions"]["prop__sequenceNumber"]))


def test_a_record_has_the_fields_level_time_and_text_of_durable_functions(
    telemetry: Start, insights: AppInsights, otlp: Otlp
) -> None:
    telemetry(insights.env, otlp.env, OTEL_SERVICE_NAME="billing")
    at = NOW - timedelta(minutes=3)
    (row,) = _told(insights, SCHEDULED._replace(at=at))
    fields = row["customDimensions"]
    assert row["timestamp"] == at
    assert (row["operation_Id"], row["operation_ParentId"]) == (
        f"{CALLER.trace_id:032x}",
        f"{ORCHESTRATION.span_id:016x}",
    )
    assert (fields["Category"], fields["LogLevel"]) == ("Host.Triggers.DurableTask", "Information")
    assert {name: fields[f"prop__{name}"] for name in ("functionName", "functionType", "instanceId", "reason")} == {
        "functionName": "nightly",
        "functionType": "Orchestrator",
        "instanceId": "n-1",
        "reason": "NewInstance",
    }
    assert (fields["prop__state"], fields["prop__runtimeStatus"], fields["prop__isReplay"]) == (
        "Scheduled",
        "Pending",
        "False",
    )
    assert {"prop__hubName", "prop__appName", "prop__slotName", "prop__extensionVersion"} < set(fields)
    assert {"prop__{OriginalFormat}", "HostInstanceId", "ProcessId"} < set(fields)
    sequence = fields["prop__sequenceNumber"]
    assert row["message"].startswith(
        "n-1: Function 'nightly (Orchestrator)' scheduled. Reason: NewInstance. IsReplay: False. State: Scheduled. "
        "RuntimeStatus: Pending. HubName: default. AppName: "
    )
    assert row["message"].endswith(f" SequenceNumber: {sequence}.")
    (line,) = otlp.logs
    assert (line.body, line.attributes["prop__state"], line.span_id) == (
        row["message"],
        "Scheduled",
        f"{ORCHESTRATION.span_id:016x}",
    )


def test_sequence_numbers_count_on(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    numbers = [int(row["customDimensions"]["prop__sequenceNumber"]) for row in _told(insights, *[SCHEDULED] * 5)]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        (TrackingState.AWAITED, {}, "' awaited. IsReplay: "),
        (TrackingState.LISTENING, {"reason": "CreateTimer:x"}, "' is waiting for input. Reason: CreateTimer:x. "),
        (TrackingState.COMPLETED, {"output": "7"}, "' completed. ContinuedAsNew: False. IsReplay: False. Output: (Red"),
        (TrackingState.TIMER_EXPIRED, {"expiration_time": NOW}, "' was resumed by a timer scheduled for '20"),
        (TrackingState.EXTERNAL_EVENT_RAISED, {"event_name": "Go"}, "' received a 'Go' event."),
        (TrackingState.EXTERNAL_EVENT_DROPPED, {"event_name": "Go"}, "' saved a 'Go' event to an in-memory queue."),
        (TrackingState.TERMINATED, {"reason": "4711"}, "' was terminated. Reason: (Redacted 4 characters)."),
        (TrackingState.REWOUND, {"reason": "4711"}, "' was rewound. Reason: (Redacted 4 characters)."),
        (TrackingState.SUSPENDED, {"reason": "4711"}, "n-1: Suspending function 'nightly (Orchestrator)'. Reason: (R"),
        (TrackingState.SCHEDULED, {"reason": "4711"}, "n-1: Resuming function 'nightly (Orchestrator)'. Reason: (R"),
    ],
)
def test_each_state_has_its_text(
    telemetry: Start, insights: AppInsights, state: TrackingState, more: dict[str, Any], said: str
) -> None:
    telemetry(insights.env)
    (row,) = _told(insights, SCHEDULED._replace(state=state, runtime_status=RuntimeStatus.RUNNING, **more))
    assert said in row["message"]
    assert "4711" not in str(row)


def test_levels_are_those_of_durable_functions(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    states = (TrackingState.FAILED, TrackingState.TERMINATED, TrackingState.REWOUND, TrackingState.AWAITED)
    rows = _told(insights, *(SCHEDULED._replace(state=state) for state in states))
    assert [row["severityLevel"] for row in rows] == [3, 2, 2, 1]
    assert [row["customDimensions"]["LogLevel"] for row in rows] == ["Error", "Warning", "Warning", "Information"]


def test_payloads_and_messages_of_errors_are_held_back(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    failed = STARTED._replace(state=TrackingState.FAILED, reason=str(FAILURE), failure=FAILURE, task_event_id=3)
    started, row = _told(insights, STARTED, failed)
    assert started["customDimensions"]["prop__input"] == "(Redacted 15 characters)"
    assert "4711" not in str([started, row])
    reason = row["customDimensions"]["prop__reason"]
    assert reason == "(Redacted 21 characters)\nValueError\nin charge, line 7"
    assert row["customDimensions"]["prop__taskEventId"] == "3"


@override_settings(DURABLE_HOST={"TRACE_INPUTS_AND_OUTPUTS": True})
def test_payloads_are_whole_where_the_setting_says_so_but_for_keys(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    failed = STARTED._replace(state=TrackingState.FAILED, reason=str(FAILURE), failure=FAILURE)
    secret = STARTED._replace(input='"dk_Zx81kdLq0PTb3nQv"')
    rows = _told(insights, STARTED, failed, secret, STARTED._replace(state=TrackingState.COMPLETED, output="[7]"))
    fields = [row["customDimensions"] for row in rows]
    assert fields[0]["prop__input"] == '{"card":"4711"}'
    assert fields[1]["prop__reason"] == "ValueError: card 4711"
    assert fields[2]["prop__input"] == '"[hidden]"'
    assert fields[3]["prop__output"] == "[7]"


def test_replays_are_left_out(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    assert _told(insights, STARTED._replace(is_replay=True)) == []
    assert insights.rows("customEvents") == []


@override_settings(DURABLE_HOST={"TRACE_REPLAY_EVENTS": True})
def test_replays_are_marked_where_the_setting_asks_for_them(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    again = STARTED._replace(is_replay=True)
    rows = _told(insights, again, again._replace(state=TrackingState.COMPLETED, output="(replayed)"))
    assert [row["customDimensions"]["prop__isReplay"] for row in rows] == ["True", "True"]
    assert rows[1]["customDimensions"]["prop__output"] == "(replayed)"
    assert insights.rows("customEvents") == []


def test_the_start_of_an_orchestration_is_a_custom_event_too(telemetry: Start, insights: AppInsights) -> None:
    telemetry(insights.env)
    _told(insights, STARTED, STARTED._replace(function_name="score", function_type=FunctionType.ACTIVITY))
    (row,) = insights.rows("customEvents")
    assert (row["name"], row["customDimensions"]["durabletask.task.instance_id"]) == ("OrchestrationStarted", "n-1")
    assert row["operation_ParentId"] == f"{ORCHESTRATION.span_id:016x}"
