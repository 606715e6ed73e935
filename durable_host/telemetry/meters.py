"""The instruments: always on, plain Python, well under a microsecond each.

They belong to the process. What they hold reaches the world twice: each host writes it into its row of the workers'
table, from where ``GET /metrics`` takes it; and where OpenTelemetry is configured, :mod:`.metering` binds them to it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Container

from durable_host.core import metrics
from durable_host.core.metrics import OTHER, Label, Metric, Tallies
from durable_host.core.registry import Registry, default_registry


class _Names:
    """Whose names may become labels."""

    registry: Registry = default_registry


def know(registry: Registry) -> None:
    """Take the names of this registry for labels; every other name counts as ``other``."""
    _Names.registry = registry


class _Instrument:
    """A metric, and what has been counted of it so far."""

    __slots__ = ("_lock", "_series", "metric")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._lock = threading.Lock()
        #: label → numbers, as in :data:`~durable_host.core.metrics.Tallies`
        self._series: dict[str, list[float]] = {}

    def read(self) -> dict[str, list[float]]:
        """Return a copy of what has been counted."""
        with self._lock:
            return {label: list(numbers) for label, numbers in self._series.items()}

    def _open(self, label: str) -> list[float]:
        """Return the series of a label that was not seen before, or of ``other`` where it is no known name."""
        if label and label not in self._known():
            label = OTHER
        return self._series.setdefault(label, [0.0] * self.metric.width)

    def _known(self) -> Container[str]:
        registry = _Names.registry
        return registry.activities if self.metric.label is Label.ACTIVITY else registry.orchestrators


class Counter(_Instrument):
    """Counts."""

    __slots__ = ()

    def add(self, label: str = "", count: int = 1) -> None:
        """Count something, of one function where the metric has a label."""
        with self._lock:
            series = self._series.get(label) or self._open(label)
            series[0] += count


#: label → the least and the greatest value
Extremes = dict[str, list[float]]


class Histogram(_Instrument):
    """Counts values by size."""

    __slots__ = ("_bounds", "_watched")

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self._bounds = metric.bounds
        self._watched: list[Extremes] = []

    def record(self, value: float, label: str = "") -> None:
        """Count a value. Less than nothing, which clocks that differ can make of a duration, is nothing."""
        if value < 0:
            value = 0.0
        bucket = bisect_left(self._bounds, value) + 1
        with self._lock:
            series = self._series.get(label) or self._open(label)
            series[0] += value
            series[bucket] += 1
            for extremes in self._watched:
                _widen(extremes, label if label in self._series else OTHER, value)

    def watch(self) -> Extremes:
        """Return extremes that are kept up to date from now on; empty them to begin anew."""
        extremes: Extremes = {}
        with self._lock:
            self._watched.append(extremes)
        return extremes

    def unwatch(self, extremes: Extremes) -> None:
        """Keep some extremes up to date no longer."""
        with self._lock:
            self._watched = [one for one in self._watched if one is not extremes]


def _widen(extremes: Extremes, label: str, value: float) -> None:
    found = extremes.get(label)
    if found is None:
        extremes[label] = [value, value]
    elif value < found[0]:
        found[0] = value
    elif value > found[1]:
        found[1] = value


orchestrations_started = Counter(metrics.ORCHESTRATIONS_STARTED)
orchestrations_completed = Counter(metrics.ORCHESTRATIONS_COMPLETED)
orchestrations_failed = Counter(metrics.ORCHESTRATIONS_FAILED)
orchestrations_terminated = Counter(metrics.ORCHESTRATIONS_TERMINATED)
orchestrations_continued = Counter(metrics.ORCHESTRATIONS_CONTINUED)
end_to_end = Histogram(metrics.END_TO_END)
activities_started = Counter(metrics.ACTIVITIES_STARTED)
activities_completed = Counter(metrics.ACTIVITIES_COMPLETED)
activities_failed = Counter(metrics.ACTIVITIES_FAILED)
activities_retried = Counter(metrics.ACTIVITIES_RETRIED)
activities_redelivered = Counter(metrics.ACTIVITIES_REDELIVERED)
activity_wait = Histogram(metrics.ACTIVITY_WAIT)
activity_duration = Histogram(metrics.ACTIVITY_DURATION)
turn_duration = Histogram(metrics.TURN_DURATION)
turn_replayed = Histogram(metrics.TURN_REPLAYED)
turn_wait = Histogram(metrics.TURN_WAIT)
turn_conflicts = Counter(metrics.TURN_CONFLICTS)
checkpoint_duration = Histogram(metrics.CHECKPOINT_DURATION)
stalls = Counter(metrics.STALLS)
late_results = Counter(metrics.LATE_RESULTS)
sweep_recoveries = Counter(metrics.SWEEP_RECOVERIES)
database_failures = Counter(metrics.DATABASE_FAILURES)

INSTRUMENTS: tuple[Counter | Histogram, ...] = tuple(
    instrument for instrument in list(vars().values()) if isinstance(instrument, Counter | Histogram)
)


def read_all() -> Tallies:
    """Return what has been counted in this process so far; instruments that have counted nothing are left out."""
    found = ((instrument.metric.name, instrument.read()) for instrument in INSTRUMENTS)
    return {name: series for name, series in found if series}
