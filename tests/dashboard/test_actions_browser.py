"""An operator steers instances, in a real browser with real workers, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from durable_host.client import DurableClient
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard import functions
from tests.dashboard.conftest import Start, Visit

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
Work = Callable[[], None]


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Nothing stays broken for the next test."""
    yield
    functions.BROKEN.clear()


def press(page: Page, label: str, **typed: str) -> None:
    """Go to the page of an action, fill it in and press its button."""
    for name, text in typed.items():
        page.get_by_label(name.capitalize()).first.fill(text)
    page.get_by_role("button", name=label, exact=True).click()
    expect(page.get_by_role("status").first).to_be_visible()


def test_an_instance_is_suspended_resumed_terminated_and_purged_by_a_worker(
    visit: Visit, worker_process: Callable[..., Popen[bytes]]
) -> None:
    worker_process()
    client = DurableClient()
    expense = {"employee": "ann", "amount": "420.00", "purpose": "x", "approver": "bob", "manager": "eve"}
    client.start_new("human_interaction", expense, instance_id="trip-7")
    page = visit("/instances/trip-7/")
    for verb, label, status in (("suspend", "Suspend", "Suspended"), ("resume", "Resume", "Running")):
        page.goto(f"/instances/trip-7/actions/{verb}/")
        press(page, label, reason="maintenance")
        expect(page).to_have_url(re.compile("/instances/trip-7/$"))
        expect(page.locator(".page-head .badge").first).to_have_text(status)
    page.goto("/instances/trip-7/actions/terminate/")
    expect(page.get_by_text("Nobody can answer ApprovalEvent any more.")).to_be_visible()
    press(page, "Terminate", reason="wrong customer")
    expect(page.locator(".page-head .badge").first).to_have_text("Terminated")
    page.goto("/instances/trip-7/actions/purge/")
    press(page, "Purge", reason="test data")
    expect(page.get_by_role("status").first).to_contain_text("trip-7 is purged")
    assert client.get_status("trip-7") is None


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_failure_of_yesterday_is_read_and_rewound(visit: Visit, start: Start, work: Work, scripts: bool) -> None:
    functions.BROKEN.append("no route to host")
    start("page_brittle", "hello", "b-1")
    page = visit("/instances/b-1/", scripts=scripts)
    expect(page.get_by_text("no route to host").first).to_be_visible()
    page.goto("/instances/b-1/actions/rewind/")
    expect(page.get_by_text("ConnectionError: no route to host").first).to_be_visible()
    functions.BROKEN.clear()
    press(page, "Rewind", reason="The network is back")
    work()
    status = DurableClient().get_status("b-1")
    assert status is not None
    assert status.output == "HELLO"


def test_a_double_click_raises_one_event(visit: Visit, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    page = visit("/instances/wait-1/actions/raise-event/")
    page.get_by_label("Event name").fill("Count")
    page.get_by_role("button", name="Raise event").dblclick()
    expect(page.get_by_role("status").first).to_be_visible()
    work()
    names = [getattr(event, "name", "") for event in DurableClient().get_history("wait-1")]
    assert names.count("Count") == 1


def test_every_page_is_accessible_and_fits_any_window(
    visit: Visit, start: Start, shoot: Callable[[Page, str], Path]
) -> None:
    functions.BROKEN.append("no route to host " + "and on and on " * 30)
    start("page_brittle", "hello", "b-1")
    start("page_parent", None, "parent-1")
    start("page_question", {"title": "May it go on?", "text": "Say so."}, "q-1")
    start("page_patience", None, "x" * 250)
    page = visit("/instances/b-1/actions/rewind/")
    for path, name in (
        ("b-1/actions/rewind/", "rewind"),
        ("parent-1/actions/terminate/", "terminate"),
        (f"{'x' * 250}/actions/suspend/", "suspend"),
        ("q-1/actions/raise-event/", "raise-event"),
        ("b-1/actions/restart/", "restart"),
        ("b-1/actions/resume/", "illegal"),
    ):
        page.goto(f"/instances/{path}")
        look(page, shoot, f"action-{name}")


def look(page: Page, shoot: Callable[[Page, str], Path], name: str) -> None:
    """Check a page wide and light, narrow and dark, and take its pictures."""
    looks: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
    for theme, width in looks:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 800})
        assert_no_sideways_scroll(page)
        assert_accessible(page)
        shoot(page, f"{name}-{theme}-{width}")
