"""What the queries of the routes may hold, with Durable Functions' names and a few more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from durable_host.client import InstanceFilter
from durable_host.conf import host_settings
from durable_host.core.status import RuntimeStatus

_PLUS_LOST = re.compile(r" (?=\d\d:\d\d$)")
_TAG = re.compile(r"([^:]{1,64}):(.{0,256})", re.DOTALL)
_MAX_PAGE = 1000


def _moment(value: Any) -> Any:
    """Read an ISO 8601 time; one without an offset is UTC."""
    try:
        # A plus in a query means a space, unless somebody has encoded it.
        when = datetime.fromisoformat(_PLUS_LOST.sub("+", str(value)))
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("a time is written as 2026-11-22T18:00:00Z") from error


def _split(value: Any) -> list[str]:
    """Take ``a,b`` and a repeated parameter for the same."""
    given = value if isinstance(value, list) else [value]
    return [part.strip() for one in given for part in str(one).split(",") if part.strip()]


def _tags(value: Any) -> list[str]:
    tags = value if isinstance(value, list) else [value]
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise ValueError(
                "a tag is written as name:value, its name of 1 to 64 and its value of at most 256 characters"
            )
    return tags


def _own_hub(hub: str | None) -> str | None:
    """Refuse another hub's name: its caller would write into the wrong one."""
    own = host_settings().task_hub
    if hub is not None and hub.lower() != own.lower():
        raise ValueError(f"this host serves the task hub {own!r}")
    return hub


_MOMENT = {"type": "string", "format": "date-time", "examples": ["2026-11-22T18:00:00Z"]}
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_MOMENT)]
#: an empty value in a query is none
OptionalMoment = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [_MOMENT, {"type": "string", "maxLength": 0}], "examples": _MOMENT["examples"]}),
]
Tags = Annotated[
    list[str],
    BeforeValidator(_tags),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": "^[a-z]{1,64}:[a-z0-9]{0,256}$"},
            "examples": [["team:blue"]],
        }
    ),
]
Statuses = Annotated[list[RuntimeStatus], BeforeValidator(_split)]


class AnyQuery(Schema):
    """What every address takes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    task_hub: Annotated[str | None, AfterValidator(_own_hub)] = Field(
        None, json_schema_extra={"include_in_schema": False}
    )


class WaitQuery(AnyQuery):
    """For addresses that can wait for the end of an instance."""

    timeout: float | None = Field(
        None, ge=0, le=86_400, allow_inf_nan=False, description="Seconds to wait for the instance to finish."
    )
    polling_interval: float | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False, description="Seconds between two looks; needed to wait."
    )
    return_internal_server_error_on_failure: bool = Field(False, description="Answer 500 where the instance failed.")


class StartQuery(WaitQuery):
    """How to start."""

    version: str | None = Field(None, max_length=256, description="Version of the orchestration.")
    tag: Tags = Field(default_factory=list, description="A tag as name:value; may be repeated.")
    scheduled_start_time: OptionalMoment = Field(None, description="When to start; at once by default.")


class RestartQuery(WaitQuery):
    """How to start again."""

    restart_with_new_instance_id: bool = Field(True, description="Under a new id; otherwise under its own.")


class StatusQuery(AnyQuery):
    """What to show of an instance."""

    show_history: bool = Field(False, description="Show the history.")
    show_history_output: bool = Field(False, description="Show the results in the history.")
    show_input: bool = Field(True, description="Show the inputs.")
    return_internal_server_error_on_failure: bool = Field(False, description="Answer 500 where the instance failed.")


class SelectionQuery(AnyQuery):
    """Which instances are meant."""

    created_time_from: OptionalMoment = Field(None, description="Created at this time or later.")
    created_time_to: OptionalMoment = Field(None, description="Created at this time or before.")
    runtime_status: Statuses = Field(default_factory=list, description="Repeated, or divided by commas.")
    instance_id_prefix: str | None = Field(None, max_length=256, description="How their ids begin.")
    name: str | None = Field(None, max_length=256, description="Their orchestrator.")
    tag: Tags = Field(default_factory=list, description="A tag as name:value; may be repeated.")
    custom_status: str | None = Field(None, max_length=256, description="Text that their custom status holds.")

    def filter(self, name_pattern: str) -> InstanceFilter:
        """Return the selection, cut down to the orchestrators that the caller may see."""
        return InstanceFilter(
            statuses=tuple(self.runtime_status),
            name=self.name or None,
            name_pattern=name_pattern or None,
            instance_id_prefix=self.instance_id_prefix or None,
            custom_status=self.custom_status or None,
            tags=tags_of(self.tag),
            created_from=self.created_time_from,
            created_to=self.created_time_to,
        )


class PurgeQuery(SelectionQuery):
    """Which instances are to be removed. Without a beginning in time it would be easy to mean all of them."""

    created_time_from: Moment = Field(description="Created at this time or later.")


class ListQuery(SelectionQuery):
    """A page of a list."""

    top: int = Field(100, ge=1, le=_MAX_PAGE, description="Instances on one page.")
    show_input: bool = Field(True, description="Show the inputs.")
    order: Literal["newest", "oldest"] = Field("newest", description="By the time of creation.")


class ReasonQuery(AnyQuery):
    """Why."""

    reason: str | None = Field(None, max_length=1000, description="Why; kept in the history and the audit.")


def tags_of(tags: Sequence[str]) -> dict[str, str]:
    """Return tags that were written as name:value."""
    return dict(tag.split(":", 1) for tag in tags)


#: lower case → as the schemas have it: names in a query are read whatever their case
CANONICAL = {
    (field.alias or name).lower(): field.alias or name
    for schema in (StartQuery, RestartQuery, StatusQuery, ListQuery, ReasonQuery)
    for name, field in schema.model_fields.items()
}
