"""The API's description: complete, true, and shown without any other server."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from pytest_django.fixtures import Settings

from durable_host.core.access import Operation, Scope
from durable_host.store import keys
from tests.api.conftest import Api, configure, make_key
from tests.api.site import Site
from tests.api.test_contract import is_problem
from tests.services import PROJECT

BASE = "/runtime/webhooks/durabletask"
ROUTES = {
    f"{BASE}/orchestrators/{{functionName}}": {"post"},
    f"{BASE}/orchestrators/{{functionName}}/{{instanceId}}": {"post"},
    f"{BASE}/instances": {"get", "delete"},
    f"{BASE}/instances/{{instanceId}}": {"get", "delete"},
    f"{BASE}/instances/{{instanceId}}/raiseEvent/{{eventName}}": {"post"},
    **{
        f"{BASE}/instances/{{instanceId}}/{one}": {"post"}
        for one in ("terminate", "suspend", "resume", "rewind", "restart", "release")
    },
}


@pytest.mark.store
def test_the_document_names_every_route_parameter_and_answer(api: Api) -> None:
    document: dict[str, Any] = api.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert {path: set(methods) for path, methods in document["paths"].items()} == ROUTES
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == len(Operation) + 1
    for one in operations:
        assert {"400", "401", "403", "429", "503"} <= set(one["responses"])
        assert one["summary"]
        assert all(parameter.get("description") for parameter in one["parameters"]), one
    listing = document["paths"][f"{BASE}/instances"]["get"]
    assert [parameter["name"] for parameter in listing["parameters"]] == [
        "createdTimeFrom",
        "createdTimeTo",
        "runtimeStatus",
        "instanceIdPrefix",
        "name",
        "tag",
        "customStatus",
        "top",
        "showInput",
        "order",
        "x-ms-continuation-token",
    ]
    start = document["paths"][f"{BASE}/orchestrators/{{functionName}}"]["post"]
    assert "DoWork" in start["parameters"][0]["schema"]["enum"]
    assert start["requestBody"]["content"]["application/json"]["example"]
    status = document["components"]["schemas"]["Status"]["properties"]
    assert {"instanceId", "runtimeStatus", "historyEvents"} <= set(status)
    assert all("examples" in status[name] for name in ("name", "instanceId", "createdTime"))


@pytest.mark.store
def test_only_readers_see_the_description(api: Api) -> None:
    for path in ("/api/docs", "/api/openapi.json"):
        assert is_problem(api.get(path, key=""), 401)
        assert is_problem(api.get(path, key=make_key(path, Scope.START)), 403)
        assert api.get(path).status_code == 200


@pytest.mark.store
def test_the_page_asks_no_other_server(api: Api, settings: Settings) -> None:
    configure(settings, KEYLESS_LOOPBACK=True)
    page = api.http.get("/api/docs", headers={"Host": "localhost"})
    html = page.content.decode()
    assert page.status_code == 200
    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/static/ninja/")
        assert finders.find(asset.removeprefix("/static/"))
    assert '"url": "/api/openapi.json"' in html
    assert not re.search(r"<script(?![^>]*(src=|application/json))", html)


@pytest.mark.once
@pytest.mark.slow
def test_schemathesis_finds_no_fault(site: Callable[..., Site]) -> None:
    started = site(
        DURABLE_EMBEDDED="0",
        SECRET_KEY="not the embedded one",
        DURABLE_DENIED_RATE="1000000/minute",
        DURABLE_MAX_HTTP_WAIT="0.2",
        LOG_LEVEL="ERROR",
    )
    key = keys.create("default", "tester", list(Scope))[1]
    options = {
        "--header": f"x-functions-key: {key}",
        "--max-examples": "12",
        # Not the stateful phase: it goes on with the ids that the host gives, and is another one each time.
        "--phases": "examples,coverage,fuzzing",
        "--warnings": "off",
        "--request-timeout": "100",
    }
    argv = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--config-file",
        str(PROJECT / "tests/api/schemathesis.toml"),
        "run",
        f"{started.url}/api/openapi.json",
        "--generation-deterministic",
        "--no-color",
        *(part for pair in options.items() for part in pair),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-12_000:] + started.output()[-2_000:]
    assert re.search(r"\d{3,} passed", done.stdout), done.stdout[-2_000:]
    assert "Traceback" not in started.output()
