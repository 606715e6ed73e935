"""``GET /metrics``: what the rows and the workers tell, in the formats of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from durable_host.conf import host_settings
from durable_host.core.access import Operation
from durable_host.core.metrics import HUB_GAUGES, TALLIED, WORKER_GAUGES, Kind, Label, Metric, Sample
from durable_host.store import gauges, workers
from durable_host.store.outage import OUTAGE

from .errors import ApiError, DeniedError, problem, unavailable
from .guard import admit_reader

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

#: OpenTelemetry's units → how Prometheus names end. Counts of things have none.
_SUFFIXES = {"s": "_seconds"}


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics of the hub, to those who may read all of it."""
    try:
        caller = admit_reader(request, Operation.LIST)
        if caller.name_pattern:
            raise DeniedError(
                403,
                f"The metrics tell of all orchestrators, and key {caller.name!r} is good for {caller.name_pattern!r}.",
            )
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(HubCollector(host_settings().task_hub))
        return HttpResponse(encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"})
    except ApiError as error:
        return problem(error.status, str(error), error.kind, headers=error.headers)
    except OUTAGE as error:
        return unavailable(error)


def prometheus_name(metric: Metric) -> str:
    """Return the name of a metric's samples in Prometheus, without the endings that the kind adds."""
    return metric.name.replace(".", "_") + _SUFFIXES.get(metric.unit, "")


class HubCollector(Collector):
    """Reads the hub anew for each scrape."""

    def __init__(self, hub: str) -> None:
        self._hub = hub

    def describe(self) -> Iterable[Family]:
        """Describe nothing before the scrape: describing would read the database."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Return all metrics."""
        samples = [*gauges.read_hub(self._hub), *gauges.read_workers(self._hub)]
        for metric in (*HUB_GAUGES, *WORKER_GAUGES):
            yield _gauge(metric, samples)
        counted = {one.report.name: one.report.counters for one in workers.list_workers(self._hub)}
        for metric in TALLIED:
            series = {worker: counters.get(metric.name, {}) for worker, counters in counted.items()}
            yield _histogram(metric, series) if metric.kind is Kind.HISTOGRAM else _counter(metric, series)


def _gauge(metric: Metric, samples: Iterable[Sample]) -> Family:
    family = GaugeMetricFamily(prometheus_name(metric), metric.meaning, labels=_labels(metric))
    for sample in samples:
        if sample.metric is metric:
            family.add_metric([sample.label] if metric.label else [], sample.value)
    return family


#: worker → label → numbers
Series = Mapping[str, Mapping[str, list[float]]]


def _counter(metric: Metric, series: Series) -> Family:
    family = CounterMetricFamily(prometheus_name(metric), metric.meaning, labels=[*_labels(metric), Label.WORKER.value])
    for labels, (count,) in _readable(metric, series):
        family.add_metric(labels, count)
    return family


def _histogram(metric: Metric, series: Series) -> Family:
    name, labels = prometheus_name(metric), [*_labels(metric), Label.WORKER.value]
    family = HistogramMetricFamily(name, metric.meaning, labels=labels)
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for values, (total, *counts) in _readable(metric, series):
        family.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def _readable(metric: Metric, series: Series) -> Iterator[tuple[list[str], list[float]]]:
    """Return label values and numbers; not of workers of another version, that count into other buckets."""
    for worker, by_label in series.items():
        for label, numbers in by_label.items():
            if len(numbers) == metric.width:
                yield [label, worker] if metric.label else [worker], numbers


def _labels(metric: Metric) -> list[str]:
    return [metric.label.value] if metric.label else []
