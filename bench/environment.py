"""Private servers, a fresh database for each measurement, and the process that it runs in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Self

from durable_host.localdata import redis_socket_url
from tests.services import PROJECT, PostgresCluster, end_group, postgres_bindir

from .contenders import POSTGRES, Contender
from .receivers import serving
from .results import Case, Figures
from .tools import Tools, python, restate_server

_TEMPLATE = "bench_template"
_LONGEST = 1200


class MeasurementError(Exception):
    """A measurement has no result; the message holds what its process said."""


class Environment:
    """The servers of one run of the benchmark, in a directory that goes with them.

    Args:
        databases: which to have.
    """

    def __init__(self, databases: Sequence[str]) -> None:
        self._databases = databases
        self._cleanup = ExitStack()
        self._made = 0
        #: databases with a past, by their kind and its length
        self._grown: dict[tuple[str, int], tuple[str, Path]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            self._root = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="durable-bench-")))
            if POSTGRES in self._databases:
                self._cluster = PostgresCluster(is_durable=True)
                cleanup.callback(self._cluster.stop)
                self._cluster.start()
                self._sql(f"CREATE DATABASE {_TEMPLATE}")
            for database in self._databases:
                env = self._project_env(self._template_url(database), self._root)
                self._run([sys.executable, "manage.py", "migrate", "--verbosity=0"], env)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def measure(self, contender: Contender, case: Case) -> Figures:
        """Run one case beside a fresh database and return its figures.

        Raises:
            MeasurementError: it failed, or took too long.
            ToolsMissingError: this machine lacks what the contender needs.
        """
        interpreter = python(contender.tools)
        is_ours = contender.tools is Tools.PROJECT
        with self._database(case.database, is_migrated=is_ours, finished=contender.finished) as (url, directory):
            env = self._env(url, directory, workers=contender.workers)
            if is_ours:
                env |= self._project_env(url, directory)
            if contender.tools is Tools.RESTATE:
                env["BENCH_RESTATE_SERVER"] = restate_server()
            argv = [interpreter, "-m", "bench.process", contender.module, case.function, str(case.size)]
            with serving(contender.telemetry) as telemetry:
                printed = self._run(argv, {**env, **telemetry, **contender.settings})
        figures: Figures = json.loads(printed.splitlines()[-1])
        return figures

    def _run(self, argv: Sequence[str], env: Mapping[str, str]) -> str:
        """Run a process to its end, and with it all that it has started; return what it printed."""
        env = {**os.environ, **env}
        # Not pipes: who is left over when the process has ended may hold them open.
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                argv,
                cwd=PROJECT,
                env=env,
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                process.wait(_LONGEST)
            except subprocess.TimeoutExpired as error:
                raise MeasurementError(f"{' '.join(argv)} took longer than {_LONGEST} s.") from error
            finally:
                end_group(process)
            if process.returncode:
                raise MeasurementError(f"{' '.join(argv)} failed:\n{_text(stderr)}")
            return _text(stdout)

    @contextmanager
    def _database(self, database: str, *, is_migrated: bool, finished: int) -> Iterator[tuple[str, Path]]:
        """Give the address of a database, and a directory.

        It is fresh, with this project's tables or empty; but one with a past is made once, and serves all that want it.
        """
        if finished and (database, finished) not in self._grown:
            url, directory = self._create(database, is_migrated=True)
            grow = [sys.executable, "-m", "bench.process", "bench.growth", "grow", str(finished)]
            self._run(grow, self._env(url, directory, workers=1) | self._project_env(url, directory))
            self._grown[database, finished] = url, directory
        if finished:
            yield self._grown[database, finished]
            return
        url, directory = self._create(database, is_migrated=is_migrated)
        try:
            yield url, directory
        finally:
            shutil.rmtree(directory)
            if database == POSTGRES:
                self._sql(f"DROP DATABASE {directory.name} WITH (FORCE)")

    def _create(self, database: str, *, is_migrated: bool) -> tuple[str, Path]:
        self._made += 1
        directory = self._root / f"bench_{self._made}"
        directory.mkdir()
        if database == POSTGRES:
            self._sql(f"CREATE DATABASE {directory.name} TEMPLATE {_TEMPLATE if is_migrated else 'template1'}")
            return self._cluster.database_url(directory.name), directory
        file = directory / "bench.sqlite3"
        if is_migrated:
            shutil.copy(self._root / "template.sqlite3", file)
        return f"sqlite:///{file}", directory

    def _env(self, url: str, directory: Path, *, workers: int) -> dict[str, str]:
        return {"DATABASE_URL": url, "BENCH_DIRECTORY": str(directory), "BENCH_WORKERS": str(workers)}

    def _project_env(self, url: str, directory: Path) -> dict[str, str]:
        return {
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

    def _template_url(self, database: str) -> str:
        if database == POSTGRES:
            return self._cluster.database_url(_TEMPLATE)
        return f"sqlite:///{self._root / 'template.sqlite3'}"

    def _sql(self, statement: str) -> None:
        psql = [str(postgres_bindir() / "psql"), "-q", "-h", str(self._cluster.root), "-U", self._cluster.USER]
        subprocess.run([*psql, "-d", "postgres", "-c", statement], check=True, capture_output=True)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
