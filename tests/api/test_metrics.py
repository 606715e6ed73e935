"""GET /metrics: who may, in which format, and that every number in it is true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from durable_host.api.metrics import prometheus_name
from durable_host.core import metrics
from durable_host.core.access import Scope
from durable_host.core.metrics import METRICS, Kind
from durable_host.models import WorkerState
from durable_host.store import gauges
from tests.api.conftest import Api, configure, make_key

pytestmark = [pytest.mark.store, pytest.mark.django_db]

URL = "/metrics"
Labels = dict[str, str]


def families(text: str) -> dict[str, Family]:
    """What a Prometheus reads: name → family."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def scrape(api: Api) -> dict[str, Family]:
    response = api.get(URL)
    assert response.status_code == 200, response.content
    return families(response.content.decode())


def value(found: dict[str, Family], name: str, **labels: str) -> float:
    """The value of the one sample of this name that has these labels."""
    samples = [sample for family in found.values() for sample in family.samples if sample.name == name]
    (sample,) = [one for one in samples if labels.items() <= one.labels.items()]
    return float(sample.value)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_it_says_what_has_happened(api: Api) -> None:
    for _ in range(2):
        api.start("Cities")
    api.start("Approval")
    found = scrape(api)
    assert value(found, "durabletask_instances", status="Completed") == 2
    assert value(found, "durabletask_instances", status="Running") == 1
    assert value(found, "durabletask_event_waits") == 1
    worker = {"worker": "worker"}  # its row is the last host's of this name: the third start's
    assert value(found, "durabletask_orchestrations_started_total", orchestrator="Approval", **worker) == 1


def test_histograms_add_up(api: Api) -> None:
    api.start("Cities")
    found = scrape(api)
    family = found["durabletask_turn_duration_seconds"]
    assert family.type == "histogram"
    buckets = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    assert len(buckets) == len(metrics.TURN_DURATION.bounds) + 1
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets["+Inf"] == value(found, "durabletask_turn_duration_seconds_count") == 4
    assert 0 < value(found, "durabletask_turn_duration_seconds_sum") < 10
    assert value(found, "durabletask_activities_completed_total", activity="say_hello") == 3
    assert value(found, "durabletask_activity_duration_seconds_count", activity="say_hello") == 3


def test_every_metric_is_there_from_the_first_scrape(api: Api) -> None:
    assert set(scrape(api)) == {prometheus_name(metric) for metric in METRICS}


def test_names_follow_the_rules_of_prometheus(api: Api) -> None:
    for metric in METRICS:
        name = prometheus_name(metric)
        assert name.startswith("durabletask_")
        assert (metric.unit == "s") == name.endswith("_seconds")
        assert not name.endswith("_total")
        assert metric.meaning.endswith(".")


def test_no_series_tells_of_one_instance(api: Api) -> None:
    id_ = api.start("Cities")
    text = api.get(URL).content.decode()
    assert id_ not in text
    labels = {label for family in families(text).values() for sample in family.samples for label in sample.labels}
    assert labels <= {"orchestrator", "activity", "status", "queue", "worker", "le"}


def test_openmetrics_is_spoken_to_those_who_ask(api: Api) -> None:
    api.start("Cities")
    response = api.get(URL, Accept="application/openmetrics-text; version=1.0.0")
    assert response["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    text = response.content.decode()
    assert text.endswith("# EOF\n")
    read = list(read_openmetrics(text))  # type: ignore[no-untyped-call]
    assert {family.name for family in read} == {prometheus_name(metric) for metric in METRICS}


def test_the_content_type_is_prometheus_own(api: Api) -> None:
    response = api.get(URL)
    assert response["Content-Type"].startswith("text/plain; version=")
    assert "charset=utf-8" in response["Content-Type"]
    assert response["Cache-Control"] == "no-store"


def test_counters_of_another_version_are_left_out(api: Api) -> None:
    api.start("Cities")
    row = WorkerState.objects.get()
    row.counters[metrics.TURN_DURATION.name]["Cities"].append(0)
    row.counters["durabletask.of.tomorrow"] = {"": [1]}
    row.save()
    found = scrape(api)
    assert found["durabletask_turn_duration_seconds"].samples == []
    assert value(found, "durabletask_orchestrations_completed_total", orchestrator="Cities") == 1


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_key_is_needed(api: Api) -> None:
    response = api.get(URL, key="")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json()["ExceptionType"] == "DeniedError"
    assert api.get(URL, key="dk_wrong").status_code == 401


def test_the_scope_is_read(api: Api) -> None:
    assert api.get(URL, key=make_key("reader", Scope.READ)).status_code == 200
    others = make_key("others", *(set(Scope) - {Scope.READ}))
    response = api.get(URL, key=others)
    assert response.status_code == 403
    assert "no scope 'read'" in response.json()["ExceptionMessage"]


def test_a_key_of_some_orchestrators_does_not_see_all(api: Api) -> None:
    response = api.get(URL, key=make_key("partly", Scope.READ, name_pattern="City*"))
    assert response.status_code == 403
    assert "tell of all orchestrators" in response.json()["ExceptionMessage"]


@pytest.mark.parametrize("how", ["header", "bearer", "code"])
def test_the_key_is_taken_from_three_places(api: Api, how: str) -> None:
    headers = {"header": {"x-functions-key": api.key}, "bearer": {"Authorization": f"Bearer {api.key}"}}
    url = f"{URL}?code={api.key}" if how == "code" else URL
    assert Client().get(url, headers=headers.get(how, {})).status_code == 200


def test_this_machine_needs_no_key_where_the_api_needs_none(api: Api, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    configure(settings, KEYLESS_LOOPBACK=True)
    local = {"Host": "localhost:8000"}
    assert Client().get(URL, headers=local).status_code == 200
    assert Client().get(URL, headers=local, REMOTE_ADDR="203.0.113.9").status_code == 403
    assert Client().get(URL, headers={**local, "Origin": "http://evil.example"}).status_code == 403


def test_who_guesses_too_often_is_turned_away(api: Api, settings: Settings) -> None:
    configure(settings, DENIED_RATE="3/minute")
    statuses = [api.get(URL, key="dk_wrong").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_only_get_is_known(api: Api) -> None:
    assert api.post(URL).status_code == 405


def test_a_database_that_is_away_is_said_to_be(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(hub: str) -> Iterable[Any]:
        raise OperationalError("gone")

    monkeypatch.setattr(gauges, "read_hub", away)
    response = api.get(URL)
    assert response.status_code == 503
    assert response["Retry-After"] == "5"


def test_the_kinds_are_those_of_the_table(api: Api) -> None:
    found = scrape(api)
    types = {prometheus_name(metric): metric.kind for metric in METRICS}
    assert {name: Kind(family.type) for name, family in found.items()} == types
