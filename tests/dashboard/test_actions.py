"""What can be done to one instance: offered, explained, done once, and audited."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.presenters.actions import ACTIONS, Verb, effects, offered
from dashboard.presenters.rewind import rewind_preview
from durable_host.client import DurableClient
from durable_host.core.access import ROLES, Operation
from durable_host.core.digest import Outcome
from durable_host.core.status import RuntimeStatus
from durable_host.models import AuditRecord, EventWait, Instance, PendingEvent
from durable_host.store import audit
from durable_host.store.effects import OpenWork, Remains
from durable_host.store.listing import CappedCount
from tests.dashboard import functions
from tests.dashboard.conftest import ROLE_GROUPS, Start

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
Work = Callable[[], None]
As = Callable[[str], Client]

R = RuntimeStatus
NONE = CappedCount(0)


class Holder:
    """Somebody with the permissions of a role."""

    def __init__(self, role: str) -> None:
        self._held = {one.value for one in ROLES[ROLE_GROUPS[role]]}

    def has_perm(self, perm: str) -> bool:
        return perm in self._held


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Nothing stays broken for the next test."""
    yield
    functions.BROKEN.clear()


def address(instance_id: str, verb: str) -> str:
    return f"/instances/{instance_id}/actions/{verb}/"


def send(client: Client, instance_id: str, verb: str, **given: str) -> Any:
    """Open the page of an action and send its form."""
    page = client.get(address(instance_id, verb)).content.decode()
    key = re.search(r'name="request_key" value="([0-9a-f]{32})"', page)
    data = {"request_key": key[1], **given} if key else given
    return client.post(address(instance_id, verb), data)


def status_of(instance_id: str) -> str:
    status = DurableClient().get_status(instance_id)
    return "purged" if status is None else status.runtime_status.value


def audited(operation: Operation) -> list[tuple[str, str, str]]:
    rows = AuditRecord.objects.filter(operation=operation).order_by("pk")
    return [(row.actor, row.outcome, row.detail) for row in rows]


# --- what is offered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "role", "verbs"),
    [
        (R.PENDING, "admin", "raise-event suspend restart-edited terminate"),
        (R.RUNNING, "admin", "raise-event suspend restart-edited terminate"),
        (R.RUNNING, "operator", "raise-event suspend terminate"),
        (R.RUNNING, "approver", "raise-event"),
        (R.RUNNING, "viewer", ""),
        (R.SUSPENDED, "operator", "raise-event resume terminate"),
        (R.COMPLETED, "admin", "restart restart-edited purge"),
        (R.COMPLETED, "operator", "restart"),
        (R.FAILED, "admin", "rewind restart restart-edited purge"),
        (R.FAILED, "starter", "restart-edited"),
        (R.TERMINATED, "operator", "restart"),
    ],
)
def test_only_what_the_status_and_the_person_allow_is_offered(status: str, role: str, verbs: str) -> None:
    assert [one.verb.value for one in offered(status, Holder(role))] == verbs.split()


def test_only_a_stalled_one_can_be_tried_again() -> None:
    assert [one.verb for one in offered(R.RUNNING, Holder("operator"), is_stalled=True)] == [
        Verb.RAISE_EVENT,
        Verb.RELEASE,
        Verb.SUSPEND,
        Verb.TERMINATE,
    ]
    assert not ACTIONS[Verb.RELEASE].is_legal(R.COMPLETED, is_stalled=True)


def test_the_effects_count_what_is_there_and_say_nothing_of_what_is_not() -> None:
    work = OpenWork(
        running=CappedCount(1), waiting=CappedCount(1000, True), timers=NONE, events=("Go", "Stop"),
        sub_orchestrations=CappedCount(2), sub_ids=("a", "b"), messages=NONE,
    )  # fmt: skip
    said = effects(Verb.TERMINATE, work, None)
    assert "The activity that runs now goes on to its end, but its result is ignored." in said
    assert "1,000+ activities that wait for a worker will not run." in said
    assert "Nobody can answer Go and Stop any more." in said
    assert "2 sub-orchestrations that have not finished end with it." in said
    assert not any("timer" in sentence for sentence in said)
    assert any("not suspended" in sentence for sentence in effects(Verb.SUSPEND, work, None))
    rest = Remains(history_events=CappedCount(7), sub_orchestrations=NONE, sub_ids=(), unfinished=CappedCount(1))
    assert effects(Verb.PURGE, None, rest)[1:3] == (
        "7 events of its history are removed.",
        "One sub-orchestration has not finished; it stays.",
    )


def test_a_rewind_shows_what_is_kept_and_what_runs_again(start: Start) -> None:
    functions.BROKEN.append("no route to host")
    start("page_brittle", "hello", "b-1")
    preview = rewind_preview(DurableClient().get_history("b-1"))
    assert [(line.kind, line.name, line.outcome) for line in preview.kept.lines] == [
        ("activity", "shout", Outcome.COMPLETED),
        ("sub-orchestration", "page_echo", Outcome.COMPLETED),
    ]
    assert [(line.name, str(line.failure)) for line in preview.again.lines] == [
        ("brittle", "ConnectionError: no route to host")
    ]
    assert not preview.repeats_code_only


