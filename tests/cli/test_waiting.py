"""Waiting, seen from a pipe."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from tests.cli.conftest import durable, finish, start

pytestmark = [pytest.mark.store, pytest.mark.django_db]


def test_waiting_ends_in_time_and_says_why_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_host.management.cli.waiting._PATIENCE", 0.1)
    start("s1")
    err = io.StringIO()
    with pytest.raises(CommandError, match="still Pending") as caught:
        call_command("durable", "get-status", "s1", "--wait", "--timeout", "0.5", stderr=err)

    assert caught.value.returncode == 6
    lines = err.getvalue().splitlines()
    assert [line.partition("  ")[2] for line in lines] == [
        "cli_shout  s1  Pending",
        "cli_shout  s1  Pending  (no worker has taken it yet: is `manage.py durable_worker` (or `make run`) running?)",
    ]


def test_a_scheduled_start_and_a_stall_are_no_riddle() -> None:
    start("later", "--in", "2h")
    start("stuck")
    Instance.objects.filter(instance_id="stuck").update(status=RuntimeStatus.RUNNING, stall_reason="code has changed")

    err = io.StringIO()
    for one in ("later", "stuck"):
        with pytest.raises(CommandError):
            call_command("durable", "get-status", one, "--wait", "--timeout", "0.3", stderr=err)
    later, stuck = err.getvalue().splitlines()
    assert "scheduled: starts at" in later
    assert stuck.endswith("Running  (stalled: code has changed)")


@pytest.mark.parametrize(
    ("status", "code"), [(RuntimeStatus.COMPLETED, 0), (RuntimeStatus.FAILED, 3), (RuntimeStatus.TERMINATED, 7)]
)
def test_a_wait_ends_as_the_instance_ended(status: RuntimeStatus, code: int) -> None:
    start("s1")
    failure = json.dumps({"errorType": "ValueError", "errorMessage": "no such day"})
    finish("s1", status, failure=failure if status is RuntimeStatus.FAILED else None)

    answer = durable("get-status", "s1", "--wait", "--json")
    assert answer.code == code
    assert answer.json()["runtimeStatus"] == status.value
    assert code != 3 or "ValueError: no such day" in answer.err
