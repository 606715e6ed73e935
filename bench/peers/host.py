"""The durable host as it is deployed: worker processes, a Redis that rings, and a client in a process of its own."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from bench import functions
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core import metrics
from durable_host.core.status import RuntimeStatus
from durable_host.models import EventWait, Instance, WorkerState
from tests.services import wait_until

from .common import CHAIN_OF, IDLE, LONGEST, WARM, Figures, Meter, are_at_rest, percentiles, processes, workers
from .site import redis, wait_for_all

#: seconds after which an idle worker does what it does all day, and PostgreSQL has counted what was before
_SETTLING = 12
#: seconds between setting the last timer and its being due
_LEAD = 3


def chains(count: int) -> Figures:
    """Start many chains in one call and wait for the last; count the turns that lost a race."""
    with running_host() as pids:
        meter = Meter(pids)
        DurableClient().start_many(functions.chain, [CHAIN_OF] * count)
        wait_for_all()
        figures = meter.figures()
    outputs = set(Instance.objects.order_by("-pk").values_list("output", flat=True)[:count])
    assert outputs == {str(CHAIN_OF)}, outputs
    # Stopped workers have written down all that they counted.
    counted = WorkerState.objects.filter(pid__in=pids).values_list("counters", flat=True)
    return figures | {"lost_turns": sum(map(_lost_turns, counted)) / (count * (CHAIN_OF + 1))}


def fan_out(width: int) -> Figures:
    """Run one instance that calls all its activities at once."""
    return _run_one(functions.fan_out, width, expected=width * (width + 1) // 2)


def long_chain(length: int) -> Figures:
    """Run one instance that calls its activities one after the other."""
    return _run_one(functions.chain, length, expected=length)


def waits_on_loop(width: int) -> Figures:
    """Run activities that wait a second, as coroutines."""
    return _run_one(functions.wait_on_loop, width, expected=width) | _ideal(width)


def waits_in_threads(width: int) -> Figures:
    """Run activities that wait a second, as plain functions."""
    return _run_one(functions.wait_in_threads, width, expected=width) | _ideal(width)


def live(count: int) -> Figures:
    """Have many instances wait for an event, all at once."""
    with running_host() as pids:
        meter = Meter(pids)
        DurableClient().start_many(functions.listen, [None] * count)
        wait_until(lambda: EventWait.objects.count() == count, "all to listen", LONGEST)
        return meter.figures()


def idle(seconds: int) -> Figures:
    """Have workers wait for work that does not come."""
    with running_host() as pids:
        time.sleep(_SETTLING)
        meter, transactions = Meter(pids), _transactions()
        time.sleep(seconds)
        figures = meter.figures()
        figures["percent_of_core"] = figures["cpu"] * 100 / figures["seconds"]
        if transactions is not None:
            figures["transactions_a_second"] = ((_transactions() or 0) - transactions) / figures["seconds"]
        return figures


def latency(samples: int) -> Figures:
    """Start one activity's worth of work on an idle host, again and again, until the caller sees its end."""
    with running_host():
        return percentiles([_time(lambda: DurableClient().start_new(functions.chain, 1)) for _ in range(samples)])


def events(samples: int) -> Figures:
    """Send an event to an instance that waits for it, again and again, until the sender sees its end."""
    client = DurableClient()
    with running_host():
        taken = []
        for _ in range(samples):
            instance_id = client.start_new(functions.listen)
            wait_until(EventWait.objects.filter(instance__in=_named(instance_id)).exists, "the instance to listen")
            taken.append(_time(partial(_answer, instance_id)))
        return percentiles(taken)


def timers(count: int) -> Figures:
    """Have many instances wait for one moment; how late each went on, and when the sender saw the last of them end."""
    with running_host():
        lead = _LEAD + count / 1000
        while (due := _set_timers(count, timedelta(seconds=lead))) is None:
            wait_for_all()
            lead *= 2  # a slow machine: once more, with time enough to set all of them before they are due
        wait_for_all()
        seen = (datetime.now(UTC) - due).total_seconds()
        ended = Instance.objects.order_by("-pk").values_list("completed_at", flat=True)[:count]
        return percentiles([(one - due).total_seconds() for one in ended if one]) | {"seconds": seen}


# --- details ----------------------------------------------------------------------------------------------------------


@contextmanager
def running_host() -> Iterator[list[int]]:
    """Run the workers, warm; give their process ids."""
    count = workers()
    with redis(), processes([[sys.executable, "manage.py", "durable_worker"]] * count) as started:
        living = WorkerState.objects.filter(left_at__isnull=True)
        wait_until(lambda: living.count() == count, f"{count} workers")
        DurableClient().start_many(functions.chain, [CHAIN_OF] * WARM)
        wait_for_all()
        pids = [process.pid for process in started]
        # The relays beside them are still starting, and would make telemetry look dearer than it is.
        wait_until(lambda: are_at_rest(pids), "the workers to be ready", LONGEST)
        yield pids


def _run_one(orchestrator: Callable[..., Any], size: int, *, expected: int) -> Figures:
    with running_host() as pids:
        meter = Meter(pids)
        instance_id = DurableClient().start_new(orchestrator, size)
        wait_for_all()
        figures = meter.figures()
        output = Instance.objects.get(instance_id=instance_id).output
        assert output == str(expected), output
        return figures


def _set_timers(count: int, lead: timedelta) -> datetime | None:
    """Return when the timers are due; None if that moment came before all of them were set."""
    due = datetime.now(UTC) + lead
    DurableClient().start_many(functions.sleep_until, [due] * count)
    # Such as have not been started are pending, which is few; and an index has them by hub.
    waiting = Instance.objects.filter(hub=host_settings().task_hub, status=RuntimeStatus.PENDING)
    wait_until(lambda: not waiting.exists(), "all to sleep", LONGEST)
    return due if datetime.now(UTC) < due else None


def _time(act: Callable[[], str]) -> float:
    """Return the seconds from an act on an instance to its end, as who waits for it sees them."""
    time.sleep(IDLE)
    begin = time.perf_counter()
    status = DurableClient().wait_for_completion(act())
    seconds = time.perf_counter() - begin
    assert status.runtime_status is RuntimeStatus.COMPLETED, status
    return seconds


def _named(instance_id: str) -> QuerySet[Instance]:
    """Return the instance of an id, found by its index."""
    return Instance.objects.filter(hub=host_settings().task_hub, instance_id=instance_id)


def _answer(instance_id: str) -> str:
    DurableClient().raise_event(instance_id, "go", 1)
    return instance_id


def _ideal(width: int) -> Figures:
    """Return how long activities of a second must take with the concurrency that is set."""
    return {"ideal": math.ceil(width / (workers() * host_settings().max_activities))}


def _transactions() -> int | None:
    """Return how many transactions this database has seen; None where it does not count."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def _lost_turns(counters: dict[str, Any]) -> float:
    tallies: dict[str, list[float]] = counters.get(metrics.TURN_CONFLICTS.name, {})
    return sum(tally[0] for tally in tallies.values())
