"""The catalogue of saved queries, and the links that open them in the portal."""

from __future__ import annotations

import base64
import gzip
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pytest_django import Settings

from durable_host.telemetry.kusto import SavedQuery, portal_link, saved_queries, saved_query
from tests.services import PROJECT
from tests.telemetry.kusto import run

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FILES = sorted((PROJECT / "durable_host/telemetry/queries").glob("*.kql"))
README = (PROJECT / "docs/kusto/README.md").read_text()
RESOURCE = "/subscriptions/1-2/resourceGroups/shop/providers/microsoft.insights/components/shop-insights"

each_query = pytest.mark.parametrize("query", saved_queries(), ids=lambda query: query.slug)


def test_every_file_is_a_saved_query() -> None:
    assert {query.slug for query in saved_queries()} == {file.stem for file in FILES}
    assert len(FILES) >= 12


@each_query
def test_a_query_says_what_it_answers_and_what_can_be_set(query: SavedQuery) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", query.slug)
    assert query.title
    assert "?" in query.question
    lets = re.findall(r"^let (\w+) = [^|\n]*;$", query.text, re.MULTILINE)
    assert [parameter.name for parameter in query.parameters] == lets
    assert all(parameter.description and parameter.default for parameter in query.parameters)


@each_query
def test_a_query_can_be_pasted_into_the_portal(query: SavedQuery) -> None:
    # The portal's editor takes a blank line for the end of a query.
    assert "\n\n" not in query.text
    assert query.text.endswith("\n")
    assert query.text.isascii()


@each_query
def test_a_query_runs_over_empty_tables(query: SavedQuery) -> None:
    assert run(query.text, {}, now=NOW) == []


@each_query
def test_the_documentation_lists_a_query(query: SavedQuery) -> None:
    row = f"| [{query.title}](../../durable_host/telemetry/queries/{query.slug}.kql) |"
    assert row in README


def test_parameters_can_be_set() -> None:
    text = saved_query("one-instance").filled({"targetInstanceId": "order-7", "lookback": timedelta(hours=36)})
    assert 'let targetInstanceId = "order-7";\nlet lookback = 36h;\n' in text
    assert saved_query("stuck-instances").filled({"silence": timedelta(seconds=1.5)}).count("let silence = 1.5s;") == 1


@pytest.mark.parametrize("hostile", ['"; traces | take 1 //', "back\\slash", "line\nbreak", "\\1 \\g<0>", "ümlaut's"])
def test_a_text_stays_one_literal_whatever_is_in_it(hostile: str) -> None:
    text = saved_query("one-instance").filled({"targetInstanceId": hostile})
    row = {"timestamp": NOW - timedelta(minutes=1), "customDimensions": {"Category": "Host.Triggers.DurableTask"}}
    row["customDimensions"] |= {"prop__instanceId": hostile}  # type: ignore[operator]
    (found,) = run(text, {"traces": [row]}, now=NOW)
    assert found["instanceId"] == hostile


def test_an_unknown_parameter_or_query_is_refused() -> None:
    with pytest.raises(ValueError, match="has no parameter instance"):
        saved_query("one-instance").filled({"instance": "order-7"})
    with pytest.raises(KeyError):
        saved_query("no-such-query")


def test_without_a_resource_there_is_no_link(settings: Settings) -> None:
    settings.DURABLE_HOST = {"APPINSIGHTS_RESOURCE_ID": ""}
    assert portal_link("traces") is None


def test_a_link_opens_the_logs_of_the_resource_with_the_query(settings: Settings) -> None:
    settings.DURABLE_HOST = {"APPINSIGHTS_RESOURCE_ID": RESOURCE}
    text = saved_query("one-instance").text
    link = portal_link(text, period=timedelta(days=1))
    assert link is not None
    assert link == portal_link(text, period=timedelta(days=1)), "the same query has the same address"
    address = urlsplit(link)
    assert (address.scheme, address.netloc, address.path, address.query) == ("https", "portal.azure.com", "/", "")
    found = re.fullmatch(
        r"blade/Microsoft_OperationsManagementSuite_Workspace/Logs\.ReactView/resourceId/([^/]+)"
        r"/source/LogsBlade\.AnalyticsShareLinkToQuery/q/([^/+=]+)/timespan/PT24H",
        address.fragment,
    )
    assert found is not None
    assert unquote(found[1]) == RESOURCE
    assert gzip.decompress(base64.b64decode(unquote(found[2]))).decode() == text


def test_another_cloud_has_another_portal(settings: Settings) -> None:
    settings.DURABLE_HOST = {
        "APPINSIGHTS_RESOURCE_ID": RESOURCE.strip("/"),
        "APPINSIGHTS_PORTAL": "https://portal.azure.us/",
    }
    link = portal_link("traces") or ""
    assert link.startswith("https://portal.azure.us/#blade/")
    assert "/resourceId/%2Fsubscriptions%2F1-2%2F" in link


def test_links_in_the_documentation_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (PROJECT / "docs/kusto" / Path(target)).exists(), target
