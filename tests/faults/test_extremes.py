"""Too large, too odd, too many, too far away: a real worker bears it, and says so."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import pytest
from django.db.models import F
from django.db.models.functions import Coalesce, Length

from durable_host.client import DurableClient
from durable_host.core.events import TimerCreated
from durable_host.models import EventWait, HistoryEvent, Instance
from durable_host.store import clock, queries
from tests.api.site import Site, serve
from tests.e2e import functions
from tests.e2e.conftest import E2E, worker_env
from tests.faults import extremes
from tests.faults.extremes import MEGABYTE, ODDITIES
from tests.recovery import Recovery
from tests.services import PATIENCE, group_members, wait_until
from tests.telemetry.wire import silent_server

pytestmark = E2E

API = "/runtime/webhooks/durabletask"
MODULES = f"{functions.__name__},{extremes.__name__}"


@pytest.fixture
def worker(worker_process: Callable[..., Popen[bytes]], live_env: dict[str, str]) -> Popen[bytes]:
    """A worker that knows the extremes."""
    return worker_process(**worker_env(live_env) | {"DURABLE_MODULES": MODULES})


@pytest.fixture
def site(live_env: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    """A web server, and nobody who works."""
    for start in serve(live_env, lambda **_: None, tmp_path):
        yield start(workers=False, DURABLE_MODULES=MODULES)


def peak(group: int) -> int:
    """The most memory, in bytes, that any process of a group has had."""
    pids = [member.split()[0] for member in group_members(group)]
    statuses = [Path(f"/proc/{row}/status") for row in pids]
    found = [re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) for status in statuses if status.exists()]
    return max(int(one[1]) * 1024 for one in found if one)


@pytest.mark.once
@pytest.mark.case(18)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_hundred_megabytes_are_refused_at_the_door_and_not_kept(site: Site, is_chunked: bool) -> None:
    sent = bytes(MEGABYTE)
    headers = {"Content-Type": "application/json"} | ({} if is_chunked else {"Content-Length": str(100 * MEGABYTE)})
    assert site.http.post(f"{API}/orchestrators/chain", json=1).status_code == 202
    before = peak(site.process.pid)
    for path in ("orchestrators/chain", "instances/nobody/raiseEvent/go"):
        body = (sent for _ in range(100))
        answer = site.http.post(f"{API}/{path}", content=body, headers=headers)
        assert answer.status_code == 413, answer.text
    assert peak(site.process.pid) - before < 20 * MEGABYTE
    assert Instance.objects.count() == 1
    assert site.http.get("/healthz").status_code == 200


@pytest.mark.case(18)
def test_a_result_of_a_hundred_megabytes_fails_its_activity_for_good_and_is_not_kept(
    client: DurableClient, worker: Popen[bytes], tmp_path: Path
) -> None:
    def ask() -> str:
        return str(client.wait_for_completion(client.start_new("asking_much", str(tmp_path / "runs")), PATIENCE).output)

    said = ask()
    assert said.startswith("PayloadError: The result of activity 'large'"), said
    assert "Store it elsewhere" in said
    assert (tmp_path / "runs").read_bytes() == b"x"  # it may be retried, but that would be of no use
    once = peak(worker.pid)
    assert {ask() for _ in range(4)} == {said}
    assert peak(worker.pid) - once < 50 * MEGABYTE
    assert worker.poll() is None


@pytest.mark.case(23)
@pytest.mark.parametrize("activity", ["odd", "odd_async", "odd_isolated"])
def test_whatever_an_activity_raises_can_be_caught_and_is_of_bounded_size(
    client: DurableClient, worker: Popen[bytes], activity: str
) -> None:
    ids = [client.start_new("catching", {"activity": activity, "error": name}) for name in ODDITIES]
    caught = {name: client.wait_for_completion(id_, PATIENCE).output for name, id_ in zip(ODDITIES, ids, strict=True)}
    assert caught == {name: [name, True] for name in ODDITIES}
    sizes = HistoryEvent.objects.annotate(size=Length(Coalesce(F("detail"), F("event_type"))))
    assert max(sizes.values_list("size", flat=True)) < 200_000
    assert worker.poll() is None
    assert not any(queries.count_open_work("default").values())


@pytest.mark.case(33)
def test_a_timer_for_ten_years_waits_and_the_worker_works(client: DurableClient, worker: Popen[bytes]) -> None:
    ten_years = timedelta(days=3653)
    id_ = client.start_new("patient", ten_years.total_seconds())
    wait_until(lambda: EventWait.objects.filter(instance__instance_id=id_).exists(), "the timer to run")
    assert client.wait_for_completion(client.start_new("chain", 3), PATIENCE).output == 3
    due = [event.fire_at for event in client.get_history(id_) if isinstance(event, TimerCreated)]
    assert abs(due[0] - clock.now() - ten_years) < timedelta(hours=1)
    client.raise_event(id_, "enough")
    assert client.wait_for_completion(id_, PATIENCE).output == "enough"
    assert worker.poll() is None


@pytest.mark.case(34)
def test_ten_thousand_timers_that_are_due_at_once_fire_each_once_and_none_early(
    client: DurableClient, worker: Popen[bytes], recovery: Recovery
) -> None:
    due = clock.now() + timedelta(seconds=5)
    ids = client.start_many("alarms", [due] * 100)
    ends = [client.wait_for_completion(id_, PATIENCE) for id_ in ids]
    assert {end.output for end in ends} == {100}
    recovery.took(
        34,
        max(end.completed_at for end in ends if end.completed_at).timestamp() - due.timestamp(),
        "nothing: they are worked off",
    )
    fired = HistoryEvent.objects.filter(event_type="TimerFired")
    assert fired.values("instance_id", "task_id").distinct().count() == fired.count() == 10_000
    assert not fired.filter(timestamp__lt=due).exists()
    assert not any(queries.count_open_work("default").values())


@pytest.mark.once
@pytest.mark.case(35)
def test_a_worker_whose_telemetry_endpoint_hangs_works_and_stops_as_if_it_did_not(
    client: DurableClient, worker_process: Callable[..., Popen[bytes]], live_env: dict[str, str]
) -> None:
    with silent_server() as address:
        env = worker_env(live_env) | {"DURABLE_MODULES": MODULES, "OTEL_EXPORTER_OTLP_ENDPOINT": address}
        worker = worker_process(**env)
        ids = client.start_many("chain", [5] * 200)
        assert [client.wait_for_completion(id_, PATIENCE).output for id_ in ids] == [5] * 200
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
