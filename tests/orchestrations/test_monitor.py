"""monitor: growing pauses, a bounded history, an alert in the end; and polls of a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from durable_host.core import events as ev
from orchestrations import monitor as module
from orchestrations.monitor import Alert, Delivery, Probe, Sighting, poll, send_alert
from tests.orchestrations.world import START, World

URL = "http://service.test/"


def polls_that_see(*sightings: bool) -> Callable[[Probe], Sighting]:
    """Fake a service that answers like this; the last answer stays."""
    left = list(sightings)

    def answer(_: Probe) -> Sighting:
        is_up = left.pop(0) if len(left) > 1 else left[0]
        return Sighting(is_up, "up" if is_up else "down")

    return answer


def world(*sightings: bool, **watch: Any) -> tuple[World, list[Delivery]]:
    alerts: list[Delivery] = []
    fakes: dict[str, Callable[[Any], Any]] = {"poll": polls_that_see(*sightings), "send_alert": alerts.append}
    return World("monitor", {"probe": {"url": URL}, **watch}, fakes).run(), alerts


def pauses(history: list[ev.HistoryEvent]) -> list[int]:
    created = [event for event in history if isinstance(event, ev.TimerCreated)]
    return [round((event.fire_at - event.timestamp).total_seconds()) for event in created]


def test_an_answer_as_expected_ends_it_with_an_alert() -> None:
    done, alerts = world(False, False, True, alert_url="http://hook.test/")

    assert done.output == {"outcome": "met", "url": URL, "polls": 3, "last_seen": "up"}
    assert [(one.alert.outcome, one.to) for one in alerts] == [("met", "http://hook.test/")]


def test_pauses_grow_up_to_their_limit() -> None:
    done, _ = world(*[False] * 6, True, first_interval_seconds=10, growth=3, max_interval_seconds=200)

    assert pauses(done.executions[0]) == [10, 30, 90, 200, 200, 200]


def test_it_looks_a_last_time_when_the_time_is_up_and_then_gives_up() -> None:
    done, alerts = world(False, first_interval_seconds=40, growth=1, expires_after_seconds=100)

    assert done.output == {"outcome": "expired", "url": URL, "polls": 4, "last_seen": "down"}
    assert round((done.now - START).total_seconds()) == 100
    assert len(alerts) == 1


def test_its_history_stays_short_however_long_it_lives() -> None:
    done, alerts = world(*[False] * 120, True, first_interval_seconds=1, growth=1.1, max_interval_seconds=9)

    assert done.output["polls"] == 121
    assert len(done.executions) == 3
    assert max(len(history) for history in done.executions) < module.POLLS_PER_EXECUTION * 10
    assert pauses(done.executions[1])[:2] == [9, 9]
    assert len(alerts) == 1


def test_a_new_execution_keeps_the_old_deadline() -> None:
    done, _ = world(False, first_interval_seconds=1, growth=1, expires_after_seconds=75.5)

    assert done.output["outcome"] == "expired"
    assert done.now - START < timedelta(seconds=76)
    assert len(done.executions) == 2


def test_its_status_tells_what_it_saw_and_when_it_looks_again() -> None:
    done, _ = world(False, True, first_interval_seconds=60)

    assert done.statuses[0]["polls"] == 1
    assert done.statuses[0]["last_seen"] == "down"
    assert done.statuses[0]["next_poll"].startswith("2026-01-05T09:01:00")


@pytest.mark.parametrize(
    "watch",
    [
        {"probe": {"url": "ftp://service.test"}},
        {"growth": 0.5},
        {"first_interval_seconds": 0},
        {"expires_after_seconds": 1e18},
        {"alert_url": "mailto:me"},
    ],
)
def test_bad_input_is_refused(watch: dict[str, Any]) -> None:
    done = World("monitor", {"probe": {"url": URL}, **watch}).run()

    assert done.failure.error_type == "PayloadError"


# --- against a real server --------------------------------------------------------------------------------------------


class Service(BaseHTTPRequestHandler):
    """Answers GET by its path, and keeps what is posted."""

    posted: list[tuple[str, dict[str, Any]]]

    def do_GET(self) -> None:
        answers = {
            "/text": (200, "the job is finished"),
            "/json": (200, '{"job": {"state": "done", "ok": true, "parts": [1]}}'),
            "/busy": (503, "busy"),
            "/long": (200, "x" * 3_000_000),
        }
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/text")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, body = answers.get(self.path, (404, ""))
        self._answer(status, body.encode())

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.posted.append((self.headers["Idempotency-Key"], content))
        self._answer(500 if self.path == "/broken" else 204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # the client has seen enough
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    Service.posted = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def look(**probe: Any) -> Sighting:
    return asyncio.run(poll(Probe.model_validate(probe)))


def test_polls_for_a_status(service: str) -> None:
    assert look(url=f"{service}/text").is_as_expected
    assert look(url=f"{service}/moved").is_as_expected
    assert look(url=f"{service}/busy", status=503).is_as_expected
    assert look(url=f"{service}/busy") == Sighting(False, "HTTP 503 instead of 200")


def test_polls_for_a_text(service: str) -> None:
    assert look(url=f"{service}/text", text="finished").is_as_expected
    assert look(url=f"{service}/text", text="failed").summary == "HTTP 200 without the text 'failed'"


def test_polls_for_a_field(service: str) -> None:
    url = f"{service}/json"

    assert look(url=url, json_field="job.state", json_value="done").is_as_expected
    assert look(url=url, json_field="job.ok", json_value=True).is_as_expected
    assert look(url=url, json_field="job", json_value={"parts": [1], "ok": True, "state": "done"}).is_as_expected
    assert not look(url=url, json_field="job.ok", json_value=1).is_as_expected
    assert look(url=url, json_field="job.state", json_value="x").summary == 'HTTP 200 with job.state = "done"'
    assert look(url=url, json_field="job.error").summary == "HTTP 200 with job.error = nothing"
    assert not look(url=f"{service}/text", json_field="job.state").is_as_expected


def test_an_answer_without_end_is_cut(service: str) -> None:
    assert look(url=f"{service}/long", text="x").is_as_expected


def test_nobody_there_is_not_yet() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        port = server.server_port
    sighting = look(url=f"http://127.0.0.1:{port}/")

    assert not sighting.is_as_expected
    assert sighting.summary.startswith("ConnectError")


def test_an_answer_that_does_not_come_is_not_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT_SECONDS", 0.05)
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as silent:
        sighting = look(url=f"http://127.0.0.1:{silent.server_port}/")

    assert not sighting.is_as_expected
    assert "Timeout" in sighting.summary


def test_the_alert_is_posted(service: str) -> None:
    Service.posted.clear()
    alert = Alert("met", URL, 3, "up")
    asyncio.run(send_alert(Delivery("delivery-1", alert, f"{service}/hook")))

    assert Service.posted == [("delivery-1", {"outcome": "met", "url": URL, "polls": 3, "last_seen": "up"})]
    with pytest.raises(httpx.HTTPStatusError):
        asyncio.run(send_alert(Delivery("delivery-2", alert, f"{service}/broken")))


def test_a_refused_alert_is_posted_again_under_the_same_key(service: str) -> None:
    Service.posted.clear()
    watch = {"probe": {"url": f"{service}/text"}, "alert_url": f"{service}/broken"}
    done = World("monitor", watch).run()

    assert "HTTPStatusError" in [cause.error_type for cause in done.failure.chain()]
    assert len(Service.posted) == 6
    assert len({key for key, _ in Service.posted}) == 1


def test_without_an_address_the_alert_is_logged(service: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="orchestrations.monitor"):
        World("monitor", {"probe": {"url": f"{service}/text"}}).run()

    assert f"{service}/text after 1 polls: met (HTTP 200 as expected)" in caplog.text
