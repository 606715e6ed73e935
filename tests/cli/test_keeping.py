"""What is kept, and whether what was kept still fits the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from durable_host.core.status import RuntimeStatus
from durable_host.dispatch.host import Host
from durable_host.models import Instance
from tests.cli.conftest import durable, finish, start

pytestmark = [pytest.mark.store, pytest.mark.django_db]


def test_retention_says_what_will_go_and_removes_nothing(settings: Settings) -> None:
    rules = [{"name": "cli_shout", "status": "Failed", "days": None}, {"days": 0.001}]
    settings.DURABLE_HOST = {**settings.DURABLE_HOST, "RETENTION": rules}
    for one in ("done", "failed", "running"):
        start(one)
    finish("done", completed_at=datetime.now(UTC) - timedelta(hours=1))
    finish("failed", RuntimeStatus.FAILED, completed_at=datetime.now(UTC) - timedelta(hours=1))

    lines = durable("retention").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["Failed", "cli_shout", "for", "ever", "0"], ["finished", "all", "0.001", "1"],
    ]  # fmt: skip
    assert durable("retention", "--json").json() == {
        "rules": [
            {"status": "Failed", "name": "cli_shout", "days": None, "expired": 0},
            {"status": None, "name": "", "days": 0.001, "expired": 1},
        ],
        "nextSweepTime": None,
    }
    assert len(Instance.objects.all()) == 3


def test_retention_without_rules_says_so() -> None:
    assert "kept for ever" in durable("retention").err


def test_an_exported_history_fits_the_code_that_made_it_and_not_another(tmp_path: Path) -> None:
    start("s1", "--input", '"hi"')
    host = Host("worker", "default")
    host._cycle()
    host._pool.close(5)
    file = tmp_path / "s1.json"
    file.write_text(durable("export-history", "s1").out)

    assert durable("replay", str(file)).out == f"{file}: fits\n"
    file.write_text(file.read_text().replace("cli_shout", "cli_whisper"))
    answer = durable("replay", str(file))
    assert (answer.code, "would stall" in answer.err) == (5, True)
    assert "No orchestrator 'cli_whisper' is registered" in answer.out
    file.write_text("{}")
    answer = durable("replay", str(file))
    assert answer.code == 2
    assert "'durable export-history' makes them" in answer.err
