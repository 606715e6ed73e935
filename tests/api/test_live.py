"""The API over the wire: a real web server, real workers, real clients; on the database under test."""

import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import httpx
import pytest
from azure.durable_functions.models.utils import http_utils

from durable_host.conf import host_settings
from durable_host.core.access import Scope
from durable_host.models import ApiKey, Instance
from durable_host.store import keys
from tests.api.site import Site
from tests.conftest import missing
from tests.services import PATIENCE, wait_until

pytestmark = pytest.mark.e2e

Start = Callable[..., Site]


def curl(*args: str) -> tuple[str, dict[str, str], str]:
    """Run the real curl with -i; return status line, headers and body."""
    if shutil.which("curl") is None:
        missing("no curl on this machine")
    done = subprocess.run(["curl", "-sS", *args, "-i"], capture_output=True, text=True, check=True)
    head, _, body = done.stdout.partition("\n\n")
    status, *lines = head.splitlines()
    return status.strip(), dict(line.split(": ", 1) for line in lines), body


# --- the seed's own session -------------------------------------------------------------------------------------------


def test_the_curl_session_of_the_overview(site: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    url = site(TEST_GATE=str(gate)).url
    status, headers, body = curl("-X", "POST", f"{url}/orchestrators/DoWork", "-H", "Content-Length: 0")
    assert status == "HTTP/1.1 202 Accepted"
    assert headers["Content-Type"] == "application/json"
    instance_id = json.loads(body)["id"]
    assert headers["Location"].startswith(f"{url}/admin/extensions/DurableTaskExtension/{instance_id}?")

    address = f"{url}/admin/extensions/DurableTaskExtension/{instance_id}"
    status, headers, body = curl(address)
    assert status == "HTTP/1.1 202 Accepted"
    assert headers["Location"].startswith(address)
    assert json.loads(body)["runtimeStatus"] in ("Pending", "Running")

    def look() -> tuple[str, Any]:
        nonlocal headers, body
        status, headers, body = curl(address)
        return status, json.loads(body)["runtimeStatus"]

    wait_until(lambda: look() == ("HTTP/1.1 202 Accepted", "Running"), "the instance to run")
    gate.touch()
    wait_until(lambda: look() == ("HTTP/1.1 200 OK", "Completed"), "the instance to complete")
    assert json.loads(body)["output"] == "Hello Tokyo!"
    assert headers["Content-Length"] == str(len(body))
    assert curl(f"{url}/admin/")[0] == "HTTP/1.1 302 Found"


@pytest.mark.once
def test_the_addresses_of_a_start_work_as_they_stand(site: Start) -> None:
    url = site(DURABLE_EMBEDDED="0", SECRET_KEY="not the embedded one", COOKIE_SECURE="0").url
    key = keys.create("default", "starter", [Scope.START])[1]
    assert curl(f"{url}/runtime/webhooks/durabletask/instances")[0] == "HTTP/1.1 401 Unauthorized"
    json_type = ["-H", "Content-Type: application/json"]
    start = [f"{url}/runtime/webhooks/durabletask/orchestrators/Approval", "-H", f"x-functions-key: {key}"]
    payload = json.loads(curl("-X", "POST", *start, *json_type, "-d", '"tea"')[2])
    assert curl(payload["statusQueryGetUri"])[0] == "HTTP/1.1 202 Accepted"
    raise_event = payload["sendEventPostUri"].replace("{eventName}", "approval")
    assert curl("-X", "POST", raise_event, *json_type, "-d", "true")[0] == "HTTP/1.1 202 Accepted"
    wait_until(lambda: curl(payload["statusQueryGetUri"])[0].endswith("200 OK"), "the instance to complete")
    assert json.loads(curl(payload["statusQueryGetUri"])[2])["output"] == {"what": "tea", "answer": True}
    restarted = json.loads(curl("-X", "POST", payload["restartPostUri"])[2])
    assert restarted["id"] != payload["id"]
    assert curl("-X", "DELETE", payload["purgeHistoryDeleteUri"])[2] == '{"instancesDeleted":1}'
    assert curl(payload["statusQueryGetUri"])[0] == "HTTP/1.1 404 Not Found"


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_start_waits_for_its_output(site: Start) -> None:
    http = site().http
    # Whoever waited for the whole of it would outlast the client.
    wait = f"?timeout={2 * PATIENCE}&pollingInterval={PATIENCE}"
    response = http.post(f"/runtime/webhooks/durabletask/orchestrators/Echo{wait}", json=[1, "a"])
    assert (response.status_code, response.json()) == (200, [1, "a"])
    failed = http.post(f"/orchestrators/Fragile{wait}", json="/nowhere")
    assert (failed.status_code, failed.json()["runtimeStatus"]) == (200, "Failed")
    failed = http.post(f"/orchestrators/Fragile{wait}&returnInternalServerErrorOnFailure=true", json="/nowhere")
    assert (failed.status_code, failed.json()["runtimeStatus"]) == (500, "Failed")
    began = time.monotonic()
    slow = http.post("/orchestrators/Approval?timeout=1&pollingInterval=0.5")
    assert slow.status_code == 202
    assert "statusQueryGetUri" in slow.json()
    assert time.monotonic() - began > 0.5


def test_those_who_wait_leave_room_for_others(site: Start) -> None:
    started = site()
    root = "/runtime/webhooks/durabletask"
    longest = host_settings().max_http_waits
    with ThreadPoolExecutor(24) as pool:

        def wait() -> int:
            address = f"{started.url}/orchestrators/Approval?timeout={2 * PATIENCE}&pollingInterval=1"
            return httpx.post(address, timeout=3 * PATIENCE).status_code

        # given: more who would wait than the server has threads
        waits = [pool.submit(wait) for _ in range(24)]
        # then: all but a few are told at once where to look, and while those few wait, others are served
        wait_until(lambda: sum(one.done() for one in waits) == 24 - longest, "the others to be answered")
        assert started.http.get(f"{root}/instances?top=1").status_code == 200
        assert sum(one.done() for one in waits) == 24 - longest
        # when: what they wait for comes
        for instance in started.http.get(f"{root}/instances").json():
            started.http.post(f"{root}/instances/{instance['instanceId']}/raiseEvent/Approval", json=True)
        assert Counter(one.result() for one in waits) == {202: 24 - longest, 200: longest}


@pytest.mark.once
def test_a_body_without_a_length_is_read(site: Start) -> None:
    http = site().http

    def pieces() -> Any:
        yield b'{"a":'
        yield b" 1}"

    response = http.post(
        f"/orchestrators/Echo?timeout={PATIENCE}&pollingInterval=1",
        content=pieces(),
        headers={"Content-Type": "application/json"},
    )
    assert (response.status_code, response.json()) == (200, {"a": 1})


# --- the client library of Durable Functions --------------------------------------------------------------------------


def binding(url: str) -> str:
    """What the Functions host tells the client library, pointed at this host."""
    hook = f"{url}/runtime/webhooks/durabletask"
    query = "taskHub=default&connection=Storage&code=KEY"
    instance = f"{hook}/instances/INSTANCEID"
    create = f"{hook}/orchestrators/{{functionName}}[/{{instanceId}}]?code=KEY"
    management = {
        "id": "INSTANCEID",
        "statusQueryGetUri": f"{instance}?{query}",
        "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
        "terminatePostUri": f"{instance}/terminate?reason={{text}}&{query}",
        "rewindPostUri": f"{instance}/rewind?reason={{text}}&{query}",
        "purgeHistoryDeleteUri": f"{instance}?{query}",
        "restartPostUri": f"{instance}/restart?{query}",
        "suspendPostUri": f"{instance}/suspend?reason={{text}}&{query}",
        "resumePostUri": f"{instance}/resume?reason={{text}}&{query}",
    }
    return json.dumps(
        {
            "taskHubName": "default",
            "creationUrls": {"createNewInstancePostUri": create, "createAndWaitOnNewInstancePostUri": create},
            "managementUrls": management,
            "baseUrl": hook,
            "requiredQueryStringParameters": "code=KEY",
            "rpcBaseUrl": f"{url}/durabletask/",
        }
    )


def with_client(url: str, session: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run a session with the unmodified client."""

    async def run() -> None:
        try:
            await session(df.DurableOrchestrationClient(binding(url), function_invocation_id="0b1d"))
        finally:
            await http_utils._close_session()

    asyncio.run(run())


async def status_in(client: Any, instance_id: str, wanted: df.OrchestrationRuntimeStatus) -> Any:
    """Poll until an instance has the status."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = await client.get_status(instance_id)
        if status and status.runtime_status is wanted:
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(f"{instance_id} is {status.runtime_status}, not {wanted}")


def test_the_client_library_walks_every_call(site: Start, tmp_path: Path) -> None:
    url = site().url
    of = df.OrchestrationRuntimeStatus

    async def session(client: Any) -> None:
        began = datetime.now(UTC) - timedelta(minutes=1)
        # start_new: an input of every shape, an id of one's own, a version, no input
        for given in ({"a": [1, 2]}, [1], "text", "5", 5, 0, 1.5, False, {}, '{"not": "unwrapped twice"}', "ü\n"):
            instance_id = await client.start_new("Echo", client_input=given)
            assert (await status_in(client, instance_id, of.Completed)).output == given
        assert await client.start_new("Echo", instance_id="fixed-1", version="1.0") == "fixed-1"
        assert (await status_in(client, "fixed-1", of.Completed)).output is None
        with pytest.raises(Exception, match="No orchestrator 'Nope'"):
            await client.start_new("Nope")

        # get_status, with history
        instance_id = await client.start_new("Cities", client_input="unused")
        await status_in(client, instance_id, of.Completed)
        status = await client.get_status(instance_id, show_history=True, show_history_output=True, show_input=True)
        assert status.name == "Cities"
        assert status.instance_id == instance_id
        assert status.input_ == "unused"
        assert status.created_time <= status.last_updated_time
        assert [one["EventType"] for one in status.historyEvents][1:-1] == ["TaskCompleted"] * 3
        assert status.historyEvents[1]["Result"] == "Hello Tokyo!"
        assert not await client.get_status("nobody")

        # raise_event, duplicates, suspend, resume, terminate
        waiting = await client.start_new("Approval", "waiting", {"what": "tea"})
        with pytest.raises(Exception, match="already exists"):
            await client.start_new("Approval", "waiting")
        await status_in(client, waiting, of.Running)
        await client.suspend(waiting, "lunch, for an hour")
        await status_in(client, waiting, of.Suspended)
        await client.raise_event(waiting, "approval", {"by": "ann"}, task_hub_name="default")
        await client.resume(waiting, "back")
        output = (await status_in(client, waiting, of.Completed)).output
        assert output == {"what": {"what": "tea"}, "answer": {"by": "ann"}}
        with pytest.raises(Exception, match="is gone"):
            await client.raise_event(waiting, "Approval", 1)
        with pytest.raises(Exception, match="No instance with ID nobody found"):
            await client.raise_event("nobody", "Approval", 1)
        for answer in ("text", None, 0, [1]):
            waiting = await client.start_new("Approval")
            await client.raise_event(waiting, "Approval", answer)
            assert (await status_in(client, waiting, of.Completed)).output["answer"] == answer
        waiting = await client.start_new("Approval", "ended")
        await client.terminate(waiting, "no more tea")
        assert (await status_in(client, waiting, of.Terminated)).output == "no more tea"
        await client.terminate(waiting, "again")  # gone: the library takes it for done
        with pytest.raises(Exception, match="No instance with ID 'nobody' found"):
            await client.terminate("nobody", "x")

        # rewind
        mended = tmp_path / "mended"
        broken = await client.start_new("Fragile", client_input=str(mended))
        assert "not mended yet" in (await status_in(client, broken, of.Failed)).output
        mended.touch()
        await client.rewind(broken, "mended")
        assert (await status_in(client, broken, of.Completed)).output == "mended"
        with pytest.raises(Exception, match="only supported on failed"):
            await client.rewind(broken, "again")

        # restart, where the library has it
        if hasattr(client, "restart"):
            answer = await client.restart("fixed-1")
            restarted = answer["id"] if isinstance(answer, dict) else answer
            assert restarted != "fixed-1"
            await status_in(client, restarted, of.Completed)

        # lists
        found = await client.get_status_by(began, datetime.now(UTC) + timedelta(minutes=1), [of.Terminated, of.Failed])
        assert [one.instance_id for one in found] == ["ended"]
        assert [one.instance_id for one in await client.get_status_by(instance_id_prefix="fix")] == ["fixed-1"]
        assert len(await client.get_status_all()) >= 18

        # entities are not there, and the library takes that well
        state = await client.read_entity_state(df.EntityId("Counter", "k1"))
        assert not state.entity_exists

        # waiting, and the library's own addresses
        request = type("Request", (), {"url": f"{url}/api/x"})()
        response = await client.wait_for_completion_or_create_check_status_response(request, "fixed-1", 5000, 100)
        assert response.status_code == 200
        waiting = await client.start_new("Approval")
        response = await client.wait_for_completion_or_create_check_status_response(request, waiting, 300, 100)
        assert response.status_code == 202
        assert json.loads(response.get_body())["id"] == waiting

        # purging
        assert (await client.purge_instance_history("fixed-1")).instances_deleted == 1
        assert (await client.purge_instance_history("fixed-1")).instances_deleted == 0
        purged = await client.purge_instance_history_by(began, None, [of.Terminated])
        assert purged.instances_deleted == 1
        assert not await client.get_status("ended")
        purged = await client.purge_instance_history_by(began)
        assert purged.instances_deleted >= 16

    with_client(url, session)
    assert set(Instance.objects.values_list("name", flat=True)) == {"Approval"}


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_no_log_of_the_web_server_holds_a_secret(site: Start) -> None:
    started = site("--access-logfile", "-", "--log-level", "debug", LOG_LEVEL="DEBUG", LOG_FORMAT="json", workers=False)
    key = keys.create("default", "loud", list(Scope))[1]
    bogus = "dk_0123456789ab_" + "s" * 43
    http, root = started.http, f"{started.url}/runtime/webhooks/durabletask"
    payload = http.post(f"{root}/orchestrators/Approval?code={key}").json()
    for secret in (key, bogus, "pass word"):
        http.get(f"{root}/instances", params={"code": secret})
        http.get(f"{root}/instances/nobody", headers={"x-functions-key": secret, "Referer": f"{root}?code={secret}"})
        http.get(f"{root}/nothing/at/all", params={"CODE": secret}, headers={"Authorization": f"Bearer {secret}"})
        http.put(f"{root}/instances", params={"code": secret})
    for uri in list(payload.values())[1:]:
        http.post(uri)
        http.get(uri)
    wait_until(lambda: started.output().count("/runtime/webhooks/durabletask/") > 20, "the lines of the log")
    output = started.output()
    tokens = [uri.partition("code=")[2] for uri in list(payload.values())[1:]]
    for secret in (key, key.split("_", 2)[2], bogus, "pass word", "pass%20word", "pass+word", *tokens):
        assert secret not in output
    assert ApiKey.objects.get().last_used_at is not None
