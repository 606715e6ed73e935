"""Human interaction: wait for a person for as long as it takes, but not for ever."""

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, Field

from durable_host import ActivityContext, OrchestrationContext, RetryPolicy, activity, orchestrator

#: approved without asking anybody
SMALL_AMOUNT = Decimal(50)
THREE_DAYS = 72 * 3600

Stage = Literal["automatic", "approver", "manager"]


class Expense(BaseModel, frozen=True, extra="forbid"):
    """What an employee wants to spend, and who may allow it."""

    employee: str = Field(min_length=1)
    amount: Decimal = Field(gt=0, max_digits=12, decimal_places=2)
    purpose: str = Field(min_length=1)
    approver: str = Field(min_length=1, description="Who is asked first.")
    manager: str = Field(min_length=1, description="Who is asked when the approver does not answer in time.")
    timeout_seconds: float = Field(
        default=THREE_DAYS, gt=0, le=365 * 24 * 3600, description="How long each of them has to answer."
    )


@dataclass(frozen=True)
class Question:
    """What a person is asked."""

    expense: Expense
    stage: Stage
    to: str
    due: datetime


@dataclass(frozen=True)
class Outcome:
    """What was decided, and by whom."""

    decision: Literal["approved", "rejected", "expired"]
    stage: Stage


@dataclass(frozen=True)
class Settlement:
    """An expense with its outcome."""

    expense: Expense
    outcome: Outcome


@orchestrator
async def human_interaction(ctx: OrchestrationContext, expense: Expense) -> Outcome:
    r"""Get an expense approved: by its approver or, when time runs out, by the manager.

    Small amounts are approved at once. The answer is the event ApprovalEvent with true or false:

        manage.py durable start-new human_interaction --instance-id trip-7 --input \
        '{"employee": "ann", "amount": "420.00", "purpose": "Train to Bern", "approver": "bob", "manager": "eve"}'
        manage.py durable raise-event trip-7 ApprovalEvent --data true
    """
    outcome = await decide(ctx, expense)
    await ctx.call_activity(process_approval, Settlement(expense, outcome))
    return outcome


async def decide(ctx: OrchestrationContext, expense: Expense) -> Outcome:
    """Ask one person after the other until somebody answers. A part of the orchestrator: it must be replayable, too."""
    if expense.amount <= SMALL_AMOUNT:
        return Outcome("approved", "automatic")
    stages: list[tuple[Stage, str]] = [("approver", expense.approver), ("manager", expense.manager)]
    for stage, person in stages:
        due = ctx.current_utc_datetime + timedelta(seconds=expense.timeout_seconds)
        is_approved = await ask(ctx, Question(expense, stage, person, due))
        if is_approved is not None:
            return Outcome("approved" if is_approved else "rejected", stage)
    return Outcome("expired", "manager")


async def ask(ctx: OrchestrationContext, question: Question) -> bool | None:
    """Ask a person and return the answer; None if there is none when it is due."""
    ctx.set_custom_status({"waiting_for": question.to, "stage": question.stage, "due": question.due})
    await ctx.call_activity(request_approval, question)
    answer = ctx.wait_for_external_event(
        "ApprovalEvent",
        bool,
        title=title_of(question),
        description=question.expense.purpose,
        assignees=[question.to],
        due=question.due,
    )
    deadline = ctx.create_timer(question.due)
    if await ctx.when_any([answer, deadline]) is deadline:
        return None
    deadline.cancel()  # or the instance would carry a timer that nobody needs
    return bool(answer.result)


def title_of(question: Question) -> str:
    """Say in one line what is asked."""
    request = f"Expense of {question.expense.amount} by {question.expense.employee}"
    return f"Escalated: {request}" if question.stage == "manager" else request


@activity(retry=RetryPolicy())
def request_approval(question: Question, context: ActivityContext) -> str:
    """Write to the person who is asked, and return the name of the letter."""
    text = f"{title_of(question)}: {question.expense.purpose}. Please answer by {question.due:%Y-%m-%d %H:%M} UTC."
    return post({"to": question.to, "text": text, "instance_id": context.instance_id}, context)


@activity(retry=RetryPolicy())
def process_approval(settlement: Settlement, context: ActivityContext) -> str:
    """Tell the employee what was decided, and return the name of the letter."""
    expense, outcome = settlement.expense, settlement.outcome
    text = f"Your expense of {expense.amount} ({expense.purpose}): {outcome.decision} ({outcome.stage})."
    return post({"to": expense.employee, "text": text, "instance_id": context.instance_id}, context)


def post(letter: dict[str, Any], context: ActivityContext) -> str:
    """Put a letter into the outbox, whole or not at all; put there twice, it is still one letter."""
    outbox = Path(os.environ.get("DURABLE_VAR", "var")) / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    target = outbox / f"{uuid5(NAMESPACE_URL, context.idempotency_key)}.json"
    draft = target.with_suffix(f".draft-{context.attempt}")
    draft.write_text(json.dumps(letter), encoding="utf-8")
    return draft.replace(target).name
