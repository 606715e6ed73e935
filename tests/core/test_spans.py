"""Spans of an execution: names, kinds, parents and attributes of Durable Functions' distributed tracing, version 2."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings

from durable_host.core import events as ev
from durable_host.core.context import OrchestrationContext
from durable_host.core.spans import (
    SpanFold,
    SpanKind,
    SpanRecord,
    activity_span,
    create_attributes,
    create_span_name,
    event_attributes,
    event_span_name,
)
from durable_host.core.tracing import ExecutionTrace, TraceContext, server_side
from durable_host.core.tracking import inherited

from .lives import History, five_patterns, play, turns_of
from .story import (
    Story,
    at,
    child_completed,
    child_failed,
    completed,
    failed,
    fired,
    given,
    registry_of,
    started,
    terminate,
)
from .test_random_stories import happenings, steps

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BASE = {"durabletask.task.instance_id": "order-1", "durabletask.task.execution_id": "order-1:0"}


def spans_of(history: History, generation: int = 0, instance_id: str = "order-1") -> list[SpanRecord]:
    """Read the spans of one execution back."""
    fold = SpanFold(instance_id, generation)
    own = inherited(history)
    return [span for position, event in enumerate(history) for span in fold.take(event) if position >= own]


def trace_of(history: History, generation: int = 0, instance_id: str = "order-1") -> ExecutionTrace:
    event = next(event for event in history if isinstance(event, ev.ExecutionStarted))
    return ExecutionTrace.of(instance_id, event, generation)


def sketch(spans: list[SpanRecord]) -> list[tuple[str, str, str]]:
    """Return name, kind and status or error of each."""
    return [
        (one.name, one.kind.value, one.error or str(one.attributes.get("durabletask.task.status", ""))) for one in spans
    ]


async def everything(ctx: OrchestrationContext) -> str:
    """Ask for one of each."""
    ctx.send_event("other", "Hello", 1)
    deadline = ctx.create_timer(at(60))
    ctx.create_timer(at(99))
    await ctx.when_all([ctx.call_activity("work", 1), ctx.call_sub_orchestrator("kid", version="2.0"), deadline])
    return "done"


def test_each_piece_of_work_has_its_span() -> None:
    story = given(everything, registry=registry_of(everything), version="1.1", trace_parent=PARENT, trace_state="v=1")
    story.when(completed(3), after=5).when(child_completed(4), after=10).when(fired(1), after=45)
    trace = trace_of(story.history)
    sent, work, kid, timer, orchestration = spans_of(story.history)

    assert sent == SpanRecord(
        name="orchestration_event:Hello",
        kind=SpanKind.PRODUCER,
        context=trace.of_task(0),
        parent=trace.span,
        start=at(0),
        end=at(0),
        attributes=BASE
        | {
            "durabletask.type": "event",
            "durabletask.task.name": "Hello",
            "durabletask.event.target_instance_id": "other",
        },
    )
    assert work == SpanRecord(
        name="activity:work",
        kind=SpanKind.CLIENT,
        context=trace.of_task(3),
        parent=trace.span,
        start=at(0),
        end=at(5),
        attributes=BASE
        | {"durabletask.type": "activity", "durabletask.task.name": "work", "durabletask.task.task_id": 3},
    )
    assert kid == SpanRecord(
        name="orchestration:kid@(2.0)",
        kind=SpanKind.CLIENT,
        context=trace.of_task(4),
        parent=trace.span,
        start=at(0),
        end=at(15),
        attributes=BASE
        | {
            "durabletask.type": "orchestration",
            "durabletask.task.name": "kid",
            "durabletask.task.version": "2.0",
            "durabletask.task.task_id": 4,
        },
    )
    assert timer == SpanRecord(
        name="orchestration:everything:timer",
        kind=SpanKind.INTERNAL,
        context=trace.of_task(1),
        parent=trace.span,
        start=at(0),
        end=at(60),
        attributes=BASE
        | {
            "durabletask.type": "timer",
            "durabletask.task.name": "everything",
            "durabletask.task.task_id": 1,
            "durabletask.fire_at": "2024-05-01T12:01:00.0000000Z",
        },
    )
    assert orchestration == SpanRecord(
        name="orchestration:everything@(1.1)",
        kind=SpanKind.SERVER,
        context=trace.span,
        parent=TraceContext.parse(PARENT, "v=1"),
        start=at(0),
        end=at(60),
        attributes=BASE
        | {
            "durabletask.type": "orchestration",
            "durabletask.task.name": "everything",
            "durabletask.task.version": "1.1",
            "durabletask.task.status": "Completed",
        },
    )


def test_a_sub_orchestration_hangs_under_the_call() -> None:
    story = given(everything, registry=registry_of(everything))
    call = trace_of(story.history).of_task(4)
    kid = ExecutionTrace.of("kid-1", started("kid", trace_parent=call.traceparent), 0)

    assert kid.parent == call
    assert kid.span.trace_id == call.trace_id


def test_a_client_and_a_worker_name_their_spans_alike() -> None:
    assert create_span_name("order") == "create_orchestration:order"
    assert create_span_name("order", "1.1") == "create_orchestration:order@(1.1)"
    assert create_attributes("order", "order-1", "1.1") == BASE | {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "order",
        "durabletask.task.version": "1.1",
    }
    assert event_span_name("Go") == "orchestration_event:Go"
    assert event_attributes("Go", "order-1") == {
        "durabletask.type": "event",
        "durabletask.task.name": "Go",
        "durabletask.event.target_instance_id": "order-1",
    }


@pytest.mark.parametrize(("outcome", "error"), [(completed(3), ""), (failed(3, ValueError("no")), "ValueError: no")])
def test_an_activity_runs_in_a_span_below_its_call(outcome: Any, error: str) -> None:
    call = TraceContext(5, 7)
    span = activity_span(
        instance_id="order-1",
        generation=0,
        name="work",
        task_id=3,
        attempt=2,
        client=call,
        started_at=at(-2),
        outcome=outcome,
    )

    assert (span.name, span.kind, span.context, span.parent) == (
        "activity:work",
        SpanKind.SERVER,
        server_side(call),
        call,
    )
    assert (span.start, span.end, span.error) == (at(-2), at(0), error)
    assert span.attributes == BASE | {
        "durabletask.type": "activity",
        "durabletask.task.name": "work",
        "durabletask.task.task_id": 3,
        "durabletask.task.attempt": 2,
    }


def test_failures_are_errors_and_open_work_is_not_left_without_a_parent() -> None:
    story = given(everything, registry=registry_of(everything)).when(child_failed(4, KeyError("x"))).when(completed(3))
    terminate(story, reason="enough")

    assert sketch(spans_of(story.history))[1:] == [
        ("orchestration:kid@(2.0)", "CLIENT", "KeyError: 'x'"),
        ("activity:work", "CLIENT", ""),
        ("orchestration:everything", "SERVER", "Terminated"),
    ]


async def hasty(ctx: OrchestrationContext) -> None:
    """Fail on the first failure, with work still under way."""
    tasks = [ctx.call_activity("work", 1), ctx.call_activity("work", 2), ctx.call_sub_orchestrator("kid")]
    ctx.create_timer(at(60))
    await ctx.task_all(tasks)


def test_what_a_failed_orchestration_left_behind_ends_with_it() -> None:
    story = given(hasty, registry=registry_of(hasty)).when(failed(0, ValueError("no")), after=5)
    spans = spans_of(story.history)

    assert sketch(spans) == [
        ("activity:work", "CLIENT", "ValueError: no"),
        ("activity:work", "CLIENT", "NotAwaited"),
        ("orchestration:kid", "CLIENT", "NotAwaited"),
        ("orchestration:hasty", "SERVER", "TaskFailedError: The activity 'work' (task 0) failed: ValueError: no"),
    ]
    assert {span.end for span in spans} == {at(5)}
    assert spans[-1].attributes["durabletask.task.status"] == "Failed"


def test_an_instance_that_is_ended_before_its_first_turn_has_its_span() -> None:
    story = Story(registry_of(hasty)).when(started("hasty"))
    del story.records[:]
    terminate(story, started("hasty"))

    assert sketch(spans_of(story.history)) == [("orchestration:hasty", "SERVER", "Terminated")]


def test_an_instance_that_is_ended_before_its_start_is_due_has_none() -> None:
    story = Story(registry_of(hasty)).when(started("hasty"))
    del story.records[:]
    terminate(story)

    assert spans_of(story.history) == []


async def looping(ctx: OrchestrationContext, left: int) -> None:
    await ctx.call_activity("work")
    if left:
        ctx.continue_as_new(left - 1)


def test_an_execution_that_continues_as_new_links_to_the_one_before() -> None:
    first = given(looping, 1).when(completed(0), after=5)
    following = first.result.next_started
    assert following is not None
    second = Story(first.registry, generation=1).when(following, after=5).when(completed(0), after=5)
    one, two = spans_of(first.history)[-1], spans_of(second.history, 1)[-1]

    assert sketch([one, two]) == [
        ("orchestration:looping", "SERVER", "ContinuedAsNew"),
        ("orchestration:looping", "SERVER", "Completed"),
    ]
    assert (one.links, two.links) == ((), (one.context,))
    assert one.context.trace_id == two.context.trace_id
    assert two.attributes["durabletask.task.execution_id"] == "order-1:1"


async def chain(ctx: OrchestrationContext) -> list[Any]:
    return [await ctx.call_activity("work", number) for number in range(3)]


def test_a_rewound_execution_tells_only_what_is_its_own() -> None:
    """The first result is in the copied part. The second call failed, and is made anew."""
    story = given(chain).when(completed(0), after=5).when(failed(1, ValueError("no")), after=5)
    again, plan = story.rewound()
    again.when(completed(1), after=5).when(completed(2), after=5)
    rewound_at = story.now + timedelta(seconds=60)
    spans = spans_of(again.history, 1)

    assert [event.event_id for event in plan.owed] == [1]
    assert sketch(spans) == [
        ("activity:work", "CLIENT", ""),
        ("activity:work", "CLIENT", ""),
        ("orchestration:chain", "SERVER", "Completed"),
    ]
    assert [span.attributes.get("durabletask.task.task_id") for span in spans] == [1, 2, None]
    assert [span.start for span in spans] == [rewound_at, rewound_at + timedelta(seconds=5), rewound_at]
    assert spans[-1].links == (spans_of(story.history)[-1].context,)


async def wide(ctx: OrchestrationContext) -> list[Any]:
    """Three at once; the first failure counts when all are there."""
    return await ctx.when_all([ctx.call_activity("work", number) for number in range(3)])


def test_what_a_rewind_delivers_once_more_is_not_told_once_more() -> None:
    """Result 1 came after the failure of 0: it is delivered again, and 0 runs again."""
    story = given(wide).when(failed(0, ValueError("no")), after=5).when(completed(1), after=5).when(completed(2))
    again, plan = story.rewound()
    again.when(completed(0), after=5)

    assert len(plan.redelivered) == 2
    assert [span.attributes.get("durabletask.task.task_id") for span in spans_of(again.history, 1)] == [0, None]


def test_the_five_patterns_are_one_trace_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_VAR", str(tmp_path))
    patterns = five_patterns(tmp_path)

    assert {name: len(executions) for name, executions in patterns.items()} == {
        "function_chaining": 1,
        "fan_out_fan_in": 1,
        "async_http_api": 1,
        "human_interaction": 1,
        "monitor": 2,
    }
    for name, executions in patterns.items():
        told = [span for number, one in enumerate(executions) for span in spans_of(one, number, "test-instance")]
        check_tree(told, parent=None)
        servers = [span for span in told if span.kind is SpanKind.SERVER]
        assert [span.name for span in servers] == [f"orchestration:{name}"] * len(executions)
        for number, one in enumerate(executions):
            check_fold(one, number, "test-instance")


@settings(max_examples=100, deadline=None)
@for_all(script=steps, arrivals=happenings)
def test_any_history_has_each_span_once_and_no_orphan(script: Any, arrivals: list[tuple[int, int, bool]]) -> None:
    story = play(script, arrivals)
    check_fold(story.history)
    if story.live.is_finished:
        check_tree(spans_of(story.history), parent=None)


def check_tree(spans: list[SpanRecord], parent: TraceContext | None) -> None:
    """Check that these are one trace: no id twice, every parent known or the given one."""
    contexts = {span.context for span in spans}
    assert len(contexts) == len({span.context.span_id for span in spans}) == len(spans)
    assert len({span.context.trace_id for span in spans}) == 1
    assert all(span.parent in contexts or span.parent == parent for span in spans)
    assert all(span.start <= span.end for span in spans)
    assert all(link in contexts for span in spans for link in span.links)


def check_fold(history: History, generation: int = 0, instance_id: str = "order-1") -> None:
    """Check that every outcome has exactly one span, and that each turn may be told by another process."""
    spans = spans_of(history, generation, instance_id)
    answered = [event.task_scheduled_id for event in history if isinstance(event, ev.TaskOutcome)]
    told: list[Any] = [
        span.attributes["durabletask.task.task_id"]
        for span in spans
        if "durabletask.task.task_id" in span.attributes
        and span.attributes.get("durabletask.task.status") != "NotAwaited"
    ]
    assert told == answered
    live: list[SpanRecord] = []
    for before, turn in turns_of(history):
        fold = SpanFold(instance_id, generation)
        for event in before:
            fold.take(event)
        live += [span for event in turn for span in fold.take(event)]
    assert live == spans
