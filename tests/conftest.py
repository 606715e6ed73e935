"""Fixtures: a Redis and a database that only these tests use, and real processes that work on them."""

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any, NoReturn

import environ
import psycopg
import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from durable_host.embedded import EmbeddedError, EmbeddedRedis
from tests.recovery import Recovery
from tests.services import PROJECT, PostgresCluster, ServiceMissingError, running, wait_until

POSTGRES_URL = "TEST_POSTGRES_URL"
POSTGRES_MISSING = "TEST_POSTGRES_MISSING"
CLUSTER = pytest.StashKey[PostgresCluster]()


def _database() -> str:
    return os.environ.get("TEST_DATABASE", "sqlite")


def missing(reason: str) -> NoReturn:
    """Skip for want of a service; where CI=true promises that it is there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Start one PostgreSQL cluster for all of xdist's processes: they inherit its address."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as in a shell's background job; what tests start inherits it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _database() != "postgres" or hasattr(config, "workerinput"):
        return
    os.environ.pop(POSTGRES_URL, None)
    try:
        cluster = config.stash[CLUSTER] = PostgresCluster()
    except ServiceMissingError as error:
        os.environ[POSTGRES_MISSING] = str(error)
        return
    cluster.start()
    os.environ[POSTGRES_URL] = cluster.url


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark what drives a browser, and put it last: Playwright leaves an event loop that runs in the test's thread.

    The cases that a test shows become properties of it.
    """
    for item in items:
        cases = {number for mark in item.iter_markers("case") for number in mark.args}
        item.user_properties += [("case", number) for number in sorted(cases)]
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    yield
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the cluster."""
    if cluster := config.stash.get(CLUSTER, None):
        cluster.stop()


def pytest_report_header() -> str:
    """Say which database is under test."""
    return f"database: {_database()}"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Point Django at the cluster before it makes the test database."""
    if _database() != "postgres":
        return
    if reason := os.environ.get(POSTGRES_MISSING):
        missing(reason)
    options = environ.Env.db_url_config(os.environ[POSTGRES_URL])["OPTIONS"]
    # In place: Django keeps this very dictionary.
    connections.settings["default"]["OPTIONS"].update(options)


_SESSIONS = "SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture(scope="session", autouse=True)
def nobody_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait, before the database is dropped, until the sessions of processes that were killed have ended."""
    if _database() != "postgres":
        yield
        return
    request.getfixturevalue("django_db_setup")
    yield
    database = connections["default"]
    assert isinstance(database, DatabaseWrapper)
    database.close()
    database.close_pool()
    with psycopg.connect(os.environ[POSTGRES_URL], autocommit=True) as server:

        def left() -> list[tuple[Any, ...]]:
            return server.execute(_SESSIONS, [database.settings_dict["NAME"]]).fetchall()

        with suppress(TimeoutError):  # then the drop fails, and says so; this says by whom
            wait_until(lambda: not left(), "the sessions to end")
        assert not left()


@pytest.fixture
def recovery(request: pytest.FixtureRequest) -> Recovery:
    """Notes how long it takes until all is well again."""
    return Recovery(request.node.user_properties)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The Redis to which the settings point: this test process's own, on a Unix socket."""
    var: Path = settings.DURABLE_VAR
    redis = EmbeddedRedis(Path(settings.REDIS_URL.removeprefix("unix://").partition("?")[0]), var)
    try:
        redis.start()
    except EmbeddedError as error:
        missing(str(error))
    yield redis
    redis.stop()


def _test_database_url() -> str:
    name = connections["default"].settings_dict["NAME"]
    if _database() == "sqlite":
        return f"sqlite:///{name}"
    return os.environ[POSTGRES_URL].replace("/postgres?", f"/{name}?", 1)


@pytest.fixture
def live_env(redis_server: EmbeddedRedis, transactional_db: None, tmp_path: Path) -> dict[str, str]:
    """The environment for processes that shall work on the test's own database and Redis."""
    return {
        "DATABASE_URL": _test_database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "DURABLE_VAR": str(tmp_path),
        "DURABLE_EMBEDDED": "1",
        "DJANGO_SETTINGS_MODULE": "durable_host.settings",
        "PYTHONUNBUFFERED": "1",
    }


# After live_env, and so after transactional_db: fixtures are undone in reverse, which stops the workers
# before the tables are emptied under them.
@pytest.fixture
def worker_process(live_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Popen[bytes]]]:
    """Start ``manage.py durable_worker`` with these arguments; ends with the test. Output: worker-N.log."""
    with ExitStack() as cleanup:
        started = 0

        def start(*args: str, **env: str) -> Popen[bytes]:
            nonlocal started
            started += 1
            argv = [sys.executable, str(PROJECT / "manage.py"), "durable_worker", *args]
            return cleanup.enter_context(
                running(argv, {**live_env, **env}, tmp_path / f"worker-{started}.log", signal.SIGKILL)
            )

        yield start
