"""Bodies as they are written for azure-functions-durable 1.x: unchanged but for imports and decorators.

Compare the samples of azure-functions-durable-python: function_chaining, fan_in_fan_out, human_interaction, monitor.
Their decorators, ``@app.orchestration_trigger(context_name="context")``, become ``@orchestrator``.
"""

# The bodies below are the users', in the style of their samples: no annotations, no docstrings.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import inspect
import json
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext as DurableOrchestrationContext
from durable_host import RetryOptions
from durable_host.core.tasks import Task, TimerTask

from .story import (
    World,
    activity,
    at,
    child,
    child_completed,
    completed,
    failed,
    fired,
    given,
    raised,
    registry_of,
    timer,
)

# --- the users' code --------------------------------------------------------------------------------------------------


def chaining(context: DurableOrchestrationContext):
    first_retry_interval_in_milliseconds = 5000
    max_number_of_attempts = 3

    retry_options = RetryOptions(first_retry_interval_in_milliseconds, max_number_of_attempts)

    result1 = yield context.call_activity_with_retry("SayHello", retry_options, "Tokyo")
    result2 = yield context.call_activity_with_retry("SayHello", retry_options, "Seattle")
    result3 = yield context.call_activity_with_retry("SayHello", retry_options, "London")
    return [result1, result2, result3]


def fan_out_fan_in(context: DurableOrchestrationContext):
    work_batch = yield context.call_activity("GetWorkBatch", context.get_input())

    parallel_tasks = []
    for i in range(0, len(work_batch)):
        parallel_tasks.append(context.call_activity("DoWork", work_batch[i]))
    outputs = yield context.task_all(parallel_tasks)

    total = sum(outputs)
    yield context.call_activity("SendResult", total)
    return json.dumps({"total": total, "parts": outputs})


def human_interaction(context: DurableOrchestrationContext):
    yield context.call_activity("RequestApproval", context.instance_id)

    expiration = context.current_utc_datetime + timedelta(hours=72)
    timeout_task = context.create_timer(expiration)
    approval_event = context.wait_for_external_event("ApprovalEvent")

    winner = yield context.task_any([approval_event, timeout_task])
    if winner == approval_event:
        if not timeout_task.is_completed:
            # All pending timers must be complete or canceled before the function exits.
            timeout_task.cancel()
        yield context.call_activity("ProcessApproval", approval_event.result)
        return approval_event.result["approved"]
    else:
        yield context.call_activity("Escalate", context.instance_id)
        return "escalated"


def monitor(context: DurableOrchestrationContext):
    job = context.get_input()
    polling_interval = timedelta(seconds=job["interval"])
    expiry_time = context.current_utc_datetime + timedelta(hours=1)

    if not context.is_replaying:
        context.set_custom_status("watching " + job["id"])
    tracking = context.new_uuid() + "/" + str(context.new_guid())

    while context.current_utc_datetime < expiry_time:
        job_status = yield context.call_activity("GetJobStatus", job["id"])
        context.set_custom_status({"job": job["id"], "status": job_status})
        if job_status == "Completed":
            yield context.call_activity("SendAlert", [job["id"], tracking])
            return job_status
        if job_status == "Restarted":
            context.continue_as_new({"id": job["id"], "interval": job["interval"] * 2})
            return None

        next_check = context.current_utc_datetime + polling_interval
        yield context.create_timer(next_check)

    return "expired"


def parent(context: DurableOrchestrationContext):
    provisioning = []
    for index, device_id in enumerate(["a", "b"]):
        child_id = context.instance_id + ":" + str(index)
        provisioning.append(context.call_sub_orchestrator("Provision", device_id, child_id))
    first = yield context.task_any(provisioning)
    yield context.task_all(provisioning)
    last = yield context.call_sub_orchestrator_with_retry(
        "Provision", RetryOptions(1000, 2), "c", instance_id=context.instance_id + ":c"
    )
    return [first.result, [task.result for task in provisioning], last]


def keywords(context: DurableOrchestrationContext):
    options = RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=2)
    a = context.call_activity(name="A", input_=1)
    b = context.call_activity_with_retry(name="B", retry_options=options, input_=2)
    c = context.call_sub_orchestrator(name="C", input_=3, instance_id="c", version="1")
    d = context.wait_for_external_event(name="D")
    e = context.create_timer(fire_at=context.current_utc_datetime)
    f = context.task_any(activities=[a, b, c, d, e])
    yield f
    yield context.task_all(activities=[a])
    return a.result


# --- their tests ------------------------------------------------------------------------------------------------------


def say_hello(name: str) -> str:
    """Say hello."""
    return f"Hello {name}!"


def test_chaining() -> None:
    registry = registry_of(chaining)
    registry.add_activity(say_hello, "SayHello")
    assert World(registry).start("chaining").run().output_of() == ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]


def test_chaining_retries() -> None:
    story = given(chaining).then(activity("SayHello", "Tokyo")).when(failed(0, ValueError())).then(timer(at(6)))
    story.when(fired(1)).then(activity("SayHello", "Tokyo")).when(completed(2, "x")).then(
        activity("SayHello", "Seattle")
    )


