"""The table of statuses: what is not in it changes nothing."""

import itertools

import pytest

from durable_host import RuntimeStatus
from durable_host.core.events import EventTypes
from durable_host.core.status import FINISHED, LEGAL_IN, TRANSITIONS, UNFINISHED, allowed_names, next_status

S = RuntimeStatus
CHANGES = {
    (S.PENDING, "ExecutionStarted"): S.RUNNING,
    (S.CONTINUED_AS_NEW, "ExecutionStarted"): S.RUNNING,
    (S.PENDING, "ExecutionSuspended"): S.SUSPENDED,
    (S.RUNNING, "ExecutionSuspended"): S.SUSPENDED,
    (S.SUSPENDED, "ExecutionResumed"): S.RUNNING,
    (S.FAILED, "ExecutionRewound"): S.RUNNING,
}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(S, EventTypes.BY_NAME)))
def test_each_status_meets_each_event(status: RuntimeStatus, event: str) -> None:
    assert next_status(status, event) is CHANGES.get((status, event), status)


def test_the_table_names_real_events() -> None:
    assert {event for _, event in TRANSITIONS} <= set(EventTypes.BY_NAME)


def test_an_end_is_an_end() -> None:
    leaves = {status for status, _ in TRANSITIONS if status.is_finished}
    assert leaves == {S.FAILED}, "only a rewind leaves a finished status"
    assert {S.COMPLETED, S.FAILED, S.TERMINATED, S.CANCELED} == FINISHED
    assert set(S) == FINISHED | UNFINISHED
    assert not FINISHED & UNFINISHED


@pytest.mark.parametrize(
    ("operation", "allowed"),
    [
        ("raise an event to", ["Pending", "Running", "Suspended", "ContinuedAsNew"]),
        ("terminate", ["Pending", "Running", "Suspended", "ContinuedAsNew"]),
        ("suspend", ["Pending", "Running", "ContinuedAsNew"]),
        ("resume", ["Suspended"]),
        ("rewind", ["Failed"]),
        ("restart", ["Completed", "Failed", "Terminated", "Canceled"]),
        ("purge", ["Completed", "Failed", "Terminated", "Canceled"]),
    ],
)
def test_each_operation_has_its_statuses(operation: str, allowed: list[str]) -> None:
    assert allowed_names(operation) == allowed


def test_no_operation_is_forgotten() -> None:
    assert len(LEGAL_IN) == 7


def test_the_names_are_those_of_durable_functions() -> None:
    assert {status.value for status in S} == {
        *("Pending", "Running", "Suspended", "Completed", "Failed", "Terminated", "ContinuedAsNew", "Canceled"),
    }
