"""Bad input: the documented status, JSON that says what to do, nothing stored; never a 500."""

import json
import logging
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings

from durable_host.client import DurableClient
from durable_host.models import Instance
from tests.api.conftest import Api, configure
from tests.api.test_contract import is_problem

pytestmark = pytest.mark.store

BODIES = [
    ("{", "is not JSON"),
    ("nul", "is not JSON"),
    ("NaN", "is not JSON"),
    ('{"a": Infinity}', "is not JSON"),
    ('"\\u0000"', "NUL"),
    ('"\\ud800"', "surrogate"),
    ("[" * 200 + "]" * 200, "levels deep"),
    ("[" * 100_000, "is not JSON"),
    ("1" * 5000, "4,300 digits"),
    (b"\xff\xfe", "is not JSON"),
    ('{"a": 1} x', "is not JSON"),
]


@pytest.mark.parametrize(("body", "words"), BODIES)
@pytest.mark.parametrize("path", ["orchestrators/Echo/new", "instances/open/raiseEvent/Approval"])
@pytest.mark.case(19)
def test_what_is_not_json_is_refused(api: Api, path: str, body: Any, words: str) -> None:
    api.start("Approval", instance_id="open")
    assert is_problem(api.post(path, body), 400, "Invalid JSON content", words)
    doubled = json.dumps(body if isinstance(body, str) else "\ufffe")
    assert is_problem(api.post(f"/durabletask/{path}", doubled), 400, "Invalid JSON content")
    assert Instance.objects.count() == 1
    api.work()
    assert api.get("instances/open").status_code == 202


@pytest.mark.parametrize("path", ["orchestrators/Echo", "instances/open/raiseEvent/Approval"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"]
)
@pytest.mark.case(19)
def test_other_content_types_are_refused(api: Api, path: str, kind: str) -> None:
    api.start("Approval", instance_id="open")
    assert is_problem(api.post(path, "1", content_type=kind), 415, "Only application/json request content is supported")
    assert is_problem(api.post(f"/durabletask/{path}", "1", content_type=kind), 400, "Only application/json")
    for good in ("application/json; charset=utf-8", "application/problem+json", "APPLICATION/JSON", "text/json"):
        assert api.post(path, "1", content_type=good).status_code == 202


@pytest.mark.case(18)
def test_too_much_is_413(api: Api, settings: Settings) -> None:
    configure(settings, MAX_PAYLOAD_BYTES=100)
    assert api.post("orchestrators/Echo", json.dumps("x" * 98)).status_code == 202
    assert is_problem(api.post("orchestrators/Echo", json.dumps("x" * 99)), 413, "larger than 100 bytes")
    assert api.post("/durabletask/orchestrators/Echo", json.dumps(json.dumps("x" * 98))).status_code == 202
    assert is_problem(api.post("/durabletask/orchestrators/Echo", json.dumps("x" * 300)), 413)
    configure(settings, MAX_PAYLOAD_BYTES=4_000_000)
    assert api.post("orchestrators/Echo", json.dumps("x" * 3_000_000)).status_code == 202


@pytest.mark.parametrize("instance_id", ["@entity", "x" * 257, "a%23b", "a%3Fb", "a%5Cb", "a%00b", "a%0Ab", "a%7Fb"])
def test_bad_ids_are_refused(api: Api, instance_id: str) -> None:
    assert is_problem(api.post(f"orchestrators/Echo/{instance_id}"), 400, "An instance id must be")
    assert is_problem(api.get(f"instances/{instance_id}"), 404)
    assert is_problem(api.post(f"instances/{instance_id}/terminate"), 404)


@pytest.mark.parametrize(
    "query",
    [
        "createdTimeFrom=yesterday",
        "createdTimeFrom=1600000000",
        "createdTimeTo=2026-13-01",
        "createdTimeTo=0001-01-01T00:00:00%2B10:00",
        "runtimeStatus=completed",
        "runtimeStatus=Completed,Bogus",
        "top=0",
        "top=-1",
        "top=1001",
        "top=many",
        "top=1e3",
        "showInput=perhaps",
        "order=random",
        "tag=nocolon",
        "tag=:x",
        "name=" + "x" * 300,
        "createdTimeFrom=" + "9" * 5000,
    ],
)
def test_bad_queries_of_a_list_are_refused(api: Api, query: str) -> None:
    assert is_problem(api.get(f"instances?{query}"), 400, query.partition("=")[0])


@pytest.mark.parametrize(
    "query",
    [
        "timeout=-1&pollingInterval=1",
        "timeout=nan&pollingInterval=nan",
        "timeout=inf&pollingInterval=1",
        "timeout=1&pollingInterval=0",
        "version=%00",
        "version=" + "v" * 300,
        "tag=a%00:b",
        "scheduledStartTime=never",
        "tag=" + "a" * 65 + ":b",
    ],
)
def test_bad_queries_of_a_start_are_refused(api: Api, query: str) -> None:
    response = api.post(f"orchestrators/Echo/new?{query}")
    assert is_problem(response, 400)
    assert not Instance.objects.exists()


@pytest.mark.parametrize("query", ["name=%00", "instanceIdPrefix=%00", "tag=%00:x", "customStatus=%00"])
def test_texts_that_no_database_holds_find_nothing(api: Api, query: str) -> None:
    api.start("Echo")
    assert api.get(f"instances?{query}").json() == []


def test_odd_events_and_reasons(api: Api) -> None:
    api.start("Approval", instance_id="open")
    assert is_problem(api.post("instances/open/raiseEvent/%00"), 400, "An event name")
    assert is_problem(api.post(f"instances/open/raiseEvent/{'x' * 257}"), 400, "An event name")
    assert is_problem(api.post("instances/open/suspend?reason=%00"), 400, "The reason")
    assert is_problem(api.post(f"instances/open/suspend?reason={'x' * 1001}"), 400, "reason")
    assert api.post("instances/open/raiseEvent/a/b%20c").status_code == 202
    assert api.post("instances/open/suspend?reason=").status_code == 202


def test_a_thousand_parameters_are_refused(api: Api) -> None:
    query = "&".join(f"p{number}=1" for number in range(1200))
    assert is_problem(api.get(f"instances?{query}"), 400)


def test_no_database_is_503(api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*args: Any, **options: Any) -> None:
        raise OperationalError("could not connect to server")

    monkeypatch.setattr(DurableClient, "get_status", away)
    monkeypatch.setattr(DurableClient, "start_prepared", away)
    for response in (api.get("instances/x"), api.post("orchestrators/Echo")):
        assert is_problem(response, 503, "Nothing was read or written")
        assert response["Retry-After"] == "5"
        assert b"connect to server" not in response.content


def test_what_nobody_foresaw_is_json_without_a_stack(
    api: Api, monkeypatch: pytest.MonkeyPatch, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(DurableClient, "get_status", broken)
    with caplog.at_level(logging.ERROR):
        response = api.get("instances/x")
    assert is_problem(response, 500)
    assert b"secret detail" not in response.content
    assert "secret detail" in caplog.text
    settings.DEBUG = True
    assert "ZeroDivisionError" in api.get("instances/x").json()["StackTrace"]
