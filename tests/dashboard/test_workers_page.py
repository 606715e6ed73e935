"""The pages of workers and queues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard.presenters.workers import worker_command
from durable_host.conf import host_settings
from durable_host.core.registry import default_registry
from durable_host.dispatch import redis_state
from durable_host.models import ActivityTask, WorkerState
from durable_host.store import claims, clock, holding, overview, workers
from durable_host.store.limits import TooSlowError
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.dashboard.test_overview_page import As, text_of
from tests.dashboard.trouble import lose_worker, register, show_worker

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
HUB = "default"


@pytest.fixture
def crew(start: Start) -> None:
    """A worker that holds an activity, one that was lost with another, one that left, and a queue without any."""
    register(default_registry)
    start("page_far", None, "far-1")
    for number, name in enumerate(("node-a:1", "node-b:2"), start=1):
        start("page_near", number, f"near-{number}")
        assert claims.claim_activities(HUB, "near", name, limit=1, lease=host_settings().activity_lease)
    show_worker("node-a:1", "near", running_activities=1, max_activities=1, resident_executions=1234)
    show_worker("node-b:2", "near")
    show_worker("node-t:5")
    show_worker("node-c:3", queue="reports")
    lose_worker("node-b:2")
    report = next(one.report for one in workers.list_workers(HUB) if one.report.hostname == "node-c")
    workers.leave(report)


def test_it_says_who_is_there_who_was_lost_and_what_nobody_serves(crew: None, as_role: As) -> None:
    page = text_of(as_role("viewer"), "/workers/")
    for said in (
        "No worker on queue far Nobody serves this queue: 3 activities wait.",
        "python manage.py durable_worker --queues far",
        "1 of 1 full",
        "1,234",
        "Lost",
        "held 1",
        "node-c process 4711, queue reports",
        "near-1",
        "near-2",
    ):
        assert said in page, said
    assert "RQ's own pages" not in page
    assert "RQ's own pages" in text_of(as_role("boss"), "/workers/")


def test_what_a_dead_worker_had_is_marked(crew: None, as_role: As) -> None:
    ActivityTask.objects.filter(owner="node-b:2").update(lease_until=clock.now())
    assert "lease over" in text_of(as_role("viewer"), "/workers/")
    (held,) = [one for one in holding.held_activities(HUB, "near") if not one.is_held]
    assert (held.owner, held.instance_id, held.attempt) == ("node-b:2", "near-2", 1)
    assert held.renewed_at is not None


def test_activities_that_nobody_can_stop_are_counted_and_explained(crew: None, as_role: As) -> None:
    assert "bandoned" not in text_of(as_role("viewer"), "/workers/")
    show_worker("node-t:5", abandoned_activities=3)
    page = text_of(as_role("viewer"), "/workers/")
    assert "0 of 100 3 abandoned" in page
    assert "A worker that has 10 of them ends" in page


def test_who_holds_an_activity_is_named_as_people_look_for_it(crew: None, as_role: As) -> None:
    client = as_role("viewer")
    assert text_of(client, "/workers/").count("node-a process 4711") == 2  # the worker, and what it holds
    assert "node-a process 4711" in text_of(client, "/instances/near-1/")
    # when: the worker is forgotten; then: its name is all that is left
    WorkerState.objects.filter(name="node-a:1").delete()
    assert "node-a:1" in text_of(client, "/instances/near-1/")


def test_a_queue_shows_what_comes_next(crew: None, as_role: As) -> None:
    page = text_of(as_role("viewer"), "/queues/far/")
    assert page.count("not given out yet") == 3
    assert as_role("viewer").get("/queues/nowhere/").status_code == 404
    assert "Nothing waits in this queue" in text_of(as_role("viewer"), "/queues/default/")


def test_an_empty_host_says_what_to_type(as_role: As) -> None:
    page = text_of(as_role("viewer"), "/workers/")
    assert "Nobody runs turns: what is started now waits until a worker comes." in page
    assert "python manage.py durable_worker" in page
    assert "make run" in page


def test_a_slow_database_still_shows_the_workers(crew: None, as_role: As, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise TooSlowError(3.0)

    monkeypatch.setattr(overview, "queue_backlogs", slow)
    page = text_of(as_role("viewer"), "/workers/")
    assert "The database took too long to count" in page
    assert "node-a" in page


def test_a_command_is_safe_to_paste() -> None:
    assert worker_command("a; rm -rf /", runs_turns=False) == "python manage.py durable_worker --queues 'a; rm -rf /'"


def test_it_asks_a_bounded_number_of_questions(
    crew: None, as_role: As, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = as_role("viewer")
    client.get("/workers/")
    with django_assert_max_num_queries(40):  # type: ignore[attr-defined]
        client.get("/workers/")


def test_in_the_browser(crew: None, visit: Visit, shoot: Callable[[Page, str], Path]) -> None:
    page = visit("/workers/", role="operator")
    assert_accessible(page)
    shoot(page, "workers-light")
    show_worker("node-t:5", abandoned_activities=12)
    page.set_viewport_size({"width": 360, "height": 800})
    badge = page.get_by_text("12 abandoned")
    expect(badge).to_be_visible()
    assert badge.evaluate("one => one.getBoundingClientRect().right < one.closest('td').getBoundingClientRect().right")
    page.emulate_media(color_scheme="dark")
    assert_no_sideways_scroll(page)
    assert_accessible(page)
    shoot(page, "workers-dark-360")
    # When: a worker of the queue comes; then: the warning goes away by itself.
    show_worker("node-d:4", queue="far")
    expect(page.get_by_text("Nobody serves this queue")).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("link", name="far").first.click()
    expect(page.get_by_role("heading", name="Queue far")).to_be_visible()
    assert_accessible(page)
    shoot(page, "queue-dark")


def test_pages_say_that_redis_is_away_and_what_it_costs(
    crew: None, as_role: As, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("page_echo", "hello", "calm-1")
    says = "No bell rings, so workers look for work by themselves every 5 seconds."
    client = as_role("viewer")
    assert not any(says in text_of(client, page) for page in ("/", "/workers/"))
    monkeypatch.setattr(redis_state, "is_there", lambda: False)
    assert all(says in text_of(client, page) for page in ("/", "/workers/"))
