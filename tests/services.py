"""Servers and processes that the tests start for themselves, and end."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
#: seconds that a test waits for what must come: a wait ends when it comes, and a busy machine may starve any process
PATIENCE = 60.0


class ServiceMissingError(Exception):
    """This machine has no such server."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until the condition holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


@cache
def _ports() -> Iterator[int]:
    """Ports below those that the system gives to connections; each process of a test run has some of its own."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(20_000 + number % 8, 32_000, 8)
    first = os.getpid() % len(own)
    return cycle([*own[first:], *own[:first]])


def free_port() -> int:
    """A port of the loopback address that nobody listens on, nor will before a server of the test does."""
    for port in _ports():
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def postgres_bindir() -> Path:
    """The directory of the newest PostgreSQL server's programs on this machine."""
    candidates = []
    if pg_config := shutil.which("pg_config"):
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(found.stdout.strip()))
    if initdb := shutil.which("initdb"):
        candidates.append(Path(initdb).resolve().parent)
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise ServiceMissingError("no PostgreSQL server programs (initdb, postgres) on this machine")


class PostgresCluster:
    """A PostgreSQL cluster in a temporary directory, reachable over its own Unix socket alone.

    Args:
        is_durable: wait for the disk, as a database does whose machine may lose its power.
    """

    USER = "durable"

    def __init__(self, *, is_durable: bool = False) -> None:
        self.is_durable = is_durable
        self.bindir = postgres_bindir()
        self.root = Path(tempfile.mkdtemp(prefix="durable-pg-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its maintenance database."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgres:///{name}?host={self.root}&user={self.USER}"

    def _as_server_user(self) -> list[str]:
        """PostgreSQL refuses to run as root; then the user that its package made runs it."""
        if os.geteuid() != 0:
            return []
        shutil.chown(self.root, "postgres", "postgres")
        return ["runuser", "-u", "postgres", "--"]

    def start(self) -> None:
        """Make the cluster, start it, and return when it answers."""
        prefix = self._as_server_user()
        self.root.chmod(0o755)
        options = ["-A", "trust", "-U", self.USER, "-E", "UTF8", "--locale=C", "--no-sync"]
        initdb = [*prefix, str(self.bindir / "initdb"), "-D", str(self.root / "data"), *options]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        self.resume()

    def resume(self) -> None:
        """Start the server on the data that are there, and return when it answers."""
        server = [str(self.bindir / "postgres"), "-D", str(self.root / "data"), "-k", str(self.root)]
        fsync = "on" if self.is_durable else "off"
        # No test pulls the plug of the machine, and flushing tables waits for the disk otherwise.
        settings = [f"-c{one}" for one in ("listen_addresses=", "max_connections=200", f"fsync={fsync}")]
        with open(self.root.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                [*self._as_server_user(), *server, *settings], stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        ready = [str(self.bindir / "pg_isready"), "-q", "-h", str(self.root)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL to answer")

    def halt(self, signum: int = signal.SIGINT) -> None:
        """Stop the server at once and keep its data. SIGINT disconnects everybody first; SIGQUIT stops as a crash."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(FileNotFoundError, ProcessLookupError):
            # Not to runuser, which may stand in front of it.
            os.kill(int((self.root / "data" / "postmaster.pid").read_text().split()[0]), signum)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Stop it at once and remove its files."""
        self.halt()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_suffix(".log").unlink(missing_ok=True)


def group_members(group: int) -> list[str]:
    """The living processes of a process group, as ps shows them."""
    listing = subprocess.run(["ps", "-eo", "pgid=,stat=,pid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return [rest for pgid, state, rest in rows if int(pgid) == group and not state.startswith("Z")]


def end_group(process: subprocess.Popen[bytes], signum: int = signal.SIGTERM, seconds: float = 10) -> None:
    """End a process that leads a group of its own, politely, then not; return when the group is gone."""
    if process.poll() is None:
        process.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    wait_until(lambda: not group_members(process.pid), f"the process group {process.pid} to end")


@contextmanager
def running(
    argv: list[str], env: dict[str, str], log: Path, end: int = signal.SIGTERM
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in a session of its own, its output in a file, and end its whole group afterwards by a signal."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=PROJECT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process, end)
