"""The one-command run: it comes up, lets its owner in, and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable_host import localdata
from tests.services import PATIENCE, PROJECT, free_port, running, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for left processes in /proc"),
]

Env = dict[str, str]
Start = Callable[..., "Host"]


class Host:
    """One ``manage.py durable_run`` under test."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, var: Path) -> None:
        self.process, self.log, self.var = process, log, var

    def output(self) -> str:
        """Everything that it has printed so far."""
        return self.log.read_text()

    def address(self) -> str:
        """Wait for the address that it prints, and return it."""
        found: list[str] = []

        def look() -> bool:
            found[:] = re.findall(r"http://\S+token=\S+", self.output())
            return bool(found) or self.process.poll() is not None

        wait_until(look, "the printed address")
        assert found, self.output()
        return found[0]

    def redis_socket(self) -> Path:
        """Where the host's Redis listens."""
        return Path(localdata.redis_url(self.var).removeprefix("unix://").partition("?")[0])

    def redis_processes(self) -> list[int]:
        """Its Redis, which overwrites its environment with its title."""
        title = f"unixsocket:{self.var}".encode()
        return [pid for pid in pids() if title in read_proc(pid, "cmdline")]

    def processes(self) -> list[int]:
        """Every living process of this host: started with its data directory in the environment."""
        mark = f"DURABLE_VAR={self.var}".encode()
        return [pid for pid in pids() if mark in read_proc(pid, "environ").split(b"\0")] + self.redis_processes()


def pids() -> list[int]:
    """All processes."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def read_proc(pid: int, name: str) -> bytes:
    """What the kernel tells of a process; nothing, if it is gone or not ours."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def start(live_env: Env, tmp_path: Path) -> Iterator[Start]:
    """Start a host on a data directory, on the database under test and a Redis of its own."""
    with ExitStack() as cleanup:
        count = 0

        def start_host(var: Path = tmp_path / "var", **extra: str) -> Host:
            nonlocal count
            count += 1
            log = tmp_path / f"run-{count}.log"
            env = {**live_env, "REDIS_URL": "", "DURABLE_VAR": str(var), "PORT": str(free_port()), **extra}
            argv = [sys.executable, str(PROJECT / "manage.py"), "durable_run"]
            return Host(cleanup.enter_context(running(argv, env, log)), log, var)

        yield start_host


get = partial(httpx.get, timeout=PATIENCE)


def stop(host: Host, signum: int = signal.SIGINT) -> int:
    """End the host and wait until nothing of it is left."""
    host.process.send_signal(signum)
    code = host.process.wait(PATIENCE)
    wait_until(lambda: not host.processes(), f"the host's processes to end: {host.processes()}")
    return code


def test_it_logs_its_owner_in_and_nobody_else_and_leaves_no_process_behind(start: Start) -> None:
    host = start()
    url = httpx.URL(host.address())

    # its owner
    with httpx.Client(follow_redirects=True, timeout=PATIENCE) as browser:
        page = browser.get(url)
        style = browser.get(url.join("/static/dashboard/css/tokens.css"))
    assert page.status_code == 200
    assert page.url.path == "/"
    assert "operator" in page.text
    assert style.status_code == 200
    assert "Traceback" not in host.output()

    # a stranger
    assert get(url.copy_set_param("token", "wrong\u00fc")).status_code == 403
    assert get(url.copy_set_param("token", "")).status_code == 403
    assert get(url.join("/")).status_code == 302
    assert get(url.join("/"), headers={"Host": "evil.example"}).status_code == 400

    # another host on its data directory
    second = start(host.var)
    assert second.process.wait(PATIENCE) == 1
    assert "Another host already runs" in second.output()
    assert str(host.process.pid) in second.output()
    assert get(url).status_code == 302

    wait_until(lambda: len(host.processes()) >= 4, "all its processes")
    assert "worker stopped" not in host.output()
    assert stop(host, signal.SIGINT) == 0, host.output()
    assert not host.redis_socket().exists()


def test_its_data_directory_may_be_too_deep_for_a_socket(start: Start, tmp_path: Path) -> None:
    host = start(tmp_path / ("d" * 60) / ("e" * 60))
    host.address()
    socket_path = host.redis_socket()
    assert socket_path.is_socket()
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    assert stop(host, signal.SIGTERM) == 0
    assert not socket_path.parent.exists()
    assert "Traceback" not in host.output()


def test_it_starts_again_after_it_was_killed(start: Start) -> None:
    first = start()
    first.address()
    for pid in first.redis_processes():
        os.kill(pid, signal.SIGSTOP)
    first.process.kill()
    for pid in first.redis_processes():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not first.processes(), "all its processes to follow it")
    assert first.redis_socket().exists()
    second = start(first.var)
    assert get(second.address()).status_code == 302
    assert stop(second) == 0


def test_of_two_hosts_one_stops_when_its_redis_dies_and_the_other_goes_on(start: Start, tmp_path: Path) -> None:
    one, other = start(tmp_path / "one"), start(tmp_path / "other")
    for host in (one, other):
        assert get(host.address()).status_code == 302
    (server,) = one.redis_processes()
    os.kill(server, signal.SIGKILL)
    assert one.process.wait(PATIENCE) == 1
    assert "The embedded Redis has stopped" in one.output()
    wait_until(lambda: not one.processes(), "its processes to end")
    assert get(other.address()).status_code == 302
    assert stop(other) == 0


def test_a_taken_port_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host = start(PORT=str(port))
        assert host.process.wait(PATIENCE) == 1
    assert f"127.0.0.1:{port}" in host.output()
    assert f"PORT={port + 1}" in host.output()
    assert "Traceback" not in host.output()


def test_a_bad_port_is_refused(start: Start) -> None:
    hosts = {port: start(PORT=port) for port in ("0", "65536", "http")}
    for port, host in hosts.items():
        assert host.process.wait(PATIENCE) == 1
        assert f"PORT must be a number from 1 to 65535, not '{port}'" in host.output()
        assert "Traceback" not in host.output()


def test_the_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = localdata.secret_key(tmp_path / "var")
    assert len(key) > 50
    assert localdata.secret_key(tmp_path / "var") == key
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret_key"]


def test_a_deployment_must_name_its_secret_key(live_env: Env) -> None:
    env: dict[str, Any] = {**os.environ, **live_env, "DURABLE_EMBEDDED": "0"}
    argv = [sys.executable, str(PROJECT / "manage.py"), "check"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr
