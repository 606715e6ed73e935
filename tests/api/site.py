"""A real web server on a port of its own, with a real worker."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx

from durable_host import gunicorn_local
from tests.services import PATIENCE, free_port, running, wait_until

MODULES = "tests.api.functions"


class Site:
    """A web server under test."""

    def __init__(self, url: str, log: Path, process: Popen[bytes]) -> None:
        self.url, self.log, self.process = url, log, process
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)

    def output(self) -> str:
        """Everything that it has logged so far."""
        return self.log.read_text()

    def finished(self, instance_id: str) -> dict[str, Any]:
        """Wait for the end of an instance and return its status."""
        found: dict[str, Any] = {}

        def look() -> bool:
            response = self.http.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")
            found.update(response.json())
            return response.status_code == 200

        wait_until(look, f"the end of {instance_id}: {found}")
        return found


def serve(
    live_env: dict[str, str], worker_process: Callable[..., Any], tmp_path: Path
) -> Iterator[Callable[..., Site]]:
    """Yield a function that starts a server and one worker."""
    with ExitStack() as cleanup:

        def start(*gunicorn_args: str, workers: bool = True, **env: str) -> Site:
            port = free_port()
            env = {**live_env, "DURABLE_MODULES": MODULES, "PORT": str(port), **env}
            if workers:
                worker_process(**{name: env[name] for name in ("DURABLE_MODULES", "TEST_GATE") if name in env})
            argv = [
                sys.executable,
                "-m",
                "gunicorn",
                "-c",
                gunicorn_local.__file__,
                *gunicorn_args,
                "durable_host.wsgi",
            ]
            log = tmp_path / f"web-{port}.log"
            process = cleanup.enter_context(running(argv, env, log, signal.SIGKILL))
            site = Site(f"http://127.0.0.1:{port}", log, process)
            cleanup.callback(site.http.close)
            ready = lambda: process.poll() is not None or gunicorn_local.READY in site.output()  # noqa: E731
            wait_until(ready, "the web server")
            assert process.poll() is None, site.output()
            return site

        yield start
