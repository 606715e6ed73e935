"""The five patterns, by name, on real workers and real input."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.models import EPOCH, PendingEvent
from durable_host.store import queries
from tests.e2e.conftest import BRIEF_LEASES, E2E, StartWorker
from tests.services import PATIENCE, PROJECT, wait_until

pytestmark = E2E

ORDER = {"order_id": "1001", "items": {"tea": 2}, "amount": "19.90", "card": {"token": "tok_1", "limit": "100"}}


def finish(client: DurableClient, name: str, input_: Any) -> Any:
    """Run an instance to its end and return its status."""
    return client.wait_for_completion(client.start_new(name, input_), PATIENCE)


def books(tmp_path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as shop:
        return shop.execute(question).fetchall()


def test_it_fulfils_an_order_and_releases_the_stock_of_a_declined_one(
    client: DurableClient, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    done = finish(client, "function_chaining", ORDER)
    assert done.runtime_status is RuntimeStatus.COMPLETED, done.failure
    assert (done.output["order_id"], done.output["charged"]) == ("1001", "19.90")
    assert books(tmp_path, "SELECT amount FROM payment") == [("19.90",)]
    stock = books(tmp_path, "SELECT available FROM stock WHERE article = 'tea'")

    poor = {**ORDER, "order_id": "1002", "card": {"token": "tok_2", "limit": "1"}}
    declined = finish(client, "function_chaining", poor)
    assert declined.runtime_status is RuntimeStatus.FAILED
    assert "declined" in str(declined.failure)
    assert books(tmp_path, "SELECT available FROM stock WHERE article = 'tea'") == stock
    assert len(books(tmp_path, "SELECT * FROM payment")) == 1
    assert not any(queries.count_open_work("default").values())


def by_find_and_wc(root: Path) -> dict[str, int]:
    """Return what find and wc say of a tree."""
    find = ["find", str(root), "-type", "f"]
    files = subprocess.run([*find, "-printf", "x"], capture_output=True, check=True).stdout
    counts = subprocess.run([*find, "-exec", "cat", "{}", "+"], capture_output=True, check=True).stdout
    wc = subprocess.run(["wc", "-lc"], input=counts, capture_output=True, check=True).stdout.split()
    return {"files": len(files), "lines": int(wc[0]), "bytes": int(wc[1])}


def make_tree(root: Path, files: int, size: int) -> Path:
    for number in range(files):
        path = root / f"d{number % 7}" / f"é {number}\n.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((f"{number}\n" * size).encode())
    (root / "link").symlink_to(root / "d0")
    (root / "empty").mkdir()
    (root / "empty.txt").touch()
    return root


def totals(status: Any) -> dict[str, int]:
    assert status.runtime_status is RuntimeStatus.COMPLETED, status.failure
    assert status.output["skipped"] == 0
    return {key: status.output[key] for key in ("files", "lines", "bytes")}


def test_it_measures_trees_as_find_and_wc_do(client: DurableClient, start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker("--max-activities", "20")
    start_worker("--max-activities", "20")
    roots = [make_tree(tmp_path / "tree", 150, 50), *(PROJECT / name for name in ("durable_host", "orchestrations"))]
    # Only tracked sources: a byte-code file may be written while we look.
    copies = [tmp_path / "tree"]
    for root in roots[1:]:
        copy = tmp_path / f"copy-{root.name}"
        tracked = subprocess.run(["git", "ls-files", "-z", "."], cwd=root, capture_output=True, check=True).stdout
        for name in filter(None, tracked.decode().split("\0")):
            if (root / name).is_file():
                target = copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((root / name).read_bytes())
        copies.append(copy)
    ids = [client.start_new("fan_out_fan_in", {"root": str(root)}) for root in copies]
    for id_, root in zip(ids, copies, strict=True):
        assert totals(client.wait_for_completion(id_, PATIENCE)) == by_find_and_wc(root)


def interrupted(client: DurableClient, start_worker: StartWorker, tmp_path: Path) -> tuple[str, Path]:
    """Kill a worker while it measures a tree; a tree that was done before the kill is followed by a larger one."""

    def measured(instance_id: str) -> int:
        return sum(event.event_type == "TaskCompleted" for event in client.get_history(instance_id))

    for files in (200, 800, 3200):
        root = make_tree(tmp_path / str(files), files, 2000)
        victim = start_worker("--max-activities", "4", **BRIEF_LEASES)
        id_ = client.start_new("fan_out_fan_in", {"root": str(root)})
        wait_until(partial(lambda id_: measured(id_) >= 5, id_), "some files to be measured")
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        status = client.get_status(id_)
        if status is not None and not status.is_finished:
            return id_, root
    raise AssertionError("no tree is large enough to be interrupted")


@pytest.mark.case(3)
def test_it_measures_right_although_a_worker_is_killed(
    client: DurableClient, start_worker: StartWorker, tmp_path: Path
) -> None:
    id_, root = interrupted(client, start_worker, tmp_path)
    start_worker("--max-activities", "4", **BRIEF_LEASES)
    assert totals(client.wait_for_completion(id_, PATIENCE)) == by_find_and_wc(root)
    assert not any(queries.count_open_work("default").values())


def test_it_shows_progress_while_it_counts(client: DurableClient, start_worker: StartWorker) -> None:
    start_worker()
    id_ = client.start_new("async_http_api", {"up_to": 10**9, "parts": 1000})  # minutes of work

    def progress() -> dict[str, int]:
        status = client.get_status(id_)
        return (status and status.custom_status) or {}

    wait_until(lambda: progress().get("done", 0) >= 2, "some parts to be done")
    shown = progress()
    assert (shown["of"], shown["percent"]) == (1000, shown["done"] // 10)
    assert shown["primes"] > 148_000  # below two million
    client.terminate(id_)

    status = finish(client, "async_http_api", {"up_to": 200_000, "parts": 20})
    assert status.output == {"up_to": 200_000, "primes": 17_984}
    assert status.custom_status == {"done": 20, "of": 20, "percent": 100, "primes": 17_984}


class Site:
    """A web site that is ready at its third poll, and a mailbox for alerts."""

    def __init__(self) -> None:
        self.polls = 0
        self.alerts: list[Any] = []


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """Serve a site on the loopback address and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.polls += 1
            self._answer(200 if site.polls >= 3 and self.path == "/ready" else 503)

        def do_POST(self) -> None:
            site.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(204)

        def _answer(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.once
def test_it_polls_until_met_or_expired_and_alerts(client: DurableClient, start_worker: StartWorker) -> None:
    start_worker()
    for path, outcome in (("/ready", "met"), ("/never", "expired")):
        polls_and_alerts(client, path, outcome)


def polls_and_alerts(client: DurableClient, path: str, outcome: str) -> None:
    site = Site()
    with serving(site) as url:
        watch = {
            "probe": {"url": url + path},
            "first_interval_seconds": 0.05,
            "growth": 2,
            "max_interval_seconds": 0.4,
            "expires_after_seconds": 1.5 if outcome == "expired" else 3600,
            "alert_url": f"{url}/alerts",
        }
        status = finish(client, "monitor", watch)
    assert status.runtime_status is RuntimeStatus.COMPLETED, status.failure
    assert status.output["outcome"] == outcome
    assert [alert["outcome"] for alert in site.alerts] == [outcome]
    assert status.output["polls"] == site.polls


EXPENSE = {"employee": "eve", "amount": "120.00", "purpose": "chair", "approver": "ann", "manager": "max"}


def test_it_settles_what_the_approver_decides(client: DurableClient, start_worker: StartWorker) -> None:
    start_worker()
    for answer, decision in ((True, "approved"), (False, "rejected")):
        id_ = client.start_new("human_interaction", EXPENSE)
        wait_until(lambda: queries.count_open_work("default")["waits"], "the question")
        client.raise_event(id_, "approvalevent", answer)
        status = client.wait_for_completion(id_, PATIENCE)
        assert status.output == {"decision": decision, "stage": "approver"}
        assert not any(queries.count_open_work("default").values())


def test_it_escalates_when_nobody_answers_in_time(
    client: DurableClient, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    id_ = client.start_new("human_interaction", EXPENSE)
    wait_until(lambda: queries.count_open_work("default")["waits"], "the first question")
    PendingEvent.objects.filter(event_type="TimerFired").update(visible_at=EPOCH)  # the time is up
    wait_until(lambda: (client.get_status(id_).custom_status or {}).get("stage") == "manager", "the escalation")  # type: ignore[union-attr]
    wait_until(lambda: queries.count_open_work("default")["waits"], "the second question")
    client.raise_event(id_, "ApprovalEvent", True)
    assert client.wait_for_completion(id_, PATIENCE).output == {"decision": "approved", "stage": "manager"}
    letters = [json.loads(path.read_text()) for path in (tmp_path / "outbox").glob("*.json")]
    assert sorted(letter["to"] for letter in letters) == ["ann", "eve", "max"]
