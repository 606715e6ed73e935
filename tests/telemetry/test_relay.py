"""The process beside a worker: what it is told arrives, whatever dies or hangs, and the worker never waits for it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from durable_host.core import events as ev
from durable_host.core.codec import Record, to_record
from durable_host.core.status import RuntimeStatus
from durable_host.telemetry import pipeline, relay_process
from durable_host.telemetry import relay as relays
from durable_host.telemetry.chronicle import Attempt, Subject
from durable_host.telemetry.relay import Outbox, Relay
from durable_host.telemetry.relay_process import run
from tests.services import PATIENCE, PROJECT, group_members, wait_until
from tests.telemetry import wire
from tests.telemetry.conftest import Start
from tests.telemetry.otlp import Otlp

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
#: a relay that does not wait, neither for more to send nor for the other processes of a busy machine
AT_ONCE = {
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_BLRP_SCHEDULE_DELAY": "50",
    "DURABLE_TELEMETRY_NICENESS": "0",
}
#: an own process for the other end, which only reads what it is given, or does not even do that
READS = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def attempt(number: int = 0, name: str = "score") -> Attempt:
    """Return a delivery of an activity of a traced orchestration."""
    return Attempt("n-1", 0, name, number, 1, f"00-{7:032x}-{number + 1:016x}-01")


def outcome(number: int = 0, result: str = "1") -> Record:
    """Return how it ended."""
    return to_record(ev.TaskCompleted(timestamp=NOW, task_scheduled_id=number, result=result, started_at=NOW))


def first_turn(name: str = "nightly", input_: str = "1") -> list[Record]:
    """Return the events of a first turn that awaits an activity."""
    return [
        to_record(event)
        for event in (
            ev.OrchestratorStarted(timestamp=NOW),
            ev.ExecutionStarted(timestamp=NOW, name=name, input=input_),
            ev.TaskScheduled(timestamp=NOW, event_id=0, name="score", input="1"),
            ev.OrchestratorCompleted(timestamp=NOW),
        )
    ]


def last_turn(at: datetime = NOW + timedelta(seconds=1)) -> list[Record]:
    """Return the events of the turn after it, which ends the execution."""
    completed = RuntimeStatus.COMPLETED
    return [
        to_record(event)
        for event in (
            ev.OrchestratorStarted(timestamp=at),
            ev.TaskCompleted(timestamp=at, task_scheduled_id=0, result="2"),
            ev.ExecutionCompleted(timestamp=at, orchestration_status=completed, result="2"),
            ev.OrchestratorCompleted(timestamp=at),
        )
    ]


@contextmanager
def closing(relay: Relay) -> Iterator[Relay]:
    """Close a relay, and see to it that nothing of it is left running."""
    try:
        yield relay
    finally:
        process = relay._process
        relay.close()
        if relay._writer.is_alive() and process is not None:
            process.kill()
            relay._writer.join(PATIENCE)
        assert not relay._writer.is_alive()
        assert relay._process is None or relay._process.returncode is not None


@pytest.fixture
def start_relay(monkeypatch: pytest.MonkeyPatch, otlp: Otlp) -> Iterator[Callable[..., Relay]]:
    """Start relays whose processes send to the receiver, unless they are told otherwise."""
    with ExitStack() as cleanup:

        def start(*command: str, **env: str) -> Relay:
            # Not the settings of the tests: they take every endpoint out of the environment.
            settings = {"DJANGO_SETTINGS_MODULE": "durable_host.settings"}
            monkeypatch.setattr(relays, "_FAREWELL", PATIENCE)
            for name, value in {**otlp.env, **AT_ONCE, **settings, **env}.items():
                monkeypatch.setenv(name, value)
            return cleanup.enter_context(closing(Relay(command) if command else Relay()))

        yield start


def process_of(relay: Relay) -> subprocess.Popen[bytes]:
    """Return the process beside, once it runs."""
    wait_until(lambda: relay._process is not None and relay._process.poll() is None, "the relay's process")
    assert relay._process is not None
    return relay._process


# ---- what is told arrives ----


def test_an_execution_that_is_told_turn_by_turn_arrives(start_relay: Callable[..., Relay], otlp: Otlp) -> None:
    relay, subject = start_relay(), Subject(1, "n-1", 0)
    relay.replayed(subject, [])
    relay.turn(subject, first_turn())
    relay.began(attempt(), NOW, "1")
    relay.ended(attempt(), outcome())
    relay.turn(subject, last_turn())
    relay.forget(1)
    assert not relay.hand_over()
    names = sorted((span.name, span.kind) for span in otlp.wait_for_spans(3))
    assert names == [("activity:score", "CLIENT"), ("activity:score", "SERVER"), ("orchestration:nightly", "SERVER")]

    def states() -> list[str]:
        return [log.attributes["prop__state"] for log in otlp.logs if log.scope == "durable_host.tracking"]

    otlp.wait_for(lambda: len(states()) >= 6, "the records, which come by another way")
    assert sorted(states()) == sorted(["Started", "Scheduled", "Awaited", "Started", "Completed", "Completed"])
    told_by = {span.resource["service.instance.id"].rpartition("-")[2] for span in otlp.spans}
    assert told_by == {str(os.getpid())}


def test_a_large_payload_and_a_long_history_come_through(start_relay: Callable[..., Relay], otlp: Otlp) -> None:
    relay, subject, steps = start_relay(), Subject(1, "n-1", 0), 3_333
    history = first_turn(input_=json.dumps("x" * 2**20))
    for number in range(steps):
        scheduled = ev.TaskScheduled(timestamp=NOW, event_id=number + 1, name="score", input="1")
        history += [
            to_record(ev.OrchestratorStarted(timestamp=NOW)),
            outcome(number),
            to_record(scheduled),
            to_record(ev.OrchestratorCompleted(timestamp=NOW)),
        ]
    assert len(history) > 10_000
    relay.replayed(subject, history)
    relay.turn(subject, last_turn(NOW + timedelta(hours=3)))
    relay.hand_over()
    otlp.wait_for(lambda: otlp.named("orchestration:nightly"), "the span of the execution")
    (span,) = otlp.named("orchestration:nightly")
    assert (span.end - span.start) // 10**9 == 3 * 3600
    assert len(otlp.named("activity:score")) == 1  # the call that nobody answered; all before were told before


WRITER = """
import time
from durable_host.telemetry.relay import Relay
from tests.telemetry.test_relay import attempt, outcome
relay = Relay()
for number in range(1500):
    relay.ended(attempt(number), outcome(number))
