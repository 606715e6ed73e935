"""Django system checks: what would lose work or speed, said before it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from .conf import host_settings
from .core.registry import default_registry
from .telemetry.environment import destinations

#: what a worker checks when it starts; the pages and their addresses are not its business
TAG = "durable_host"


@register(TAG)
def check_queues(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every queue that turns and activities use must be one that RQ knows."""
    known = getattr(settings, "RQ_QUEUES", {})
    used = {host_settings().turn_queue: "the setting TURN_QUEUE"}
    used |= {spec.queue: f"activity {spec.name!r}" for spec in default_registry.activities.values()}
    return [
        Error(
            f"Queue {queue!r} of {user} is not in RQ_QUEUES.",
            hint=f"Add it (known are: {', '.join(sorted(known)) or 'none'}), and serve it by durable_worker --queues.",
            id="durable_host.E001",
        )
        for queue, user in sorted(used.items())
        if queue not in known
    ]


@register(TAG)
def check_serializer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """RQ's default serializer is pickle: whoever writes to Redis then runs code in every worker."""
    return [
        Error(
            f"Queue {name!r} of RQ_QUEUES does not use JSON.",
            hint='Set "SERIALIZER": "rq.serializers.JSONSerializer".',
            id="durable_host.E002",
        )
        for name, options in getattr(settings, "RQ_QUEUES", {}).items()
        if "JSONSerializer" not in str(options.get("SERIALIZER", ""))
    ]


@register(TAG)
def check_sqlite(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without IMMEDIATE transactions two SQLite writers meet in the middle, and one of them fails."""
    database = settings.DATABASES.get("default", {})
    if not str(database.get("ENGINE", "")).endswith("sqlite3"):
        return []
    if database.get("OPTIONS", {}).get("transaction_mode") == "IMMEDIATE":
        return []
    return [
        Warning(
            "SQLite is used without transaction_mode IMMEDIATE.",
            hint='OPTIONS: {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": '
            '"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"}',
            id="durable_host.W001",
        )
    ]


@register(TAG)
def check_telemetry(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Telemetry that cannot be sent stops nobody's work, but nobody shall learn of it from an empty chart."""
    return [
        Warning(problem, hint="See docs/configuration.md.", id="durable_host.W002")
        for problem in destinations().problems
    ]
