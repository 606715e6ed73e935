"""The page of the audit."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from durable_host.core.access import Operation
from durable_host.models import AuditRecord
from durable_host.store import auditing
from durable_host.store.audit import Asked, Outcome, record
from durable_host.store.auditing import AuditFilter
from durable_host.store.limits import TooSlowError
from tests.browser import assert_accessible, assert_no_sideways_scroll
from tests.dashboard.conftest import Start, Visit
from tests.dashboard.test_overview_page import As, Shoot, text_of
from tests.dashboard.trouble import HOSTILE

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
HUB = "default"


def wrote(operation: Operation = Operation.TERMINATE, outcome: Outcome = Outcome.DONE, **asked: Any) -> AuditRecord:
    """Write a record, as old as ``age`` says."""
    age = asked.pop("age", timedelta())
    values = {"hub": HUB, "actor_kind": "user", "actor": "ann", "address": "192.0.2.7", "instance_id": "order-1"}
    record(Asked(operation=operation, **{**values, **asked}), outcome)
    row = AuditRecord.objects.latest("pk")
    AuditRecord.objects.filter(pk=row.pk).update(at=timezone.now() - age)
    return row


def instances(filter_: AuditFilter) -> list[str]:
    """Return the instances of the records that a filter means, newest first."""
    return [one.asked.instance_id for one in auditing.read_audit(HUB, filter_).records]


def test_every_filter_narrows() -> None:
    day = timedelta(days=1)
    wrote(instance_id="a", actor="Ann_1")
    wrote(Operation.PURGE, instance_id="b", actor="bob", age=day)
    wrote(outcome=Outcome.DENIED, instance_id="c", actor="annX1", age=2 * day)
    now = timezone.now()
    assert instances(AuditFilter()) == ["a", "b", "c"]
    assert instances(AuditFilter(actor="ann")) == ["a", "c"]
    assert instances(AuditFilter(actor="ann_")) == ["a"]
    assert instances(AuditFilter(operation=Operation.PURGE)) == ["b"]
    assert instances(AuditFilter(outcome=Outcome.DENIED)) == ["c"]
    assert instances(AuditFilter(instance_id="b")) == ["b"]
    assert instances(AuditFilter(since=now - 1.5 * day)) == ["a", "b"]
    assert instances(AuditFilter(until=now - 0.5 * day)) == ["b", "c"]
    assert instances(AuditFilter(actor="\x00", instance_id="\ud800")) == []


def test_pages_go_on_where_the_one_before_ended() -> None:
    same = timezone.now()
    for number in range(7):
        wrote(instance_id=f"i{number}")
    AuditRecord.objects.update(at=same)
    seen: list[str] = []
    cursor = None
    while True:
        page = auditing.read_audit(HUB, AuditFilter(), page_size=3, cursor=cursor)
        seen += [one.asked.instance_id for one in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"i{number}" for number in reversed(range(7))]


def test_the_file_has_everything_and_no_formula(monkeypatch: pytest.MonkeyPatch, as_role: As) -> None:
    monkeypatch.setattr(auditing, "_EXPORT_PART", 2)
    for number in range(5):
        wrote(instance_id=f"i{number}", detail="=1+1")
    response = as_role("operator").get("/export/audit.csv?outcome=done")
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["instanceId"] for row in rows] == ["i4", "i3", "i2", "i1", "i0"]
    assert rows[0]["detail"] == "'=1+1"
    assert rows[0]["actor"] == "ann"
    assert as_role("viewer").get("/export/audit.csv").status_code == 403


def test_denied_and_refused_ones_are_shown_with_their_reason(as_role: As, start: Start) -> None:
    start("page_echo", "hello", "done-1")
    wrote(Operation.PURGE, Outcome.DENIED, actor="mallory", detail=HOSTILE)
    wrote(Operation.SUSPEND, Outcome.REFUSED, detail="It has completed")
    wrote(Operation.LIST, Outcome.DENIED, actor="", actor_kind="anonymous", instance_id="")
    wrote(Operation.START, Outcome.DENIED, instance_id="../../admin")  # no id at all, and no address either
    client = as_role("operator")
    page = text_of(client, "/audit/")
    for said in ("mallory", "Denied", "Refused", "It has completed", "192.0.2.7", "somebody", "../../admin"):
        assert said in page, said
    assert "<script>alert" not in client.get("/audit/").content.decode()
    assert "../../admin" in text_of(client, "/")
    assert "mallory" not in text_of(client, "/audit/?outcome=refused")


def test_the_form_leads_to_an_address_that_says_what_is_chosen_only(as_role: As) -> None:
    client = as_role("operator")
    response = client.get("/audit/?actor=ann&operation=&outcome=&instance=&after=&before=")
    assert response.headers["Location"] == "/audit/?actor=ann"
    assert client.get("/audit/?operation=nonsense").status_code == 422
    assert client.get("/audit/?page=nonsense").status_code == 200
    assert "Nothing fits these filters" in text_of(client, "/audit/?actor=ann")


def test_times_are_the_reader_s_own(as_role: As) -> None:
    wrote(instance_id="noon-1")
    AuditRecord.objects.update(at=datetime.fromisoformat("2026-03-01T12:00:00+00:00"))
    client = as_role("operator")
    client.cookies["dashboard_browser_zone"] = "Asia/Tokyo"
    assert "noon-1" in text_of(client, "/audit/?after=2026-03-01T20:59&before=2026-03-01T21:01")
    assert "noon-1" not in text_of(client, "/audit/?after=2026-03-01T11:59&before=2026-03-01T12:01")


def test_one_instance_means_all_that_was_ever_done_to_it(as_role: As) -> None:
    wrote(instance_id="old-1", age=timedelta(days=400))
    client = as_role("operator")
    assert "old-1" in text_of(client, "/audit/?instance=old-1")
    assert "old-1" not in text_of(client, "/audit/")


def test_a_slow_database_is_said(as_role: As, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise TooSlowError(3.0)

    monkeypatch.setattr("dashboard.views.audit.read_audit", slow)
    assert "The database took too long" in text_of(as_role("operator"), "/audit/")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="other databases have no such index")
def test_an_index_finds_what_one_person_did() -> None:
    # Given: much that ann did, and before it one thing that bob did
    bob = wrote(actor="bob", age=timedelta(days=1))
    many = [AuditRecord(hub=HUB, at=timezone.now(), actor="ann", operation=bob.operation, outcome=bob.outcome)] * 3_000
    AuditRecord.objects.bulk_create(many)
    # When: what bob did is asked for
    with CaptureQueriesContext(connection) as captured:
        assert len(instances(AuditFilter(actor="Bo"))) == 1
    (asked,) = [one["sql"] for one in captured if one["sql"].startswith("SELECT")]
    # Then: it is not found by looking through what ann did
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE durable_host_auditrecord")
        cursor.execute(f"EXPLAIN {asked}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "durable_audit_actor" in plan
    assert "~>=~ 'BO'" in plan


def test_in_the_browser(visit: Visit, shoot: Shoot, as_role: As) -> None:
    for number in range(60):
        wrote(
            list(Operation)[2 + number % 8],
            (Outcome.DONE, Outcome.DONE, Outcome.DENIED, Outcome.REFUSED)[number % 4],
            instance_id=f"order-{number}",
            target="page_echo",
            detail=HOSTILE if number == 55 else "no longer needed",
            age=timedelta(minutes=7 * number),
        )
    client = as_role("operator")
    client.get("/audit/")
    with CaptureQueriesContext(connection) as captured:
        client.get("/audit/")
    # without what begins, limits and ends them, which only PostgreSQL is told
    assert len([one for one in captured if one["sql"].startswith("SELECT")]) <= 10
    page = visit("/audit/", role="operator")
    shoot(page, "audit-light")
    page.get_by_role("link", name="Older").click()
    assert page.locator("tbody tr").count() == 10
    assert_accessible(page)
    page.get_by_role("link", name="Newer").click()
    page.get_by_label("Outcome").select_option("denied")
    page.get_by_role("button", name="Filter").click()
    assert page.url.endswith("/audit/?outcome=denied")
    assert page.locator("tbody tr").count() == 15
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")
    assert_no_sideways_scroll(page)
    assert_accessible(page)
    shoot(page, "audit-dark-360")
    page.set_viewport_size({"width": 1280, "height": 900})
    shoot(page, "audit-dark")