def test_fan_out_fan_in() -> None:
    sent: list[int] = []
    registry = registry_of(fan_out_fan_in)
    registry.add_activity(lambda n: list(range(n)), "GetWorkBatch")
    registry.add_activity(lambda n: n * n, "DoWork")
    registry.add_activity(lambda total: sent.append(total), "SendResult")
    assert World(registry).start("fan_out_fan_in", 5).run().output_of() == '{"total": 30, "parts": [0, 1, 4, 9, 16]}'
    assert sent == [30]


def test_human_interaction_is_approved() -> None:
    story = given(human_interaction).when(completed(0)).then(timer(at(72 * 3600 + 1)))
    story.evicted().when(raised("approvalevent", {"approved": True}))
    story.then(activity("ProcessApproval", {"approved": True}))
    assert list(story.result.cancelled_timers) == [1]
    story.when(completed(2)).then_completed(True)


def test_human_interaction_times_out() -> None:
    story = given(human_interaction).when(completed(0)).when(fired(1)).then(activity("Escalate", "order-1"))
    story.when(completed(2)).then_completed("escalated")


def test_monitor() -> None:
    alerts: list[Any] = []
    answers = iter(["Running", "Restarted", "Running", "Completed"])
    registry = registry_of(monitor)
    registry.add_activity(lambda _: next(answers), "GetJobStatus")
    registry.add_activity(lambda alert: alerts.append(alert), "SendAlert")
    world = World(registry).start("monitor", {"id": "j1", "interval": 10}).run()
    assert world.output_of() == "Completed"
    assert world.now == at(10 + 20)
    story = world.instances["order-1"]
    assert story.generation == 1
    assert story.result.custom_status == '{"job":"j1","status":"Completed"}'
    [[job, tracking]] = alerts
    assert job == "j1"
    assert [len(one) for one in tracking.split("/")] == [36, 36]


def test_monitor_expires() -> None:
    registry = registry_of(monitor)
    registry.add_activity(lambda _: "Running", "GetJobStatus")
    world = World(registry).start("monitor", {"id": "j1", "interval": 600}).run()
    assert world.output_of() == "expired"
    assert world.now == at(3600)


def test_parent() -> None:
    story = given(parent).then(child("Provision", "a", id="order-1:0"), child("Provision", "b", id="order-1:1"))
    story.when(child_completed(1, "B")).then().when(child_completed(0, "A"))
    story.then(child("Provision", "c", id="order-1:c")).when(child_completed(2, "C"))
    story.then_completed(["B", ["A", "B"], "C"])


def test_keywords() -> None:
    story = given(keywords)
    assert [event.event_type for event in story.result.scheduled] == [
        *("TaskScheduled", "TaskScheduled", "SubOrchestrationInstanceCreated", "TimerCreated"),
    ]
    story.when(completed(0, 1)).then_completed(1)


# --- what azure-functions-durable 1.7.0 offers ------------------------------------------------------------------------

#: public members of its DurableOrchestrationContext, with the names of their parameters
AZURE_CONTEXT: dict[str, list[str] | None] = {
    "call_activity": ["name", "input_", "expected_type"],
    "call_activity_with_retry": ["name", "retry_options", "input_", "expected_type"],
    "call_sub_orchestrator": ["name", "input_", "instance_id", "version", "expected_type"],
    "call_sub_orchestrator_with_retry": [
        *("name", "retry_options", "input_", "instance_id", "version", "expected_type"),
    ],
    "continue_as_new": ["input_"],
    "create_timer": ["fire_at"],
    "current_utc_datetime": None,
    "custom_status": None,
    "get_input": ["expected_type"],
    "instance_id": None,
    "is_replaying": None,
    "new_guid": [],
    "new_uuid": [],
    "parent_instance_id": None,
    "set_custom_status": ["status"],
    "task_all": ["activities"],
    "task_any": ["activities"],
    "version": None,
    "will_continue_as_new": None,
}


@pytest.mark.parametrize("name", AZURE_CONTEXT)
def test_the_context_offers(name: str) -> None:
    member = inspect.getattr_static(DurableOrchestrationContext, name)
    expected = AZURE_CONTEXT[name]
    if expected is None:
        assert isinstance(member, property)
    else:
        ours = list(inspect.signature(member).parameters.values())[1:]
        positional = [one.name for one in ours if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert positional[: len(expected)] == expected


def test_an_event_can_be_waited_for_with_its_type_as_second_argument_or_by_name() -> None:
    def second(context):
        return repr((yield context.wait_for_external_event("go", bool)))

    def by_name(context):
        return repr((yield context.wait_for_external_event("go", expected_type=bool)))

    given(second).when(raised("go", "yes")).then_completed("True")
    given(by_name).when(raised("go", "yes")).then_completed("True")


def test_tasks_offer_what_azures_offer() -> None:
    for name in ("is_completed", "is_faulted", "result"):
        assert hasattr(Task, name)
    assert callable(TimerTask.cancel)
    assert "is_cancelled" in dir(TimerTask)
