"""Histories as rows and as JSON; sequence diagrams."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dashboard.presenters.acts import Story, tell
from dashboard.presenters.history import (
    HIDDEN,
    PAGE_SIZE,
    ActLine,
    acts_that_fit,
    event_json,
    event_line,
    is_http_call,
    part_of,
    shown_payload,
)
from dashboard.presenters.sequence import ArrowKind, Diagram, mermaid, sequence
from dashboard.presenters.sequence_svg import draw
from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core import events as ev
from durable_host.core.codec import Record, to_record
from durable_host.core.http_messages import HTTP_ACTIVITY
from tests.core.story import T0, completed, failed, fired, given, raised, registry_of, suspended

HOSTILE = "<script>alert(1)</script>; %% -->>#"


def work(n: int) -> int:
    return n


async def retry(ctx: OrchestrationContext) -> Any:
    policy = RetryPolicy(max_number_of_attempts=3, first_retry_interval=timedelta(seconds=5))
    return await ctx.call_activity(work, 1, retry=policy)


async def fan(ctx: OrchestrationContext, n: int) -> Any:
    return await ctx.when_all([ctx.call_activity(work, one) for one in range(n)])


async def parent(ctx: OrchestrationContext) -> Any:
    ctx.call_sub_orchestrator("kid", 1, instance_id="kid-1")
    return await ctx.wait_for_external_event(HOSTILE)


def told(one: Any) -> Story:
    return tell(enumerate(one.history))


# ---- pages ----------------------------------------------------------------------------------------------------------


def test_pages_of_rows_follow_each_other_without_a_gap() -> None:
    rows = list(range(PAGE_SIZE * 2 + 5))
    first = part_of(rows)
    assert (first.rows[0], first.rows[-1], first.following) == (0, PAGE_SIZE - 1, PAGE_SIZE)
    last = part_of(rows, first=PAGE_SIZE * 2)
    assert (last.rows, last.following, last.total) == (tuple(rows[-5:]), None, len(rows))


def test_pages_from_the_newest_end_at_the_same_rows_while_new_ones_come() -> None:
    rows = list(range(PAGE_SIZE * 3))
    seen: list[int] = []
    first: int | None = None
    while True:
        part = part_of(rows, first=first, newest_first=True)
        seen += part.rows
        if part.following is None:
            break
        first = part.following
    assert seen == rows[::-1]
    edges = {part_of(rows[:length], newest_first=True).following for length in range(401, 600)}
    assert edges == {PAGE_SIZE - 1}
    assert part_of([], newest_first=True).rows == ()


# ---- compact --------------------------------------------------------------------------------------------------------


def test_acts_are_found_by_kind_name_and_error() -> None:
    acts = told(given(retry, activities=[work]).when(failed(0, OSError("No line <b>")))).acts
    assert [act.name for act in acts_that_fit(acts, text="no LINE")] == ["work"]
    assert [act.name for act in acts_that_fit(acts, kind="orchestration")] == ["retry"]
    assert acts_that_fit(acts, text="nobody") == []


def test_the_same_failure_of_attempts_in_a_row_is_told_once() -> None:
    one = given(retry, activities=[work])
    for number, words in enumerate(("down", "down", "broken")):
        one.when(failed(number * 2, OSError(words)))
        if number < 2:
            one.when(fired(number * 2 + 1), after=60)
    act = told(one).acts[1]
    assert [(label, failure.error_message) for label, failure in ActLine(act, {}).failures] == [
        ("attempts 1 to 2", "down"),
        ("attempt 3", "broken"),
    ]
    assert ActLine(act, {act.sequence: 12}).input_size == 12
    assert ActLine(act, {}).result_size is None


# ---- event by event -------------------------------------------------------------------------------------------------


def test_every_event_type_is_a_row() -> None:
    one = given(retry, activities=[work]).when(failed(0, OSError("down"))).when(suspended("lunch"))
    lines = [event_line(number, event) for number, event in enumerate(one.history)]
    notes = {line.type: line.note for line in lines}
    assert notes["TimerCreated"] == "before attempt 2 of 3 of work"
    assert notes["ExecutionSuspended"] == "lunch"
    assert [line.is_marker for line in lines[:2]] == [True, False]
    answer = next(line for line in lines if line.type == "TaskFailed")
    assert (answer.task_id, answer.is_answer, str(answer.failure)) == (0, True, "OSError: down")


def test_an_outcome_has_the_name_of_what_was_called() -> None:
    assert event_line(5, completed(3, 1), names={3: "work"}).name == "work"
    assert event_line(5, completed(4, 1), names={3: "work"}).name == ""


# ---- JSON -----------------------------------------------------------------------------------------------------------


def test_an_event_as_json_has_all_its_fields() -> None:
    record = Record("TaskScheduled", T0, 3, None, "work", '{"a": [1]}', '{"firstAttemptId": 1}')
    assert event_json(7, record, with_payload=True, is_http=False) == {
        "sequence": 7,
        "eventType": "TaskScheduled",
        "timestamp": "2024-05-01T12:00:00.000000Z",
        "eventId": 3,
        "name": "work",
        "payload": {"a": [1]},
        "firstAttemptId": 1,
    }


def test_payloads_are_withheld_wherever_they_are() -> None:
    started = ev.ExecutionStarted(
        timestamp=T0, name="x", input='"secret"', carried=(ev.CarriedEvent(name="Go", input='"secret"', timestamp=T0),)
    )
    told = event_json(0, to_record(started), with_payload=False, is_http=False)
    assert "secret" not in str(told)
    assert told["payload"] == HIDDEN


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "COOKIE", "X-Functions-Key", "Set-Cookie"])
def test_credentials_of_http_calls_are_hidden(name: str) -> None:
    text = f'[{{"uri": "https://h/x?code=s3cret", "headers": {{"{name}": ["s3cret"], "Accept": ["*/*"]}}}}]'
    value = shown_payload(text, is_http=True)
    assert "s3cret" not in str(value)
    assert value[0]["headers"]["Accept"] == ["*/*"]
    assert "s3cret" in str(shown_payload(text, is_http=False))
    assert is_http_call(ev.TaskScheduled(timestamp=T0, event_id=0, name=HTTP_ACTIVITY, input=text))
    assert not is_http_call(ev.TaskScheduled(timestamp=T0, event_id=0, name="other", input=text))


# ---- sequence diagrams ----------------------------------------------------------------------------------------------


def arrows(diagram: Diagram) -> list[tuple[str, str, ArrowKind, str]]:
    labels = [line.label for line in diagram.lifelines]
    return [(labels[one.source], labels[one.target], one.kind, one.label) for one in diagram.arrows]


def test_calls_and_results_are_arrows_in_the_order_of_history() -> None:
    one = given(retry, activities=[work]).when(failed(0, OSError("x"))).when(fired(1), after=5).when(completed(2, 1))
    assert arrows(sequence(told(one), "retry")) == [
        ("Outside", "retry", ArrowKind.EVENT, "start"),
        ("retry", "work", ArrowKind.CALL, "work"),
        ("work", "retry", ArrowKind.FAILURE, "OSError after 1 s"),
        ("retry", "retry", ArrowKind.NOTE, "pause 5 s, then attempt 2 of 3"),
        ("retry", "work", ArrowKind.CALL, "work, attempt 2"),
        ("work", "retry", ArrowKind.RESULT, "result after 1 s"),
        ("retry", "Outside", ArrowKind.RESULT, "Completed"),
    ]


def test_what_is_alike_in_a_row_is_one_arrow() -> None:
    one = given(fan, 500, activities=[work]).when(*(completed(n, n) for n in range(500)))
    labels = [arrow[-1] for arrow in arrows(sequence(told(one), "fan"))]
    assert labels == ["start", "500 x work", "500 x result", "Completed"]


def test_more_functions_than_fit_share_a_column() -> None:
    async def many(ctx: OrchestrationContext) -> None:
        for number in range(20):
            await ctx.call_activity(f"f{number}", None)

    registry = registry_of(many)
    for number in range(20):
        registry.add_activity(lambda value: value, name=f"f{number}")
    one = given(many, registry=registry)
    for number in range(20):
        one.when(completed(number))
    diagram = sequence(told(one), "many")
    assert len(diagram.lifelines) == 15
    assert diagram.lifelines[-1].label == "Other functions"


def test_pictures_and_texts_of_hostile_names_are_harmless() -> None:
    one = given(parent, registry=registry_of(parent)).when(raised(HOSTILE, 1))
    diagram = sequence(told(one), f"{HOSTILE}\nend")
    assert "<script" not in draw(diagram)
    text = mermaid(diagram)
    assert "<script" not in text
    assert "kid" in text
    # Every statement is a line, and nothing from outside begins one.
    words = {line.split()[0] for line in text.splitlines() if not line.startswith("    p")}
    assert words == {"sequenceDiagram", "actor", "Note"}


def test_a_sub_orchestration_is_a_link() -> None:
    assert 'href="/instances/kid-1/"' in draw(sequence(told(given(parent, registry=registry_of(parent))), "parent"))
