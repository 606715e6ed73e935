"""The command as a process: exit codes, terminals, signals, and instances that real workers run."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from durable_host.client import DurableClient
from durable_host.core.status import RuntimeStatus
from tests.cli.conftest import MODULES, Run, bare, clean_env, durable
from tests.services import PATIENCE, PROJECT, wait_until

pytestmark = pytest.mark.once

Start = Callable[..., Popen[bytes]]
COMMAND = [sys.executable, str(PROJECT / "manage.py"), "durable"]


@pytest.mark.slow
def test_instances_from_start_to_purge(run: Run, worker_process: Start, tmp_path: Path) -> None:
    worker_process(DURABLE_MODULES=MODULES)

    done = run("start-new", "cli_shout", "--input", '"hi"', "--wait", "--json", "--instance-id", "s1")
    assert done.code == 0, done
    assert done.err == ""
    assert (done.json()["runtimeStatus"], done.json()["output"]) == ("Completed", "HI")

    wanted = tmp_path / "wanted"
    failed = run("start-new", "cli_read", "--input", json.dumps(str(wanted)), "--instance-id", "f1", "--wait")
    assert failed.code == 3, failed
    assert "Error: Instance 'f1' has failed: TaskFailedError" in failed.err
    assert "FileNotFoundError" in failed.out
    entries = durable("get-history", "f1", "--json").json()["entries"]
    assert [(one["kind"], one["name"], one["outcome"]) for one in entries] == [
        ("orchestration", "cli_read", "Started"),
        ("activity", "cli_needs", "Failed"),
        ("orchestration", "cli_read", "Failed"),
    ]

    wanted.write_text("it is there")
    assert durable("rewind", "f1", "--reason", "file is there").code == 0
    assert durable("get-status", "f1", "--wait", "--json").json()["output"] == "it is there"
    assert "Rewound" in durable("get-history", "f1").out
    assert "Failed" in durable("get-history", "f1", "--execution", "0").out

    removed = durable("purge", "--status", "Completed", "--yes", "--json")
    assert removed.json() == {"operation": "purge", "removed": 2}


@pytest.mark.slow
def test_an_instance_that_is_steered(run: Run, worker_process: Start) -> None:
    worker_process(DURABLE_MODULES=MODULES)
    client = DurableClient()

    def has(status: RuntimeStatus) -> bool:
        found = client.get_status("l1")
        return found is not None and found.runtime_status is status and found.custom_status is not None

    durable("start-new", "cli_listen", "--instance-id", "l1")
    wait_until(lambda: has(RuntimeStatus.RUNNING), "the instance to listen")
    assert run("suspend", "l1", "--reason", "lunch").code == 0
    wait_until(lambda: has(RuntimeStatus.SUSPENDED), "the suspension")
    waited = run("get-status", "l1", "--wait", "--timeout", "0.5")
    assert waited.code == 6
    assert "manage.py durable resume l1" in waited.err
    assert durable("resume", "l1").code == 0
    assert durable("raise-event", "l1", "go", "--data", '"hi"').code == 0
    assert durable("get-status", "l1", "--wait", "--json").json()["output"] == "HI"

    history = durable("get-history", "l1", "--payloads", "--json").json()
    entries = {(one["kind"], one["outcome"]): one for one in history["entries"]}
    assert history["hiddenMarkers"] > 0
    assert entries["timer", "Cancelled"]["fireAt"] > entries["timer", "Cancelled"]["startedTime"]
    assert entries["orchestration", "Suspended"]["reason"] == "lunch"
    assert entries["event received", "Received"]["input"] == "hi"
    assert entries["sub-orchestration", "Completed"]["instanceId"] == "l1-shout"
    assert entries["sub-orchestration", "Completed"]["result"] == "HI"
    everything = durable("get-history", "l1", "--all", "--json").json()["events"]
    assert everything[0]["eventType"] == "OrchestratorStarted"
    assert not any("input" in event for event in everything)

    durable("restart", "l1", "--same-id")
    ended = run("terminate", "l1", "--reason", "enough", "--wait", "--json")
    assert ended.code == 0, ended
    assert (ended.json()["runtimeStatus"], ended.json()["output"]) == ("Terminated", "enough")
    assert run("get-status", "l1", "--wait").code == 7


def test_usage_errors_are_json_where_results_are(run: Run) -> None:
    plain = run("list", "--status", "Runing")
    assert plain.code == 2
    assert "argument --status: 'Runing' is not a status" in plain.err

    for arguments, code in ((["list", "--bogus"], 2), (["start-new", "x", "--wait"], 4)):
        answer = run(*arguments, "--json")
        assert answer.code == answer.error()["exitCode"] == code
        assert answer.out == ""
    assert answer.error()["type"] == "UnknownOrchestratorError"


def test_without_a_command_it_shows_its_help(run: Run) -> None:
    nothing, asked = run(), run("--help")
    assert (nothing.code, asked.code) == (2, 0)
    assert "exit codes:" in nothing.err
    assert "start-new" in asked.out


def test_a_database_without_tables(run: Run, tmp_path: Path) -> None:
    answer = run("list", "--json", DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert answer.code == 1
    assert "run manage.py migrate" in answer.error()["message"]


def test_without_redis_nothing_but_the_id_is_said(run: Run) -> None:
    answer = run("start-new", "cli_shout", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert (answer.code, answer.err) == (0, "")


def test_ctrl_c_ends_the_waiting_and_not_the_instance(run: Run, live_env: dict[str, str], tmp_path: Path) -> None:
    assert run("start-new", "cli_shout", "--instance-id", "s1").code == 0
    log = tmp_path / "err"
    with open(log, "wb") as err:
        waiting = Popen([*COMMAND, "get-status", "s1", "--wait"], env=clean_env(live_env), stderr=err)
    wait_until(lambda: b"Pending" in log.read_bytes(), "the wait to begin")
    waiting.send_signal(signal.SIGINT)

    assert waiting.wait(PATIENCE) == 130
    assert "Stopped waiting; instance 's1' goes on" in log.read_text()
    assert DurableClient().get_status("s1") is not None


def test_a_reader_that_has_gone(run: Run, live_env: dict[str, str]) -> None:
    for arguments in (["functions"], ["functions", "--json"]):
        read, write = os.pipe()
        os.close(read)
        ended = subprocess.run(
            [*COMMAND, *arguments], env=clean_env(live_env), stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)
        assert (ended.returncode, ended.stderr) == (141, b"")


def on_terminal(live_env: dict[str, str], *args: str, columns: int = 80, **env: str) -> str:
    """Return what the command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = Popen([*COMMAND, *args], env={**clean_env(live_env), **env}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            written += os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    process.wait(PATIENCE)
    return written.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_the_live_line(run: Run, live_env: dict[str, str], worker_process: Start) -> None:
    run("start-new", "cli_shout", "--instance-id", "s1", "--input", '"hi"')
    waiting = bare(on_terminal(live_env, "get-status", "s1", "--wait", "--timeout", "4"))
    assert re.search(r"cli_shout  s1  ○ Pending  \d", waiting)
    assert "no worker has taken it yet" in waiting
    assert waiting.rstrip().endswith("It goes on.")

    worker_process(DURABLE_MODULES=MODULES)
    done = bare(on_terminal(live_env, "get-status", "s1", "--wait"))
    assert "✓ Completed  cli_shout  s1" in done
    assert '"HI"' in done
