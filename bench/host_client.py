"""What the client's process does when the host is measured. Each function returns its figures."""

from __future__ import annotations

import statistics
import time
from typing import Any

from durable_host.client import DurableClient
from durable_host.core.events import TaskCompleted
from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance

from .functions import chain, fan_out
from .watching import Meter, wait_for_all

CHAIN_OF = 5
_LONGEST = 900.0
_IDLE = 0.05
_LOOK_EVERY = 0.0005


def chains(worker: int, count: int) -> dict[str, float]:
    """Start many chains in one call and wait for the last."""
    warm = _warm_up()
    meter = Meter(worker)
    DurableClient().start_many(chain, [CHAIN_OF] * count)
    wait_for_all(count + warm, _LONGEST)
    figures = meter.figures()
    outputs = set(Instance.objects.values_list("output", flat=True))
    assert outputs == {str(CHAIN_OF)}, outputs
    return figures


def long_chain(worker: int, length: int) -> dict[str, float]:
    """Run one chain and compare its halves by the times in its history."""
    figures, instance_id = _run_one(worker, chain, length, expected=length)
    history = DurableClient().get_history(instance_id)
    times = [event.timestamp for event in history if isinstance(event, TaskCompleted)]
    assert len(times) == length, len(times)
    middle = times[length // 2 - 1]
    first, second = middle - history[0].timestamp, times[-1] - middle
    return figures | {"first_half": first.total_seconds(), "second_half": second.total_seconds()}


def wide_fan_out(worker: int, width: int) -> dict[str, float]:
    """Run one instance that calls all its activities at once."""
    figures, _ = _run_one(worker, fan_out, width, expected=width * (width + 1) // 2)
    return figures


def latency(worker: int, samples: int) -> dict[str, float]:
    """Start one activity's worth of work on an idle host, again and again."""
    _warm_up()
    client, taken = DurableClient(), []
    for _ in range(samples):
        time.sleep(_IDLE)
        begin = time.perf_counter()
        instance_id = client.start_new(chain, 1)
        status = Instance.objects.filter(instance_id=instance_id).values_list("status", flat=True)
        while status.get() != RuntimeStatus.COMPLETED:
            time.sleep(_LOOK_EVERY)
        taken.append((time.perf_counter() - begin) * 1000)
    cuts = statistics.quantiles(taken, n=20, method="inclusive")
    return {"p50_ms": cuts[9], "p95_ms": cuts[18]}


def _warm_up() -> int:
    """Have the worker open its connections and import what it needs; return how many instances that took."""
    DurableClient().start_many(chain, [CHAIN_OF] * 10)
    wait_for_all(10, 60)
    return 10


def _run_one(worker: int, orchestrator: Any, size: int, *, expected: int) -> tuple[dict[str, float], str]:
    warm = _warm_up()
    meter = Meter(worker)
    instance_id = DurableClient().start_new(orchestrator, size)
    wait_for_all(warm + 1, _LONGEST)
    figures = meter.figures()
    output = Instance.objects.get(instance_id=instance_id).output
    assert output == str(expected), output
    return figures, instance_id