written, take = [], relay._outbox.take
relay._outbox.take = lambda seconds: written.append(True) or take(seconds)
relay.hand_over()
while not written:  # the writer has come back for more
    time.sleep(0.01)
relay._process.stdin.write(b'["ended",["n-1",0')  # it dies while it writes
print("told", flush=True)
time.sleep(600)
"""


def writer(tmp_path: Path, **env: str) -> subprocess.Popen[str]:
    """Start a process that tells of 1,500 activities, says so and waits."""
    settings = {"DJANGO_SETTINGS_MODULE": "durable_host.settings", "DURABLE_VAR": str(tmp_path)}
    # Elsewhere, so that the relay has to look where its worker does.
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.append({str(PROJECT)!r})\n{WRITER}"],
        env={**os.environ, **settings, **AT_ONCE, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )


def test_all_that_was_written_arrives_although_the_writer_is_killed(tmp_path: Path, otlp: Otlp) -> None:
    with writer(tmp_path, **otlp.env) as victim:
        assert victim.stdout is not None
        assert victim.stderr is not None
        assert victim.stdout.readline() == "told\n"
        os.killpg(victim.pid, signal.SIGINT)  # a Ctrl-C reaches the relay, too; it ends with its pipe
        victim.kill()
        victim.wait()
        assert len({span.span_id for span in otlp.wait_for_spans(1500)}) == 1500
        wait_until(lambda: not group_members(victim.pid), "the relay to end")
        assert "Error" not in victim.stderr.read().replace("KeyboardInterrupt", "")
    assert len(otlp.spans) == 1500


# ---- a relay that dies ----


def test_a_relay_that_is_killed_is_replaced_and_goes_on_after_a_replay(
    start_relay: Callable[..., Relay], otlp: Otlp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relays, "_PAUSES", (0.05, 60.0))
    relay, subject = start_relay(), Subject(1, "n-1", 0)
    relay.replayed(subject, [])
    relay.turn(subject, first_turn())
    relay.hand_over()
    otlp.wait_for(lambda: len(otlp.logs) >= 3, "the first turn")
    first = process_of(relay)
    first.kill()
    wait_until(lambda: relay._process is not first and relay._process is not None, "another relay")
    relay.ended(attempt(), outcome())
    wait_until(relay.hand_over, "the demand for replays")
    assert not relay.hand_over()
    relay.turn(Subject(2, "n-2", 0), last_turn())  # a turn before its replay: nothing true can be told of it
    relay.forget(1)
    relay.replayed(subject, first_turn())
    relay.turn(subject, last_turn())
    relay.hand_over()
    assert sorted(span.name for span in otlp.wait_for_spans(3)) == [
        "activity:score",
        "activity:score",
        "orchestration:nightly",
    ]
    assert {span.attributes["durabletask.task.instance_id"] for span in otlp.spans} == {"n-1"}
    assert [one.levelname for one in caplog.records if "was lost" in one.message] == ["WARNING"]
    assert first.returncode == -signal.SIGKILL  # waited for: no zombie


def test_a_relay_that_cannot_start_costs_the_worker_nothing(
    start_relay: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relays, "_PAUSES", (0.02, 0.08))
    monkeypatch.setattr(relays, "_LOOK_EVERY", 0.01)
    relay = start_relay("/nonexistent/python")
    wait_until(lambda: len(caplog.records) >= 3, "several tries")
    relay.ended(attempt(), outcome())
    relay.hand_over()
    began = time.monotonic()
    relay.close()
    assert time.monotonic() - began < PATIENCE / 2  # far less than the farewell
    assert "left out: 1 acts" in caplog.text


def test_a_relay_that_ends_again_and_again_is_not_started_in_a_hurry(
    start_relay: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_LOOK_EVERY", 0.01)
    pauses: list[float] = []

    def pause(outbox: Outbox, seconds: float) -> bool:
        pauses.append(seconds)
        return outbox._is_closing

    monkeypatch.setattr(Outbox, "is_closed_within", pause)
    start_relay("/bin/false")
    wait_until(lambda: len(pauses) >= 8, "eight losses")
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


# ---- a relay that hangs ----


@pytest.mark.case(35)
def test_handing_over_never_waits_for_a_relay_that_hangs(
    start_relay: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relays, "_MOST_WAITING", 2**20)
    relay = start_relay(*SLEEPS)
    for number in range(10_000):  # many times what the pipe takes: whoever waited would not come to the end
        relay.ended(attempt(number), outcome(number, '"' + "x" * 500 + '"'))
        relay.hand_over()
        assert relay._outbox._waiting_bytes <= 2**20
    monkeypatch.setattr(relays, "_FAREWELL", 0.3)
    relay.close()
    assert process_of(relay).poll() is None  # it hangs on, and nobody waits for it
    counted = [one for one in caplog.records if one.message.startswith("Telemetry was left out")]
    assert len(counted) == 1
    assert 8_000 < vars(counted[0])["acts"] <= 10_000
    assert caplog.text.count("falls behind") == 1


@pytest.mark.case(35)
def test_an_endpoint_that_hangs_keeps_neither_worker_nor_relay(tmp_path: Path) -> None:
    with wire.silent_server() as address:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        with writer(tmp_path, **env) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "told\n"
            victim.kill()
            victim.wait()
            wait_until(lambda: not group_members(victim.pid), "the relay to end")


def test_one_flush_at_a_time_waits_for_an_endpoint_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_process, "_FLUSH_EVERY", 10)
    monkeypatch.setattr(relay_process, "_FLUSH_SECONDS", 0.01)
    flushes: list[float] = []
    answer = threading.Event()

    def flush(seconds: float) -> bool:
        flushes.append(seconds)
        return answer.wait(PATIENCE)

    monkeypatch.setattr(pipeline, "flush", flush)
    pace = relay_process._Pace()
    for _ in range(100):
        pace()
    assert len(flushes) == 1
    answer.set()
    wait_until(lambda: pace._flush is not None and not pace._flush.is_alive(), "the flush")
    for _ in range(10):
        pace()
    assert len(flushes) == 2


# ---- what waits ----


def test_what_is_left_out_is_one_gap_after_which_the_relay_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox()
    small = [b"1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relays, "_MOST_WAITING", 4)
        assert [outbox.put(small) for _ in range(5)] == [False] * 5  # two find room
        assert outbox.take(0) == b"1\n"
        outbox.put(small)  # there would be room, but the gap is not over
        assert outbox.take(0) == b"1\n"
        assert [outbox.put(small), outbox.put([])] == [True, False]  # replays are due, once
    assert "left out: 4 acts" in caplog.text
    assert outbox.take(0) == b'["forget_all"]\n1\n'
    assert outbox.take(0) == b""
    outbox.close()
    assert outbox.take(9) is None


def test_an_act_that_is_larger_than_the_bound_comes_through_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "_MOST_WAITING", 10)
    outbox = Outbox()
    outbox.put([b"x" * 1000])
    assert len(outbox.take(0) or b"") == 1001


def test_a_cycle_that_never_ends_does_not_gather_acts_without_bound(
    start_relay: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_LARGE_PART", 10_000)
    relay = start_relay(*READS)
    for number in range(1000):  # as where a database fails each checkpoint, and nothing is handed over
        relay.ended(attempt(number), outcome(number))
        assert relay._acts_bytes < 20_000


@pytest.mark.parametrize(("sent", "rest"), [(0, b"one\ntwo\n"), (2, b"two\n"), (4, b"two\n"), (6, b"")])
def test_what_a_lost_relay_may_have_read_is_not_said_again(
    start_relay: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch, sent: int, rest: bytes
) -> None:
    relay = start_relay(*READS)
    process_of(relay)
    answers: list[Any] = [sent, BrokenPipeError()] if sent else [BrokenPipeError()]

    def write(fd: int, data: memoryview) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        left = relay._send(b"one\ntwo\n")
    assert left == rest


# ---- a forked child ----


def test_the_relay_ends_with_its_worker_although_a_forked_child_lives_on(start_relay: Callable[..., Relay]) -> None:
    relay = start_relay(*READS)
    process = process_of(relay)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        relay.close()
        assert process.returncode == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# ---- the other end ----


def pipe_with(text: bytes) -> int:
    """Return the end of a pipe from which a text can be read, and nothing more."""
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    return reader


@pytest.mark.parametrize(
    ("ends", "lull", "patience", "most"),
    [("silence", 0.01, 600, 1000), ("time", 600, 0.01, 1000), ("room", 600, 600, 5), ("the worker", 600, 600, 1000)],
)
def test_it_tells_when_the_worker_rests_or_when_it_cannot_wait_any_longer(
    monkeypatch: pytest.MonkeyPatch, ends: str, lull: float, patience: float, most: int
) -> None:
    monkeypatch.setattr(relay_process, "_LULL", lull)
    monkeypatch.setattr(relay_process, "_PATIENCE", patience)
    monkeypatch.setattr(relay_process, "_MOST_KEPT", most)
    reader, writer = os.pipe()
    os.write(writer, b"one\ntwo\nthr")
    lines = relay_process._in_lulls(reader)
    if ends == "the worker":
        os.close(writer)
    assert next(lines) == b"one"
    if ends != "the worker":
        os.write(writer, b"ee\nfou")
        os.close(writer)
        assert list(lines) == [b"two", b"three"]
    else:
        assert list(lines) == [b"two"]
    os.close(reader)


def test_a_line_that_was_cut_off_ends_the_reading_in_order(telemetry: Start, otlp: Otlp) -> None:
    telemetry(otlp.env)
    line = json.dumps(["ended", list(attempt()), [*outcome()]], default=datetime.isoformat).encode()
    run(pipe_with(line + b"\n" + line[:40]))
    assert len(otlp.spans) == 1


def test_an_act_that_cannot_be_told_does_not_silence_the_others(
    telemetry: Start, otlp: Otlp, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry(otlp.env)
    unknown = ["turn", [1, "n-1", 0], [["NobodyKnows", NOW.isoformat(), -1, None, None, None, None]]]
    good = ["ended", list(attempt()), [*outcome()]]
    lines = [json.dumps(one, default=datetime.isoformat) for one in (["replayed", [1, "n-1", 0], []], unknown, good)]
    with caplog.at_level(logging.ERROR):
        run(pipe_with("".join(f"{line}\n" for line in lines).encode()))
    assert "Telemetry was lost." in caplog.text
    assert len(otlp.spans) == 1
