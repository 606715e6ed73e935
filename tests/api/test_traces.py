"""W3C trace context over HTTP."""

from __future__ import annotations

import pytest

from durable_host.client import DurableClient
from durable_host.core.events import ExecutionStarted
from tests.api.conftest import Api

pytestmark = pytest.mark.store

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def started(instance_id: str) -> ExecutionStarted:
    event = DurableClient().get_history(instance_id)[1]
    assert isinstance(event, ExecutionStarted)
    return event


def test_a_start_goes_on_with_the_callers_trace(api: Api) -> None:
    response = api.post("orchestrators/Echo", "1", traceparent=CALLER, tracestate="vendor=x")
    api.work()
    event = started(response.json()["id"])
    assert (event.trace_parent, event.trace_state) == (CALLER, "vendor=x")


@pytest.mark.parametrize("header", ["nonsense", CALLER.replace("00-", "ff-", 1), f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_a_context_that_the_standard_tells_to_ignore_is_ignored(api: Api, header: str) -> None:
    response = api.post("orchestrators/Echo", "1", traceparent=header)
    api.work()
    assert started(response.json()["id"]).trace_parent is None
