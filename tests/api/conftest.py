"""Fixtures: the API as a client sees it, in this process without workers, or over the wire with real ones."""

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from durable_host.api.rates import forget_rates
from durable_host.core.access import Scope
from durable_host.core.registry import Registry, default_registry
from durable_host.dispatch import host
from durable_host.dispatch.host import Host
from durable_host.store import keys
from tests.api.site import Site, serve
from tests.bells import hear_bells

HUB = "default"


@cache
def functions() -> Registry:
    """The orchestrators of these tests, kept out of the registry that other tests see."""
    kept = Registry(dict(default_registry.orchestrators), dict(default_registry.activities))
    importlib.import_module("tests.api.functions")
    added = Registry(dict(default_registry.orchestrators), dict(default_registry.activities))
    default_registry.orchestrators, default_registry.activities = kept.orchestrators, kept.activities
    return added


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The process's registry, with the orchestrators of these tests."""
    found = functions()
    monkeypatch.setattr(default_registry, "orchestrators", dict(found.orchestrators))
    monkeypatch.setattr(default_registry, "activities", dict(found.activities))
    return default_registry


@pytest.fixture(autouse=True)
def clean_rates() -> None:
    """Every test counts from nothing."""
    forget_rates()


@pytest.fixture
def silent_bells(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Redis: nobody listens to the bells."""
    hear_bells(monkeypatch)


class Api:
    """A client with a key, and a host that works when it is told to."""

    root = "/runtime/webhooks/durabletask"

    def __init__(self) -> None:
        self.http = Client(raise_request_exception=False)
        self.key = make_key("everything", *Scope)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        """Send a request below the root, or to a whole path; with the key, unless another or none ("") is given."""
        url = path if path.startswith("/") else f"{self.root}/{path}"
        secret = self.key if key is None else key
        given = {"x-functions-key": secret} if secret else {}
        content = (
            {} if body is None else {"data": body, "content_type": headers.pop("content_type", "application/json")}
        )
        return self.http.generic(method, url, headers={**given, **headers}, **content)

    def get(self, path: str, **options: Any) -> Any:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """POST."""
        return self.call("POST", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """DELETE."""
        return self.call("DELETE", path, **options)

    def start(self, name: str, body: Any = None, instance_id: str | None = None) -> str:
        """Start an instance and let it go as far as it can."""
        response = self.post(f"orchestrators/{name}" + (f"/{instance_id}" if instance_id else ""), body)
        assert response.status_code == 202, response.content
        self.work()
        return str(response.json()["id"])

    def work(self) -> None:
        """Run turns and activities until nothing is ready."""
        Host("worker", "default", registry=default_registry).run_until_idle()


def make_key(name: str, *scopes: Scope, **options: Any) -> str:
    """Make a key and return its text."""
    return keys.create(HUB, name, scopes, **options)[1]


class KeptConnections:
    """In place of Django's connections, where a host would close the one that holds the test's transaction."""

    def close_all(self) -> None:
        """Close none."""


@pytest.fixture
def kept_transaction(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction for the whole test, undone at its end: much faster than emptying all tables."""
    monkeypatch.setattr(host, "connections", KeptConnections())
    monkeypatch.setattr(host, "close_old_connections", lambda: None)


@pytest.fixture
def api(kept_transaction: None, registry: Registry, silent_bells: None, settings: Settings) -> Api:
    """The API in this process, as a deployed host has it: nobody comes in without a key."""
    configure(settings, KEYLESS_LOOPBACK=False)
    return Api()


def configure(settings: Settings, **changes: Any) -> None:
    """Change settings of the host for this test."""
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, **changes}


@pytest.fixture
def site(live_env: dict[str, str], worker_process: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start a real web server and a worker with the orchestrators of these tests."""
    yield from serve(live_env, worker_process, tmp_path)
