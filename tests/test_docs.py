"""What the documents promise is run here."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

import durable_host
from durable_host import ActivityContext, RuntimeStatus
from durable_host.client import DurableClient
from durable_host.conf import HostSettings
from durable_host.core import registry
from durable_host.core.registry import Registry, default_registry
from durable_host.dispatch.host import Host
from tests import cases
from tests.bells import hear_bells
from tests.services import PROJECT

README = (PROJECT / "README.md").read_text()
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_the_first_orchestration_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hear_bells(monkeypatch)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "nightly.py"
    file.write_text(code)
    try:
        exec(compile(code, file, "exec"), {"__name__": "nightly"})  # noqa: S102  our own document
        instance_id = DurableClient().start_new("nightly", 5)
        Host("worker", "default").run_until_idle()
        status = DurableClient().get_status(instance_id)
    finally:
        default_registry.orchestrators.pop("nightly", None)
        default_registry.activities.pop("score", None)
    assert status is not None
    assert (status.runtime_status, status.output) == (RuntimeStatus.COMPLETED, 5.0)


def test_the_readme_fits_on_a_screen_or_two() -> None:
    assert len(README.splitlines()) <= 80


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", document.read_text())
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (document.parent / target).exists()]
    assert not missing


def test_every_case_names_the_tests_that_are_marked_with_it() -> None:
    shown_by = {case.number: case.shown_by for case in cases.documented()}
    assert list(shown_by) == list(range(1, 1 + len(shown_by)))
    assert shown_by == cases.marked()


def test_every_setting_of_the_host_is_documented() -> None:
    text = (PROJECT / "docs/configuration.md").read_text()
    missing = [field.name.upper() for field in fields(HostSettings) if f"`{field.name.upper()}`" not in text]
    assert not missing


def test_every_make_target_of_the_readme_exists() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"`make (\w+)`", README):
        assert f"make {target}" in shown, target


def test_the_activities_in_the_guarantees_are_what_the_text_says(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Registry()
    monkeypatch.setattr(registry, "default_registry", shown)
    payments, names = Mock(), {**vars(durable_host), "timedelta": timedelta}
    for example in re.findall(r"```python\n(.*?)```", (PROJECT / "docs/guarantees.md").read_text(), re.DOTALL):
        exec(example, {**names, "payments": payments})  # noqa: S102  our own page
    charge, book, convert = shown.activities.values()
    context = ActivityContext(instance_id="o-1", task_id=0, name=charge.name, attempt=2, idempotency_key="the key")
    charge.function(order_id="42", **{str(charge.context_parameter): context})
    payments.charge.assert_called_once_with("42", idempotency_key="the key")
    assert (book.transactional, convert.isolated) == (True, True)
