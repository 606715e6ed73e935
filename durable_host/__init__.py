"""Durable orchestrations for Django: the author's API.

Write orchestrators and activities with these names; start and steer them with ``durable_host.client.DurableClient``.
"""

from .core.context import OrchestrationContext
from .core.errors import (
    BadRequestError,
    DurableError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    InvalidInstanceIdError,
    InvalidOperationError,
    NonDeterminismError,
    NonDurableAwaitError,
    OrchestratorCodeError,
    PayloadError,
    SubOrchestrationFailedError,
    TaskFailedError,
    UnknownOrchestratorError,
)
from .core.failure import FailureDetails
from .core.http_messages import DurableHttpResponse, HttpRetryOptions
from .core.registry import ActivityContext, activity, orchestrator
from .core.retry import RetryOptions, RetryPolicy
from .core.status import RuntimeStatus
from .core.tasks import Task, TimerTask

__all__ = [
    "ActivityContext",
    "BadRequestError",
    "DurableError",
    "DurableHttpResponse",
    "FailureDetails",
    "HttpRetryOptions",
    "InstanceAlreadyExistsError",
    "InstanceNotFoundError",
    "InvalidInstanceIdError",
    "InvalidOperationError",
    "NonDeterminismError",
    "NonDurableAwaitError",
    "OrchestrationContext",
    "OrchestratorCodeError",
    "PayloadError",
    "RetryOptions",
    "RetryPolicy",
    "RuntimeStatus",
    "SubOrchestrationFailedError",
    "Task",
    "TaskFailedError",
    "TimerTask",
    "UnknownOrchestratorError",
    "activity",
    "orchestrator",
]
