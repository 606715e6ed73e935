"""What the routes share: path parameters and the documented answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from durable_host.api.guard import Act
from durable_host.api.mounts import mount_of
from durable_host.api.queries import WaitQuery
from durable_host.api.responses import check_status, finished_or, instance_addresses
from durable_host.api.schemas import Problem
from durable_host.core.access import ON_ONE_INSTANCE, Operation
from durable_host.core.errors import BadRequestError

#: one for all files: the methods of an address must lie in one router
router = Router(tags=["Instances"], by_alias=True)

_ID: JsonDict = {"pattern": "^[A-Za-z0-9_:-]{1,100}$", "examples": ["b79baf67f717453ca9e86c5da21e03ec"]}
_EVENT: JsonDict = {"pattern": "^[!-.0-~]{1,256}$", "examples": ["Approval"]}


class _Path(Schema):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class FunctionPath(_Path):
    """An orchestrator."""

    function_name: str = Field(json_schema_extra={"examples": ["DoWork"]}, description="Name of the orchestrator.")


class FunctionInstancePath(FunctionPath):
    """An orchestrator, and the id of the instance to be."""

    instance_id: str = Field(json_schema_extra=_ID, description="Id of the new instance.")


class InstancePath(_Path):
    """An instance."""

    instance_id: str = Field(json_schema_extra=_ID, description="Id of the instance.")


class EventPath(InstancePath):
    """An instance, and an event for it."""

    event_name: str = Field(json_schema_extra=_EVENT, description="Name of the event, in any case.")


#: every route may be answered so
ALWAYS: dict[int, Any] = {status: Problem for status in (400, 401, 403, 429, 503)}


def answers(*, ok: dict[int, Any], errors: tuple[int, ...] = ()) -> dict[int, Any]:
    """Return the documented answers of a route."""
    return {**ok, **ALWAYS, **dict.fromkeys(errors, Problem)}


def json_body(description: str, example: Any) -> dict[str, Any]:
    """Return the documented body of a route that takes any JSON value."""
    content = {"application/json": {"schema": {}, "example": example}}
    return {"requestBody": {"description": description, "required": False, "content": content}}


def started(request: HttpRequest, instance_id: str, query: WaitQuery, act: Act) -> HttpResponse:
    """Answer a start: with the addresses of the instance, after waiting for it where the query asks for that."""
    fails = query.return_internal_server_error_on_failure
    # A token opens one operation. To watch what it has started is all that it gains by that.
    signed = {Operation.STATUS, Operation.RESTART} if act.caller.kind == "token" else ON_ONE_INSTANCE

    def addresses() -> HttpResponse:
        base = mount_of(request).links_base
        return check_status(instance_addresses(request, instance_id, base=base, fails=fails, signed=signed))

    return waited(query, addresses, instance_id)


def check_waiting(query: WaitQuery) -> None:
    """Refuse a wait that cannot be, before anything is started.

    Raises:
        BadRequestError: the interval is longer than the whole wait.
    """
    timeout, interval = query.timeout, query.polling_interval
    if timeout is not None and interval is not None and interval > timeout:
        raise BadRequestError(f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")


def waited(query: WaitQuery, otherwise: Callable[[], HttpResponse], instance_id: str) -> HttpResponse:
    """Wait for an instance where the query asks for it; as in Durable Functions, only with both of its figures."""
    if query.timeout is None or query.polling_interval is None:
        return otherwise()
    fails = query.return_internal_server_error_on_failure
    return finished_or(otherwise, instance_id, query.timeout, query.polling_interval, fails=fails)
