"""The command line, called from Python and as a process."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from tests.cli import orchestrators
from tests.services import PATIENCE, PROJECT

MODULES = f"orchestrations,{orchestrators.__name__}"


@dataclass(frozen=True)
class Answer:
    """What one run of the command gave."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The result of ``--json``."""
        return json.loads(self.out)

    def error(self) -> dict[str, Any]:
        """The error of ``--json``."""
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


Run = Callable[..., Answer]


def durable(*args: str) -> Answer:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(err):
            call_command("durable", *args, stdout=out, stderr=err)
    except CommandError as error:
        return Answer(error.returncode, out.getvalue(), str(error))
    return Answer(0, out.getvalue(), err.getvalue())


def start(instance_id: str, *more: str) -> None:
    """Start an instance of this id."""
    answer = durable("start-new", "cli_shout", "--instance-id", instance_id, *more)
    assert (answer.code, answer.out) == (0, f"{instance_id}\n"), answer


def finish(instance_id: str, status: RuntimeStatus = RuntimeStatus.COMPLETED, **fields: Any) -> None:
    """Make the row that of a finished instance."""
    ended = {"completed_at": timezone.now(), **fields}
    Instance.objects.filter(instance_id=instance_id).update(status=status, **ended)


def bare(text: str) -> str:
    """Return the text without terminal escapes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def run(live_env: dict[str, str]) -> Run:
    """Run ``manage.py durable`` as a process on the test's database."""

    def run_process(*args: str, stdin: str = "", **env: str) -> Answer:
        argv = [sys.executable, str(PROJECT / "manage.py"), "durable", *args]
        done = subprocess.run(
            argv,
            env={**clean_env(live_env), **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run_process


def clean_env(live_env: dict[str, str]) -> dict[str, str]:
    """The environment of the command, free of what decides about its looks."""
    looks = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "DJANGO_COLORS"}
    kept = {name: value for name, value in os.environ.items() if name not in looks}
    return {**kept, "TERM": "xterm-256color", **live_env, "DURABLE_MODULES": MODULES, "PYTHONUTF8": "1"}
