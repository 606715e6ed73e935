"""Private servers, a fresh database for each measurement, and the processes that work on it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from durable_host.embedded import EmbeddedRedis, find_redis_server
from durable_host.localdata import redis_socket_url
from tests.services import PROJECT, PostgresCluster, postgres_bindir, running

DATABASES = ("sqlite", "postgres")
_TEMPLATE = "bench_template"
_CLIENT_SECONDS = 1200


class MeasurementError(Exception):
    """A measurement has no result; the message holds what its processes said."""


@dataclass(frozen=True, slots=True)
class Site:
    """A migrated, empty database and a Redis, for one measurement."""

    env: Mapping[str, str]
    directory: Path

    @contextmanager
    def worker(self, argv: Sequence[str]) -> Iterator[int]:
        """Run a worker process; give its process id."""
        command = [sys.executable, *argv]
        with running(command, dict(self.env), self.directory / "worker.log") as process:
            yield process.pid

    def run(self, argv: Sequence[str]) -> str:
        """Run a process to its end and return what it printed.

        Raises:
            MeasurementError: it failed, or took too long.
        """
        command = [sys.executable, *argv]
        env = {**os.environ, **self.env}
        try:
            done = subprocess.run(
                command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=_CLIENT_SECONDS, check=True
            )
        except subprocess.CalledProcessError as error:
            raise MeasurementError(f"{' '.join(argv)} failed:\n{error.stderr}\n{self._worker_log()}") from error
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"{' '.join(argv)} took too long.\n{self._worker_log()}") from error
        return done.stdout

    def measure(self, worker: Sequence[str], client: Sequence[str], size: int) -> dict[str, float]:
        """Run a client beside a worker and return the client's figures.

        Args:
            worker: Python's arguments for the worker.
            client: module and function, called with the worker's process id and the size.
            size: how much of it.
        """
        with self.worker(worker) as pid:
            printed = self.run(["-m", "bench.process", *client, str(pid), str(size)])
        figures: dict[str, float] = json.loads(printed)
        return figures

    def _worker_log(self) -> str:
        log = self.directory / "worker.log"
        lines = log.read_text(errors="replace").splitlines()[-30:] if log.exists() else []
        return "\n".join(["The worker's last lines:", *lines])


class Environment:
    """The servers of one run of the benchmark, in a directory that goes with them.

    Args:
        databases: which of :data:`DATABASES` to have.
    """

    def __init__(self, databases: Sequence[str]) -> None:
        self._databases = databases
        self._cleanup = ExitStack()
        self._made = 0

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            self._root = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="durable-bench-")))
            if "postgres" in self._databases:
                self._cluster = PostgresCluster()
                cleanup.callback(self._cluster.stop)
                self._cluster.start()
                self._sql(f"CREATE DATABASE {_TEMPLATE}")
            for database in self._databases:
                self._site(self._template_url(database), self._root).run(["manage.py", "migrate", "--verbosity=0"])
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @contextmanager
    def site(self, database: str, env: Mapping[str, str]) -> Iterator[Site]:
        """Give a fresh database and a fresh Redis, and the processes this environment besides."""
        self._made += 1
        directory = self._root / str(self._made)
        directory.mkdir()
        name = f"bench_{self._made}"
        redis = EmbeddedRedis(directory / "redis.sock", directory)
        with ExitStack() as cleanup:
            cleanup.callback(shutil.rmtree, directory)
            if database == "postgres":
                self._sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
                cleanup.callback(self._sql, f"DROP DATABASE {name} WITH (FORCE)")
                url = self._cluster.database_url(name)
            else:
                url = f"sqlite:///{shutil.copy(self._root / 'template.sqlite3', directory / 'durable.sqlite3')}"
            cleanup.callback(redis.stop)
            redis.start()
            site = self._site(url, directory)
            yield replace(site, env={**site.env, **env})

    def _site(self, url: str, directory: Path) -> Site:
        env = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_socket_url(directory / "redis.sock"),
            "SECRET_KEY": "",
            "DEBUG": "",
            "DURABLE_EMBEDDED": "1",
            "DURABLE_MODULES": "bench.functions",
            "DURABLE_TASK_HUB": "bench",
            "DURABLE_VAR": str(directory),
            "DJANGO_SETTINGS_MODULE": "durable_host.settings",
            "LOG_LEVEL": "WARNING",
        }
        return Site(env, directory)

    def _template_url(self, database: str) -> str:
        if database == "postgres":
            return self._cluster.database_url(_TEMPLATE)
        return f"sqlite:///{self._root / 'template.sqlite3'}"

    def _sql(self, statement: str) -> None:
        argv = [
            "psql",
            "-q",
            "-h",
            str(self._cluster.root),
            "-U",
            self._cluster.USER,
            "-d",
            "postgres",
            "-c",
            statement,
        ]
        subprocess.run([str(postgres_bindir() / argv[0]), *argv[1:]], check=True, capture_output=True)


def describe_machine(databases: Sequence[str]) -> str:
    """Return what the figures were measured with, on one line."""
    parts = [f"{os.cpu_count()} cores", f"Python {sys.version.split()[0]}"]
    if "sqlite" in databases:
        parts.append(f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL)")
    if "postgres" in databases:
        version = _first_line([str(postgres_bindir() / "postgres"), "--version"]).split()[2]
        parts.append(f"PostgreSQL {version} (fsync and synchronous_commit on)")
    parts.append(f"Redis {_first_line([find_redis_server(), '--version']).split()[2].removeprefix('v=')}")
    return ", ".join(parts)


def _first_line(argv: Sequence[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()[0]
