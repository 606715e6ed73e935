"""The list and its operations in a real browser, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from durable_host.client import DurableClient
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.dashboard.test_list import HOSTILE, make
from tests.dashboard.test_operations import make_batch, statuses

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
Work = Callable[[], None]


def ids(page: Page) -> list[str]:
    return [str(row.get_attribute("data-key")) for row in page.locator("tbody tr").all()]


def test_filters_are_set_and_removed_by_clicks(visit: Visit, registered: None) -> None:
    make("a-1", "Failed", tags={"customer": "acme"})
    make("a-2", "Failed", name="other")
    make("a-3", "Running", tags={"customer": "acme"}, age=timedelta(days=3))
    page = visit("/instances/")
    page.get_by_role("button", name="customer=acme").click()
    expect(page).to_have_url(re.compile(r"/instances/\?tag=customer%3Dacme$"))
    page.get_by_role("navigation", name="Created").get_by_role("link", name="7d").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("navigation", name="Status").get_by_role("link", name="Failed").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Remove the filter Tag: customer=acme").click()
    expect(page).to_have_url(re.compile(r"\?status=Failed&since=7d$"))
    assert sorted(ids(page)) == ["a-1", "a-2"]
    page.locator("#filters summary").click()
    page.locator("#filters").get_by_label("Orchestrator").fill("oth*")
    page.locator("#filters").get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert sorted(ids(page)) == ["a-1", "a-2"]


def test_all_that_match_are_terminated_and_seen_to_end(visit: Visit, start: Start, work: Work) -> None:
    for number in range(30):
        start("page_patience", None, f"wait-{number}")
    page = visit("/instances/?name=page_patience")
    page.get_by_role("link", name="Act on all").click()
    page.get_by_role("link", name="Terminate…").click()
    expect(page.get_by_role("heading", name="Terminate: 30 instances")).to_be_visible()
    page.get_by_label("Reason").fill("wrong input")
    page.get_by_label("Type 30 to be sure").fill("30")
    page.get_by_role("button", name="Terminate: 30 instances").click()
    expect(page.locator("#batch-state")).to_have_text("Waiting for a worker")
    work()
    expect(page.locator("#batch-state")).to_have_text("Finished")
    expect(page.locator(".stat-value").first).to_have_text("30")
    assert set(statuses(*(f"wait-{number}" for number in range(30)))) == {"Terminated"}


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_ticked_rows_are_acted_on(visit: Visit, start: Start, work: Work, scripts: bool) -> None:
    start("page_patience", None, "wait-1")
    start("page_patience", None, "wait-2")
    start("page_echo", "hello", "done-1")
    page = visit("/instances/", scripts=scripts)
    bar = page.locator("#pick")
    if scripts:
        expect(bar).to_be_hidden()
    page.get_by_label("Tick wait-1").check()
    page.get_by_label("Tick done-1").check()
    if scripts:
        expect(bar).to_contain_text("2 ticked")
        expect(bar.get_by_role("button", name="Resume")).to_be_disabled()
        page.mouse.move(5, 5)
        start("page_echo", "hello", "new-1")
        expect(page.locator("tbody tr")).to_have_count(4)
        expect(page.get_by_label("Tick wait-1")).to_be_checked()
    bar.get_by_role("button", name="Suspend").click()
    page.get_by_role("button", name="Suspend: 2 ticked instances").click()
    work()
    assert statuses("wait-1", "wait-2", "done-1") == ["Suspended", "Running", "Completed"]
    page.goto("/operations/")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_view_is_saved_used_and_deleted(visit: Visit, registered: None) -> None:
    make("a-1", "Failed")
    make("b-1", "Running")
    page = visit("/instances/?status=Failed")
    page.get_by_text("Save view").first.click()
    page.get_by_label("Name").fill("My <b> failures")
    page.get_by_role("button", name="Save view").click()
    expect(page.locator(".messages")).to_contain_text("was saved")
    page.goto("/instances/")
    page.get_by_role("link", name="My <b> failures").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("#view-menu summary").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="My <b> failures")).to_have_count(0)


def test_the_list_works_without_scripts(visit: Visit, registered: None) -> None:
    for number in range(60):
        make(f"n-{number:02}", "Failed" if number % 2 else "Completed", age=timedelta(minutes=60 - number))
    page = visit("/instances/", scripts=False)
    page.get_by_role("link", name="Older").click()
    assert len(ids(page)) == 10
    page.get_by_role("link", name="Newer").click()
    page.locator("#columns-menu summary").click()
    page.get_by_label("Version").check()
    page.locator("#columns-menu").get_by_role("button", name="Apply").click()
    expect(page.get_by_role("columnheader", name="Version")).to_be_visible()
    page.locator("tbody tr").first.get_by_role("button", name="Failed").click()
    expect(page).to_have_url(re.compile(r"\?status=Failed$"))
    assert len(ids(page)) == 30


def test_every_page_is_accessible_and_fits_any_window(
    visit: Visit, registered: None, shoot: Callable[[Page, str], Path]
) -> None:
    make(HOSTILE, "Failed", name=HOSTILE, tags={HOSTILE: HOSTILE}, custom_status=f'"{"W" * 900}"')
    make("w" * 256, "Running", name="n" * 256, tags={"t" * 256: "v" * 256}, stall_reason="x" * 2_000)
    make("a-1", "Running")
    failures = [["w" * 256, "e" * 500]]
    make_batch(public_id="b-1", estimate=3, done=1, failed=1, errors=failures, event_name="E" * 256)
    places = {
        "list": "/instances/?since=all&subs=1",
        "no-match": "/instances/?status=Failed&name=nobody&tag=a%3Db",
        "choose": "/operations/new/",
        "confirm": "/operations/new/?operation=terminate",
        "operation": "/operations/b-1/",
        "operations": "/operations/",
    }
    for theme in ("light", "dark"):
        page = visit("/login/", theme=theme)
        for name, address in places.items():
            page.set_viewport_size({"width": 1280, "height": 900})
            page.goto(address)
            assert_accessible(page)
            page.set_viewport_size({"width": 360, "height": 900})
            assert_no_sideways_scroll(page)
            shoot(page, f"{name}-{theme}-360")
    page.goto("/instances/?since=all")
    for menu in ("filters", "columns-menu", "view-menu"):
        page.locator(f"#{menu} > summary").click()
        assert_accessible(page)
        assert_no_sideways_scroll(page)
        page.locator(f"#{menu} > summary").click()


def test_new_rows_are_counted_while_the_pointer_is_on_one(visit: Visit, start: Start) -> None:
    start("page_patience", None, "first-1")
    page = visit("/instances/")
    page.locator("tbody tr").first.hover()
    start("page_echo", "hello", "second-1")
    expect(page.locator("[data-new-rows]")).to_have_text("+1 new")
    assert ids(page) == ["first-1"]
    page.mouse.move(5, 5)
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("[data-new-rows]")).to_be_hidden()
    assert DurableClient().get_status("second-1") is not None
