"""The work of ``python -m bench.sweep``, in a process of its own: fill, age, sweep, and start chains meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from bench import functions, growth
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.retention import rules_of
from durable_host.models import Instance
from durable_host.store import clock, retention

from .host import running_host

_PAUSE = 0.05
_BEFORE_SECONDS = 20
#: transactions that are looked at: all of a large table's would take long, and are alike
_PARTS = 400


def sweep(count: int) -> dict[str, float]:
    """Fill the database, sweep it while somebody starts instances, and return the figures."""
    growth.grow(count)
    Instance.objects.update(completed_at=clock.now() - timedelta(days=100))
    parts: list[float] = []
    with running_host():
        until = time.monotonic() + _BEFORE_SECONDS
        before = list(_starts(lambda: time.monotonic() < until))
        sweeping = threading.Thread(target=_remove_all, args=(parts,))
        began = time.perf_counter()
        sweeping.start()
        during = list(_starts(sweeping.is_alive))
        seconds = time.perf_counter() - began
        left = Instance.objects.filter(instance_id__startswith="past-").count()
    figures = {"removed": float(count - left), "seconds": seconds, "parts": float(len(parts))}
    return figures | _spread("part", parts) | _spread("start_before", before) | _spread("start_during", during)


def _remove_all(parts: list[float]) -> None:
    """Sweep as an idle worker would; note how long each transaction took, with its question before."""
    hub, rules = host_settings().task_hub, rules_of([{"days": 30}])
    assert retention.begin(hub, "bench")
    place: retention.Place | None = retention.Place()
    while place is not None and len(parts) < _PARTS:
        began = time.perf_counter()
        place = retention.remove_part(hub, "bench", rules, place)
        parts.append(time.perf_counter() - began)


def _starts(goes_on: Callable[[], bool]) -> Iterator[float]:
    """Start a chain again and again, and give how long each start took."""
    client = DurableClient()
    while goes_on():
        began = time.perf_counter()
        client.start_new(functions.chain, 2)
        yield time.perf_counter() - began
        time.sleep(_PAUSE)


def _spread(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(one * 1000 for one in seconds)
    places = {"median": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "longest": len(ordered) - 1}
    return {f"{name}_{which}_ms": ordered[place] for which, place in places.items()}
