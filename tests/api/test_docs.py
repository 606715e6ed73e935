"""docs/http-api.md is true: its commands are run, and answer as it says."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.api.site import Site
from tests.services import PROJECT

pytestmark = pytest.mark.once

BLOCKS = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8000"


def test_the_commands_answer_as_the_page_says(site: Callable[..., Site], live_env: dict[str, str]) -> None:
    url = site().url
    blocks = BLOCKS.findall((PROJECT / "docs" / "http-api.md").read_text())
    assert len(blocks) >= 6
    env = {**os.environ, **live_env, "DURABLE_MODULES": "tests.api.functions"}
    for commands, expected in blocks:
        script = commands.replace(ADDRESS, url).replace(".venv/bin/python", sys.executable)
        argv = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(argv, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        output = done.stdout.replace("\r", "")
        position = 0
        for line in expected.replace(ADDRESS, url).splitlines():
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            found = re.compile(pattern).search(output, position)
            assert found, f"{script}\ndoes not say, or not in this order: {line}\nbut:\n{output}"
            position = found.end()
