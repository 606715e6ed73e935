"""Answering instances by events, pausing, ending and repairing them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from durable_host.api.bodies import read_json
from durable_host.api.guard import acting
from durable_host.api.queries import AnyQuery, ReasonQuery
from durable_host.client import DurableClient
from durable_host.core.access import Operation

from .shared import EventPath, InstancePath, answers, json_body, router

_STEERS: dict[Operation, tuple[Callable[..., None], str]] = {
    Operation.TERMINATE: (DurableClient.terminate, "End an instance, and its sub-orchestrations"),
    Operation.SUSPEND: (DurableClient.suspend, "Pause an instance"),
    Operation.RESUME: (DurableClient.resume, "Let a paused instance go on"),
    Operation.REWIND: (DurableClient.rewind, "Take a failed instance back to before its failure"),
    Operation.RELEASE: (DurableClient.release, "Have a stalled or parked instance tried again at once"),
}


@router.post(
    "instances/{instanceId}/raiseEvent/{path:eventName}",
    response=answers(ok={202: None}, errors=(404, 410, 413, 415)),
    operation_id="raiseEvent",
    summary="Send an external event",
    openapi_extra=json_body("The event's data: any JSON value.", True),
)
def raise_event(request: HttpRequest, path: Path[EventPath], query: Query[AnyQuery]) -> HttpResponse:
    """Answer 202 once it is stored. An event that nobody waits for yet is kept."""
    client = DurableClient()
    with acting(request, Operation.RAISE_EVENT, instance_id=path.instance_id, detail=path.event_name) as act:
        data = read_json(request, f"The data of event {path.event_name!r}")
        act.commit(client.raise_event, path.instance_id, path.event_name, data)
    return accepted()


def _add_steer(operation: Operation, steer: Callable[..., None], summary: str) -> None:
    def route(request: HttpRequest, path: Path[InstancePath], query: Query[ReasonQuery]) -> HttpResponse:
        reason = query.reason or None
        with acting(request, operation, instance_id=path.instance_id, detail=reason or "") as act:
            act.commit(steer, DurableClient(), path.instance_id, reason)
        return accepted()

    route.__doc__ = "Answer 202 once the request is stored; a worker carries it out."
    router.post(
        f"instances/{{instanceId}}/{operation.value}",
        response=answers(ok={202: None}, errors=(404, 409, 410)),
        operation_id=operation.value,
        summary=summary,
    )(route)


for _operation, (_steer, _summary) in _STEERS.items():
    _add_steer(_operation, _steer, _summary)


def accepted() -> HttpResponse:
    """Return 202 without a body, as Durable Functions does."""
    return HttpResponse(status=202, content_type="application/json", headers={"Cache-Control": "no-store"})
