"""The overview: calm, on fire, and on the first visit."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from subprocess import Popen
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from durable_host.client import DurableClient
from durable_host.core.registry import default_registry
from durable_host.store import overview
from durable_host.store.limits import TooSlowError
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.dashboard.trouble import Work, set_on_fire, show_worker

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
As = Callable[[str], Client]
Shoot = Callable[[Page, str], Path]


def text_of(client: Client, path: str = "/") -> str:
    """Return the words of a page, without its tags."""
    html = client.get(path).content.decode()
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html[html.index("<main") :])))


def test_all_calm_is_one_line(as_role: As, start: Start) -> None:
    start("page_echo", "hello", "calm-1")
    show_worker("node-a:1")
    page = text_of(as_role("viewer"))
    assert "All calm" in page
    assert "a worker is there" in page
    for word in ("Stalled", "Backing off", "No worker", "Overdue approvals", "Longer than usual"):
        assert word not in page


def test_every_kind_of_trouble_is_named_and_leads_to_where_it_is(as_role: As, start: Start, work: Work) -> None:
    set_on_fire(start, work)
    client = as_role("operator")
    html, page = client.get("/").content.decode(), text_of(client)
    for said in (
        "1 queue without a worker",
        "1 stalled instance",
        "4 failures in 24 h",
        "1 overdue approval",
        "1 runs longer than usual",
        "1 call retries",
        "Nobody serves this queue: 3 activities wait.",
        "python manage.py durable_worker --queues far",
        "add it to DURABLE_QUEUES",
        "attempt 2 of 5",
        "Refund order 1234?",
        "asked of finance",
        "payment gateway did not answer order 2 within 2.5 s",
    ):
        assert said in page, said
    for anchor in re.findall(r'class="chip problem [^"]*" href="#([^"]+)"', html):
        assert f'id="{anchor}"' in html
    assert "<script>alert" not in html


def test_a_group_of_failures_leads_to_the_list_of_all_of_them(as_role: As, start: Start, work: Work) -> None:
    set_on_fire(start, work)
    client = as_role("viewer")
    html = client.get("/").content.decode()
    link = next(one for one in re.findall(r'class="error-line" href="([^"]+)"', html) if "page_charge" in one)
    link = link.replace("&amp;", "&")
    assert parse_qs(urlsplit(link).query)["error"] == ["payment gateway did not answer order"]
    listed = client.get(link).content.decode()
    assert all(f"charge-{number}" in listed for number in range(3))
    assert "hostile-1" not in listed


def test_one_slow_question_leaves_the_other_boxes_alone(
    as_role: As, start: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object, **__: object) -> None:
        raise TooSlowError(3.0)

    set_on_fire(start, work)
    for name in ("failure_groups", "activity_by_hour", "throughput"):
        monkeypatch.setattr(overview, name, slow)
    page = text_of(as_role("operator"))
    assert page.count("The database took too long") == 2
    assert "failures in 24 h: took too long" in page
    assert "1 stalled instance" in page
    assert "took too long to count" in page


def test_the_lower_half_is_read_again_only_every_few_seconds(
    as_role: As, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.views.overview.ACTIVITY_SECONDS", 10**9)
    start("page_echo", "hello", "one-1")
    client = as_role("viewer")
    assert client.get("/overview/activity/").headers["Location"] == "/"
    partial = {"HX-Request": "true"}
    first = client.get("/overview/activity/", headers=partial)
    assert "page_echo by hour: 1 completed, 0 failed" in first.content.decode()
    again = client.get("/overview/activity/", headers={**partial, "HX-PTag": first.headers["HX-PTag"]})
    assert again.status_code == 304


def test_lately_is_for_those_who_may_see_the_audit(as_role: As, start: Start) -> None:
    start("page_patience", None, "one-1")
    operator = as_role("operator")
    operator.post("/instances/one-1/actions/terminate/", {"reason": "enough"})
    assert "terminated one-1" in text_of(operator)
    assert "Lately" not in text_of(as_role("viewer"))


def test_it_asks_a_bounded_number_of_questions(
    as_role: As, start: Start, work: Work, django_assert_max_num_queries: Callable[..., object]
) -> None:
    set_on_fire(start, work)
    for number in range(10, 40):
        DurableClient().start_new("page_charge", number)
    work()
    client = as_role("operator")
    client.get("/")
    with django_assert_max_num_queries(70):  # type: ignore[attr-defined]
        client.get("/")


def test_on_fire_in_the_browser(visit: Visit, start: Start, work: Work, shoot: Shoot) -> None:
    set_on_fire(start, work)
    page = visit("/", role="operator", width=360)
    assert_no_sideways_scroll(page)
    assert_accessible(page)
    shoot(page, "overview-fire-360")
    page.set_viewport_size({"width": 2560, "height": 1200})
    shoot(page, "overview-fire-2560")
    page.set_viewport_size({"width": 1280, "height": 900})
    shoot(page, "overview-fire-light")
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
    shoot(page, "overview-fire-dark")
    # When: what is stalled is terminated; then: its box goes away by itself.
    DurableClient().terminate("gone-1")
    work()
    expect(page.locator("#stalled")).to_have_count(0)
    expect(page.get_by_role("link", name="1 overdue approval")).to_be_visible()


def test_calm_and_without_scripts(visit: Visit, start: Start, shoot: Shoot) -> None:
    start("page_echo", "hello", "calm-1")
    show_worker("node-a:1")
    page = visit("/", scripts=False)
    expect(page.get_by_role("heading", name="All calm")).to_be_visible()
    shoot(page, "overview-calm")
    page.get_by_role("link", name="page_echo").click()
    expect(page.get_by_text("calm-1")).to_be_visible()


def test_the_first_visit_ends_on_a_page_that_moves(
    visit: Visit, worker_process: Callable[..., Popen[bytes]], shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: an empty database, no worker, and the five patterns alone.
    patterns = {
        name: spec
        for name, spec in default_registry.orchestrators.items()
        if spec.function.__module__.startswith("orchestrations.")
    }
    monkeypatch.setattr(default_registry, "orchestrators", patterns)
    page = visit("/")
    expect(page.get_by_role("heading", name="Three steps")).to_be_visible()
    expect(page.locator("#step-worker")).to_contain_text("durable_worker")
    expect(page.locator("#step-code")).to_contain_text("orchestrators registered")
    assert_accessible(page)
    shoot(page, "first-visit-light")
    # When: a worker comes.
    worker_process()
    expect(page.locator("#step-worker.is-done")).to_contain_text("Seen")
    shoot(page, "first-visit-worker")
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")
    assert_no_sideways_scroll(page)
    assert_accessible(page)
    shoot(page, "first-visit-dark-360")
    # When: the first of the orchestrators is started from its form; then: its page moves until it ends.
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#step-start a.button").first.click()
    shoot(page, "first-form")
    page.get_by_label("Up to").fill("2000000")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".page-head .badge").first).to_have_text("Completed")
