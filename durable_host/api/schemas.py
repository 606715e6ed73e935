"""The answers, for the OpenAPI document. :mod:`.payloads` builds them."""

from __future__ import annotations

from typing import Any

from ninja import Schema
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from durable_host.core.status import RuntimeStatus

_ID = "b79baf67f717453ca9e86c5da21e03ec"
_URI = f"http://127.0.0.1:8000/runtime/webhooks/durabletask/instances/{_ID}"


class Answer(Schema):
    """What all answers share: names in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class CheckStatus(Answer):
    """The addresses of one instance. Each works as it stands, until its token expires."""

    id: str = Field(examples=[_ID])
    status_query_get_uri: str = Field(examples=[f"{_URI}?code=dt_…"])
    send_event_post_uri: str = Field(examples=[f"{_URI}/raiseEvent/{{eventName}}?code=dt_…"])
    terminate_post_uri: str = Field(examples=[f"{_URI}/terminate?reason={{text}}&code=dt_…"])
    rewind_post_uri: str = Field(examples=[f"{_URI}/rewind?reason={{text}}&code=dt_…"])
    purge_history_delete_uri: str = Field(examples=[f"{_URI}?code=dt_…"])
    restart_post_uri: str = Field(examples=[f"{_URI}/restart?code=dt_…"])
    suspend_post_uri: str = Field(examples=[f"{_URI}/suspend?reason={{text}}&code=dt_…"])
    resume_post_uri: str = Field(examples=[f"{_URI}/resume?reason={{text}}&code=dt_…"])


class Status(Answer):
    """What is known of one instance."""

    name: str = Field(examples=["nightly"])
    instance_id: str = Field(examples=[_ID])
    runtime_status: RuntimeStatus
    input: Any = Field(None, examples=["2026-11-22"])
    custom_status: Any = Field(None, examples=[{"percent": 40}])
    output: Any = Field(None, description="The result; for a failed instance what went wrong, as text.")
    created_time: str = Field(examples=["2026-11-22T18:00:00Z"])
    last_updated_time: str = Field(examples=["2026-11-22T18:00:02Z"])
    version: str | None = Field(None, description="Only where it has one.")
    tags: dict[str, str] | None = Field(None, description="Only where it has some.")
    parent_instance_id: str | None = Field(None, description="Only for a sub-orchestration.")
    scheduled_start_time: str | None = Field(None, description="Only where it was to start later.")
    stall_reason: str | None = Field(None, description="Only where it cannot go on: why.")
    history_events: list[dict[str, Any]] | None = Field(
        None,
        description="Only where showHistory asks for it.",
        examples=[
            [{"EventType": "TaskCompleted", "FunctionName": "score", "Timestamp": "2026-11-22T18:00:01.204117Z"}]
        ],
    )


class Purged(Answer):
    """How many instances were removed, sub-orchestrations included."""

    instances_deleted: int = Field(examples=[1])


class Problem(Schema):
    """Why a request was not carried out."""

    Message: str = Field(examples=["One or more of the arguments submitted is incorrect"])
    ExceptionMessage: str = Field(examples=["No orchestrator 'DoWrok' is registered here. Did you mean 'DoWork'?"])
    ExceptionType: str = Field(examples=["UnknownOrchestratorError"])
    StackTrace: str | None = Field(None, description="In development only.")
