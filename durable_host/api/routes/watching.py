"""Reading instances: one, and lists."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from durable_host.api.guard import admit_reader
from durable_host.api.mounts import mount_of
from durable_host.api.payloads import status_payload
from durable_host.api.queries import ListQuery, StatusQuery
from durable_host.api.responses import instance_addresses, json_response, status_response
from durable_host.api.schemas import Status
from durable_host.client import DurableClient
from durable_host.core.access import Operation
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.projection import project

from .shared import InstancePath, answers, router

CONTINUATION = "x-ms-continuation-token"
_PAGE_HEADER = {
    "description": "Send it back in the same header for the next page; missing on the last one.",
    "schema": {"type": "string"},
}
_CONTINUATION_PARAMETER = {
    "name": CONTINUATION,
    "in": "header",
    "required": False,
    "description": "What the page before gave.",
    "schema": {"type": "string", "maxLength": 0},
}


@router.get(
    "instances/{instanceId}",
    response=answers(ok={200: Status, 202: Status, 500: Status}, errors=(404,)),
    operation_id="getStatus",
    summary="Read an instance",
)
def get_status(request: HttpRequest, path: Path[InstancePath], query: Query[StatusQuery]) -> HttpResponse:
    """Answer 202 with Location and Retry-After while it goes on, 200 once it has finished, well or not."""
    admit_reader(request, Operation.STATUS, path.instance_id)
    client = DurableClient()
    status = client.get_status(path.instance_id, show_input=query.show_input)
    if status is None:
        raise InstanceNotFoundError(path.instance_id)
    history = None
    if query.show_history:
        events = client.get_history(path.instance_id)
        history = project(events, show_input=query.show_input, show_output=query.show_history_output)
    fails = query.return_internal_server_error_on_failure
    return status_response(status, _here(request, path.instance_id), fails=fails, history=history)


@router.get(
    "instances",
    response=answers(ok={200: list[Status]}),
    operation_id="listInstances",
    summary="List instances",
    openapi_extra={
        "parameters": [_CONTINUATION_PARAMETER],
        "responses": {200: {"headers": {CONTINUATION: _PAGE_HEADER}}},
    },
)
def list_instances(request: HttpRequest, query: Query[ListQuery]) -> HttpResponse:
    """Answer one page; the header x-ms-continuation-token leads to the next."""
    caller = admit_reader(request, Operation.LIST)
    page = DurableClient().query(
        query.filter(caller.name_pattern),
        page_size=query.top,
        continuation=request.headers.get(CONTINUATION) or None,
        show_input=query.show_input,
        newest_first=query.order == "newest",
    )
    headers = {CONTINUATION: page.continuation} if page.continuation else {}
    return json_response([status_payload(one) for one in page.items], headers=headers)


def _here(request: HttpRequest, instance_id: str) -> str:
    """Return this request's own address, with a token in place of the key that it may carry."""
    address = instance_addresses(request, instance_id, base=mount_of(request).links_base, signed={Operation.STATUS})
    query = request.GET.copy()
    for name in [name for name in query if name.lower() in ("code", "taskhub", "connection")]:
        del query[name]
    rest = query.urlencode()
    return f"{address['statusQueryGetUri']}{'&' if rest else ''}{rest}"
