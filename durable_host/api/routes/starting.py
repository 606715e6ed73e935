"""Starting orchestrations, and starting them again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from durable_host.api.bodies import read_json
from durable_host.api.errors import ApiError
from durable_host.api.guard import acting
from durable_host.api.mounts import Mount, mount_of
from durable_host.api.queries import RestartQuery, StartQuery, tags_of
from durable_host.api.schemas import CheckStatus, Status
from durable_host.client import DurableClient
from durable_host.core.access import Operation
from durable_host.core.errors import InstanceNotFoundError

from .shared import FunctionInstancePath, FunctionPath, InstancePath, answers, check_waiting, json_body, router, started

_BODY = json_body("The input: any JSON value; none at all means none.", {"day": "2026-11-22"})
#: a 200 is the output of what has completed, whatever that is, and the status of what has ended otherwise
_WAITED: dict[int, Any] = {202: CheckStatus, 200: Any, 500: Status}
_ANSWERS = answers(ok=_WAITED, errors=(409, 413, 415))


@router.post(
    "orchestrators/{functionName}",
    response=_ANSWERS,
    operation_id="startOrchestration",
    tags=["Orchestrators"],
    summary="Start an orchestration",
    openapi_extra=_BODY,
)
def start(request: HttpRequest, path: Path[FunctionPath], query: Query[StartQuery]) -> HttpResponse:
    """Answer 202 with the addresses of the new instance.

    With both timeout and pollingInterval, wait that long for it to finish; answer 200 with its output if it completes.
    """
    return _start(request, path.function_name, None, query)


@router.post(
    "orchestrators/{functionName}/{instanceId}",
    response=_ANSWERS,
    operation_id="startOrchestrationWithId",
    tags=["Orchestrators"],
    summary="Start an orchestration under an id of your own",
    openapi_extra=_BODY,
)
def start_with_id(request: HttpRequest, path: Path[FunctionInstancePath], query: Query[StartQuery]) -> HttpResponse:
    """As the start without an id; a finished instance of the id is replaced, an unfinished one is a 409."""
    return _start(request, path.function_name, path.instance_id, query)


def _start(request: HttpRequest, name: str, instance_id: str | None, query: StartQuery) -> HttpResponse:
    client = DurableClient()
    with acting(request, Operation.START, target=name, instance_id=instance_id or "") as act:
        check_waiting(query)
        input_ = read_json(request, "The input")
        start_at, tags = query.scheduled_start_time, tags_of(query.tag)
        new = client.prepare(name, input_, instance_id, start_at, tags, query.version or None)
        started_id = act.commit_start(client.start_prepared, new)
    return started(request, started_id, query, act)


@router.post(
    "instances/{instanceId}/restart",
    response=answers(ok=_WAITED, errors=(404, 409)),
    operation_id="restart",
    summary="Start an instance again, with its input",
)
def restart(request: HttpRequest, path: Path[InstancePath], query: Query[RestartQuery]) -> HttpResponse:
    """Answer 202 with the addresses of the new instance; by default it has an id of its own."""
    client = DurableClient()
    with acting(request, Operation.RESTART, instance_id=path.instance_id) as act:
        check_waiting(query)
        try:
            new = client.prepare_restart(path.instance_id, with_new_id=query.restart_with_new_instance_id)
        except InstanceNotFoundError as error:
            if mount_of(request) is Mount.RPC:  # what the client libraries know how to read
                raise ApiError(400, f"InstanceId does not match a valid orchestration instance. {error}") from error
            raise
        started_id = act.commit_start(client.start_prepared, new)
    return started(request, started_id, query, act)
