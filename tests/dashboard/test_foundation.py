"""What every page stands on: headers, choices, the live answer, acts and their audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client, RequestFactory

from dashboard.access import MissingPermissionError
from dashboard.acting import acting
from dashboard.preferences import preferences_of
from dashboard.presenters import payload, statuses, words
from dashboard.presenters.charts import sparkbars
from durable_host import BadRequestError
from durable_host.client import DurableClient
from durable_host.core.access import Operation, Permission
from durable_host.core.status import RuntimeStatus
from durable_host.store import audit
from tests.dashboard.conftest import Start

AsRole = Callable[[str], Client]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
store = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.000_2, "< 1 ms"),
        (0.45, "450 ms"),
        (0.999_6, "1 s"),
        (3.2, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (61, "1 min 1 s"),
        (3599.7, "1 h"),
        (8040, "2 h 14 min"),
        (86_400 * 3 + 3600, "3 d 1 h"),
        (-5, "-5 s"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-2, "just now"),
        (-59, "59 s ago"),
        (-60, "1 min ago"),
        (-86_400 * 40, "40 d ago"),
        (7200, "in 2 h"),
        (86_400 * 3 - 60, "in 3 d"),
        (3580, "in 1 h"),
        (3600 * 1.4, "in 1 h"),
    ],
)
def test_moments_are_said_from_now(seconds: float, said: str) -> None:
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (4096, "4.1 kB"), (999_900, "1 MB"), (2_500_000_000, "2.5 GB")],
)
def test_sizes_are_said_in_the_unit_that_fits(count: int, said: str) -> None:
    assert words.size(count) == said


def test_every_status_has_a_picture_and_a_word_of_its_own() -> None:
    looks = [statuses.look(one) for one in RuntimeStatus]
    assert len({one.label for one in looks}) == len({one.icon for one in looks}) == len(looks)
    assert statuses.look("Running", stalled=True).label == "Stalled"
    assert statuses.look("<odd>").label == "<odd>"


def test_a_large_payload_is_cut_and_says_how_large_it_is() -> None:
    shown = payload.show("x" * 1_000_000)
    assert (len(shown.text), shown.size, shown.is_cut) == (20_000, 1_000_002, True)


def test_bars_scale_to_the_largest_and_escape_their_label() -> None:
    picture = sparkbars([0, 5, 10], "<b>")
    assert picture.count("<rect") == 3
    assert 'height="24.0"' in picture
    assert "<b>" not in picture
    assert "<rect" not in sparkbars([], "none")


# ---- choices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookies", "theme", "zone"),
    [
        ({}, "system", "UTC"),
        ({"dashboard_theme": "dark"}, "dark", "UTC"),
        ({"dashboard_theme": "<x>", "dashboard_zone": "moon"}, "system", "UTC"),
        ({"dashboard_browser_zone": "Europe%2FBerlin"}, "system", "Europe/Berlin"),
        ({"dashboard_browser_zone": "Europe/Berlin", "dashboard_zone": "utc"}, "system", "UTC"),
        ({"dashboard_browser_zone": "../../etc/passwd"}, "system", "UTC"),
        ({"dashboard_browser_zone": "No/Where"}, "system", "UTC"),
    ],
)
def test_cookies_say_the_choices_and_what_they_say_wrongly_is_not_said(
    cookies: dict[str, str], theme: str, zone: str
) -> None:
    request = RequestFactory().get("/")
    request.COOKIES = cookies
    found = preferences_of(request)
    assert (found.theme, found.zone_name) == (theme, zone)


class TestChoosing:
    pytestmark = store

    def test_a_choice_is_kept_and_leads_back(self, as_role: AsRole) -> None:
        client = as_role("viewer")
        response = client.post("/preferences/", {"dashboard_theme": "dark", "next": "/instances/?status=Failed"})
        assert response["Location"] == "/instances/?status=Failed"
        assert 'data-theme="dark"' in client.get("/instances/").content.decode()

    def test_it_does_not_lead_to_other_sites(self, client: Client) -> None:
        response = client.post("/preferences/", {"dashboard_zone": "utc", "next": "https://evil.example/"})
        assert response["Location"] == "/"

    def test_it_refuses_what_is_no_choice(self, client: Client) -> None:
        assert client.post("/preferences/", {"dashboard_theme": "pink"}).status_code == 400
        assert client.post("/preferences/", {}).status_code == 400
        assert client.get("/preferences/").status_code == 405


# ---- headers and errors ---------------------------------------------------------------------------------------------


class TestPages:
    pytestmark = store

    def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(self, as_role: AsRole) -> None:
        response = as_role("viewer").get("/instances/")
        policy = response["Content-Security-Policy"]
        for directive in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert directive in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert response["Cross-Origin-Opener-Policy"] == "same-origin"

    def test_logging_in_and_out(self, client: Client, person: Callable[[str], User]) -> None:
        person("viewer")
        page = client.post("/login/", {"username": "viewer", "password": "wrong", "next": "/instances/"})
        assert "is not right" in page.content.decode()
        answer = client.post("/login/", {"username": "viewer", "password": "secret", "next": "/instances/"})
        assert answer["Location"] == "/instances/"
        assert client.get("/logout/").status_code == 405
        assert client.post("/logout/")["Location"] == "/login/"
        assert client.get("/instances/").status_code == 302

    def test_a_database_that_is_away_is_said_calmly(self, as_role: AsRole) -> None:
        client = as_role("viewer")
        with patch.object(DurableClient, "get_status", side_effect=OperationalError("gone")):
            page = client.get("/jump/", {"q": "x"})
            part = client.get("/jump/", {"q": "x"}, headers={"HX-Request": "true"})
        assert page.status_code == 503
        assert page["Retry-After"] == "5"
        assert "could not be read or changed" in page.content.decode()
        assert (part.status_code, part.content) == (503, b"")

    def test_an_error_of_ours_has_a_page_that_needs_no_database(self, as_role: AsRole) -> None:
        client = as_role("viewer")
        client.raise_request_exception = False
        with patch.object(DurableClient, "get_status", side_effect=RuntimeError("oh")):
            page = client.get("/jump/", {"q": "x"})
        assert page.status_code == 500
        assert "Orchestrations are not affected" in page.content.decode()

    def test_jumping_leads_to_the_instance_or_to_those_that_begin_so(self, as_role: AsRole, start: Start) -> None:
        start("page_echo", "hello", "order-17")
        client = as_role("viewer")
        assert client.get("/jump/", {"q": " order-17 "})["Location"] == "/instances/order-17/"
        assert client.get("/jump/", {"q": "order&x"})["Location"] == "/instances/?prefix=order%26x"
        assert client.get("/jump/")["Location"] == "/instances/"

    @pytest.mark.usefixtures("demo")
    def test_payloads_are_hidden_from_those_who_may_not_see_them(self, as_role: AsRole, start: Start) -> None:
        start("page_echo", "tea-secret", "x-1")
        assert "TEA-SECRET" not in as_role("viewer").get("/demo/x-1/").content.decode()
        assert "TEA-SECRET" in as_role("operator").get("/demo/x-1/").content.decode()


# ---- live -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("demo")
class TestLive:
    pytestmark = store

    def test_a_region_answers_alone_and_is_silent_while_nothing_changes(self, as_role: AsRole, start: Start) -> None:
        start("page_patience", None, "wait-1")
        client = as_role("viewer")
        page = client.get("/demo/wait-1/")
        assert "<html" in page.content.decode()
        assert "data-live-busy" in page.content.decode()
        tag = page["HX-PTag"]
        unchanged = client.get("/demo/wait-1/", headers={"HX-Request": "true", "HX-PTag": tag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    def test_a_change_brings_the_region_and_a_new_tag(
        self, as_role: AsRole, start: Start, work: Callable[[], None]
    ) -> None:
        start("page_patience", None, "wait-1")
        client = as_role("viewer")
        tag = client.get("/demo/wait-1/")["HX-PTag"]
        DurableClient().raise_event("wait-1", "GoOn", "yes")
        work()
        changed = client.get("/demo/wait-1/", headers={"HX-Request": "true", "HX-PTag": tag})
        text = changed.content.decode()
        assert changed.status_code == 200
        assert "<html" not in text
        assert text.strip().startswith('<section id="live-region"')
        assert "data-live-busy" not in text
        assert changed["HX-PTag"] != tag


# ---- acts -----------------------------------------------------------------------------------------------------------


class TestActing:
    pytestmark = store

    def act(self, user: User, instance_id: str) -> None:
        request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7")
        request.user = user
        with acting(request, Operation.SUSPEND, instance_id=instance_id, detail="lunch") as deed:
            deed.commit(DurableClient().suspend, instance_id, "lunch")

    def outcomes(self) -> list[tuple[str, str, str, str]]:
        return [(one.asked.actor, one.asked.address, one.outcome, one.asked.detail) for one in audit.latest("default")]

    def test_what_is_done_is_recorded_with_who_and_from_where(
        self, person: Callable[[str], User], start: Start
    ) -> None:
        start("page_patience", None, "wait-1")
        self.act(person("operator"), "wait-1")
        assert self.outcomes() == [("operator", "192.0.2.7", "done", "lunch")]

    def test_what_is_refused_is_recorded_and_raised(self, person: Callable[[str], User], start: Start) -> None:
        start("page_echo", "hello", "done-1")
        with pytest.raises(BadRequestError):
            self.act(person("operator"), "done-1")
        [(actor, _, outcome, detail)] = self.outcomes()
        assert (actor, outcome) == ("operator", "refused")
        assert "done-1" in detail

    def test_what_is_denied_is_recorded_and_changes_nothing(self, person: Callable[[str], User], start: Start) -> None:
        start("page_patience", None, "wait-1")
        with pytest.raises(MissingPermissionError) as caught:
            self.act(person("viewer"), "wait-1")
        assert caught.value.permission is Permission.MANAGE
        [(actor, address, outcome, detail)] = self.outcomes()
        assert (actor, address, outcome) == ("viewer", "192.0.2.7", "denied")
        assert "durable_host.change_instance" in detail
        status = DurableClient().get_status("wait-1")
        assert status is not None
        assert status.runtime_status == "Running"


# ---- in another project ---------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.dashboard.urls_of_another")
def test_the_pages_stand_in_a_site_of_another_shape(registered: None, as_role: AsRole, start: Start) -> None:
    start("page_echo", "hello", "known-1")
    client = as_role("admin")
    for page in ("", "instances/", "approvals/", "start/", "workers/", "audit/", "operations/"):
        assert client.get(f"/durable/{page}").status_code == 200, page
    for tab in ("", "history/", "sequence/", "data/", "audit/", "actions/rewind/"):
        assert client.get(f"/durable/instances/known-1/{tab}").status_code in (200, 409), tab

    form = client.get("/durable/start/page_echo/").content.decode()
    assert "python manage.py durable start" in form
    assert "curl" not in form
    assert "Prometheus" not in client.get("/durable/telemetry/").content.decode()
