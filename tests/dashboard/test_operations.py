"""Operations on many instances: asked, confirmed, worked off, watched, stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from durable_host.client import DurableClient
from durable_host.models import BatchOperation
from durable_host.store import audit, batches
from tests.dashboard.conftest import Start

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
AsRole = Callable[[str], Client]
Work = Callable[[], None]


def statuses(*ids: str) -> list[str]:
    found = [DurableClient().get_status(one) for one in ids]
    return [one.runtime_status.value if one else "gone" for one in found]


def sent(page: Any, **fields: str) -> dict[str, Any]:
    """Return what the confirm page would send: its hidden fields, and what a person fills in."""
    context = page.context
    hidden: dict[str, Any] = {"operation": context["action"].operation.value, "confirmed": "1"}
    for key, value in context["pairs"]:
        hidden.setdefault(key, []).append(value)
    form = context["form"]
    expected = {"expected": form.initial["expected"]} if "expected" in form.fields else {}
    return {**hidden, "id": list(context["target"].ids), "request_key": context["request_key"], **expected, **fields}


def test_all_that_match_are_terminated(as_role: AsRole, start: Start, work: Work) -> None:
    for number in range(3):
        start("page_patience", None, f"wait-{number}")
    start("page_echo", "hello", "done-1")
    client = as_role("operator")
    page = client.get("/operations/new/", {"operation": "terminate", "name": "page_patience"})
    text = page.content.decode()
    assert "Terminate: 3 instances" in text
    assert "Orchestrator: page_patience" in text
    start("page_patience", None, "later-1")

    answer = client.post("/operations/new/", sent(page, reason="wrong input", typed="3"))
    assert answer.status_code == 302
    work()

    assert statuses("wait-0", "wait-1", "wait-2") == ["Terminated"] * 3
    assert statuses("later-1", "done-1") == ["Running", "Completed"], "only what was there when it was confirmed"
    shown = client.get(answer["Location"]).content.decode()
    assert "Finished" in shown
    assert "wrong input" in shown
    assert "Terminate" in client.get("/operations/").content.decode()
    [of_one] = [one for one in audit.latest("default", instance_id="wait-0") if one.asked.operation == "terminate"]
    assert of_one.asked.actor == "operator"
    assert "wrong input" in of_one.asked.detail


def test_ticked_ones_are_suspended_and_resumed(as_role: AsRole, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    start("page_echo", "hello", "done-1")
    client = as_role("operator")
    ticked = {"operation": "suspend", "id": ["wait-1", "done-1", "nobody"], "status": "Running"}
    page = client.post("/operations/new/", ticked)
    text = page.content.decode()
    assert (page.status_code, BatchOperation.objects.count()) == (200, 0)
    assert "Suspend: 3 ticked instances" in text
    assert text.count("left out: not possible in this status") == 1
    assert "no longer there" in text
    answer = client.post("/operations/new/", sent(page))
    work()
    assert statuses("wait-1", "done-1") == ["Suspended", "Completed"]
    batch = batches.latest("default")[0]
    assert (batch.done, batch.skipped, batch.failed) == (1, 2, 0)
    assert "3 ticked instances" in client.get(answer["Location"]).content.decode()


def test_an_event_is_raised_with_its_data(as_role: AsRole, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("operator")
    page = client.get("/operations/new/", {"operation": "raiseEvent"})
    wrong = client.post("/operations/new/", sent(page, event_name="GoOn", event_data="{oops"))
    assert wrong.status_code == 422
    assert "This is no JSON" in wrong.content.decode()
    unnamed = client.post("/operations/new/", sent(page, event_name="", event_data="1"))
    assert unnamed.status_code == 422
    assert BatchOperation.objects.count() == 0
    answer = client.post("/operations/new/", sent(page, event_name="GoOn", event_data='"at last"'))
    work()
    found = DurableClient().get_status("wait-1")
    assert found is not None
    assert found.output == "at last"
    assert "GoOn" in client.get(answer["Location"]).content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": "because", "typed": "2"}, "Type 1 to be sure"),
        ({"reason": "because", "typed": ""}, "required"),
        ({"reason": "", "typed": "1"}, "required"),
    ],
)
def test_what_cannot_be_undone_asks_to_be_sure(
    as_role: AsRole, start: Start, fields: dict[str, str], said: str
) -> None:
    start("page_echo", "hello", "done-1")
    client = as_role("boss")
    page = client.get("/operations/new/", {"operation": "purge"})
    answer = client.post("/operations/new/", sent(page, **fields))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert BatchOperation.objects.count() == 0


def test_nothing_to_do_is_said(as_role: AsRole, start: Start) -> None:
    start("page_echo", "hello", "done-1")
    page = as_role("operator").get("/operations/new/", {"operation": "resume"}).content.decode()
    assert "Nothing to do" in page
    assert 'name="confirmed"' not in page


def test_a_form_that_is_sent_twice_begins_once(as_role: AsRole, start: Start) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("operator")
    form = sent(client.get("/operations/new/", {"operation": "suspend"}))
    client.post("/operations/new/", form)
    again = client.post("/operations/new/", form, follow=True)
    assert "It began once" in again.content.decode()
    assert BatchOperation.objects.count() == 1


@pytest.mark.parametrize(("role", "operation"), [("viewer", "terminate"), ("operator", "purge"), ("starter", "rewind")])
def test_whoever_may_not_is_denied_and_the_audit_says_so(
    as_role: AsRole, start: Start, role: str, operation: str
) -> None:
    start("page_echo", "hello", "done-1")
    client = as_role(role)
    assert client.get("/operations/new/", {"operation": operation}).status_code == 403
    answer = client.post("/operations/new/", {"operation": operation, "confirmed": "1", "reason": "x", "typed": "1"})
    assert answer.status_code == 403
    assert BatchOperation.objects.count() == 0
    [record] = [one for one in audit.latest("default") if one.outcome == "denied"]
    assert (record.asked.actor, record.asked.operation) == (role, operation)


def test_the_choice_offers_what_the_person_may(as_role: AsRole, start: Start) -> None:
    start("page_patience", None, "wait-1")

    def offered(role: str) -> list[tuple[str, str]]:
        page = as_role(role).get("/operations/new/", {"name": "page_patience"})
        return [(one.label, str(count)) for one, _, count in page.context["choices"]]

    assert offered("viewer") == []
    assert offered("approver") == [("Raise event", "1")]
    assert [label for label, _ in offered("operator")] == [
        "Suspend", "Resume", "Raise event", "Rewind", "Restart", "Terminate",
    ]  # fmt: skip
    assert ("Purge", "0") in offered("boss")


def make_batch(**fields: Any) -> BatchOperation:
    values = {"hub": "default", "operation": "terminate", "actor_kind": "user", "actor": "ann", "filter": {}}
    return BatchOperation.objects.create(**{**values, "created_at": timezone.now(), **fields})


def test_it_is_stopped_by_those_who_may_do_it(as_role: AsRole, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    batch = make_batch(public_id="b-1", estimate=1)
    assert as_role("viewer").post("/operations/b-1/cancel/").status_code == 403
    answer = as_role("operator").post("/operations/b-1/cancel/", follow=True).content.decode()
    assert "What has been done stays done" in answer
    work()
    batch.refresh_from_db()
    assert batch.done == 0
    assert statuses("wait-1") == ["Running"]
    again = as_role("operator").post("/operations/b-1/cancel/", follow=True).content.decode()
    assert "It was over already" in again
    assert "Stopped" in again


def test_failures_are_shown_harmless(as_role: AsRole) -> None:
    hostile = "<script>alert(1)"
    now = timezone.now()
    errors = [[hostile, f"ValueError: {hostile}"], ["w" * 256, "e" * 500]]
    make_batch(public_id="b-1", started_at=now, finished_at=now, done=3, failed=2, errors=errors, reason=hostile)
    page = as_role("viewer").get("/operations/b-1/").content.decode()
    assert "Finished with failures" in page
    assert hostile not in page
    assert "&lt;script&gt;" in page
    assert as_role("viewer").get("/operations/nobody/").status_code == 404


def test_the_page_says_what_is_removed_by_itself(as_role: AsRole, settings: Settings) -> None:
    assert "removed by themselves" not in as_role("viewer").get("/operations/").content.decode()
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "RETENTION": [{"status": "Failed", "days": 90}, {"days": 30}]}
    page = as_role("viewer").get("/operations/").content.decode()
    assert "the first rule says that fits (Failed for 90 days; any for 30 days) and then removed by themselves." in page
