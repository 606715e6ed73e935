"""What waits for people: shown to those whom it concerns, answered once, by those who may."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pydantic import TypeAdapter

from dashboard.presenters.approvals import answer_look, buttons_of, listed
from durable_host.client import DurableClient
from durable_host.models import AuditRecord, EventWait, PendingEvent
from durable_host.store import clock
from durable_host.store.approvals import get_wait
from tests.dashboard import functions
from tests.dashboard.conftest import Start

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
Work = Callable[[], None]
As = Callable[[str], Client]
HOSTILE = "<script>alert(1)</script>\u202e" + "x" * 3000


def address(instance_id: str) -> str:
    return f"/approvals/{instance_id}/Answer/"


def text_of(response: Any) -> str:
    """Return what a page says, without its tags and line breaks."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", response.content.decode())))


def question_of(instance_id: str) -> str:
    wait = get_wait("default", instance_id, "Answer")
    return wait.key if wait else ""


def send(client: Client, instance_id: str, **given: str) -> Any:
    """Answer what the instance asks now."""
    return client.post(address(instance_id), {"question": question_of(instance_id), **given})


def outputs(instance_id: str) -> Any:
    status = DurableClient().get_status(instance_id)
    assert status is not None
    return status.output if status.is_finished else status.runtime_status


def audited() -> list[tuple[str, str]]:
    return list(AuditRecord.objects.order_by("pk").values_list("actor", "outcome"))


# --- buttons from types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "labels"),
    [
        (bool, "Approve Reject"),
        (functions.ANSWERS["release"], "Release|Hold back"),
        (Literal["in_person", "by_video"], "In person|By video"),
        (Literal["yes"], ""),
        (bool | None, "Approve|Reject|None of these"),
        (Literal[1, 2, 3] | None, "1|2|3|None of these"),
        (str, ""),
        (int | bool, ""),
        (functions.Visit, ""),
        (Literal["a", "b", "c", "d", "e", "f", "g", "h", "i"], ""),
    ],
)
def test_a_type_with_few_values_makes_a_button_for_each(type_: Any, labels: str) -> None:
    wanted = labels.split("|") if "|" in labels else labels.split()
    assert [one.label for one in buttons_of(TypeAdapter(type_).json_schema())] == wanted


def test_enums_make_buttons_with_their_values_and_any_data_none() -> None:
    schema = {"$defs": {"Way": {"enum": ["go", "stop"], "type": "string"}}, "$ref": "#/$defs/Way"}
    assert [one.value for one in buttons_of(schema)] == ['"go"', '"stop"']
    assert buttons_of(None) == ()


def test_answers_in_words() -> None:
    looks = [answer_look(one).label for one in (True, False, "in_person", {"a": 1}, None)]
    assert looks == ["Approved", "Rejected", "In person", "Answered with data", "Answered"]
    assert listed(["ann", "bob", "eve"]) == "ann, bob and eve"
    assert listed(["ann"]) == "ann"
    assert listed([]) == ""


# --- the lists -------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(start: Start, person: Callable[[str], User]) -> None:
    """One question for each: the approver, a group of the approver, another group, anybody."""
    person("approver").groups.add(Group.objects.create(name="finance"))
    for name, to in (("me", ["approver"]), ("group", ["finance"]), ("other", ["board"]), ("any", [])):
        start("page_question", {"to": to, "title": f"For {name}"}, f"q-{name}")


@pytest.mark.parametrize(
    ("tab", "shown"),
    [
        ("open", "me group any"),
        ("mine", "me"),
        ("groups", "group"),
        ("all", "me group other any"),
        ("overdue", ""),
        ("nonsense", "me group any"),
    ],
)
def test_a_tab_shows_what_it_says(tab: str, shown: str, asked: None, as_role: As) -> None:
    text = text_of(as_role("approver").get("/approvals/", {"tab": tab}))
    found = {name for name in ("me", "group", "other", "any") if f"For {name}" in text}
    assert found == set(shown.split())


