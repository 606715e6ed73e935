"""Redis and PostgreSQL are away and come back, under a web server and a worker that nobody restarts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from durable_host.embedded import EmbeddedRedis
from tests.api.site import Site, serve
from tests.conftest import missing
from tests.e2e.conftest import worker_env
from tests.recovery import Recovery
from tests.services import PROJECT, PostgresCluster, ServiceMissingError, wait_until

#: with its own PostgreSQL, whatever database the other tests have
pytestmark = [pytest.mark.once, pytest.mark.slow]
API = "/runtime/webhooks/durabletask"
TOKEN = "let-me-in"


@pytest.fixture
def postgres() -> Iterator[PostgresCluster]:
    """A server of this test's own."""
    try:
        cluster = PostgresCluster()
    except ServiceMissingError as error:
        missing(str(error))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, not started yet."""
    server = EmbeddedRedis(tmp_path / "own.sock", tmp_path)
    yield server
    server.stop()


@pytest.fixture
def own_env(live_env: dict[str, str], postgres: PostgresCluster, redis: EmbeddedRedis) -> dict[str, str]:
    """The environment of processes that work on these servers."""
    env = {**worker_env(live_env), "DATABASE_URL": postgres.url, "REDIS_URL": f"unix://{redis.socket}?db=0"}
    migrate = [sys.executable, str(PROJECT / "manage.py"), "migrate", "-v", "0"]
    subprocess.run(migrate, env=env, check=True, cwd=PROJECT)
    return env


@pytest.fixture
def site(own_env: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    """A web server on it, into which the local operator can log in."""
    for start in serve(own_env, lambda **_: None, tmp_path):
        modules = own_env["DURABLE_MODULES"]
        yield start(workers=False, DURABLE_MODULES=modules, DURABLE_LOGIN_TOKEN=TOKEN)


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    """Somebody who has logged in; the session is in the database, too."""
    with httpx.Client(base_url=site.url, timeout=30) as client:
        assert client.get("/login/embedded", params={"token": TOKEN}).status_code == 302
        yield client


def accepted(site: Site, path: str, body: object) -> bool:
    return site.http.post(f"{API}/{path}", json=body).status_code == 202


def readiness(site: Site) -> tuple[int, str]:
    answer = site.http.get("/readyz")
    return answer.status_code, answer.json()["status"]


@pytest.mark.case(7, 9)
def test_web_and_worker_live_through_the_absence_of_either(
    site: Site,
    browser: httpx.Client,
    own_env: dict[str, str],
    postgres: PostgresCluster,
    redis: EmbeddedRedis,
    worker_process: Callable[..., Popen[bytes]],
    recovery: Recovery,
) -> None:
    # given: no Redis; then: starts are accepted, the page says what it costs, and the sweep finds the work
    worker = worker_process(**own_env)
    wait_until(lambda: readiness(site) == (200, "degraded"), "the site to serve without Redis")
    wait_until(lambda: accepted(site, "orchestrators/letters/one", 1), "the start to be accepted")
    wait_until(lambda: site.http.get(f"{API}/instances/one").json()["runtimeStatus"] == "Running", "its wait")
    assert "Redis is away: everything works, but later" in browser.get("/").text

    # when: it comes; then: nothing more is to be said
    redis.start()
    wait_until(lambda: readiness(site) == (200, "ready"), "the site to see Redis")
    wait_until(lambda: "Redis is away" not in browser.get("/").text, "the page to have seen it, too")

    # when: the database is stopped
    postgres.halt()
    wait_until(lambda: readiness(site) == (503, "unavailable"), "the site to notice")

    # then: the process lives, every caller is told to come back, nothing is a 500
    assert site.http.get("/healthz").status_code == 200
    with ThreadPoolExecutor(8) as threads:  # each waits for a connection: together
        calls = [
            threads.submit(site.http.get, f"{API}/instances/one"),
            threads.submit(site.http.post, f"{API}/orchestrators/chain", json=1),
            threads.submit(site.http.post, f"{API}/instances/one/raiseEvent/letter", json=7),
        ]
        pages = [threads.submit(browser.get, page) for page in ("/", "/instances/one/", "/admin/", "/login/")]
        assert {call.result().json()["ExceptionType"] for call in calls} == {"DatabaseUnavailable"}
        assert all("The database does not serve now" in page.result().text for page in pages)
        answers = [one.result() for one in (*calls, *pages)]
        assert {(one.status_code, one.headers["Retry-After"]) for one in answers} == {(503, "5")}

    # when: it is back; then: both go on, with the session and the instance that were there
    postgres.resume()
    with recovery.timed(9, "pauses of up to 5 s between tries of the database", database="postgres"):
        wait_until(lambda: readiness(site) == (200, "ready"), "the site to be ready again")
        wait_until(lambda: accepted(site, "instances/one/raiseEvent/letter", 7), "the event to be accepted")
        assert site.finished("one")["output"] == [7]
    assert browser.get("/instances/one/").status_code == 200
    assert worker.poll() is None
