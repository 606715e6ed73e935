"""The pages of one instance, without a browser: what they show, to whom, and what they hold back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.access import Operation
from durable_host.core.registry import default_registry
from durable_host.models import ActivityTask, Instance
from durable_host.store import audit, history, limits
from tests.dashboard.conftest import Start

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]

AsRole = Callable[[str], Client]
Work = Callable[[], None]
TABS = ("", "history/", "history/?view=all", "history/?view=log", "sequence/", "data/", "audit/")


def page_count(n: int) -> int:
    """Fail now and then."""
    if n == 13:
        raise ValueError("thirteen")
    return n


def page_flaky(n: int) -> int:
    """Fail always."""
    raise ConnectionError("HTTP 503")


async def page_fan(ctx: OrchestrationContext, n: int) -> int:
    """Call an activity often."""
    tasks = [ctx.call_activity(page_count, one) for one in range(n)]
    for task in tasks:
        try:
            await task
        except Exception:  # noqa: S112  # whatever an activity raised
            continue
    return n


async def page_retry(ctx: OrchestrationContext, n: int) -> int:
    """Try again in an hour."""
    policy = RetryPolicy(max_number_of_attempts=5, first_retry_interval=timedelta(hours=1))
    return int(await ctx.call_activity(page_flaky, n, retry=policy))


async def page_again(ctx: OrchestrationContext, n: int) -> None:
    """Continue as new."""
    await ctx.call_activity(page_count, n)
    if n < 3:
        ctx.continue_as_new(n + 1)


async def page_family(ctx: OrchestrationContext) -> Any:
    """Call another orchestrator."""
    return await ctx.call_sub_orchestrator(page_again, 3, instance_id="kid-1")


@pytest.fixture
def begin(start: Start) -> Start:
    for activity in (page_count, page_flaky):
        default_registry.add_activity(activity)
    for one in (page_fan, page_retry, page_again, page_family):
        default_registry.add_orchestrator(one)
    return start


@pytest.fixture
def boss(as_role: AsRole) -> Client:
    return as_role("boss")


def read(client: Client, path: str, *, is_partial: bool = False) -> str:
    response = client.get(path, headers={"HX-Request": "true"} if is_partial else {})
    assert response.status_code == 200, path
    return b"".join(response).decode() if response.streaming else response.content.decode()


# ---- the head -------------------------------------------------------------------------------------------------------


@pytest.mark.case(3)
def test_it_says_that_an_activity_was_given_out_again(boss: Client, begin: Start) -> None:
    async def page_lost(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("page_rare")

    default_registry.add_activity(page_count, "page_rare", queue="rare")
    default_registry.add_orchestrator(page_lost)
    begin("page_lost", None, "lost-1")
    held = {"owner": "node-b:2", "lease_until": timezone.now() + timedelta(minutes=1)}
    ActivityTask.objects.update(attempt=1, **held)
    assert "delivery" not in read(boss, "/instances/lost-1/")
    ActivityTask.objects.update(attempt=2, **held)
    assert "delivery 2: a worker that had it gave no sign of life" in read(boss, "/instances/lost-1/")


def test_every_tab_shows_where_the_instance_is_and_why(boss: Client, begin: Start) -> None:
    begin("page_retry", 1, "retry-1")
    for tab in TABS:
        page = read(boss, f"/instances/retry-1/{tab}")
        assert "Retrying page_flaky, attempt 2 of 5 in" in page, tab
        assert "ConnectionError: HTTP 503" in page, tab
        assert "<h1><bdi>page_retry</bdi></h1>" in page, tab


def test_an_instance_that_is_not_there_is_not_found(boss: Client) -> None:
    for tab in (*TABS, "history.json", "history/1/", "data/input.json"):
        assert boss.get(f"/instances/nobody/{tab}").status_code == 404, tab


def test_the_actions_are_those_that_are_legal_and_allowed(boss: Client, as_role: AsRole, begin: Start) -> None:
    begin("page_patience", None, "waits-1")
    page = read(boss, "/instances/waits-1/")
    assert "/instances/waits-1/actions/suspend/" in page
    assert "/instances/waits-1/actions/raise-event/?event=GoOn" in page
    assert "actions/resume/" not in page
    assert "actions/purge/" not in page
    viewer = read(as_role("viewer"), "/instances/waits-1/")
    assert "/actions/" not in viewer


def test_a_family_is_linked_both_ways(boss: Client, begin: Start, work: Work) -> None:
    begin("page_family", None, "parent-1")
    parent = read(boss, "/instances/parent-1/")
    assert "Sub-orchestrations" in parent
    assert 'href="/instances/kid-1/"' in parent
    assert 'href="/instances/parent-1/"' in read(boss, "/instances/kid-1/")


def test_an_earlier_execution_that_is_still_stored_can_be_read(boss: Client, begin: Start) -> None:
    begin("page_again", 1, "again-1")
    assert "?execution=1" in read(boss, "/instances/again-1/")
    earlier = read(boss, "/instances/again-1/data/?execution=1")
    assert "You look at execution 1" in earlier
    assert '<code dir="auto">2</code>' in earlier
    assert '/instances/again-1/history/?execution=1"' in earlier
    assert boss.get("/instances/again-1/?execution=0").status_code == 404
    assert boss.get("/instances/again-1/?execution=x").status_code == 200


def test_an_unchanged_page_is_not_drawn_again(boss: Client, begin: Start) -> None:
    begin("page_echo", "a", "echo-1")
    for tab in TABS:
        first = boss.get(f"/instances/echo-1/{tab}")
        again = boss.get(f"/instances/echo-1/{tab}", headers={"HX-Request": "true", "HX-PTag": first["HX-PTag"]})
        assert again.status_code == 304, tab


def test_a_history_that_takes_too_long_leaves_the_head(
    boss: Client, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("page_echo", "a", "echo-1")
    monkeypatch.setattr(history, "time_limited", lambda: limits.time_limited(-1.0))
    monkeypatch.setattr(limits, "_STEPS_BETWEEN_LOOKS", 1)
    if connection.vendor == "sqlite":
        page = read(boss, "/instances/echo-1/")
        assert "did not answer within" in page
        assert "page_echo" in page


# ---- timeline -------------------------------------------------------------------------------------------------------


def test_an_empty_timeline_says_why_it_is_empty(boss: Client, begin: Start) -> None:
    begin("page_failure", "at once", "quick-1")
    assert "It called nothing and waited for nothing." in read(boss, "/instances/quick-1/")
    DurableClient().start_new("page_patience", instance_id="new-1")
    assert "It waits for its first turn." in read(boss, "/instances/new-1/")
    Instance.objects.filter(instance_id="new-1").update(stall_reason="Parked: 5 turns…")
    assert "None of its turns has come to an end." in read(boss, "/instances/new-1/")


def test_a_fan_out_is_one_row_that_leads_to_its_calls(boss: Client, begin: Start) -> None:
    begin("page_fan", 320, "fan-1")
    page = read(boss, "/instances/fan-1/")
    assert "320</strong>" in page
    assert "319 completed" in page
    assert "1 failed" in page
    closer = read(boss, "/instances/fan-1/?kind=activity&name=page_count&outcome=Failed")
    assert closer.count('class="timeline-row"') == 1
    part = read(boss, "/instances/fan-1/?kind=activity&name=page_count&first=300")
    assert part.count('class="timeline-row"') == 20


# ---- history --------------------------------------------------------------------------------------------------------


def test_the_history_hides_the_markers_says_how_many_and_shows_them(boss: Client, begin: Start) -> None:
    begin("page_echo", "a", "echo-1")
    compact = read(boss, "/instances/echo-1/history/")
    assert "4 replay markers hidden" in compact
    assert "OrchestratorStarted" not in compact
    whole = read(boss, "/instances/echo-1/history/?view=all")
    assert whole.count('class="event-type"') == 8
    assert "OrchestratorStarted" in whole
    log = read(boss, "/instances/echo-1/history/?view=log")
    assert "Replay</span>" in log
    assert "Replay</span>" not in read(boss, "/instances/echo-1/history/?view=log&replays=no")


def test_a_long_history_comes_in_parts_that_meet(boss: Client, begin: Start) -> None:
    begin("page_fan", 450, "fan-1")
    size = len(json.loads(read(boss, "/instances/fan-1/history.json"))["events"])
    for order in ("", "&order=newest"):
        url: str | None = f"/instances/fan-1/history/?view=all{order}"
        seen: list[int] = []
        while url:
            rows = read(boss, url + "&part=rows", is_partial=True)
            assert "<html" not in rows
            seen += [int(part.split('"')[0]) for part in rows.split('id="event-')[1:]]
            following = rows.partition('class="button" href="')[2].partition('"')[0].replace("&amp;", "&")
            url = f"/instances/fan-1/history/{following}" if following else None
        assert sorted(seen) == list(range(size))
        assert seen == sorted(seen, reverse=bool(order))


def test_a_history_is_filtered_by_type_and_text(boss: Client, begin: Start) -> None:
    begin("page_fan", 20, "fan-1")
    assert read(boss, "/instances/fan-1/history/?q=thirteen").count('id="act-') == 1
    assert read(boss, "/instances/fan-1/history/?type=orchestration").count('id="act-') == 2
    assert read(boss, "/instances/fan-1/history/?view=all&type=TaskFailed").count('id="event-') == 1
    assert read(boss, "/instances/fan-1/history/?view=all&q=thirteen").count('id="event-') == 1
    log = read(boss, "/instances/fan-1/history/?view=log&type=Failed")
    assert log.count("<tr>") == 2  # its head, and the failure; turns that came later repeat it as a replay
    assert "Nothing fits" in read(boss, "/instances/fan-1/history/?q=%00nowhere")


def test_a_payload_comes_on_demand_and_has_an_address(boss: Client, begin: Start) -> None:
    begin("page_echo", "quiet", "echo-1")
    assert "quiet" not in read(boss, "/instances/echo-1/history/").partition("</dl>")[2]
    part = read(boss, "/instances/echo-1/history/2/", is_partial=True)
    assert "&quot;quiet&quot;" in part
    assert "<html" not in part
    page = read(boss, "/instances/echo-1/history/5/")
    assert "&quot;QUIET&quot;" in page
    assert 'href="/instances/echo-1/history/2/"' in page
    assert boss.get("/instances/echo-1/history/99/").status_code == 404


# ---- what is held back ----------------------------------------------------------------------------------------------


def test_without_the_right_no_payload_leaves_the_house(as_role: AsRole, begin: Start) -> None:
    begin("page_echo", "s3cret-in", "echo-1", tags={"a": "b"})
    viewer = as_role("viewer")
    paths = [f"/instances/echo-1/{tab}" for tab in TABS if tab != "audit/"]
    paths += [f"/instances/echo-1/history/{number}/" for number in range(8)]
    paths += ["/instances/echo-1/history.json", "/instances/echo-1/history.ndjson"]
    paths += ["/instances/echo-1/history/?view=all&q=s3cret"]
    for path in paths:
        body = read(viewer, path).replace("q=s3cret", "").replace('value="s3cret"', "").replace("<bdi>s3cret</bdi>", "")
        assert "s3cret" not in body.casefold(), path
    assert viewer.get("/instances/echo-1/data/input.json").status_code == 403
    first = json.loads(read(viewer, "/instances/echo-1/history.ndjson").splitlines()[0])
    assert "durable_host.view_payload" in first["payloads"]


def test_the_audit_is_for_those_who_may_see_it_and_has_denied_attempts(as_role: AsRole, begin: Start) -> None:
    begin("page_patience", None, "waits-1")
    asked = audit.Asked(
        hub=host_settings().task_hub,
        actor_kind="user",
        actor="mallory",
        address="192.0.2.1",
        operation=Operation.TERMINATE,
        instance_id="waits-1",
        detail="<b>because</b>",
    )
    operator, url = as_role("operator"), "/instances/waits-1/audit/"
    seen = {"HX-Request": "true", "HX-PTag": operator.get(url)["HX-PTag"]}
    assert operator.get(url, headers=seen).status_code == 304
    audit.record(asked, audit.Outcome.DENIED)
    assert "mallory" in operator.get(url, headers=seen).content.decode()  # who looks at it sees it come
    page = read(operator, url)
    assert "mallory" in page
    assert "Denied" in page
    assert "&lt;b&gt;because" in page
    viewer = as_role("viewer")
    assert "audit/" not in read(viewer, "/instances/waits-1/")
    assert viewer.get("/instances/waits-1/audit/").status_code == 403


# ---- to take away ---------------------------------------------------------------------------------------------------


def test_the_whole_history_can_be_taken_away(boss: Client, begin: Start) -> None:
    begin("page_echo", "quiet", "echo-1")
    whole = json.loads(read(boss, "/instances/echo-1/history.json"))
    assert (whole["instanceId"], whole["name"], whole["execution"]) == ("echo-1", "page_echo", 0)
    assert [one["sequence"] for one in whole["events"]] == list(range(8))
    assert whole["events"][5]["payload"] == "QUIET"
    lines = [json.loads(line) for line in read(boss, "/instances/echo-1/history.ndjson").splitlines()]
    assert lines[1:] == whole["events"]
    assert json.loads(read(boss, "/instances/echo-1/data/output.json")) == "QUIET"
    assert json.loads(read(boss, "/instances/echo-1/data/custom-status.json")) == {"doing": "quiet"}
    assert boss.get("/instances/echo-1/data/keys.json").status_code == 404


# ---- hostile --------------------------------------------------------------------------------------------------------


def test_hostile_content_is_harmless_on_every_tab(boss: Client, begin: Start) -> None:
    evil = "<script>alert(1)</script>\u202e"
    mean_id = "<i>'\"&\u05e9" + "i" * 240
    begin("page_echo", evil * 40, mean_id, tags={"<b>": evil})
    begin("page_failure", evil, "fails-1")
    DurableClient().suspend(begin("page_patience", None, "waits-1"), evil)
    for instance_id in (mean_id, "fails-1", "waits-1"):
        for tab in (*TABS, "history/1/"):
            response = boss.get(f"/instances/{instance_id.replace('%', '%25')}/{tab}")
            assert response.status_code == 200, tab
            page = response.content.decode()
            assert "<script>alert" not in page, tab
            assert "<i>'" not in page, tab


def test_its_page_says_that_its_history_comes_near_a_limit(begin: Start, boss: Client, settings: Any) -> None:
    begin("page_retry", 1, instance_id="long")
    page = "/instances/long/"
    assert "Near a limit" not in boss.get(page).content.decode()
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "MAX_HISTORY_EVENTS": 7}
    text = boss.get(page).content.decode()
    assert "Near a limit" in text
    assert "of 7 events (MAX_HISTORY_EVENTS)" in text
