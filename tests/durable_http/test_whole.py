"""The whole way: orchestrator, activity and a server; the example of the documentation first."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from durable_host import OrchestrationContext, RuntimeStatus, TaskFailedError
from durable_host.client import DurableClient
from durable_host.conf import HostSettings
from durable_host.core.registry import Registry
from durable_host.durable_http.activity import register
from tests.core.story import T0, World, registry_of
from tests.durable_http.server import Server
from tests.services import PROJECT, wait_until

PAGE = (PROJECT / "docs" / "durable-http.md").read_text()
[EXAMPLE] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def example() -> Registry:
    """Return a registry of the documentation's orchestrator."""
    registry = Registry()
    code = EXAMPLE.replace("@orchestrator\n", "")
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/durable-http.md", "exec"), scope)  # noqa: S102  our own page
    registry.add_orchestrator(scope["print_report"])
    register(registry)
    return registry


def printer(server: Server) -> None:
    """Be the server that the documentation speaks of: busy, then at work, then done."""
    moved = {"Location": "/reports/7", "Retry-After": "1"}
    server.answers("/reports", (503, "", {}), (202, "", moved))
    server.answers("/reports/7", (202, "", {"Retry-After": "1", "Location": "/reports/7"}), (200, '{"shelf": "B"}', {}))


@pytest.mark.usefixtures("loopback")
def test_the_example_of_the_documentation(server: Server) -> None:
    printer(server)
    world = World(example()).start("print_report", server.url("")).run()
    assert world.output_of() == "B"
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", "/reports"), ("POST", "/reports"), ("GET", "/reports/7"), ("GET", "/reports/7"),
    ]  # fmt: skip
    assert server.seen[0].body == '{"pages":[1,2]}'
    assert world.now - T0 == timedelta(seconds=4)


@pytest.mark.usefixtures("loopback")
def test_a_status_that_is_not_retried_is_an_answer(server: Server) -> None:
    assert World(example()).start("print_report", server.url("")).run().output_of() == "refused with 404"


def test_a_refusal_reaches_the_orchestrator_at_once(server: Server) -> None:
    async def caller(ctx: OrchestrationContext, uri: str) -> list[str]:
        try:
            await ctx.call_http("GET", uri)
        except TaskFailedError as error:
            return [error.error_type, str(error.details.is_non_retriable)]
        return []

    registry = registry_of(caller)
    register(registry)
    world = World(registry).start("caller", server.url()).run()
    assert world.output_of() == ["HttpRefusedError", "True"]


def test_the_page_names_every_setting() -> None:
    settings = [name.upper() for name in HostSettings.__dataclass_fields__ if name.startswith("http_")]
    assert settings
    assert [name for name in settings if f"`{name}`" not in PAGE] == []


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.django_db(transaction=True, available_apps=["durable_host"])
def test_a_real_worker_makes_the_calls(
    server: Server, live_env: dict[str, str], worker_process: Callable[..., Popen[bytes]], tmp_path: Path
) -> None:
    printer(server)
    (tmp_path / "example_of_the_docs.py").write_text(EXAMPLE)
    worker_process(PYTHONPATH=str(tmp_path), DURABLE_MODULES="example_of_the_docs", DURABLE_HTTP_ALLOW_PRIVATE="1")
    client = DurableClient(registry=example())
    instance_id = client.start_new("print_report", server.url(""))

    def is_finished() -> bool:
        status = client.get_status(instance_id)
        return status is not None and status.is_finished

    wait_until(is_finished, "the report to be printed")
    status = client.get_status(instance_id)
    assert status is not None
    assert (status.runtime_status, status.output) == (RuntimeStatus.COMPLETED, "B")
    assert len(server.seen) == 4
