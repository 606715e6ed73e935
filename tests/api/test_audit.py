"""The audit, the rate limits, and what the logs must never show."""

import io
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from durable_host.api.responses import (
    create_check_status_response,
    wait_for_completion_or_create_check_status_response,
)
from durable_host.client import DurableClient
from durable_host.core.access import Scope
from durable_host.core.errors import BadRequestError
from durable_host.models import AuditRecord, Instance
from durable_host.store import audit
from durable_host.telemetry.redaction import RedactingFilter, redacted
from tests.api.conftest import HUB, Api, configure, make_key
from tests.api.test_contract import here, is_problem

pytestmark = pytest.mark.store


def rows(*fields: str) -> list[tuple[Any, ...]]:
    """The audit, oldest first."""
    return list(AuditRecord.objects.order_by("pk").values_list(*fields))


def test_every_write_leaves_a_record_and_no_read_does(api: Api) -> None:
    payload = api.post("orchestrators/Approval/one?tag=a:b", '"tea"').json()
    api.work()
    api.get("instances/one")
    api.get("instances")
    api.post("instances/one/raiseEvent/Other", "1")
    api.post("instances/one/suspend?reason=lunch")
    api.work()
    api.post("instances/one/resume")
    api.work()
    api.post(here(payload["terminatePostUri"]).replace("{text}", "enough"), key="")
    api.work()
    restarted = api.post("instances/one/restart").json()["id"]
    api.delete("instances/one")
    api.delete("instances?createdTimeFrom=2020-01-01")
    selection = '{"createdTimeFrom":"2020-01-01T00:00:00Z"}'
    assert rows("operation", "actor_kind", "actor", "target", "instance_id", "outcome", "detail", "address") == [
        ("start", "key", "everything", "Approval", "one", "done", "", "127.0.0.1"),
        ("raiseEvent", "key", "everything", "", "one", "done", "Other", "127.0.0.1"),
        ("suspend", "key", "everything", "", "one", "done", "lunch", "127.0.0.1"),
        ("resume", "key", "everything", "", "one", "done", "", "127.0.0.1"),
        ("terminate", "token", "one", "", "one", "done", "enough", "127.0.0.1"),
        ("restart", "key", "everything", "", "one", "done", f"as {restarted}", "127.0.0.1"),
        ("purge", "key", "everything", "", "one", "done", "", "127.0.0.1"),
        ("purgeMany", "key", "everything", "", "", "done", f"{selection}; 0 instances", "127.0.0.1"),
    ]


def test_refused_and_denied_attempts_leave_records(api: Api) -> None:
    api.post("orchestrators/Nope")
    api.post("orchestrators/Echo/one", "{")
    api.post("instances/nobody/terminate")
    api.post("orchestrators/Echo", key=make_key("reader", Scope.READ))
    api.post("orchestrators/Echo/" + "x" * 600, key="bogus")
    found = rows("actor", "operation", "outcome", "detail")
    assert [row[:3] for row in found] == [
        ("everything", "start", "refused"),
        ("everything", "start", "refused"),
        ("everything", "terminate", "refused"),
        ("reader", "start", "denied"),
        ("", "start", "denied"),
    ]
    assert all(row[3] for row in found)
    assert audit.latest(HUB, instance_id="nobody")[0].asked.operation == "terminate"


def test_a_write_and_its_record_are_true_together_or_not_at_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("the audit cannot be written")

    monkeypatch.setattr(audit, "record", fail)
    assert api.post("orchestrators/Echo/one").status_code == 500
    assert not Instance.objects.exists()


# --- rates ------------------------------------------------------------------------------------------------------------


def test_starts_and_events_are_limited_by_caller(api: Api, settings: Settings) -> None:
    configure(settings, START_RATE="2/minute", EVENT_RATE="1 per 2 minutes")
    other = make_key("other", *Scope)
    assert [api.post("orchestrators/Approval/one").status_code for _ in range(2)] == [202, 409]
    response = api.post("orchestrators/Approval/two")
    assert is_problem(response, 429, "More than 2/minute")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert api.post("orchestrators/Approval/two", key=other).status_code == 202
    assert api.post("instances/one/raiseEvent/x").status_code == 202
    response = api.post("instances/one/raiseEvent/x")
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 120
    assert api.post("instances/one/terminate").status_code == 202
    assert [outcome for (outcome,) in rows("outcome")].count("refused") == 1  # the duplicate, not the flood


def test_an_empty_rate_is_none(api: Api, settings: Settings) -> None:
    configure(settings, START_RATE="")
    assert api.post("orchestrators/Echo").status_code == 202


