"""The Django admin: reading what may be large, and starting from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from durable_host import admin as pages
from durable_host.client import DurableClient
from durable_host.core.access import Permission
from durable_host.models import AuditRecord, HistoryEvent, Instance
from tests.dashboard.conftest import Start
from tests.dashboard.forms_html import sent

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
LIST = "/admin/durable_host/instance/"
FORM = f"{LIST}add/page_echo/"
AsRole = Callable[[str], Client]


@pytest.fixture
def staff(as_role: AsRole, person: Callable[[str], User]) -> Callable[[str], Client]:
    """Somebody with a role who may enter the admin."""

    def client(role: str) -> Client:
        User.objects.filter(pk=person(role).pk).update(is_staff=True)
        return as_role(role)

    return client


def test_the_lists_show_what_there_is_and_lead_to_the_dashboard_and_back(staff: Any, start: Start) -> None:
    start("page_echo", "hello", "known-1")
    client = staff("viewer")
    html = client.get(LIST).content.decode()
    assert "/instances/known-1/" in html
    row = Instance.objects.get()
    detail = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "/instances/known-1/" in detail
    assert "historyevent/?q=known-1" in detail
    events = client.get("/admin/durable_host/historyevent/?q=known-1").content.decode()
    assert "ExecutionStarted" in events


@pytest.mark.parametrize(
    "url",
    [
        LIST,
        *(
            f"{LIST}?{query}"
            for query in ("q=known", "status__exact=Completed", "name=page_echo", "p=2", "q=%00", "q=%25")
        ),
        "/admin/durable_host/historyevent/",
        "/admin/durable_host/historyevent/?q=known-1",
        "/admin/durable_host/historyevent/?q=nobody",
        "/admin/durable_host/auditrecord/",
        "/admin/durable_host/auditrecord/?actor_kind=user",
    ],
)
def test_a_list_neither_counts_nor_lists_the_values_of_a_table(staff: Any, start: Start, url: str) -> None:
    start("page_echo", "hello", "known-1")
    client = staff("boss")
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code in (200, 302)
    statements = [one["sql"] for one in queries if "durable_host_" in one["sql"]]
    assert statements
    assert not [sql for sql in statements if "COUNT(" in sql or "DISTINCT" in sql], statements
    assert "LIMIT" in statements[0]


def test_a_list_ends_and_says_so(staff: Any, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_MOST_LISTED", 2)
    for number in range(3):
        start("page_patience", None, f"known-{number}")
    html = staff("viewer").get(LIST).content.decode()
    assert "The first 2 are listed." in html


@pytest.mark.parametrize(
    "model", ["instance", "historyevent", "savedview", "batchoperation", "workerstate", "auditrecord"]
)
def test_nothing_is_written_here(staff: Any, start: Start, model: str) -> None:
    start("page_echo", "hello", "known-1")
    client = staff("boss")
    assert client.get(f"/admin/durable_host/{model}/").status_code == 200
    if model != "instance":
        assert client.get(f"/admin/durable_host/{model}/add/").status_code == 403
    pk = Instance.objects.get().pk if model == "instance" else 1
    assert client.post(f"/admin/durable_host/{model}/{pk}/delete/", {"post": "yes"}).status_code in (302, 403)
    assert client.post(f"/admin/durable_host/{model}/{pk}/change/", {"status": "Failed"}).status_code in (302, 403)
    assert Instance.objects.get().status == "Completed"


def test_payloads_are_for_those_who_may_see_them(staff: Any, start: Start) -> None:
    start("page_echo", "hello", "known-1")
    row, event = Instance.objects.get(), HistoryEvent.objects.filter(payload__contains="hello").first()
    assert event is not None
    for url, text in (
        (f"{LIST}{row.pk}/change/", "HELLO"),
        (f"/admin/durable_host/historyevent/{event.pk}/change/", "hello"),
    ):
        assert text not in staff("viewer").get(url).content.decode().replace("known", "")
        assert text in staff("boss").get(url).content.decode()


def test_staff_with_the_right_start_from_the_list(staff: Any, registered: None, person: Any) -> None:
    client = staff("starter")
    assert "Start orchestration" in client.get(LIST).content.decode()
    assert "page_echo" in client.get(f"{LIST}add/").content.decode()
    html = client.get(FORM).content.decode()
    wrong = client.post(FORM, sent(html))
    assert wrong.status_code == 422
    assert "Fill this in." in wrong.content.decode()
    response = client.post(FORM, sent(html, ("input", "hello"), ("options.instance_id", "mine-1")), follow=True)
    assert "Started page_echo as" in response.content.decode()
    assert DurableClient().get_status("mine-1") is not None
    record = AuditRecord.objects.get()
    assert (record.actor, record.operation, record.instance_id, record.outcome) == (
        "starter",
        "start",
        "mine-1",
        "done",
    )


def test_staff_without_the_right_do_not(staff: Any, registered: None) -> None:
    client = staff("viewer")
    assert "Start orchestration" not in client.get(LIST).content.decode()
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.get(FORM).status_code == 403
    assert client.post(FORM, {"input": "hello"}).status_code == 403
    assert not Instance.objects.exists()
    assert AuditRecord.objects.get().outcome == "denied"


def test_who_is_no_staff_does_not_come_in(as_role: AsRole, registered: None) -> None:
    assert as_role("starter").get(FORM).status_code == 302
    assert as_role("starter").post(FORM, {"input": "x"}).status_code == 302
    assert not Instance.objects.exists()


def test_every_permission_that_the_admin_asks_for_exists() -> None:
    assert Permission.START.value == "durable_host.add_instance"