def test_the_navigation_says_how_many_wait_for_whoever_may_answer(asked: None, as_role: As) -> None:
    counts = {}
    for role in ("approver", "viewer", "operator"):
        page = as_role(role).get("/approvals/").content.decode()
        found = re.search(r'data-go="a">.*?</a>', page, re.DOTALL)
        assert found
        counts[role] = re.findall(r'class="count">([^<]*)<', found[0])
    assert counts == {"approver": ["3"], "viewer": [], "operator": ["1"]}


def test_an_empty_inbox_says_for_whom_something_waits(as_role: As, start: Start) -> None:
    assert "What orchestrations ask of you will stand here." in text_of(as_role("viewer").get("/approvals/"))
    for number in range(3):
        start("page_question", {"to": ["finance"]}, f"q-{number}")
    text = text_of(as_role("viewer").get("/approvals/"))
    assert "Nothing waits for you" in text
    assert "3 wait for finance ." in text


def test_what_is_overdue_stands_out(as_role: As, start: Start) -> None:
    start("page_question", {"seconds": 3600, "title": "In time"}, "q-1")
    start("page_question", {"seconds": 3600, "title": "Too late"}, "q-2")
    EventWait.objects.filter(instance__instance_id="q-2").update(due=clock.now() - timedelta(hours=2))
    text = text_of(as_role("approver").get("/approvals/", {"tab": "overdue"}))
    assert "Too late" in text
    assert "Overdue 2 h ago" in text
    assert "In time" not in text


def test_it_can_be_narrowed_to_an_orchestrator_and_read_in_pages(
    asked: None, as_role: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = as_role("approver")
    assert "Nothing waits for you" in text_of(client.get("/approvals/", {"orchestrator": "page_echo"}))
    monkeypatch.setattr("dashboard.views.approvals.PAGE_SIZE", 2)
    first = client.get("/approvals/", {"orchestrator": "page_question"}).content.decode()
    older = re.search(r'href="(\?[^"]*page=[^"]*)"', first)
    assert older
    second = text_of(client.get("/approvals/" + html.unescape(older[1])))
    assert "For any" in second
    assert "For me" not in second
    assert client.get("/approvals/?page=nonsense").status_code == 200


# --- answering -------------------------------------------------------------------------------------------------------


def test_an_answer_goes_to_the_instance_and_on_to_the_next_question(asked: None, as_role: As, work: Work) -> None:
    client = as_role("approver")
    response = send(client, "q-me", choice="true", comment="fine with me")
    assert (response.status_code, response["Location"]) == (302, "/approvals/q-group/Answer/")
    work()
    assert outputs("q-me") is True
    done = text_of(client.get("/approvals/", {"tab": "done"}))
    assert "Approved" in done
    assert "fine with me" in done
    closed = text_of(client.get(address("q-me")))
    assert "Approved by you" in closed
    send(client, "q-group", choice="true")
    work()
    last = client.post(address("q-any"), {"question": question_of("q-any"), "choice": "true"}, follow=True)
    assert "Nothing else waits for you" in text_of(last)


def test_a_rejection_must_say_why(start: Start, as_role: As, work: Work) -> None:
    start("page_question", {}, "q-1")
    client = as_role("approver")
    refused = send(client, "q-1", choice="false")
    assert refused.status_code == 422
    assert "Say why, then press Reject again." in text_of(refused)
    assert not audited()
    send(client, "q-1", choice="false", comment="too dear")
    work()
    assert outputs("q-1") is False


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("release", {"choice": "true"}, True),
        ("choice", {"choice": '"by_video"'}, "by_video"),
        (
            "model",
            {"answer.day": "2026-12-24", "answer.guests": "3", "answer.place": "office"},
            {"day": "2026-12-24", "guests": 3, "place": "office"},
        ),
        ("any", {"answer": '{"free": [1]}'}, {"free": [1]}),
    ],
)
def test_every_type_can_be_answered(
    kind: str, given: dict[str, str], wanted: Any, start: Start, as_role: As, work: Work
) -> None:
    start("page_question", {"kind": kind}, "q-1")
    client = as_role("operator")
    page = client.get(address("q-1")).content.decode()
    if kind == "model":
        given = {name: _option(page, name, value) for name, value in given.items()}
    response = send(client, "q-1", **given)
    assert response.status_code == 302, text_of(response)
    work()
    assert outputs("q-1") == wanted