def test_a_flood_of_denied_attempts_does_not_fill_the_audit(api: Api, settings: Settings) -> None:
    configure(settings, DENIED_RATE="3/minute")
    codes = [api.post("orchestrators/Echo", key="bogus").status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    assert len(rows("pk")) == 3
    assert api.get("instances").status_code == 200


def test_a_storage_that_is_away_turns_nobody_away(api: Api, settings: Settings) -> None:
    storage = "redis+unix:///nowhere/redis.sock"
    configure(settings, START_RATE="1/minute", RATE_STORAGE=storage)
    assert [api.post("orchestrators/Echo").status_code for _ in range(2)] == [202, 429]


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_record_holds_a_secret(api: Api) -> None:
    for key in (api.key, "dk_0123456789ab_0123456789012345678901234567890123456789012", "password"):
        api.post(f"orchestrators/Echo?code={key}", key="")
        api.post("orchestrators/Nope", key=key)
    token = DurableClient().create_http_management_payload(RequestFactory().get("/"), "x")["terminatePostUri"]
    api.post(here(token), key="")
    everything = json.dumps([str(row) for row in AuditRecord.objects.values_list()])
    for secret in (api.key, "0123456789012", "password", token.partition("code=")[2]):
        assert secret not in everything


@pytest.mark.parametrize(
    "text",
    [
        "GET /x?code=SECRET HTTP/1.1",
        "GET /x?taskHub=a&CODE=SECRET&b=c",
        "/login/embedded?token=SECRET",
        "x-functions-key: SECRET",
        "{'X-Functions-Key': 'SECRET', 'Host': 'x'}",
        'headers={"Authorization": "Bearer SECRET-abcdefg"}',
        "the key dk_SECRET012345_abc is",
        "dt_SECRET123:abc-def",
        "next=%2Fx%3Fcode%3DSECRET",
    ],
)
def test_redaction(text: str) -> None:
    assert "SECRET" not in redacted(text)
    record = logging.LogRecord("n", logging.INFO, "p", 1, "%s end", (text,), None)
    record.__dict__["request"] = text
    RedactingFilter().filter(record)
    assert "SECRET" not in record.getMessage()
    assert "SECRET" not in record.__dict__["request"]
    assert record.getMessage().endswith(" end")


def test_redaction_leaves_other_texts_alone() -> None:
    for text in ("activity completed", "status_code=404", "decode = x", "dk_x", "100% of encode=1 token"):
        assert redacted(text) == text


def test_redaction_cleans_stacks() -> None:
    try:
        raise ValueError("?code=SECRET")
    except ValueError as error:
        record = logging.LogRecord("n", logging.INFO, "p", 1, "x", (), (type(error), error, error.__traceback__))
    RedactingFilter().filter(record)
    assert "SECRET" not in logging.Formatter().format(record)


# --- keys by command --------------------------------------------------------------------------------------------------


def run(*args: str) -> str:
    """Run the command and return what it prints."""
    out = io.StringIO()
    call_command("durable_key", *args, stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


def test_keys_by_command(api: Api) -> None:
    key = run("create", "ci", "--scope", "start", "--scope", "read", "--orchestrators", "Echo*", "--expires", "30d")
    assert api.post("orchestrators/Echo", key=key).status_code == 202
    assert api.post("orchestrators/Approval", key=key).status_code == 403
    assert api.post("instances/x/terminate", key=key).status_code == 403
    listed = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert listed["ci"]["scopes"] == "read,start"
    assert listed["ci"]["orchestrators"] == "Echo*"
    assert listed["ci"]["state"] == "active"
    assert listed["ci"]["lastUsed"]
    assert key not in run("list")
    assert "opens nothing" in run("revoke", "ci")
    assert api.post("orchestrators/Echo", key=key).status_code == 401
    assert "state=revoked" in run("list")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("create", "everything"), "There is a key 'everything' already"),
        (("create", "x" * 101), "at most 100"),
        (("create", "\n"), "printable"),
        (("create", "x", "--expires", "2020-01-01"), "has passed"),
        (("create", "x", "--expires", "soon"), "neither a length"),
        (("create", "x", "--scope", "all"), "invalid choice"),
        (("revoke", "nobody"), "No key 'nobody'"),
    ],
)
def test_bad_keys_are_refused(api: Api, args: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(*args)


# --- for views of your own --------------------------------------------------------------------------------------------


@pytest.fixture
def request_of_mine() -> HttpRequest:
    """A request to a view of one's own, over TLS."""
    return RequestFactory().post("/order", secure=True)


def test_a_view_returns_the_addresses(api: Api, request_of_mine: HttpRequest) -> None:
    instance_id = api.start("Approval")
    response = create_check_status_response(request_of_mine, instance_id)
    payload = json.loads(response.content)
    assert response.status_code == 202
    assert response["Location"] == payload["statusQueryGetUri"]
    assert response["Retry-After"] == "10"
    assert payload["id"] == instance_id
    assert payload["statusQueryGetUri"].startswith("https://testserver/runtime/webhooks/durabletask/instances/")
    assert api.get(here(payload["statusQueryGetUri"]), key="").status_code == 202
    twin = DurableClient().create_http_management_payload(request_of_mine, instance_id)
    assert list(twin) == list(payload)
    failing = create_check_status_response(request_of_mine, "x", return_internal_server_error_on_failure=True)
    assert failing["Location"].endswith("&returnInternalServerErrorOnFailure=true")


def test_a_view_waits(api: Api, request_of_mine: HttpRequest, settings: Settings) -> None:
    wait = wait_for_completion_or_create_check_status_response
    done, failed, still = api.start("Echo", '"out"'), api.start("Fragile", '"/nowhere"'), api.start("Approval")
    response = wait(request_of_mine, done)
    assert (response.status_code, response.content) == (200, b'"out"')
    response = wait(request_of_mine, failed)
    assert response.status_code == 200
    assert json.loads(response.content)["runtimeStatus"] == "Failed"
    assert wait(request_of_mine, failed, return_internal_server_error_on_failure=True).status_code == 500
    assert wait(request_of_mine, still, 0.1, 0.05).status_code == 202
    with pytest.raises(BadRequestError, match="Total timeout 1 should be bigger than retry timeout 2"):
        wait(request_of_mine, still, 1, 2)
    configure(settings, MAX_HTTP_WAIT=timedelta(seconds=0.1))
    assert wait(request_of_mine, still, 100, 0.05).status_code == 202
