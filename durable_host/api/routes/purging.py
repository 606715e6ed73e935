"""Removing finished instances."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from durable_host.api.errors import ApiError
from durable_host.api.guard import acting
from durable_host.api.queries import AnyQuery, PurgeQuery
from durable_host.api.responses import json_response
from durable_host.api.schemas import Purged
from durable_host.client import DurableClient
from durable_host.core.access import Operation

from .shared import InstancePath, answers, router


@router.delete(
    "instances/{instanceId}",
    response=answers(ok={200: Purged}, errors=(404, 409)),
    operation_id="purge",
    summary="Remove a finished instance with its history",
)
def purge(request: HttpRequest, path: Path[InstancePath], query: Query[AnyQuery]) -> HttpResponse:
    """Answer how many instances are gone: its finished sub-orchestrations go with it."""
    with acting(request, Operation.PURGE, instance_id=path.instance_id) as act:
        removed = act.commit(DurableClient().purge, path.instance_id)
    return json_response({"instancesDeleted": removed})


@router.delete(
    "instances",
    response=answers(ok={200: Purged}, errors=(404,)),
    operation_id="purgeMany",
    summary="Remove finished instances",
)
def purge_many(request: HttpRequest, query: Query[PurgeQuery]) -> HttpResponse:
    """Remove the finished ones of a selection; createdTimeFrom must be given. Answer 404 where there is none."""
    with acting(request, Operation.PURGE_MANY, detail=_selection(query)) as act:
        removed = act.commit_apart(DurableClient().purge_by, query.filter(act.caller.name_pattern))
    if not removed:
        raise ApiError(404, "No finished instance fits.", kind="NothingToPurge")
    return json_response({"instancesDeleted": removed})


def _selection(query: PurgeQuery) -> str:
    """Return the filters that are set, for the record."""
    return query.model_dump_json(exclude_defaults=True, by_alias=True, exclude={"task_hub"})
