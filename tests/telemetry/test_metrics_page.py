"""docs/metrics.md has every metric, as it is, and its rules name no other."""

from __future__ import annotations

import re

import pytest

from durable_host.api.metrics import prometheus_name
from durable_host.core.metrics import HUB_GAUGES, METRICS, TALLIED, WORKER_GAUGES, Kind, Metric
from tests.services import PROJECT

PAGE = (PROJECT / "docs" / "metrics.md").read_text()


def sample_name(metric: Metric) -> str:
    return prometheus_name(metric) + ("_total" if metric.kind is Kind.COUNTER else "")


def row_of(metric: Metric) -> str:
    labels = [*([metric.label.value] if metric.label else []), *(["worker"] if metric in TALLIED else [])]
    cells = (
        f"`{metric.name}`",
        f"`{sample_name(metric)}`",
        metric.kind.value,
        metric.unit,
        ", ".join(labels),
        metric.meaning,
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_its_row(metric: Metric) -> None:
    assert row_of(metric) in PAGE.splitlines()


def test_no_row_tells_of_another_metric() -> None:
    assert len(re.findall(r"^\| `durabletask", PAGE, re.MULTILINE)) == len(METRICS)
    assert len(METRICS) == len({metric.name for metric in METRICS}) == len({sample_name(one) for one in METRICS})


def test_the_rules_name_metrics_that_there_are() -> None:
    rules = PAGE[PAGE.index("## Alerts") :]
    for name in re.findall(r"durabletask_\w+", rules):
        assert name in {sample_name(metric) for metric in METRICS}
    exported = {metric.name for metric in (*TALLIED, *HUB_GAUGES)}
    for name in re.findall(r'"(durabletask\.[\w.]+)"', rules):
        assert name in exported
    for label in re.findall(r"customDimensions\.(\w+)", rules):
        assert label in {metric.label.value for metric in METRICS if metric not in WORKER_GAUGES}