def _option(page: str, name: str, value: str) -> str:
    """Return what the form sends for a value: the key of its button, where it is a choice."""
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"[^>]*><bdi>{value}', page, re.IGNORECASE)
    return html.unescape(found[1]) if found else value


def test_a_form_that_does_not_fit_stays_as_it_was_typed(start: Start, as_role: As) -> None:
    start("page_question", {"kind": "model"}, "q-1")
    response = send(as_role("approver"), "q-1", **{"answer.day": "soon", "answer.guests": "3"}, comment="as agreed")
    assert response.status_code == 422
    assert 'value="soon"' in response.content.decode()
    assert "as agreed" in response.content.decode()
    assert PendingEvent.objects.count() == 0


def test_an_answer_that_is_none_of_the_buttons_is_refused(start: Start, as_role: As) -> None:
    start("page_question", {"kind": "choice"}, "q-1")
    response = send(as_role("approver"), "q-1", choice='"something else"')
    assert response.status_code == 422
    assert PendingEvent.objects.count() == 0


def test_from_the_page_of_the_instance_it_goes_back_there(asked: None, as_role: As) -> None:
    response = send(as_role("approver"), "q-me", choice="true", back="instance")
    assert response["Location"] == "/instances/q-me/"


# --- too late, twice, without the right ------------------------------------------------------------------------------


def test_deciding_twice_counts_once_and_says_who_was_first(start: Start, as_role: As, work: Work) -> None:
    start("page_question", {}, "q-1")
    question = question_of("q-1")
    send(as_role("approver"), "q-1", choice="true", comment="yes")
    for finished in (False, True):
        if finished:
            work()
        late = as_role("operator").post(address("q-1"), {"question": question, "choice": "false", "comment": "no!"})
        text = text_of(late)
        assert late.status_code == 409
        assert "Your answer was not recorded" in text
        assert "Approved by approver" in text
        assert "no!" in text, "what was typed is lost"
    again = as_role("approver").post(address("q-1"), {"question": question, "choice": "true"})
    assert "You have answered already" in text_of(again)
    assert outputs("q-1") is True
    assert audited() == [("approver", "done"), ("operator", "refused"), ("operator", "refused")]


def test_an_answer_to_a_question_that_has_gone_on_to_somebody_else_does_not_count(
    start: Start, as_role: As, work: Work
) -> None:
    start("page_question", {"seconds": 0.05, "to": ["approver"], "then_to": ["operator"]}, "q-1")
    client = as_role("approver")
    question = question_of("q-1")
    EventWait.objects.update(assignees=["operator"], title="Escalated")
    late = client.post(address("q-1"), {"question": question, "choice": "true"})
    assert late.status_code == 409
    assert "another has taken its place" in text_of(late)
    assert PendingEvent.objects.filter(event_type="EventRaised").count() == 0


@pytest.mark.parametrize("end", ["terminate", "purge"])
def test_after_the_end_an_answer_is_told_so(end: str, start: Start, as_role: As, work: Work) -> None:
    start("page_question", {}, "q-1")
    question = question_of("q-1")
    DurableClient().terminate("q-1", "no longer needed")
    work()
    if end == "purge":
        DurableClient().purge("q-1")
    late = as_role("approver").post(address("q-1"), {"question": question, "choice": "true"})
    if end == "purge":
        assert late.status_code == 404
    else:
        assert late.status_code == 409
        assert "The instance is Terminated since" in text_of(late)


def test_who_manages_instances_answers_in_the_place_of_those_who_are_asked(
    start: Start, as_role: As, work: Work
) -> None:
    start("page_question", {"to": ["somebody-away"]}, "q-1")
    client = as_role("operator")
    assert "You answer in their place" in text_of(client.get(address("q-1")))
    send(client, "q-1", choice="true")
    work()
    assert outputs("q-1") is True
    assert audited() == [("operator", "done")]


