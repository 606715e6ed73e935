"""Fixtures: servers, settings of the host, and a resolver that a test decides."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from durable_host.core.http_messages import HttpRequest
from durable_host.durable_http.activity import http_activity
from tests.durable_http.server import Server

Configure = Callable[..., None]
StartServer = Callable[..., Server]
REAL_GETADDRINFO = socket.getaddrinfo


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Change settings of the host, by name, until the end of the test."""
    with ExitStack() as cleanup:

        def change(**changes: Any) -> None:
            merged = {**django_settings.DURABLE_HOST, **changes}
            cleanup.enter_context(override_settings(DURABLE_HOST=merged))

        yield change


@pytest.fixture
def loopback(configure: Configure) -> None:
    """Let the activity reach servers of the test."""
    configure(HTTP_ALLOW_PRIVATE=True)


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start a server that ends with the test."""
    with ExitStack() as cleanup:
        yield lambda *args, **options: cleanup.enter_context(Server(*args, **options).running())


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server on 127.0.0.1."""
    return start_server()


class Names:
    """A name server: each question for a name takes its next answer, the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        """Stand in for the resolver of the system."""
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.answers:
            return list(REAL_GETADDRINFO(host, port, *args, **options))
        self.asked.append(name)
        left = self.answers[name]
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names that this test makes up."""
    resolver = Names()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    return resolver


def send(method: str, uri: str, **fields: Any) -> dict[str, Any]:
    """Run the activity for one request."""
    return asyncio.run(http_activity([HttpRequest(method=method, uri=uri, **fields)]))
