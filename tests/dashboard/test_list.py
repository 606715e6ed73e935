"""The list of instances: what its address says is what it shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.presenters.listing import ListQuery, chips, in_words, narrowed, read, window_times
from dashboard.presenters.listing_columns import layout, of_cookie
from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from durable_host.store.limits import TooSlowError
from tests.dashboard.conftest import Start

store = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
AsRole = Callable[[str], Client]
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)<b>\u202e & \"'"


def make(instance_id: str, status: str = "Completed", *, age: timedelta = timedelta(), **fields: object) -> Instance:
    """Write an instance down as it would be after a life."""
    at = timezone.now() - age
    values = {"name": "page_echo", "revision": 1, "next_sequence": 1, "owner": "", "available_at": at, **fields}
    return Instance.objects.create(
        hub="default", instance_id=instance_id, status=status, created_at=at, updated_at=at, **values
    )


# ---- the address ----------------------------------------------------------------------------------------------------


class TestQuery:
    def test_an_empty_address_means_the_last_day_without_sub_orchestrations(self) -> None:
        filter_ = read({}, BERLIN).filter(NOW, BERLIN)
        assert filter_.created_from == NOW - timedelta(hours=24)
        assert filter_.roots_only
        assert filter_.statuses == ()

    def test_everything_goes_into_the_address_and_comes_out_of_it_again(self) -> None:
        given = {
            "status": ["Failed", "Running"],
            "name": ["order_*"],
            "prefix": ["order-1 7"],
            "tag": ["customer=acme & co", "a=b=c"],
            "custom": ["50 %"],
            "error": ["Time+out"],
            "from": ["2026-03-01T10:00"],
            "to": ["2026-03-02T10:00+01:00"],
            "subs": ["1"],
            "stalled": ["1"],
            "waiting": ["1"],
            "view": ["mine"],
            "by": ["ann"],
        }
        query = read(given, BERLIN)
        again: dict[str, list[str]] = {}
        for key, value in query.pairs():
            again.setdefault(key, []).append(value)
        assert read(again, ZoneInfo("Asia/Tokyo")) == query
        filter_ = query.filter(NOW, BERLIN)
        assert filter_.statuses == (RuntimeStatus.RUNNING, RuntimeStatus.FAILED)
        assert (filter_.name, filter_.name_pattern) == (None, "order_*")
        assert filter_.tags == {"customer": "acme & co", "a": "b=c"}
        assert filter_.created_from == datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

    def test_whoever_names_an_id_or_a_parent_means_old_ones_too(self) -> None:
        assert read({"prefix": ["x"]}, BERLIN).since == "all"
        assert read({"parent": ["x"]}, BERLIN).since == "all"
        assert read({"prefix": ["x"], "since": ["1h"]}, BERLIN).encoded() == "prefix=x&since=1h"

    def test_today_begins_at_the_readers_midnight(self) -> None:
        start, end = read({"since": ["today"]}, BERLIN).window(NOW, BERLIN)
        assert start == datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
        assert end is None

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"tag": ["oops"]}, "no tag"),
            ({"tag": ["=x"]}, "no tag"),
            ({"from": ["tomorrow"]}, "no time"),
            ({"from": ["0001-01-01T00:00+14:00"]}, "no time"),
            ({"name": ["n" * 300]}, "more than 256"),
        ],
    )
    def test_what_is_wrong_is_left_out_and_said(self, given: dict[str, list[str]], said: str) -> None:
        query = read(given, BERLIN)
        assert query.filters() == ListQuery()
        [problem] = query.problems
        assert said in problem

    def test_ends_that_are_exchanged_are_put_right(self) -> None:
        query = read({"from": ["2026-03-02"], "to": ["2026-03-01"]}, UTC)
        assert query.created_from == datetime(2026, 3, 1, tzinfo=UTC)
        assert query.problems

    def test_a_condition_replaces_its_like_and_a_tag_is_added(self) -> None:
        given = {"status": ["Running"], "tag": ["a=b"]}
        assert narrowed(given, "status=Failed", UTC).statuses == (RuntimeStatus.FAILED,)
        assert narrowed(given, "tag=c=d", UTC).tags == (("a", "b"), ("c", "d"))

    def test_a_status_is_toggled(self) -> None:
        query = ListQuery(statuses=(RuntimeStatus.FAILED,)).toggled(RuntimeStatus.RUNNING)
        assert query.statuses == (RuntimeStatus.RUNNING, RuntimeStatus.FAILED)
        assert query.toggled(RuntimeStatus.FAILED).statuses == (RuntimeStatus.RUNNING,)

    def test_each_chip_leads_to_the_list_without_it(self) -> None:
        query = read({"status": ["Failed"], "tag": ["a=b", "c=d"], "stalled": ["1"]}, UTC)
        found = {str(chip): chip.without for chip in chips(query, {})}
        assert list(found) == ["Status: Failed", "Tag: a=b", "Tag: c=d", "Stalled", "Created: in the last 24 hours"]
        assert found["Tag: a=b"].tags == (("c", "d"),)
        assert found["Created: in the last 24 hours"].since == "all"

    def test_what_is_confirmed_now_means_the_same_later(self) -> None:
        query = read({"since": ["24h"], "status": ["Failed"]}, UTC).frozen(NOW, UTC)
        later = NOW + timedelta(hours=5)
        assert query.window(later, UTC) == (NOW - timedelta(hours=24), NOW)
        assert query.frozen(later, UTC) == query
        said = in_words(query, window_times(query, UTC))
        expected = "Created: from 2026-03-01 14:30 UTC to 2026-03-02 14:30 UTC; no sub-orchestrations"
        assert said == f"Status: Failed; {expected}"

    def test_wider_windows_are_longer_ones(self) -> None:
        def wider(**given: list[str]) -> list[str]:
            return [one.since for _, one in read(given, UTC).wider()]

        assert wider() == ["7d", "30d", "all"]
        assert wider(since=["1h"]) == ["24h", "7d", "30d", "all"]
        assert wider(since=["30d"]) == wider(**{"from": ["2026-01-01"]}) == ["all"]
        assert wider(since=["all"]) == []


def test_a_cookie_keeps_columns_and_rows_and_what_it_says_wrongly_is_not_said() -> None:
    chosen = layout(["tags", "status", "nonsense"], "200")
    assert chosen.keys == ("status", "id", "tags")
    assert of_cookie(chosen.cookie()) == chosen
    assert of_cookie("") == of_cookie("x.y-7") == layout([])


# ---- the page -------------------------------------------------------------------------------------------------------


class TestPage:
    pytestmark = store

    def test_filters_combine(self, as_role: AsRole, registered: None) -> None:
        make("a-1", "Failed", tags={"customer": "acme"}, failure='{"errorType":"E","errorMessage":"no tea"}')
        make("a-2", "Failed", tags={"customer": "other"}, failure='{"errorType":"E","errorMessage":"no tea"}')
        make("a-3", "Running", tags={"customer": "acme"}, custom_status='"hello there"')
        make("b-1", "Failed", tags={"customer": "acme"}, age=timedelta(days=3))
        client = as_role("boss")

        def shown(**given: Any) -> set[str]:
            page = client.get("/instances/", given).content.decode()
            return {one for one in ("a-1", "a-2", "a-3", "b-1") if f'data-key="{one}"' in page}

        assert shown() == {"a-1", "a-2", "a-3"}
        assert shown(since="7d", tag="customer=acme") == {"a-1", "a-3", "b-1"}
        assert shown(status=["Failed", "Running"], tag="customer=acme") == {"a-1", "a-3"}
        assert shown(error="tea", tag="customer=other") == {"a-2"}
        assert shown(custom="hello") == {"a-3"}
        assert shown(prefix="b-") == {"b-1"}
        assert shown(name="page_*", status="Running") == {"a-3"}
        assert shown(name="nobody") == set()

    def test_sub_orchestrations_wait_to_be_asked_for(self, as_role: AsRole, registered: None) -> None:
        parent = make("parent-1")
        make("child-1", parent=parent)
        client = as_role("viewer")
        page = client.get("/instances/").content.decode()
        assert "Sub-orchestrations hidden" in page
        assert "child-1" not in page
        assert "child-1" in client.get("/instances/", {"subs": "1"}).content.decode()
        assert 'data-key="parent-1"' not in client.get("/instances/", {"parent": "parent-1"}).content.decode()

    def test_stalled_and_waiting_ones(self, as_role: AsRole, start: Start) -> None:
        start("page_patience", None, "wait-1")
        make("stuck-1", "Running", stall_reason="The code no longer matches history")
        client = as_role("viewer")
        stalled = client.get("/instances/", {"stalled": "1"}).content.decode()
        assert "The code no longer matches history" in stalled
        assert "wait-1" not in stalled
        waiting = client.get("/instances/", {"waiting": "1"}).content.decode()
        assert "GoOn" in waiting
        assert "stuck-1" not in waiting

    def test_counts_are_by_status_and_say_what_they_are_of(self, as_role: AsRole, registered: None) -> None:
        make("a-1", "Failed")
        make("a-2", "Failed", age=timedelta(days=2))
        page = as_role("viewer").get("/instances/", {"status": "Running"}).content.decode()
        assert 'Failed<span class="count tone-bad">1</span>' in page
        assert "In the last 24 hours, counted" in page

    def test_what_the_window_hides_is_counted(self, as_role: AsRole, registered: None) -> None:
        make("a-1")
        for number in range(3):
            make(f"old-{number}", age=timedelta(days=9))
        assert "3 older ones are not shown" in as_role("viewer").get("/instances/").content.decode()

    def test_pages_lead_to_older_ones_and_back(self, as_role: AsRole, registered: None) -> None:
        for number in range(120):
            make(f"n-{number:03}", age=timedelta(minutes=120 - number))
        client = as_role("viewer")
        first = client.get("/instances/")
        second = client.get(f"/instances/{first.context['older']}")
        third = client.get(f"/instances/{second.context['older']}")
        assert [len(one.context["lines"]) for one in (first, second, third)] == [50, 50, 20]
        assert "n-119" in first.content.decode()
        assert "Page 3" in third.content.decode()
        assert third.context["older"] == ""
        back = client.get(f"/instances/{third.context['newer']}")
        assert [one.row for one in back.context["lines"]] == [one.row for one in second.context["lines"]]

    def test_an_empty_list_names_what_would_help(self, as_role: AsRole, registered: None) -> None:
        make("a-1", "Failed")
        make("a-2", "Completed", age=timedelta(days=3))
        page = as_role("viewer").get("/instances/", {"status": "Running", "prefix": "a-", "since": "24h"})
        ways = {said: str(count) for said, _, count in page.context["ways"]}
        assert ways == {"Without “Status: Running”": "1"}
        assert "No instance matches" in page.content.decode()
        old = as_role("viewer").get("/instances/", {"status": "Completed"})
        assert {said: str(count) for said, _, count in old.context["ways"]} == {
            "Without “Status: Completed”": "1",
            "Created in the last 7 days": "1",
            "Created in the last 30 days": "1",
            "Of all time": "1",
        }

    def test_a_question_that_takes_too_long_is_answered_with_advice(self, as_role: AsRole, registered: None) -> None:
        make("a-1")
        client = as_role("viewer")
        with patch("dashboard.views.instances.list_instances", side_effect=TooSlowError(3.0)):
            slow = client.get("/instances/", {"since": "all"})
        assert slow.status_code == 200
        assert "The database needed too long" in slow.content.decode()
        with patch("dashboard.views.instances.count_statuses", side_effect=TooSlowError(3.0)):
            uncounted = client.get("/instances/").content.decode()
        assert "a-1" in uncounted
        assert "Counting took too long" in uncounted

    def test_a_form_is_answered_with_an_address_that_says_only_what_is_chosen(self, as_role: AsRole) -> None:
        client = as_role("boss")
        sent = {"filter": "1", "since": "24h", "name": " x ", "prefix": "", "tag": ["", "a=b"], "from": "", "to": ""}
        assert client.get("/instances/", sent)["Location"] == "/instances/?name=x&tag=a%3Db"
        sent |= {"from": "2026-03-01T10:00"}
        assert "from=2026-03-01T10%3A00%3A00%2B00%3A00" in client.get("/instances/", sent)["Location"]
        assert client.get("/instances/", {"filter": "1"})["Location"] == "/instances/"
        cell = client.get("/instances/", {"status": "Running", "and": "status=Failed"})
        assert cell["Location"] == "/instances/?status=Failed"
        wrong = client.get("/instances/", {"filter": "1", "tag": "oops"}, follow=True).content.decode()
        assert "“oops” is no tag" in wrong

    def test_columns_are_kept_in_a_cookie(self, as_role: AsRole, registered: None) -> None:
        make("a-1", version="7.8.9")
        client = as_role("viewer")
        assert "7.8.9" not in client.get("/instances/").content.decode()
        answer = client.post("/views/columns/", {"column": ["version"], "size": "100", "query": "status=Completed"})
        assert answer["Location"] == "/instances/?status=Completed"
        page = client.get("/instances/")
        assert "7.8.9" in page.content.decode()
        assert [one.key for one in page.context["columns"]] == ["id", "version"]

    def test_custom_statuses_cannot_be_searched_without_the_right_to_see_them(
        self, as_role: AsRole, registered: None
    ) -> None:
        make("a-1", custom_status='"secret"')
        page = as_role("viewer").get("/instances/", {"custom": "secret"}).content.decode()
        assert "durable_host.view_payload" in page
        assert as_role("viewer").get("/instances/", {"custom": "nope"}).content.decode().count('data-key="a-1"') == 1
        assert "secret" in as_role("operator").get("/instances/", {"custom": "secret"}).content.decode()

    def test_rows_can_be_ticked_only_by_those_who_can_act(self, as_role: AsRole, registered: None) -> None:
        make("a-1")
        assert 'form="pick"' not in as_role("viewer").get("/instances/").content.decode()
        page = as_role("operator").get("/instances/").content.decode()
        assert 'value="terminate"' in page
        assert 'value="purge"' not in page

    def test_hostile_names_are_harmless(self, as_role: AsRole, registered: None) -> None:
        make(HOSTILE, "Failed", name=HOSTILE, tags={HOSTILE: HOSTILE}, custom_status=json.dumps(HOSTILE))
        make("w" * 256, name="n" * 256, tags={"t" * 256: "v" * 256})
        client = as_role("boss")
        for address in ("/instances/?since=all", f"/instances/?name={'n' * 256}", "/instances/?tag=<script>=x"):
            page = client.get(address)
            assert page.status_code == 200
            assert "<script>alert" not in page.content.decode()
        assert "&lt;button" not in client.get("/instances/").content.decode(), "its own HTML is not escaped twice"
        found = client.get("/instances/", {"and": f"tag={HOSTILE}={HOSTILE}"}, follow=True)
        assert found.status_code == 200

    def test_the_page_asks_a_bounded_number_of_questions(self, as_role: AsRole, registered: None) -> None:
        for number in range(60):
            make(f"n-{number}", "Running", tags={"a": str(number)})
        client = as_role("operator")
        client.get("/instances/")

        def asked(**options: Any) -> int:
            with CaptureQueriesContext(connection) as captured:
                client.get("/instances/?status=Failed&status=Running", **options)
            return sum(one["sql"].lstrip("(").startswith("SELECT") for one in captured.captured_queries)

        assert asked() <= 18
        tag = client.get("/instances/?status=Failed&status=Running")["HX-PTag"]
        assert asked(headers={"HX-Request": "true", "HX-PTag": tag}) <= 12


class TestExport:
    pytestmark = store

    def test_all_that_match_as_csv_and_ndjson(self, as_role: AsRole, registered: None) -> None:
        make("a-1", "Failed", custom_status='"secret"', tags={"k": "=1+1"})
        make("=cmd()", "Failed")
        make("b-1", "Running")
        client = as_role("operator")
        answer = client.get("/export/instances.csv", {"status": "Failed"})
        assert answer["Content-Disposition"].startswith('attachment; filename="instances-')
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
        assert {row["instanceId"] for row in rows} == {"a-1", "'=cmd()"}
        lines = client.get("/export/instances.ndjson", {"status": "Failed"}).getvalue().decode().splitlines()
        assert {json.loads(line)["customStatus"] for line in lines} == {'"secret"', ""}
        assert client.get("/export/instances.xml").status_code == 404

    def test_custom_statuses_are_left_out_for_those_who_may_not_see_them(
        self, as_role: AsRole, registered: None
    ) -> None:
        make("a-1", custom_status='"secret"')
        for kind in ("csv", "ndjson"):
            text = as_role("viewer").get(f"/export/instances.{kind}").getvalue().decode()
            assert "a-1" in text
            assert "secret" not in text