def test_a_rewind_of_a_failure_of_the_code_itself_says_so(start: Start) -> None:
    start("page_failure", "boom", "f-1")
    preview = rewind_preview(DurableClient().get_history("f-1"))
    assert preview.repeats_code_only
    assert str(preview.failure) == "ValueError: boom"


# --- the pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "approver", "starter", "operator", "admin"])
def test_a_page_opens_for_those_who_may_and_says_why_not_to_others(role: str, as_role: As, start: Start) -> None:
    start("page_patience", None, "wait-1")
    start("page_failure", "boom", "failed-1")
    client, holder = as_role(role), Holder(role)
    for verb, action in ACTIONS.items():
        where = "wait-1" if action.is_legal("Running") else "failed-1"
        if verb in (Verb.RESUME, Verb.RELEASE, Verb.RESTART_EDITED):
            continue
        response = client.get(address(where, verb))
        assert response.status_code == (200 if holder.has_perm(action.permission.value) else 403), verb
        if response.status_code == 403:
            assert action.permission.value in response.content.decode()


def test_whoever_may_not_changes_nothing_and_is_audited(as_role: As, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    response = as_role("viewer").post(address("wait-1", "terminate"), {"reason": "because"})
    work()
    assert (response.status_code, status_of("wait-1")) == (403, "Running")
    assert [row[:2] for row in audited(Operation.TERMINATE)] == [("viewer", "denied")]


def test_suspend_and_resume(as_role: As, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("operator")
    page = client.get(address("wait-1", "suspend")).content.decode()
    assert "Its code does not go on until somebody resumes it." in page
    assert "Answers to GoOn are accepted and kept until then." in page
    response = send(client, "wait-1", "suspend", reason="maintenance")
    assert (response.status_code, response["Location"]) == (302, "/instances/wait-1/")
    work()
    assert status_of("wait-1") == "Suspended"
    DurableClient().raise_event("wait-1", "GoOn", "at last")
    send(client, "wait-1", "resume", reason="")
    work()
    assert status_of("wait-1") == "Completed"
    assert audited(Operation.SUSPEND) == [("operator", "done", "maintenance")]


def test_a_parked_instance_is_tried_again_when_somebody_says_so(as_role: As, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("operator")
    refused = client.get(address("wait-1", "release"))
    assert refused.status_code == 409
    assert "Try again is possible only while it is stalled." in refused.content.decode()
    DurableClient().raise_event("wait-1", "GoOn", "at last")
    never = datetime(9000, 1, 1, tzinfo=UTC)
    Instance.objects.update(stall_reason="Parked: 5 turns…", parked_under="old code", available_at=never)
    assert "Parked: 5 turns…" in client.get(address("wait-1", "release")).content.decode()
    work()
    assert status_of("wait-1") == "Running"
    page = client.get("/instances/wait-1/").content.decode()
    assert address("wait-1", "release") in page
    send(client, "wait-1", "release", reason="the memory was full")
    work()
    assert status_of("wait-1") == "Completed"
    assert audited(Operation.RELEASE) == [("operator", "done", "the memory was full")]


def test_terminate_ends_sub_orchestrations_too_and_wants_to_know_why(as_role: As, start: Start, work: Work) -> None:
    start("page_parent", None, "parent-1")
    client = as_role("admin")
    page = client.get(address("parent-1", "terminate")).content.decode()
    assert "2 sub-orchestrations that have not finished end with it." in page
    refused = send(client, "parent-1", "terminate", reason=" ")
    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert not audited(Operation.TERMINATE)
    assert send(client, "parent-1", "terminate", reason="wrong customer").status_code == 302
    work()
    assert status_of("parent-1") == "Terminated"
    assert not EventWait.objects.exists()


def test_a_failure_of_yesterday_is_rewound(as_role: As, start: Start, work: Work) -> None:
    functions.BROKEN.append("no route to host")
    start("page_brittle", "hello", "b-1")
    client = as_role("operator")
    page = client.get(address("b-1", "rewind")).content.decode()
    assert "ConnectionError: no route to host" in page
    assert page.index("Runs again") < page.index(">brittle<") < page.index("Is kept") < page.index(">shout<")
    functions.BROKEN.clear()
    send(client, "b-1", "rewind", reason="the network is back")
    work()
    status = DurableClient().get_status("b-1")
    assert status is not None
    assert (status.runtime_status, status.output) == ("Completed", "HELLO")


@pytest.mark.parametrize("under", ["new", "same"])
def test_restart(under: str, as_role: As, start: Start, work: Work) -> None:
    start("page_echo", "hello", "echo-1")
    before = DurableClient().get_status("echo-1")
    response = send(as_role("operator"), "echo-1", "restart", under=under)
    work()
    started = response["Location"].split("/")[2]
    after = DurableClient().get_status(started)
    assert before is not None
    assert after is not None
    assert (started == "echo-1") == (under == "same")
    assert (after.output, after.created_at > before.created_at) == ("HELLO", True)


def test_restart_with_edited_input_leads_to_the_start_form(as_role: As, start: Start) -> None:
    start("page_echo", "hello", "echo-1")
    response = as_role("admin").get(address("echo-1", "restart-edited"))
    assert (response.status_code, response["Location"]) == (302, "/start/page_echo/?from=echo-1")


def test_purge_removes_sub_orchestrations_too_and_a_second_one_is_told_so(as_role: As, start: Start) -> None:
    start("page_brittle", "hello", "b-1")
    client = as_role("admin")
    page = client.get(address("b-1", "purge")).content.decode()
    assert "Its finished sub-orchestration is removed with it." in page
    response = send(client, "b-1", "purge", reason="test data")
    assert response["Location"] == "/instances/"
    assert status_of("b-1") == "purged"
    again = client.post(address("b-1", "purge"), {"reason": "test data"}, follow=True)
    assert "You have purged b-1 already" in again.content.decode()
    assert audited(Operation.PURGE) == [("admin", "done", "test data")]


def test_any_event_can_be_raised_with_json(as_role: As, start: Start, work: Work) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("operator")
    wrong = send(client, "wait-1", "raise-event", event_name="GoOn", event_data="{at last")
    assert wrong.status_code == 422
    assert "{at last" in wrong.content.decode(), "what was typed is lost"
    send(client, "wait-1", "raise-event", event_name="Unheard", event_data="")
    assert status_of("wait-1") == "Running"
    send(client, "wait-1", "raise-event", event_name="goon", event_data='"at last"')
    work()
    assert status_of("wait-1") == "Completed"
    assert audited(Operation.RAISE_EVENT) == [("operator", "done", "Unheard"), ("operator", "done", "goon")]


def test_an_event_does_not_get_round_who_is_asked(as_role: As, start: Start, work: Work) -> None:
    start("page_question", {"to": ["finance"]}, "q-1")
    denied = as_role("approver").post(address("q-1", "raise-event"), {"event_name": "answer", "event_data": "true"})
    assert denied.status_code == 403
    assert PendingEvent.objects.count() == 0
    assert [row[:2] for row in audited(Operation.RAISE_EVENT)] == [("approver", "denied")]
    assert send(as_role("operator"), "q-1", "raise-event", event_name="answer", event_data="true").status_code == 302
    work()
    assert status_of("q-1") == "Completed"


# --- too late, twice, wrong ------------------------------------------------------------------------------------------


def test_what_is_not_possible_says_why_and_keeps_what_was_typed(as_role: As, start: Start) -> None:
    start("page_echo", "hello", "echo-1")
    client = as_role("operator")
    for response in (
        client.get(address("echo-1", "terminate")),
        client.post(address("echo-1", "terminate"), {"reason": "a long <b>reason</b>"}),
    ):
        text = response.content.decode()
        assert response.status_code == 409
        assert "The instance is Completed since" in text
        assert "Terminate is possible only while it is Pending, Running or Suspended" in text
        assert "/actions/restart/" in text
    assert "a long &lt;b&gt;reason&lt;/b&gt;" in text
    assert [row[:2] for row in audited(Operation.TERMINATE)] == [("operator", "refused")]


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("suspend", {"reason": "x"}),
        ("terminate", {"reason": "x"}),
        ("raise-event", {"event_name": "Count", "event_data": "1"}),
    ],
)
def test_a_button_that_is_pressed_twice_counts_once(
    verb: str, given: dict[str, str], as_role: As, start: Start
) -> None:
    start("page_patience", None, "wait-1")
    client = as_role("admin")
    data = {"request_key": "0" * 32, **given}
    client.post(address("wait-1", verb), data)
    again = client.post(address("wait-1", verb), data, follow=True)
    assert "pressed twice" in again.content.decode()
    assert PendingEvent.objects.count() == 1
    assert AuditRecord.objects.count() == 1


def test_of_two_that_come_at_once_one_is_undone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look finds nothing, as it does when both look before either has committed."""
    start("page_patience", None, "wait-1")
    asked = audit.Asked(
        hub="default", actor_kind="user", actor="ann", address="", operation=Operation.RAISE_EVENT,
        instance_id="wait-1", request_key="k",
    )  # fmt: skip
    client = DurableClient("default")
    audit.perform(asked, lambda: client.raise_event("wait-1", "Count"))
    looks: list[Any] = []
    refuse = audit._refuse_repetition
    monkeypatch.setattr(audit, "_refuse_repetition", lambda one: refuse(one) if looks else looks.append(one))
    with pytest.raises(audit.AlreadyDoneError):
        audit.perform(asked, lambda: client.raise_event("wait-1", "Count"))
    assert PendingEvent.objects.count() == 1


def test_unknown_instances_and_verbs_are_not_found(as_role: As, person: Callable[[str], User]) -> None:
    client = as_role("admin")
    assert client.get(address("nothing-1", "terminate")).status_code == 404
    assert client.get(address("nothing-1", "explode")).status_code == 404
