"""The page of telemetry."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from dashboard.forms.telemetry import QueryForm, span
from dashboard.views.telemetry import targets
from durable_host.telemetry.environment import read
from durable_host.telemetry.kusto import saved_queries, saved_query
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Visit
from tests.dashboard.test_overview_page import As, Shoot, text_of

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
KEY = "12345678-1234-1234-1234-123456789abc"


def test_every_query_is_there_with_its_question(as_role: As) -> None:
    page = text_of(as_role("viewer"), "/telemetry/")
    for query in saved_queries():
        assert query.title in page
        assert query.question in page
    assert "APPLICATIONINSIGHTS_RESOURCE_ID" in page
    assert "durable_key create prometheus --scope read" in page


def test_parameters_fill_the_text_and_nothing_else_can(as_role: As) -> None:
    client = as_role("viewer")
    hostile = 'a"; drop <b>\\'
    page = client.get("/telemetry/", {"query": "one-instance", "targetInstanceId": hostile, "lookback": "36h"})
    assert page.status_code == 200
    html = page.content.decode()
    assert "let lookback = 36h;" in html
    assert "let targetInstanceId = &quot;a\\&quot;; drop &lt;b&gt;\\\\&quot;;" in html
    wrong = client.get("/telemetry/", {"query": "throughput", "lookback": "1d; drop"})
    assert wrong.status_code == 422
    assert "A number and a unit" in wrong.content.decode()
    assert client.get("/telemetry/", {"query": "nothing"}).status_code == 200


def test_a_named_resource_makes_links(as_role: As, settings: Settings) -> None:
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "APPINSIGHTS_RESOURCE_ID": "/subscriptions/1/x"}
    html = as_role("viewer").get("/telemetry/").content.decode()
    links = re.findall(r'href="(https://portal\.azure\.com/[^"]+)"', html)
    assert len(links) == len(saved_queries())
    assert "APPLICATIONINSIGHTS_RESOURCE_ID" not in html


def test_it_says_where_telemetry_goes_without_a_secret() -> None:
    secret = f"InstrumentationKey={KEY};IngestionEndpoint=https://example.org/"
    azure, otlp = targets(read({"APPLICATIONINSIGHTS_CONNECTION_STRING": secret, "OTEL_METRICS_EXPORTER": "none"}))
    assert (azure.signals, otlp.signals) == ("traces, tracking records", "")
    assert KEY not in repr((azure, otlp))
    azure, otlp = targets(read({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}))
    assert (azure.signals, otlp.signals) == ("", "traces, tracking records, metrics")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        (" 12 H ", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("1w", None),
        ("", None),
    ],
)
def test_lengths_of_time(text: str, expected: timedelta | None) -> None:
    assert span(text) == expected


def test_every_parameter_has_a_field_that_takes_its_own_default() -> None:
    for query in saved_queries():
        form = QueryForm(query, {one.name: one.default.strip('"') for one in query.parameters})
        assert form.is_valid(), (query.slug, form.errors)
        assert form.text == saved_query(query.slug).text


def test_in_the_browser(visit: Visit, shoot: Shoot) -> None:
    page = visit("/telemetry/", role="viewer")
    assert_accessible(page)
    shoot(page, "telemetry-light")
    card = page.locator("#one-instance")
    card.get_by_text("Query and parameters").click()
    card.get_by_label("The instance").fill("order-7")
    card.get_by_role("button", name="Fill in").click()
    assert 'let targetInstanceId = "order-7";' in page.locator("#one-instance code").inner_text()
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
    shoot(page, "telemetry-dark")
    page.set_viewport_size({"width": 360, "height": 800})
    assert_no_sideways_scroll(page)
    shoot(page, "telemetry-dark-360")
