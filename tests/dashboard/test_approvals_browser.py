"""People answer what they are asked, in a real browser, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from threading import Barrier, Thread
from typing import Any, Literal

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from playwright.sync_api import Page, expect

from durable_host import desk
from durable_host.client import DurableClient
from durable_host.core.access import Operation
from durable_host.models import AuditRecord, EventWait, PendingEvent
from durable_host.store import clock
from durable_host.store.approvals import VerdictKind, get_wait
from durable_host.store.audit import Asked
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.services import PATIENCE

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
Work = Callable[[], None]
Worker = Callable[..., Popen[bytes]]
LONG = "Twelve people go to Bern for the yearly review.\n\nTrains: 4,100.00\nHotel: 5,800.00\n" + "And so on. " * 120
WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 6


def expense(**changed: Any) -> dict[str, Any]:
    """An expense for pattern 5: "boss" is asked first, then "eve"."""
    given = {"employee": "ann", "amount": "420.00", "purpose": "Train to Bern", "approver": "boss", "manager": "eve"}
    return {**given, **changed}


def test_pattern_5_is_approved_and_rejected_by_button_and_runs_out_of_time(
    visit: Visit, worker_process: Worker, person: Callable[[str], User]
) -> None:
    worker_process()
    client = DurableClient()
    for name in ("yes", "no"):
        client.start_new("human_interaction", expense(), instance_id=name)
    client.start_new("human_interaction", expense(timeout_seconds=1), instance_id="late")
    page = visit("/approvals/")

    # approve: the list shows it by itself once the worker has come so far
    page.locator("tr", has=page.get_by_role("link", name="yes", exact=True)).get_by_role("link", name="Answer").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").first).to_contain_text("Approve: Expense of 420.00 by ann.")
    assert client.wait_for_completion("yes", PATIENCE).output == {"decision": "approved", "stage": "approver"}

    # reject: it must be said why, and what was typed stays
    page.goto("/approvals/no/ApprovalEvent/")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Say why, then press Reject again.")).to_be_visible()
    page.get_by_label("Comment").fill("Take the bus")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("status").first).to_contain_text("Reject: Expense")
    assert client.wait_for_completion("no", PATIENCE).output == {"decision": "rejected", "stage": "approver"}

    # time out: whoever comes too late is told so
    assert client.wait_for_completion("late", PATIENCE).output == {"decision": "expired", "stage": "manager"}
    page.goto("/approvals/late/ApprovalEvent/")
    expect(page.get_by_text("nobody has answered here")).to_be_visible()
    page.goto("/approvals/?tab=done")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody")).to_contain_text("Take the bus")


def test_of_two_browsers_one_wins_and_the_other_is_told_who(visit: Visit, start: Start, work: Work) -> None:
    start("page_question", {"title": "May it go on?"}, "q-1")
    first, second = (visit("/approvals/q-1/Answer/", role=role) for role in ("approver", "operator"))
    second.get_by_label("Comment").fill("I am not sure")
    first.get_by_role("button", name="Approve").click()
    expect(first.get_by_role("status").first).to_contain_text("Approve: May it go on?")
    # The other page learns of it by itself, and what is typed there stays.
    expect(second.get_by_role("complementary")).to_contain_text("by approver")
    second.get_by_role("button", name="Reject").click()
    expect(second.get_by_text("Your answer was not recorded")).to_be_visible()
    expect(second.get_by_text("I am not sure")).to_be_visible()
    work()
    status = DurableClient().get_status("q-1")
    assert status is not None
    assert status.output is True
    assert AuditRecord.objects.filter(outcome="done").count() == 1


def test_exactly_one_of_many_who_decide_at_once_wins(start: Start, work: Work) -> None:
    start("page_question", {}, "q-1")
    wait = get_wait("default", "q-1", "Answer")
    assert wait is not None
    barrier, verdicts = Barrier(6), []

    def decide(name: str) -> None:
        asked = Asked(
            hub="default", actor_kind="user", actor=name, address="", operation=Operation.RAISE_EVENT, instance_id="q-1"
        )  # fmt: skip
        barrier.wait()
        try:
            verdicts.append(desk.decide(asked, "answer", name == "u0", name, question=wait.key))
        finally:
            connection.close()

    threads = [Thread(target=decide, args=[f"u{number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [one for one in verdicts if one.is_decided]
    assert len(verdicts) == 6
    assert len(winners) == 1
    assert {one.by for one in verdicts} == {winners[0].by}
    assert {one.kind for one in verdicts} == {VerdictKind.DECIDED, VerdictKind.ALREADY_DECIDED}
    assert PendingEvent.objects.filter(event_type="EventRaised").count() == 1


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_choices_and_forms_are_answered(visit: Visit, start: Start, work: Work, scripts: bool) -> None:
    start("page_question", {"kind": "choice", "title": "How shall we meet?"}, "q-1")
    start("page_question", {"kind": "model", "title": "When do you come?"}, "q-2")
    page = visit("/approvals/", role="operator", scripts=scripts)
    page.get_by_role("link", name="Answer How shall we meet?").click()
    page.get_by_role("button", name="By video").click()
    expect(page.get_by_role("heading", name="When do you come?")).to_be_visible()
    page.get_by_label("Day").fill("2026-12-24")
    page.get_by_label("Guests").fill("3")
    page.get_by_role("button", name="Edit as JSON").click()
    expect(page.get_by_role("textbox", name="Answer")).to_have_value(re.compile('"guests": 3'))
    page.get_by_role("button", name="Edit as a form").click()
    expect(page.get_by_label("Guests")).to_have_value("3")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("status").first).to_contain_text("Nothing else waits for you")
    work()
    client = DurableClient()
    answers = [client.wait_for_completion(name, 1).output for name in ("q-1", "q-2")]
    assert answers == ["by_video", {"day": "2026-12-24", "guests": 3, "place": "office"}]


def test_a_approves_after_a_look(visit: Visit, start: Start) -> None:
    start("page_question", {"title": "May it go on?"}, "q-1")
    page = visit("/approvals/q-1/Answer/")
    page.get_by_label("Comment").press("a")
    dialog = page.get_by_role("dialog", name="Approve?")
    expect(dialog).to_have_count(0)
    page.locator("h1").click()
    page.keyboard.press("a")
    expect(dialog).to_contain_text("May it go on?")
    assert_accessible(page)
    page.keyboard.press("Escape")
    assert PendingEvent.objects.count() == 0
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Approve: May it go on?")


def test_every_page_is_accessible_and_fits_any_window(
    visit: Visit, start: Start, work: Work, person: Callable[[str], User], shoot: Callable[[Page, str], Path]
) -> None:
    person("boss").groups.add(Group.objects.create(name="finance"))
    page = visit("/approvals/")
    look(page, shoot, "approvals-empty")
    start("page_question", {"title": "Expense of 9,900.00 by ann", "text": LONG, "to": ["boss", "finance"]}, "trip-7")
    start(
        "page_question", {"title": f"Release {WORD}", "kind": "release", "text": "<b>bold</b>", "seconds": 9000}, "r-1"
    )
    start("page_question", {"title": "Overdue since yesterday", "to": ["finance"], "seconds": 9000}, "o-1")
    start("page_question", {"kind": "model", "title": "When do you come?", "text": "We need to know."}, "m-1")
    start("page_question", {"title": "For others", "to": ["board"], "kind": "choice"}, WORD[:200])
    start("page_patience", None, "plain-1")
    EventWait.objects.filter(instance__instance_id="o-1").update(due=clock.now() - timedelta(hours=26))
    for path, name in (
        ("/approvals/?tab=all", "approvals-all"),
        ("/approvals/trip-7/Answer/", "approval"),
        ("/approvals/m-1/Answer/", "approval-form"),
        (f"/approvals/{WORD[:200]}/Answer/", "approval-others"),
    ):
        page.goto(path)
        look(page, shoot, name)
    page.goto("/approvals/trip-7/Answer/")
    page.get_by_label("Comment").fill("Too many people.\nTwo are enough.")
    page.get_by_role("button", name="Reject").click()
    page.goto("/approvals/trip-7/Answer/")
    look(page, shoot, "approval-decided")
    page.goto("/approvals/?tab=done")
    look(page, shoot, "approvals-done")
    assert re.search("Rejected", page.content())


def look(page: Page, shoot: Callable[[Page, str], Path], name: str) -> None:
    """Check a page wide and light, narrow and dark, and take its pictures."""
    looks: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
    for theme, width in looks:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 800})
        assert_no_sideways_scroll(page)
        assert_accessible(page)
        shoot(page, f"{name}-{theme}-{width}")
