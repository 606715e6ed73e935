"""The pages of one instance in a real browser: live, with and without scripts, in both themes, at every width."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect

from durable_host.client import DurableClient
from durable_host.core import events as ev
from durable_host.core.codec import to_record
from durable_host.models import Instance
from durable_host.store.rows import append_history, history_rows
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.dashboard.test_instance_pages import TABS

Shoot = Callable[[Page, str], Path]


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_an_orchestration_is_watched_to_its_end(
    visit: Visit, worker_process: Callable[..., Popen[bytes]], tmp_path: Path
) -> None:
    expense = {"employee": "eve", "amount": "120.00", "purpose": "chair", "approver": "ann", "manager": "max"}
    instance_id = DurableClient().start_new("human_interaction", expense)
    page = visit(f"/instances/{instance_id}/")
    expect(page.locator(".badge").first).to_have_text("Pending")
    worker_process()
    expect(page.locator(".badge").first).to_have_text("Running")
    expect(page.locator(".timeline-row").nth(1)).to_be_visible()
    page.locator(".trace summary").click()
    DurableClient().raise_event(instance_id, "ApprovalEvent", True)
    expect(page.locator(".badge").first).to_have_text("Completed")
    expect(page.locator(".timeline-row", has_text="process_approval")).to_be_visible()
    # What somebody has opened stays open while the page moves.
    expect(page.locator(".query-panel")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Input and output").click()
    expect(page.locator(".data-pair code", has_text="approved")).to_be_visible()


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_every_tab_is_accessible_and_fits_any_window(visit: Visit, start: Start, shoot: Shoot) -> None:
    start("page_failure", "no <b>tea</b>", "fails-1", tags={"customer": "42"})
    page = visit("/instances/fails-1/")
    for tab in (*TABS, "history/1/"):
        page.goto(f"/instances/fails-1/{tab}")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 900})
                assert_no_sideways_scroll(page)
            assert_accessible(page)
            shoot(page, f"instance-{tab.strip('/').replace('/?', '-') or 'timeline'}-{theme}")


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_every_tab_works_without_scripts(visit: Visit, start: Start) -> None:
    start("page_echo", "quiet", "echo-1")
    page = visit("/instances/echo-1/", scripts=False)
    expect(page.get_by_role("row", name="shout")).to_be_visible()
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Input").last.click()
    expect(page.get_by_text('"quiet"', exact=True)).to_be_visible()
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_role("link", name="show", exact=True).click()
    expect(page.get_by_text("OrchestratorCompleted", exact=True).first).to_be_visible()
    page.get_by_label("Type").select_option("TaskCompleted")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Tracking log").click()
    expect(page.get_by_text("Replay", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Sequence").click()
    expect(page.locator("svg.sequence")).to_be_visible()
    page.get_by_role("link", name="Input and output").click()
    expect(page.get_by_text('"QUIET"', exact=True)).to_be_visible()
    page.get_by_role("navigation", name="Instance").get_by_role("link", name="Audit").click()
    expect(page.get_by_text("Nobody has changed it")).to_be_visible()


def lengthen(instance_id: str, calls: int) -> None:
    """Give an instance the history of so many calls more."""
    row = Instance.objects.get(instance_id=instance_id)
    events: list[ev.HistoryEvent] = []
    for number in range(1000, 1000 + calls):
        at = row.created_at + timedelta(milliseconds=number)
        events.append(ev.TaskScheduled(timestamp=at, event_id=number, name="shout", input=str(number)))
        events.append(ev.TaskCompleted(timestamp=at, task_scheduled_id=number, result="1", started_at=at))
    rows = history_rows(row.pk, 0, row.next_sequence, map(to_record, events))
    with transaction.atomic():
        for begin in range(0, len(rows), 500):
            append_history(rows[begin : begin + 500])
    Instance.objects.filter(pk=row.pk).update(next_sequence=row.next_sequence + len(events))


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_a_history_of_ten_thousand_events_comes_in_parts(visit: Visit, start: Start) -> None:
    start("page_echo", "quiet", "long-1")
    lengthen("long-1", 5_000)
    page = visit("/instances/long-1/")
    expect(page.locator(".timeline-row")).to_have_count(1)
    expect(page.get_by_text("5,001 completed")).to_be_visible()
    page.goto("/instances/long-1/history/?view=all")
    expect(page.locator("tr[data-key]")).to_have_count(200)
    for count in (400, 600, 800):
        page.get_by_role("link", name="Load the next 200").click()
        expect(page.locator("tr[data-key]")).to_have_count(count)
    assert page.locator("tr[data-key]").last.get_attribute("id") == "event-799"
    page.locator("#event-8").get_by_role("link", name="Payload").click()
    expect(page.locator("#payload-8 code")).to_have_text("1000")
