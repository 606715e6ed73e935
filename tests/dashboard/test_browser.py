"""The foundation in a real browser: it moves by itself, obeys the keyboard, and needs no script."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from durable_host.client import DurableClient
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit

pytestmark = [
    pytest.mark.store,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("demo"),
]
Work = Callable[[], None]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_component_is_accessible_and_fits_any_window(
    visit: Visit, theme: str, shoot: Callable[[Page, str], Path]
) -> None:
    page = visit("/gallery/", theme=theme)
    for width in (1280, 2560, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert_no_sideways_scroll(page)
        if width != 2560:
            assert_accessible(page)
        shoot(page, f"gallery-{theme}-{width}")


@pytest.mark.parametrize("path", ["/login/", "/nowhere/", "/instances/"])
def test_pages_for_those_who_may_not_are_accessible(visit: Visit, path: str) -> None:
    for theme in ("light", "dark"):
        assert_accessible(visit(path, role=None if path == "/login/" else "nobody", theme=theme, width=360))


def test_a_page_moves_by_itself_and_keeps_what_somebody_does_there(visit: Visit, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    page = visit("/demo/wait-1/")
    indicator = page.locator("[data-live-indicator]")
    expect(indicator).to_have_attribute("data-state", "live")
    page.get_by_text("More").click()
    copy = page.get_by_label("Copy the id")
    copy.focus()
    heading = page.locator("h1").element_handle()

    DurableClient().raise_event("wait-1", "GoOn", "at last")
    work()

    expect(page.locator(".page-head .badge")).to_have_text("Completed")
    expect(page.get_by_text('"at last"')).to_be_visible()
    expect(copy).to_be_focused()
    assert heading is not None
    assert heading.evaluate("one => one.isConnected"), "the heading was replaced, not morphed"
    expect(page.locator("[data-live-busy]")).to_have_count(0)


def test_rows_do_not_move_under_the_pointer(visit: Visit, start: Start) -> None:
    start("page_patience", None, "first-1")
    page = visit("/demo/")
    row = page.locator("tbody tr").first
    row.hover()
    start("page_echo", "hello", "second-1")
    expect(page.locator("[data-live-indicator]")).to_have_attribute("data-state", "held")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.mouse.move(5, 5)
    expect(page.locator("tbody tr")).to_have_count(2)


def test_it_says_when_the_server_is_gone_and_when_somebody_logged_out(visit: Visit, start: Start) -> None:
    start("page_patience", None, "wait-1")
    page = visit("/demo/wait-1/")
    indicator = page.locator("[data-live-indicator]")
    page.context.set_offline(True)
    expect(indicator).to_have_attribute("data-state", "lost")
    page.context.set_offline(False)
    expect(indicator).to_have_attribute("data-state", "live")
    page.context.clear_cookies()
    expect(indicator).to_have_text("Logged out")
    expect(page.locator("h1")).to_have_text("page_patience")


def test_the_keyboard_leads_everywhere(visit: Visit, start: Start) -> None:
    start("page_echo", "hello", "first-1")
    start("page_echo", "hello", "second-1")
    page = visit("/demo/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.is-selected")).to_contain_text("first-1")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/instances/second-1/"))
    page.goto("/demo/")
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(re.compile("/instances/"))
    page.goto("/demo/")
    page.keyboard.press("/")
    page.keyboard.type("first-1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/instances/first-1/"))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_theme_zone_and_menu_work_with_and_without_scripts(visit: Visit, start: Start, scripts: bool) -> None:
    start("page_echo", "hello", "first-1")
    page = visit("/demo/first-1/", scripts=scripts, width=360)
    page.get_by_text("time, theme").locator("..").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_text("time, theme").locator("..").click()
    page.get_by_role("button", name="UTC").click()
    expect(page.locator("html")).to_have_attribute("data-zone", "utc")
    expect(page.locator("time").first).to_have_attribute("title", re.compile("UTC$"))
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Instances")).to_be_visible()
    if not scripts:
        expect(page.get_by_role("link", name="Refresh")).to_have_count(1)


def test_times_are_in_the_zone_of_the_browser_from_the_first_page_on(visit: Visit, start: Start) -> None:
    start("page_echo", "hello", "first-1")
    page = visit("/demo/first-1/", zone="Asia/Tokyo")
    cell = page.locator('time[data-when="time"]').first
    shown = cell.inner_text()
    assert "GMT+9" in str(cell.get_attribute("title")) or "JST" in str(cell.get_attribute("title"))
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-zone-name", "Asia/Tokyo")
    assert cell.inner_text() == shown
    assert str(cell.get_attribute("title")).endswith("JST")


def test_logging_in_by_hand(visit: Visit, person: Callable[[str], object]) -> None:
    person("viewer")
    page = visit("/instances/", role=None, scripts=False)
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("/instances/$"))
    expect(page.get_by_role("heading", name="Instances").first).to_be_visible()


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/durable_host/apikey/add/",
        "/admin/auth/group/add/",
        "/admin/django_rq/dashboard/",
        "/api/docs",
    ],
)
def test_pages_of_others_work_under_the_policy(visit: Visit, path: str) -> None:
    """The fixture fails for whatever the browser reports as a breach."""
    page = visit(path)
    page.wait_for_load_state("networkidle")
    expect(page.locator("body")).not_to_be_empty()
