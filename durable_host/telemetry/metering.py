"""Binds the instruments and the gauges to an OpenTelemetry meter. Imported only where a pipeline is set up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint
from opentelemetry.sdk.metrics.export import Histogram as ExportedHistogram
from opentelemetry.sdk.metrics.export import Metric as ExportedMetric

from durable_host.core.metrics import HUB_GAUGES, Metric, Tallies, total

from . import gauges, meters

Observe = Callable[[CallbackOptions], Iterable[Observation]]


def bind(meter: Meter) -> None:
    """Have OpenTelemetry see what this process counts and, in workers, the gauges of the hub.

    Histograms are read by :class:`HistogramReader`.
    """
    for instrument in meters.INSTRUMENTS:
        if isinstance(instrument, meters.Counter):
            metric = instrument.metric
            meter.create_observable_counter(metric.name, [_totals(instrument)], metric.unit, metric.meaning)
    for metric in HUB_GAUGES:
        meter.create_observable_gauge(metric.name, [_present(metric)], metric.unit, metric.meaning)


class HistogramReader:
    """Reads the histograms as one exporter wants them.

    Not OpenTelemetry's own instruments: to record a value in one of them costs several times what our counting does,
    and every turn records a handful.

    Args:
        is_delta: whether each reading has what came since the one before; otherwise all since the beginning.
    """

    def __init__(self, *, is_delta: bool) -> None:
        self._is_delta = is_delta
        self._before: Tallies = {}
        self._since = time.time_ns()
        self._extremes = {one: one.watch() for one in meters.INSTRUMENTS if isinstance(one, meters.Histogram)}

    def read(self) -> list[ExportedMetric]:
        """Return what there is to export."""
        now, present = time.time_ns(), meters.read_all()
        counted = total(present, self._before, sign=-1)
        found = [
            self._exported(histogram, series, now)
            for histogram in self._extremes
            if (series := counted.get(histogram.metric.name))
        ]
        if self._is_delta:
            self._before, self._since = present, now
            for extremes in self._extremes.values():
                extremes.clear()
        return found

    def close(self) -> None:
        """Watch no longer."""
        for histogram, extremes in self._extremes.items():
            histogram.unwatch(extremes)

    def _exported(self, histogram: meters.Histogram, series: dict[str, list[float]], now: int) -> ExportedMetric:
        metric, extremes = histogram.metric, self._extremes[histogram]
        points = [
            HistogramDataPoint(
                attributes=_attributes(metric, label),
                start_time_unix_nano=self._since,
                time_unix_nano=now,
                count=int(sum(buckets)),
                sum=sum_,
                bucket_counts=[int(count) for count in buckets],
                explicit_bounds=metric.bounds,
                min=extremes.get(label, [0.0, 0.0])[0],
                max=extremes.get(label, [0.0, 0.0])[1],
            )
            for label, (sum_, *buckets) in series.items()
        ]
        temporality = AggregationTemporality.DELTA if self._is_delta else AggregationTemporality.CUMULATIVE
        return ExportedMetric(metric.name, metric.meaning, metric.unit, ExportedHistogram(points, temporality))


def _totals(counter: meters.Counter) -> Observe:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for label, (count,) in counter.read().items():
            yield Observation(int(count), _attributes(counter.metric, label))

    return observe


def _present(metric: Metric) -> Observe:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for sample in gauges.show(metric):
            yield Observation(sample.value, _attributes(metric, sample.label))

    return observe


def _attributes(metric: Metric, label: str) -> dict[str, str]:
    return {metric.label.value: label} if metric.label else {}
