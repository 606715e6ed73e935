"""``settings.DURABLE_HOST`` as one frozen object."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .core.limits import Limits
from .core.payload import DEFAULT_MAX_BYTES
from .core.registry import DEFAULT_QUEUE
from .core.retention import RetentionRule, rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Every setting of the host. In ``settings.DURABLE_HOST`` the keys are these names in upper case."""

    #: name that keeps the instances of several hosts in one database apart
    task_hub: str = "default"
    #: modules or packages whose orchestrators and activities are registered at start-up
    modules: tuple[str, ...] = ("orchestrations",)
    #: queue whose workers run turns
    turn_queue: str = DEFAULT_QUEUE
    #: version of instances that are started without one
    default_version: str = ""
    #: largest JSON text of an input, result or event, in bytes
    max_payload_bytes: int = DEFAULT_MAX_BYTES
    #: events that the history of one execution may have; it fails beyond
    max_history_events: int = Limits().history_events
    #: bytes of the payloads and failures in it, likewise
    max_history_bytes: int = Limits().history_bytes
    #: activities, sub-orchestrations, timers and messages that one turn may ask for; the orchestrator fails beyond
    max_turn_tasks: int = Limits().turn_tasks
    #: activities that one worker process runs at a time
    max_activities: int = 100
    #: instances that one worker takes into one checkpoint
    turn_batch: int = 100
    #: executions that a worker keeps alive between turns instead of replaying them
    resident_executions: int = 5000
    #: how long a worker may hold an activity without a sign of life
    activity_lease: timedelta = timedelta(seconds=30)
    #: how long a worker may hold an instance for a turn
    turn_lease: timedelta = timedelta(seconds=10)
    #: how long a checkpoint on PostgreSQL waits for a worker that was halted, before the server undoes it and frees its
    #: locks; zero for ever
    idle_transaction_limit: timedelta = timedelta(seconds=10)
    #: longest run of one turn; a worker whose turn takes longer ends, and the instance is tried alone
    turn_timeout: timedelta = timedelta(seconds=8)
    #: how long an instance stays with the worker that runs its activities
    affinity: timedelta = timedelta(seconds=5)
    #: how often a worker looks for work that no bell announced
    sweep_interval: timedelta = timedelta(seconds=5)
    #: how long a stalled instance waits at most before it is tried again; half of it is left to chance
    stall_retry: timedelta = timedelta(seconds=30)
    #: processes of its own that a turn or an activity may end before it is given up
    max_delivery_attempts: int = 5
    #: how long finished instances are kept: the first rule that fits decides; what no rule fits is kept for ever
    retention: tuple[RetentionRule, ...] = ()
    #: how long workers wait after a sweep that removes what is no longer kept
    retention_interval: timedelta = timedelta(minutes=10)
    #: plain functions that have outrun their time limit and still hold a thread, before a worker ends to be replaced
    max_abandoned: int = 10
    #: activities that one worker process runs in processes of their own at a time
    max_isolated: int = 8
    #: how long a stopping worker waits for running activities
    shutdown_grace: timedelta = timedelta(seconds=10)
    #: hosts that durable HTTP calls may reach: names, or ".example.org" for a domain with its subdomains; None for all
    http_allowed_hosts: tuple[str, ...] | None = None
    #: whether durable HTTP calls may reach private and loopback addresses
    http_allow_private: bool = False
    #: longest run of one HTTP request
    http_timeout: timedelta = timedelta(seconds=100)
    #: how long a durable HTTP call waits before it polls, where the server does not say
    http_poll_interval: timedelta = timedelta(seconds=30)
    #: how long the addresses in a check-status payload work
    token_lifetime: timedelta = timedelta(days=7)
    #: accept calls without a key from this machine, though never from a browser on another site: for local runs alone
    keyless_loopback: bool = False
    #: starts that one caller may ask for (``n/second``, ``n per 5 minutes``); empty for no limit
    start_rate: str = "20000/minute"
    #: external events that one caller may send
    event_rate: str = "20000/minute"
    #: denied attempts of one address that are answered one by one; more are turned away without a record
    denied_rate: str = "120/minute"
    #: where the rates are counted: ``memory://`` (each process for itself) or the URL of a Redis
    rate_storage: str = "memory://"
    #: longest time that a request may wait for an instance to finish
    max_http_wait: timedelta = timedelta(seconds=230)
    #: requests of one process that may wait at a time; others are answered at once
    max_http_waits: int = 4
    #: Azure's id of the Application Insights resource, for links to the portal: "/subscriptions/…"; empty for no links
    appinsights_resource_id: str = ""
    #: where that portal is: another one in Azure's national clouds
    appinsights_portal: str = "https://portal.azure.com"
    #: show inputs, outputs and reasons in exported tracking records; otherwise only how long they are
    trace_inputs_and_outputs: bool = False
    #: export what a replay repeats, too, marked as such
    trace_replay_events: bool = False

    @property
    def limits(self) -> Limits:
        """What one execution may hold."""
        return Limits(
            history_events=self.max_history_events,
            history_bytes=self.max_history_bytes,
            turn_tasks=self.max_turn_tasks,
        )


@lru_cache(maxsize=1)
def host_settings() -> HostSettings:
    """Return the settings of this process.

    Raises:
        ImproperlyConfigured: ``DURABLE_HOST`` has a key that is not a setting, or a rule of retention that is none.
    """
    given: dict[str, Any] = getattr(settings, "DURABLE_HOST", {})
    known = {field.name for field in fields(HostSettings)}
    unknown = sorted(key for key in given if key.lower() not in known)
    if unknown:
        raise ImproperlyConfigured(
            f"DURABLE_HOST has no setting {', '.join(unknown)}. Known are: {', '.join(sorted(known)).upper()}."
        )
    values: dict[str, Any] = {
        key.lower(): tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    try:
        values["retention"] = rules_of(values.get("retention", ()))
    except ValueError as error:
        raise ImproperlyConfigured(f"DURABLE_HOST: {error}") from None
    return HostSettings(**values)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "DURABLE_HOST":
        host_settings.cache_clear()


setting_changed.connect(_forget)
