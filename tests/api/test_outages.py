"""A database that is full or read-only: changes are refused, reads go on, nothing is done by half."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.signals import connection_created

from durable_host.core.registry import Registry, default_registry
from durable_host.dispatch.host import Host
from tests.api.conftest import Api, configure
from tests.recovery import Recovery
from tests.store.workbench import row_counts

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]

IS_POSTGRES = os.environ.get("TEST_DATABASE") == "postgres"
#: how a database comes to say that its disk is full, and that nobody may write: PostgreSQL, after a fail-over
TROUBLES = (
    {"read-only": "SET default_transaction_read_only = on"}
    if IS_POSTGRES
    else {"full": "PRAGMA max_page_count = 1", "read-only": "PRAGMA query_only = 1"}
)
Broken = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=TROUBLES)
def broken(request: pytest.FixtureRequest) -> Broken:
    """Every connection meets the trouble while this is entered."""
    pragma = TROUBLES[request.param]

    def apply(connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(pragma)

    @contextmanager
    def entered() -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")  # pages that are free would still be filled
        _forget_connections()
        connection_created.connect(apply)
        try:
            yield
        finally:
            connection_created.disconnect(apply)
            _forget_connections()

    return entered


def _forget_connections() -> None:
    connections.close_all()
    kept: Any = connections["default"]
    if IS_POSTGRES:
        kept.close_pool()  # with the settings of its sessions


@pytest.fixture
def api(registry: Registry, silent_bells: None, settings: Any) -> Api:
    configure(settings, KEYLESS_LOOPBACK=False)
    return Api()


@pytest.mark.case(28)
def test_changes_are_503_and_reads_go_on(api: Api, broken: Broken) -> None:
    api.post("orchestrators/Approval/waiting", '"tea"')
    before = row_counts()
    large = '"' + "x" * 200_000 + '"'
    with broken():
        for change in ("orchestrators/Echo/new", "instances/waiting/raiseEvent/approval"):
            answer = api.post(change, large)
            assert answer.status_code == 503, answer.content
            assert answer["Retry-After"] == "5"
            assert set(answer.json()) == {"Message", "ExceptionMessage", "ExceptionType"}
        assert api.get("instances/waiting").status_code == 202
        assert len(api.get("instances").json()) == 1
        assert row_counts() == before
    assert api.post("orchestrators/Echo/new", large).status_code == 202


@pytest.mark.case(28)
def test_no_turn_is_done_by_half_and_the_worker_goes_on_by_itself(
    api: Api, broken: Broken, caplog: pytest.LogCaptureFixture, recovery: Recovery
) -> None:
    large = '"' + "x" * 200_000 + '"'
    api.post("orchestrators/Echo/one", large)
    before = row_counts()
    host = Host("worker", "default", registry=default_registry)
    with broken():
        assert host._guarded(host._cycle) is None
        assert row_counts() == before
        assert host._backoff > 0
    assert "The database failed." in caplog.text
    with recovery.timed(28, "pauses of up to 5 s between tries of the database"):
        host._sleep()
        while host._guarded(host._cycle):
            pass
    assert api.get("instances/one").json()["output"] == "x" * 200_000
