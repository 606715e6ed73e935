"""Trace contexts: W3C headers in and out, and ids that every process derives alike."""

import pytest

from durable_host.core import events as ev
from durable_host.core.context import OrchestrationContext
from durable_host.core.tracing import ExecutionTrace, TraceContext, server_side

from .story import Story, at, registry_of, started

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("flags", ["01", "00"])
def test_a_traceparent_comes_back_as_it_went_in(flags: str) -> None:
    text = PARENT[:-2] + flags
    found = TraceContext.parse(text, "vendor=1")

    assert found == TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, flags == "01", "vendor=1")
    assert found is not None
    assert found.traceparent == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param(PARENT[:-1], id="too short"),
        pytest.param(PARENT + "0", id="too long"),
        pytest.param(PARENT + "-00", id="more than version 00 has"),
        pytest.param("01" + PARENT[2:] + "x", id="later version that goes on without a dash"),
        pytest.param("ff" + PARENT[2:], id="forbidden version"),
        pytest.param("0x" + PARENT[2:], id="no version"),
        pytest.param(PARENT.upper(), id="upper case"),
        pytest.param(PARENT.replace("-", "_"), id="no dashes"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01", id="no trace"),
        pytest.param(f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", id="no span"),
        pytest.param(PARENT.replace("c80319c", "c80319g"), id="not hexadecimal"),
        pytest.param(PARENT.replace("0af7", "+af7"), id="a sign"),
        pytest.param(PARENT.replace("0af7", "\u0660af7"), id="a digit of another script"),
        pytest.param("ünïcödé", id="no header at all"),
    ],
)
def test_what_the_standard_calls_invalid_is_nothing(text: str | None) -> None:
    assert TraceContext.parse(text, "vendor=1") is None


def test_later_versions_and_later_flags_are_understood_as_far_as_they_are_known() -> None:
    later = TraceContext.parse(f"  cc{PARENT[2:-2]}fe-what-the-future-adds ")

    assert later is not None
    assert (later.traceparent, later.is_sampled) == (PARENT[:-2] + "00", False)


def test_a_child_is_the_same_each_time_and_different_for_different_parts() -> None:
    parent = TraceContext(5, 7, is_sampled=False, state="a=b")
    children = [parent.child(1), parent.child(11), parent.child(1, 1), parent.child("1", "x"), server_side(parent)]

    assert parent.child(1) == TraceContext(5, 7, is_sampled=False, state="a=b").child(1)
    assert len({child.span_id for child in children}) == len(children)
    assert {(child.trace_id, child.is_sampled, child.state) for child in children} == {(5, False, "a=b")}
    assert all(0 < child.span_id < 2**64 for child in children)


def test_an_execution_belongs_to_the_trace_of_whoever_started_it() -> None:
    trace = ExecutionTrace.of("order-1", started("order", trace_parent=PARENT, trace_state="a=b"), 0)

    assert trace.parent is not None
    assert trace.parent == TraceContext.parse(PARENT, "a=b")
    assert (trace.span.trace_id, trace.span.state, trace.previous) == (trace.parent.trace_id, "a=b", None)
    assert len({trace.parent.span_id, trace.span.span_id, trace.of_task(0).span_id, trace.of_task(1).span_id}) == 4


def test_what_nobody_traces_has_a_trace_of_its_own() -> None:
    one = ExecutionTrace.of("order-1", started("order"), 0)
    again = ExecutionTrace.of("order-1", ev.ExecutionStarted(timestamp=at(1), name="order", input=None), 0)
    other = ExecutionTrace.of("order-2", started("order"), 0)

    assert one.parent is None
    assert one == ExecutionTrace.of("order-1", started("order", trace_parent="nonsense"), 0)
    assert len({one.span.trace_id, again.span.trace_id, other.span.trace_id}) == 3
    assert 0 < one.span.trace_id < 2**128


async def forever(ctx: OrchestrationContext) -> None:
    """Begin anew at once."""
    ctx.continue_as_new()


@pytest.mark.parametrize("trace_parent", [None, PARENT])
def test_executions_of_an_instance_share_a_trace_and_link_back(trace_parent: str | None) -> None:
    event: ev.ExecutionStarted | None = started("forever", trace_parent=trace_parent)
    traces = []
    for generation in range(3):
        assert event is not None
        story = Story(registry_of(forever), generation=generation).when(event, after=3600 * generation)
        traces.append(ExecutionTrace.of("order-1", _started_of(story), generation))
        event = story.result.next_started
    first, second, third = traces

    assert first.span.trace_id == second.span.trace_id == third.span.trace_id
    assert len({one.span.span_id for one in traces}) == 3
    assert [one.previous for one in traces] == [None, first.span, second.span]
    assert first.parent == second.parent == third.parent == TraceContext.parse(trace_parent)


def _started_of(story: Story) -> ev.ExecutionStarted:
    return next(event for event in story.history if isinstance(event, ev.ExecutionStarted))
