"""The instruments count right, from many threads, into few series, and the same for OpenTelemetry."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from durable_host.core import metrics
from durable_host.core.metrics import OTHER, Sample, Tallies, total
from durable_host.core.registry import Registry, default_registry
from durable_host.telemetry import gauges, metering, meters
from durable_host.telemetry.meters import Counter, Histogram


async def known(ctx: Any) -> None:
    """An orchestrator."""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    given = Registry()
    given.add_orchestrator(known)
    meters.know(given)
    yield
    meters.know(default_registry)
    gauges.feed(None)


def test_a_value_on_a_bound_falls_below_it() -> None:
    histogram = Histogram(metrics.TURN_REPLAYED)
    for value in (0, 0, 5, 6, 10**6):
        histogram.record(value, "known")
    sum_, *counts = histogram.read()["known"]
    assert sum_ == 10**6 + 11
    assert counts[:3] == [2, 1, 1]  # up to 0, 5, 10
    assert counts[-1] == 1
    assert len(counts) + 1 == metrics.TURN_REPLAYED.width


def test_clocks_that_differ_make_no_negative_time() -> None:
    histogram = Histogram(metrics.TURN_WAIT)
    histogram.record(-3, "known")
    assert histogram.read()["known"][:2] == [0, 1]


def test_unknown_names_share_one_series() -> None:
    counter = Counter(metrics.STALLS)
    for name in ("known", "made-up-1", "made-up-2", "known"):
        counter.add(name)
    assert counter.read() == {"known": [2], OTHER: [2]}


def test_threads_lose_no_count() -> None:
    counter, histogram = Counter(metrics.STALLS), Histogram(metrics.TURN_WAIT)

    def count() -> None:
        for _ in range(5_000):
            counter.add("known")
            histogram.record(1, "known")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read() == {"known": [20_000]}
    assert sum(histogram.read()["known"][1:]) == 20_000


def test_tallies_are_added_and_taken_from_each_other() -> None:
    one: Tallies = {"a": {"x": [1.0, 2.0]}, "b": {"": [5.0]}}
    other: Tallies = {"a": {"x": [1.0, 1.0], "y": [3.0, 3.0]}}
    both = total(one, other)
    assert both == {"a": {"x": [2, 3], "y": [3, 3]}, "b": {"": [5]}}
    assert total(both, other, sign=-1) == one
    assert total(one, one, sign=-1) == {}
    assert total(one, {"a": {"x": [1.0, 1.0, 1.0]}}) == one  # of another version


def exported(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Metric → data points, as an exporter gets them."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}


def test_opentelemetry_gets_the_same() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metering.bind(provider.get_meter("test"))
    before = meters.turn_conflicts.read().get("known", [0.0])[0]
    meters.turn_conflicts.add("known", 3)
    points = exported(reader)
    counts = {point.attributes["orchestrator"]: point.value for point in points["durabletask.turn.conflicts"]}
    assert counts["known"] == before + 3
    provider.shutdown()


def waits_in(histograms: metering.HistogramReader) -> dict[str, Any]:
    """Label → data point, of the time between the asking for a turn and its beginning."""
    read = {metric.name: metric.data.data_points for metric in histograms.read()}
    points = read.get("durabletask.turn.schedule_to_start", ())
    return {str((point.attributes or {})["orchestrator"]): point for point in points}


@pytest.mark.parametrize("is_delta", [True, False])
def test_an_exporter_gets_histograms_in_its_temporality(is_delta: bool) -> None:
    histograms = metering.HistogramReader(is_delta=is_delta)
    before = {label: (point.count, point.sum) for label, point in waits_in(histograms).items()}
    for value in (0.2, 0.004, 0.3):
        meters.turn_wait.record(value, "known")
    meters.turn_wait.record(7, "nobody knows it")
    count, sum_ = (0, 0) if is_delta else before.get("known", (0, 0))
    waits = waits_in(histograms)
    assert tuple(waits["known"].explicit_bounds) == metrics.TURN_WAIT.bounds
    assert sum(waits["known"].bucket_counts) == waits["known"].count == count + 3
    assert waits["known"].sum == pytest.approx(sum_ + 0.504)
    assert (waits["known"].min, waits["known"].max) == (0.004, 0.3)
    assert (waits[OTHER].min, waits[OTHER].max) == (7, 7)
    assert waits_in(histograms) == {} if is_delta else waits_in(histograms)["known"].count == count + 3
    histograms.close()


def test_gauges_are_read_once_for_all_and_never_raise(caplog: pytest.LogCaptureFixture) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metering.bind(provider.get_meter("test"))
    assert "durabletask.instances" not in exported(reader)  # no worker: nobody feeds them
    reads: list[int] = []

    def read() -> Sequence[Sample]:
        reads.append(1)
        return [Sample(metrics.INSTANCES, 4, "Running"), Sample(metrics.TIMER_LAG, 1.5)]

    gauges.feed(read)
    points = exported(reader)
    assert [(one.attributes["status"], one.value) for one in points["durabletask.instances"]] == [("Running", 4)]
    assert [one.value for one in points["durabletask.timers.lag"]] == [1.5]
    exported(reader)
    assert len(reads) == 1

    def fail() -> Sequence[Sample]:
        raise OSError("the database is away")

    gauges.feed(fail)
    assert "durabletask.instances" not in exported(reader)
    assert "The gauges cannot be read." in caplog.text
    provider.shutdown()