@pytest.mark.parametrize(("role", "said"), [("approver", "put to others"), ("viewer", "durable_host.raise_event")])
def test_without_the_right_nothing_changes_and_the_audit_knows(
    role: str, said: str, start: Start, as_role: As, work: Work
) -> None:
    start("page_question", {"to": ["boss", "viewer"]}, "q-1")
    client = as_role(role)
    page = client.get(address("q-1"))
    assert said in text_of(page)
    assert 'name="choice"' not in page.content.decode()
    assert send(client, "q-1", choice="true").status_code == 403
    work()
    assert outputs("q-1") == "Running"
    assert audited() == [(role, "denied")]


def test_those_who_may_not_see_payloads_see_what_was_chosen_but_not_what_was_written(
    start: Start, as_role: As, work: Work
) -> None:
    start("page_question", {"kind": "any"}, "q-1")
    send(as_role("operator"), "q-1", answer='"secret word"')
    work()
    assert "Secret word" in text_of(as_role("operator").get("/approvals/?tab=done"))
    text = text_of(as_role("viewer").get("/approvals/?tab=done"))
    assert "Secret word" not in text
    assert "Answered" in text


def test_hostile_texts_are_shown_as_they_are(start: Start, as_role: As) -> None:
    start(
        "page_question",
        {"title": HOSTILE, "text": f"one\ntwo {HOSTILE}", "to": ["<script>alert(1)</script>" + "x" * 200]},
        "q-1",
    )
    client = as_role("boss")
    for path in ("/approvals/?tab=all", address("q-1"), "/instances/q-1/actions/raise-event/"):
        page = client.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()
    assert "one<br>two" in client.get(address("q-1")).content.decode()


def test_a_question_never_asked_and_an_instance_never_started(start: Start, as_role: As) -> None:
    start("page_echo", "hello", "e-1")
    text = text_of(as_role("viewer").get(address("e-1")))
    assert "The instance has ended as Completed" in text
    assert as_role("viewer").get(address("nothing")).status_code == 404


def test_of_a_suspended_instance_one_answer_counts_too(start: Start, as_role: As, work: Work) -> None:
    start("page_question", {}, "q-1")
    DurableClient().suspend("q-1")
    work()
    client = as_role("approver")
    assert "taken when somebody resumes the instance" in text_of(client.get(address("q-1")))
    send(client, "q-1", choice="true")
    work()
    assert "For" not in text_of(client.get("/approvals/?tab=all"))
    late = send(as_role("operator"), "q-1", choice="false", comment="no")
    assert late.status_code == 409, text_of(late)
    DurableClient().resume("q-1")
    work()
    assert outputs("q-1") is True


def test_the_same_question_once_more_is_another_question(start: Start, as_role: As, work: Work) -> None:
    start("page_twice", None, "t-1")
    client = as_role("approver")
    first = question_of("t-1")
    for comment in ("yes", "sent twice"):
        client.post(address("t-1"), {"question": first, "choice": "true", "comment": comment})
        work()
    assert outputs("t-1") == "Running"
    assert 'name="choice"' in client.get(address("t-1")).content.decode()
    assert question_of("t-1") != first
    send(client, "t-1", choice="false", comment="no")
    work()
    assert outputs("t-1") == [True, False]


def test_an_answer_from_elsewhere_closes_the_question_too(start: Start, as_role: As) -> None:
    start("page_question", {}, "q-1")
    question = question_of("q-1")
    DurableClient().raise_event("q-1", "Answer", True)
    client = as_role("approver")
    assert "An answer has come already" in text_of(client.get(address("q-1")))
    assert "Nothing waits for you" in text_of(client.get("/approvals/"))
    late = client.post(address("q-1"), {"question": question, "choice": "false", "comment": "no"})
    assert late.status_code == 409
    assert PendingEvent.objects.filter(event_type="EventRaised").count() == 1
