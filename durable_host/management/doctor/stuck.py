"""The rows: whether something stands still that could go on."""

from __future__ import annotations

from collections.abc import Iterator

from durable_host.conf import host_settings
from durable_host.core import metrics
from durable_host.store import diagnosis, gauges, overview

from .findings import Finding, bad, good, warn

_SHOWN = 3
_LONGEST_REASON = 300
#: sweeps after which somebody should have taken it
_SWEEPS = 3


def examine() -> Iterator[Finding]:
    """Look for what is stuck."""
    findings = [*_stalled(), *_late(), *_abandoned()]
    yield from findings or [good("Nothing is stuck: no message, timer or activity waits longer than it should.")]


def _stalled() -> Iterator[Finding]:
    stalled = overview.stalled_instances(host_settings().task_hub, limit=_SHOWN)
    if stalled.items:
        reasons = "\n".join(f"{one.instance_id} ({one.name}): {one.reason[:_LONGEST_REASON]}" for one in stalled.items)
        yield bad(
            f"Instances have stalled: {stalled.total}.\n{reasons}",
            "Their code no longer fits their history, is not there, or has killed workers. They wait and lose nothing.",
            "Deploy code that fits: new workers try them by themselves. One as it is: manage.py durable release ID",
        )


def _late() -> Iterator[Finding]:
    settings = host_settings()
    patience = _SWEEPS * settings.sweep_interval.total_seconds() + settings.turn_lease.total_seconds()
    ages = {sample.metric: sample.value for sample in gauges.read_hub(settings.task_hub)}
    for metric, what in ((metrics.OLDEST_MESSAGE, "A message has waited"), (metrics.TIMER_LAG, "A timer is late")):
        if ages[metric] > patience:
            yield bad(
                f"{what} for {ages[metric]:,.0f} s; a sweep takes what is older than {patience:g} s.",
                "No worker takes it: there is none, all are busy, or they cannot reach the database.",
                "See what is said of workers. Where they are well and busy, start more: manage.py durable_worker",
            )


def _abandoned() -> Iterator[Finding]:
    settings = host_settings()
    patience = settings.activity_lease + _SWEEPS * settings.sweep_interval
    count = diagnosis.abandoned_activities(settings.task_hub, for_longer_than=patience)
    if count.value:
        yield warn(
            f"{count} activities were left behind by workers that died, and nobody has taken them over.",
            "Their queue has no worker with room.",
            "Start a worker for the queue that has none, or more for the one that is busy.",
        )
