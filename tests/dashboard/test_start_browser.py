"""Starting in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from durable_host.core.registry import default_registry
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard import journeys
from tests.dashboard.conftest import Visit

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
def test_pattern_2_is_started_from_its_form_and_seen_to_finish(
    visit: Visit, registered: None, work: Callable[[], None], tmp_path: Path, scripts: bool
) -> None:
    (tmp_path / "one.txt").write_text("a\nb\n")
    page = visit("/start/", scripts=scripts)
    page.get_by_role("link", name="fan_out_fan_in", exact=True).click()
    page.get_by_label("Root").fill(str(tmp_path))
    page.get_by_role("button", name="Start", exact=True).last.click()
    page.get_by_text("Started fan_out_fan_in as").wait_for()
    page.get_by_text("Pending").first.wait_for()
    work()
    if not scripts:
        page.reload()
    page.locator(".badge", has_text="Completed").first.wait_for()


def test_rows_and_json_without_leaving_the_page(visit: Visit, registered: None) -> None:
    page = visit("/start/function_chaining/")
    page.evaluate("window.isSamePage = true")
    page.get_by_label("Order id").fill("o-1")
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**", hold_first)
    with page.expect_request(lambda request: request.method == "POST"):
        page.get_by_role("button", name="Add to Items").click()
    page.locator("[name='input.items.0!name']").fill("tea")  # while the server answers
    held[0].continue_()
    expect(page.locator("[name='input.items.1!name']")).to_be_focused()
    page.locator("[name='input.items.0!value']").fill("3")
    assert page.get_by_label("Order id").input_value() == "o-1"
    page.locator("#start-same").get_by_text("'tea': 3").wait_for()
    page.get_by_role("button", name="Remove Items 2").click()
    page.locator("[name='input.items.1!name']").wait_for(state="detached")
    page.get_by_role("button", name="Edit as JSON").click()
    page.get_by_role("button", name="Edit as a form").wait_for()
    assert '"o-1"' in page.locator("textarea[name=input]").input_value()
    assert page.evaluate("window.isSamePage")


def fill_badly(page: Page) -> None:
    """Send a form that is wrong in several places."""
    page.get_by_label("Traveller").fill("Ann")
    page.get_by_role("button", name="Add to Legs").click()
    page.locator("li.typed-row").nth(1).wait_for()
    page.locator("li.typed-row").nth(1).get_by_role("radio", name="Train").check()
    page.get_by_role("button", name="Start", exact=True).last.click()
    page.get_by_text("things are not right yet").wait_for()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360), ("light", 360), ("dark", 1280)][:2])
def test_the_pages_are_accessible_and_fit(
    visit: Visit, registered: None, theme: str, width: int, shoot: Callable[[Page, str], Path]
) -> None:
    journeys.register(default_registry)
    page = visit("/start/", theme=theme, width=width)
    for name in ("", "human_interaction", "page_patience", "page_journey"):
        page.goto(f"/start/{name}/" if name else "/start/")
        if name == "page_journey":
            shoot(page, f"start-{name}-first-{theme}-{width}")
            fill_badly(page)
        assert_accessible(page)
        assert_no_sideways_scroll(page)
        shoot(page, f"start-{name}-{theme}-{width}")


def test_the_admin_shows_the_same_form(visit: Visit, registered: None, shoot: Callable[[Page, str], Path]) -> None:
    journeys.register(default_registry)
    page = visit("/admin/durable_host/instance/")
    page.get_by_role("link", name="Start orchestration").click()
    shoot(page, "admin-catalogue")
    page.get_by_role("link", name="page_journey").click()
    fill_badly(page)
    shoot(page, "admin-form")
    page.goto("/admin/durable_host/instance/add/page_echo/")
    page.get_by_label("Text").fill("hello")
    page.get_by_role("button", name="Start", exact=True).last.click()
    page.get_by_text("Started page_echo as").wait_for()
    shoot(page, "admin-list")
