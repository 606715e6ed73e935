"""Every example of docs/cli.md does what it says."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host.management.cli.exits import Exit
from durable_host.management.cli.parser import SUBCOMMANDS
from tests.cli.conftest import clean_env
from tests.services import PATIENCE, PROJECT

PAGE = (PROJECT / "docs" / "cli.md").read_text()
EXAMPLES = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)


def test_the_page_shows_every_command_and_every_exit_code() -> None:
    used = set(re.findall(r"manage\.py durable ([a-z-]+)", "\n".join(EXAMPLES)))
    assert used == {one.name for one in SUBCOMMANDS}
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == [int(code) for code in Exit]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples(live_env: dict[str, str], worker_process: Callable[..., Popen[bytes]], tmp_path: Path) -> None:
    worker_process()
    tool = tmp_path / "bin" / "manage.py"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROJECT}/manage.py" "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "docs").symlink_to(PROJECT / "docs")
    environment = clean_env(live_env)
    environment["PATH"] = f"{tool.parent}:{environment['PATH']}"
    for example in joined(EXAMPLES):
        command, _, note = example.partition("   # exit ")
        assert shell(command, environment, tmp_path, expected=int(note or 0)) == int(note or 0), command


def joined(examples: list[str]) -> list[str]:
    """Return the scripts to run: a line that sets a variable, with the line that uses it."""
    scripts: list[str] = []
    for example in examples:
        if scripts and re.fullmatch(r"\w+=.*", scripts[-1]):
            example = f"{scripts.pop()}\n{example}"
        scripts.append(example)
    return scripts


def shell(script: str, environment: dict[str, str], place: Path, *, expected: int) -> int:
    """Run one example as it stands; what the next turn must do first is tried again for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(["bash", "-c", script], env=environment, cwd=place, capture_output=True, check=False)
        too_early = done.returncode == Exit.CONFLICT != expected
        if not too_early or time.monotonic() > deadline:
            return done.returncode
        time.sleep(0.3)
