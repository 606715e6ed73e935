"""human_interaction: somebody answers, somebody else answers, or nobody does."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrations.human_interaction import Expense, Outcome, Settlement, process_approval
from tests.orchestrations.world import START, World, activity_context

EXPENSE: dict[str, Any] = {
    "employee": "ann",
    "amount": "420.00",
    "purpose": "Train to Bern",
    "approver": "bob",
    "manager": "eve",
}
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DURABLE_VAR", str(tmp_path))
    return tmp_path / "outbox"


def letters(outbox: Path) -> dict[str, str]:
    """Return receiver → text."""
    found = [json.loads(path.read_text()) for path in outbox.glob("*.json")]
    return {letter["to"]: letter["text"] for letter in found}


def world(**changes: Any) -> World:
    return World("human_interaction", {**EXPENSE, **changes})


def test_small_amounts_need_nobody(outbox: Path) -> None:
    done = world(amount="50.00").run()

    assert done.output == {"decision": "approved", "stage": "automatic"}
    assert done.calls == ["process_approval"]
    assert letters(outbox) == {"ann": "Your expense of 50.00 (Train to Bern): approved (automatic)."}


@pytest.mark.parametrize(("answer", "decision"), [(True, "approved"), (False, "rejected")])
def test_the_approver_answers(outbox: Path, answer: bool, decision: str) -> None:
    done = world().raise_event(5 * HOUR, "approvalevent", answer).run()

    assert done.output == {"decision": decision, "stage": "approver"}
    assert done.calls == ["request_approval", "process_approval"]
    assert done.is_idle, "the timer was not cancelled"
    assert done.now - START < 6 * HOUR
    assert letters(outbox) == {
        "bob": "Expense of 420.00 by ann: Train to Bern. Please answer by 2026-01-08 09:00 UTC.",
        "ann": f"Your expense of 420.00 (Train to Bern): {decision} (approver).",
    }


def test_the_question_says_who_what_and_until_when() -> None:
    waiting = world().run(until=HOUR)
    (wait,) = waiting.waits

    assert (wait.name, wait.title, wait.description) == (
        "ApprovalEvent",
        "Expense of 420.00 by ann",
        "Train to Bern",
    )
    assert wait.assignees == ("bob",)
    assert wait.due == START + 72 * HOUR
    assert wait.schema == '{"type":"boolean"}'
    assert waiting.statuses[-1]["waiting_for"] == "bob"


def test_without_an_answer_the_manager_is_asked() -> None:
    waiting = world(timeout_seconds=3600).run(until=1.5 * HOUR)
    (wait,) = waiting.waits

    assert wait.title == "Escalated: Expense of 420.00 by ann"
    assert wait.assignees == ("eve",)
    assert waiting.statuses[-1]["stage"] == "manager"

    done = waiting.raise_event(1.75 * HOUR, "ApprovalEvent", True).run()
    assert done.output == {"decision": "approved", "stage": "manager"}
    assert done.is_idle


def test_when_nobody_answers_it_expires(outbox: Path) -> None:
    done = world(timeout_seconds=3600).run()

    assert done.output == {"decision": "expired", "stage": "manager"}
    assert done.calls == ["request_approval", "request_approval", "process_approval"]
    assert set(letters(outbox)) == {"ann", "bob", "eve"}


def test_an_answer_that_is_there_before_the_question_counts() -> None:
    done = world().raise_event(timedelta(0), "ApprovalEvent", False).run()

    assert done.output == {"decision": "rejected", "stage": "approver"}
    assert done.is_idle


def test_a_letter_posted_twice_is_one_letter(outbox: Path) -> None:
    settlement = Settlement(Expense.model_validate(EXPENSE), Outcome("approved", "approver"))
    names = {process_approval(settlement, activity_context(7, attempt)) for attempt in (1, 2)}

    assert [path.name for path in outbox.iterdir()] == list(names)


@pytest.mark.parametrize(
    "change", [{"amount": "-1"}, {"amount": "1.005"}, {"approver": ""}, {"timeout_seconds": 0}, {"manger": "x"}]
)
def test_bad_input_is_refused(change: dict[str, Any]) -> None:
    assert world(**change).run().failure.error_type == "PayloadError"
