"""The start pages without a browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission as Row
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from dashboard.presenters import equivalents
from dashboard.presenters.equivalents import Start as Same
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.access import Scope
from durable_host.core.registry import default_registry
from durable_host.links import BASE
from durable_host.models import AuditRecord, Instance
from durable_host.store import keys, workers
from tests.dashboard import journeys
from tests.dashboard.conftest import Start
from tests.dashboard.forms_html import sent

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
AsRole = Callable[[str], Client]
FORM = "/start/page_echo/"


@pytest.fixture(autouse=True)
def _registered(registered: None) -> None:
    journeys.register(default_registry)


def last_audit() -> AuditRecord:
    found = AuditRecord.objects.order_by("-pk").first()
    assert found is not None
    return found


def input_of(instance_id: str) -> Any:
    status = DurableClient().get_status(instance_id)
    assert status is not None
    return status.input


# --- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_tells_what_there_is_and_how_it_goes(as_role: AsRole, start: Start) -> None:
    start("page_echo", "hello", "known-1")
    html = as_role("starter").get("/start/").content.decode()
    assert "Shout a text, and say so." in html
    assert "/instances/known-1/" in html
    assert "Usually takes" in html
    assert "traveller" in html


def test_the_catalogue_is_searched_by_name_and_description(as_role: AsRole) -> None:
    client = as_role("starter")
    html = client.get("/start/?q=JOURNEY+leg").content.decode()
    assert "page_journey" in html
    assert "page_echo" not in html
    assert "No orchestrator matches" in client.get("/start/?q=%3Cscript%3Enothing").content.decode()


def test_the_pages_warn_while_no_worker_listens(as_role: AsRole) -> None:
    client = as_role("starter")
    assert "No worker is listening" in client.get(FORM).content.decode()
    settings = host_settings()
    workers.show(
        workers.WorkerReport(
            hub=settings.task_hub, name="w", queue=settings.turn_queue, hostname="h", pid=1, version="1",
            started_at=datetime.fromisoformat("2026-01-01T00:00Z"),
        )
    )  # fmt: skip
    assert "No worker is listening" not in client.get(FORM).content.decode()


# --- starting --------------------------------------------------------------------------------------------------------


def test_what_is_filled_in_is_started_and_audited(as_role: AsRole) -> None:
    client = as_role("starter")
    form = sent(
        client.get(FORM).content.decode(),
        ("input", "hello"), ("options.instance_id", "mine-1"), ("options.start_at", "2030-01-01T10:00"),
        ("options.start_at!zone", "utc"), ("options.version", "v2"), ("options.tags!row", "0"),
        ("options.tags.0!name", "customer"), ("options.tags.0!value", "42"),
    )  # fmt: skip
    response = client.post(FORM, form)
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == "/instances/mine-1/"
    status = DurableClient().get_status("mine-1")
    assert status is not None
    assert (status.input, status.version, status.tags) == ("hello", "v2", {"customer": "42"})
    assert status.scheduled_at == datetime.fromisoformat("2030-01-01T10:00Z")
    record = last_audit()
    assert (record.actor, record.operation, record.target, record.instance_id, record.outcome) == (
        "starter", "start", "page_echo", "mine-1", "done",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([("input", "")], "Fill this in."),
        ([("options.instance_id", "a/b")], "options.instance_id"),
        ([("options.instance_id", "busy-1")], "An instance of this id exists and is Running."),
        ([("options.start_at", "soon")], "Give a date and a time"),
        ([("options.version", "v" * 300)], "at most 256 characters"),
        ([("options.tags!row", "0"), ("options.tags.0!name", "k" * 65), ("options.tags.0!value", "v")], "at most 64"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_all_of_it_stays(
    as_role: AsRole, start: Start, more: list[tuple[str, str]], said: str
) -> None:
    start("page_patience", None, "busy-1")
    client = as_role("starter")
    response = client.post(FORM, sent(client.get(FORM).content.decode(), ("input", "hello"), *more))
    html = response.content.decode()
    assert response.status_code == 422
    assert said in html
    again = sent(html)
    for name, value in [("input", "hello"), *more]:
        assert again[name] == dict([("input", "hello"), *more])[name], (name, value)
    assert Instance.objects.count() == 1


def test_a_refused_start_is_audited(as_role: AsRole, start: Start) -> None:
    start("page_patience", None, "busy-1")
    client = as_role("starter")
    client.post(FORM, {"input": "x", "options.instance_id": "busy-1"})
    assert (last_audit().outcome, last_audit().instance_id) == ("refused", "busy-1")


def test_who_may_not_start_changes_nothing_and_is_audited(as_role: AsRole) -> None:
    response = as_role("viewer").post(FORM, {"input": "x"})
    assert response.status_code == 403
    assert not Instance.objects.exists()
    assert (last_audit().outcome, last_audit().actor) == ("denied", "viewer")
    assert as_role("viewer").post(FORM, {"input": "x", "!op": "show:"}).status_code == 403


def test_an_unknown_orchestrator_is_not_found(as_role: AsRole) -> None:
    assert as_role("starter").get("/start/nobody/").status_code == 404


def test_one_without_input_starts_at_once_and_takes_one_all_the_same(as_role: AsRole) -> None:
    client = as_role("starter")
    page = client.get("/start/page_patience/").content.decode()
    assert "It declares no input." in page
    started = client.post("/start/page_patience/", sent(page))["Location"].split("/")[2]
    assert input_of(started) is None
    started = client.post("/start/page_patience/", sent(page, ("input", "[1]")))["Location"].split("/")[2]
    assert input_of(started) == [1]


def test_a_form_that_is_sent_twice_starts_once(as_role: AsRole) -> None:
    client = as_role("starter")
    form = sent(client.get(FORM).content.decode(), ("input", "hello"))
    first, second = client.post(FORM, form), client.post(FORM, form, follow=True)
    assert second.redirect_chain == [(first["Location"], 302)]
    assert "This was sent twice and started once" in second.content.decode()
    assert Instance.objects.count() == 1

    other = client.post(FORM, form | {"input": "other"})  # the way back in the browser, and on with another input
    assert other["Location"] != first["Location"]
    assert client.post(FORM, sent(client.get(FORM).content.decode(), ("input", "hello"))).status_code == 302
    assert Instance.objects.count() == 3


# --- one like another ------------------------------------------------------------------------------------------------


def test_one_like_an_earlier_one_is_filled_in_and_may_be_changed(as_role: AsRole, start: Start) -> None:
    start("page_echo", "hello <b>", "known-1", tags={"customer": "42"}, version="v7")
    client = as_role("starter")
    html = client.get(f"{FORM}?from=known-1").content.decode()
    form = sent(html)
    assert (form["input"], form["options.version"], form["options.tags.0!value"]) == ("hello <b>", "v7", "42")
    assert form.get("options.instance_id", "") == ""
    assert client.post(f"{FORM}?from=known-1", sent(html, ("input", "other"))).status_code == 302
    assert last_audit().detail == "like known-1"


def test_one_like_an_earlier_one_needs_the_right_to_see_its_input(as_role: AsRole, start: Start, person: Any) -> None:
    start("page_echo", "hello", "known-1")
    person("viewer").user_permissions.add(Row.objects.get(codename="add_instance"))
    client = as_role("viewer")
    assert client.get(FORM).status_code == 200
    assert client.get(f"{FORM}?from=known-1").status_code == 403
    assert as_role("starter").get(f"{FORM}?from=nobody").status_code == 404


def test_json_is_an_address_too(as_role: AsRole) -> None:
    client = as_role("starter")
    html = client.get("/start/page_journey/?as=json").content.decode()
    response = client.post("/start/page_journey/?as=json", sent(html, ("input", '{"traveller": 7}')))
    assert "traveller: It should be a valid string." in response.content.decode()
    assert sent(response.content.decode())["input"] == '{"traveller": 7}'


# --- the same, elsewhere ---------------------------------------------------------------------------------------------

NASTY = {"a": 'it\'s "$HOME" `x` \\ \n', "b": [True, None, 1.5], "ü": "</script>"}
SAME = Same(
    name="page_any", input=NASTY, has_input=True, instance_id="same-1:x", start_at="2030-01-01T10:00:00+02:00",
    version="v 1", tags={"customer": "a:b c", "q": "'"},
)  # fmt: skip


@pytest.fixture
def any_input() -> None:
    async def page_any(ctx: Any, value: Any) -> None:
        """Take anything."""

    default_registry.add_orchestrator(page_any)


def check_started() -> None:
    status = DurableClient().get_status("same-1:x")
    assert status is not None
    assert (status.name, status.input, status.version, dict(status.tags)) == ("page_any", NASTY, "v 1", SAME.tags)
    assert status.scheduled_at == datetime.fromisoformat("2030-01-01T08:00Z")


def words_of(line: str) -> list[str]:
    """Return the words of a line as a shell hands them to a program."""
    script = f"printf '%s\\0' {line}"
    done = subprocess.run(["bash", "-c", script], env={"DURABLE_KEY": "the-key"}, capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_the_python_does_the_same(any_input: None) -> None:
    exec(equivalents.python(SAME), {})  # noqa: S102  it is what we have written
    check_started()


def test_the_command_does_the_same(any_input: None, capsys: pytest.CaptureFixture[str]) -> None:
    python, manage, *words = words_of(equivalents.command(SAME))
    assert (python, manage) == ("python", "manage.py")
    call_command(*words)
    check_started()


def test_the_call_over_http_does_the_same(any_input: None, client: Client) -> None:
    _, secret = keys.create(host_settings().task_hub, "k", {Scope.START})
    words = words_of(equivalents.curl(SAME, f"http://testserver{reverse(BASE)}"))
    assert words[:3] == ["curl", "-X", "POST"]
    assert words[words.index("-H") + 1] == "x-functions-key: the-key"
    address = urlsplit(words[3])
    body = words[words.index("--data-raw") + 1]
    response = client.post(
        f"{address.path}?{address.query}", body, content_type="application/json", headers={"x-functions-key": secret}
    )
    assert response.status_code == 202, response.content
    assert json.loads(body) == NASTY
    check_started()


def test_secrets_are_not_in_it(as_role: AsRole) -> None:
    client = as_role("starter")
    data = sent(client.get("/start/page_journey/").content.decode(), ("input.pin", "hunter2"), ("!op", "show:"))
    html = client.post("/start/page_journey/", data).content.decode()
    assert html.count("hunter2") == 1
    assert "********" in html
