"""Every route with every status of Durable Functions' contract, in this process."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from durable_host.client import DurableClient
from tests.api.conftest import Api
from tests.store.workbench import row_counts

pytestmark = pytest.mark.store

ALL_URIS = [
    "id",
    "statusQueryGetUri",
    "sendEventPostUri",
    "terminatePostUri",
    "rewindPostUri",
    "purgeHistoryDeleteUri",
    "restartPostUri",
    "suspendPostUri",
    "resumePostUri",
]


def here(uri: str) -> str:
    """A URI without scheme and host."""
    parts = urlsplit(uri)
    return f"{parts.path}?{parts.query}"


def is_problem(response: Any, status: int, *words: str) -> bool:
    """Check that a response is an error in Azure's shape which says these words."""
    body = response.json()
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    assert set(body) == {"Message", "ExceptionMessage", "ExceptionType"}
    assert all(word in body["ExceptionMessage"] for word in words), body
    return True


# --- starting ---------------------------------------------------------------------------------------------------------


def test_a_start_answers_with_every_address(api: Api) -> None:
    response = api.post("orchestrators/Echo", '{"day": 1}')
    payload = response.json()
    assert response.status_code == 202
    assert response["Location"] == payload["statusQueryGetUri"]
    assert response["Retry-After"] == "10"
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    assert list(payload) == ALL_URIS
    base = f"http://testserver/runtime/webhooks/durabletask/instances/{payload['id']}"
    tails = {
        "statusQueryGetUri": "?",
        "sendEventPostUri": "/raiseEvent/{eventName}?",
        "terminatePostUri": "/terminate?reason={text}&",
        "rewindPostUri": "/rewind?reason={text}&",
        "purgeHistoryDeleteUri": "?",
        "restartPostUri": "/restart?",
        "suspendPostUri": "/suspend?reason={text}&",
        "resumePostUri": "/resume?reason={text}&",
    }
    for name, tail in tails.items():
        assert payload[name].startswith(f"{base}{tail}taskHub=default&connection=Storage&code=dt_"), payload[name]
    assert api.key not in response.content.decode()
    assert len(payload["id"]) == 32


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/orchestrators/Echo", "/admin/extensions/DurableTaskExtension/"),
        ("/orchestrators/Echo/", "/admin/extensions/DurableTaskExtension/"),
        ("/admin/extensions/DurableTaskExtension/orchestrators/Echo", "/admin/extensions/DurableTaskExtension/"),
        ("/runtime/webhooks/durabletask/Orchestrators/Echo/", "/runtime/webhooks/durabletask/instances/"),
        ("/durabletask/orchestrators/Echo", "/runtime/webhooks/durabletask/instances/"),
    ],
)
def test_every_mount_starts_and_its_addresses_work(api: Api, path: str, base: str) -> None:
    payload = api.post(path, "5").json()
    api.work()
    assert urlsplit(payload["statusQueryGetUri"]).path == f"{base}{payload['id']}"
    response = api.get(here(payload["statusQueryGetUri"]), key="")
    assert response.status_code == 200
    assert response.json()["output"] == 5


def test_a_start_with_an_id_version_tags_and_a_time(api: Api) -> None:
    query = "version=2.1&tag=team:blue&tag=a%3Ab%3Ac&scheduledStartTime=2999-01-01T00:00:00%2B02:00"
    response = api.post(f"orchestrators/Echo/mine?{query}")
    assert response.json()["id"] == "mine"
    status = api.get("instances/mine").json()
    assert status["runtimeStatus"] == "Pending"
    assert status["version"] == "2.1"
    assert status["tags"] == {"team": "blue", "a": "b:c"}
    assert status["scheduledStartTime"] == "2998-12-31T22:00:00Z"


@pytest.mark.parametrize("instance_id", ["with space", "prozent%25", "ümlaut", "a:b:0001", "instances", "x" * 256])
@pytest.mark.parametrize("start", ["/orchestrators/Echo", "orchestrators/Echo"])
def test_addresses_carry_any_id(api: Api, instance_id: str, start: str) -> None:
    payload = api.post(f"{start}/{instance_id}", "1").json()
    assert payload["id"] == unquote(instance_id)
    assert api.get(here(payload["statusQueryGetUri"]), key="").json()["instanceId"] == payload["id"]
    assert api.post(here(payload["suspendPostUri"].replace("{text}", "w")), key="").status_code == 202


@pytest.mark.case(17)
def test_a_duplicate_is_409_and_400_where_the_client_library_asks(api: Api) -> None:
    api.start("Approval", instance_id="one")
    assert is_problem(api.post("orchestrators/Approval/one"), 409, "'one' already exists and is Running")
    assert is_problem(api.post("/durabletask/orchestrators/Approval/one"), 400, "'one' already exists")
    api.start("Echo", instance_id="two")
    assert api.post("orchestrators/Echo/two").status_code == 202  # a finished one is replaced


def test_an_unknown_orchestrator_is_named(api: Api) -> None:
    for path in ("orchestrators/DoWrok", "/orchestrators/DoWrok", "/durabletask/orchestrators/DoWrok"):
        assert is_problem(api.post(path), 400, "No orchestrator 'DoWrok'", "Did you mean 'DoWork'?")


def test_an_input_that_does_not_fit_is_refused(api: Api) -> None:
    assert api.post("orchestrators/Typed", '{"item": "tea", "amount": 2}').status_code == 202
    assert is_problem(api.post("orchestrators/Typed", '{"item": "tea"}'), 400, "'order'", "amount: Field required")


def test_only_the_library_mount_unwraps_json_within_json(api: Api) -> None:
    for path, expected in (("/durabletask/orchestrators/Echo", {"a": 1}), ("orchestrators/Echo", '{"a": 1}')):
        instance_id = api.post(path, json.dumps('{"a": 1}')).json()["id"]
        api.work()
        assert api.get(f"instances/{instance_id}").json()["output"] == expected


# --- one instance -----------------------------------------------------------------------------------------------------


def test_a_running_instance_is_202_with_an_address_without_the_key(api: Api) -> None:
    instance_id = api.start("Approval", '"tea"')
    for path in (f"instances/{instance_id}", f"/admin/extensions/DurableTaskExtension/{instance_id}"):
        response = api.get(f"{path}?showInput=TRUE&code={api.key}", key="")
        assert response.status_code == 202
        assert response["Retry-After"] == "5"
        assert "showInput=TRUE" in response["Location"]
        assert api.key not in response["Location"]
        assert urlsplit(response["Location"]).path in (path, f"{api.root}/{path}")
        assert api.get(here(response["Location"]), key="").status_code == 202


def test_a_status_has_the_fields_of_durable_functions(api: Api) -> None:
    status = api.get(f"instances/{api.start('Echo', '[1, null]')}").json()
    expected = [
        "name",
        "instanceId",
        "runtimeStatus",
        "input",
        "customStatus",
        "output",
        "createdTime",
        "lastUpdatedTime",
    ]
    assert list(status) == expected
    assert status["input"] == status["output"] == [1, None]
    assert status["createdTime"].endswith("Z")
    assert len(status["createdTime"]) == len("2017-03-16T21:20:47Z")


def test_an_input_is_hidden_on_demand(api: Api) -> None:
    instance_id = api.start("Cities")
    api.start("Echo", '"secret"', "other")
    assert api.get("instances/other?SHOWINPUT=False").json()["input"] is None
    entries = api.get(f"instances/{instance_id}?showHistory=1&showInput=false").json()["historyEvents"]
    assert not any("Input" in entry for entry in entries)


def test_a_history_is_projected(api: Api) -> None:
    instance_id = api.start("Cities")
    assert "historyEvents" not in api.get(f"instances/{instance_id}").json()
    entries = api.get(f"instances/{instance_id}?showHistory=true").json()["historyEvents"]
    assert [entry["EventType"] for entry in entries] == [
        "ExecutionStarted",
        *["TaskCompleted"] * 3,
        "ExecutionCompleted",
    ]
    assert not any("Result" in entry for entry in entries)
    assert set(entries[1]) == {"EventType", "FunctionName", "Input", "ScheduledTime", "Timestamp"}
    assert entries[1]["ScheduledTime"] <= entries[1]["Timestamp"]
    entries = api.get(f"instances/{instance_id}?showhistory=true&showHistoryOutput=true").json()["historyEvents"]
    assert [entry.get("Result") for entry in entries][1:] == [
        "Hello Tokyo!",
        "Hello Seattle!",
        "Hello London!",
        ["Hello Tokyo!", "Hello Seattle!", "Hello London!"],
    ]
    assert entries[-1]["OrchestrationStatus"] == "Completed"


def test_a_failed_instance_is_200_and_500_on_demand(api: Api) -> None:
    instance_id = api.start("Fragile", '"/nowhere"')
    response = api.get(f"instances/{instance_id}")
    assert response.status_code == 200
    assert response.json()["runtimeStatus"] == "Failed"
    assert response.json()["output"].startswith("Orchestrator function 'Fragile' failed: ")
    assert "not mended yet" in response.json()["output"]
    response = api.get(f"instances/{instance_id}?returnInternalServerErrorOnFailure=true")
    assert response.status_code == 500
    assert response.json()["runtimeStatus"] == "Failed"
    entries = api.get(f"instances/{instance_id}?showHistory=true").json()["historyEvents"]
    assert [entry["EventType"] for entry in entries[1:]] == ["TaskFailed", "ExecutionCompleted"]
    assert "not mended yet" in entries[1]["Reason"]
    assert "Traceback" not in json.dumps(entries)
    assert "functions.py" not in json.dumps(entries)


@pytest.mark.case(15)
def test_an_unknown_instance_is_404_everywhere(api: Api) -> None:
    for mount in (
        "/runtime/webhooks/durabletask/instances",
        "/admin/extensions/DurableTaskExtension",
        "/durabletask/instances",
    ):
        assert is_problem(api.get(f"{mount}/nobody"), 404, "No instance 'nobody'")
        assert is_problem(api.delete(f"{mount}/nobody"), 404)
        for operation in ("raiseEvent/x", "terminate", "suspend", "resume", "rewind"):
            assert is_problem(api.post(f"{mount}/nobody/{operation}"), 404, "'nobody'")
    assert is_problem(api.post("instances/nobody/restart"), 404)
    text = "InstanceId does not match a valid orchestration instance."
    assert is_problem(api.post("/durabletask/instances/nobody/restart"), 400, text)
    assert not any(row_counts().values())  # an event is kept for nobody


# --- steering ---------------------------------------------------------------------------------------------------------


def test_an_event_is_taken_whatever_the_case_of_its_name(api: Api) -> None:
    instance_id = api.start("Approval", '"tea"')
    response = api.post(f"instances/{instance_id}/RAISEEVENT/approval", "true")
    assert (response.status_code, response.content) == (202, b"")
    api.work()
    assert api.get(f"instances/{instance_id}").json()["output"] == {"what": "tea", "answer": True}


def test_an_event_without_data_is_null(api: Api) -> None:
    instance_id = api.start("Approval")
    assert api.post(f"instances/{instance_id}/raiseEvent/Approval").status_code == 202
    api.work()
    assert api.get(f"instances/{instance_id}").json()["output"] == {"what": None, "answer": None}


@pytest.mark.case(16)
def test_a_finished_instance_is_gone(api: Api) -> None:
    instance_id = api.start("Echo")
    for operation in ("raiseEvent/x", "terminate", "suspend", "resume", "rewind"):
        assert is_problem(api.post(f"instances/{instance_id}/{operation}"), 410, "Completed")
    assert row_counts()["PendingEvent"] == 0


def test_suspend_resume_terminate(api: Api) -> None:
    instance_id = api.start("Approval")

    def status_after(operation: str) -> str:
        assert api.post(f"instances/{instance_id}/{operation}?reason=why%20not").status_code == 202
        api.work()
        return str(api.get(f"instances/{instance_id}").json()["runtimeStatus"])

    assert is_problem(api.post(f"instances/{instance_id}/resume"), 409, "it is Running")
    assert status_after("suspend") == "Suspended"
    assert is_problem(api.post(f"instances/{instance_id}/Suspend"), 409, "it is Suspended")
    assert status_after("resume") == "Running"
    assert is_problem(api.post(f"instances/{instance_id}/rewind"), 409, "only while it is Failed")
    assert is_problem(api.delete(f"instances/{instance_id}"), 409, "Cannot purge")
    assert status_after("terminate") == "Terminated"
    assert api.get(f"instances/{instance_id}").json()["output"] == "why not"
    events = [event.event_type for event in DurableClient().get_history(instance_id)]
    assert {"ExecutionSuspended", "ExecutionResumed", "ExecutionTerminated"} <= set(events)


def test_rewind_repairs(api: Api, tmp_path: Any) -> None:
    mended = tmp_path / "mended"
    instance_id = api.start("Fragile", json.dumps(str(mended)))
    mended.touch()
    assert api.post(f"instances/{instance_id}/rewind?reason=mended").status_code == 202
    api.work()
    assert api.get(f"instances/{instance_id}").json()["output"] == "mended"


def test_restart(api: Api) -> None:
    instance_id = api.start("Echo", '"again"', "first")
    response = api.post(f"instances/{instance_id}/restart")
    assert response.status_code == 202
    assert response.json()["id"] != "first"
    assert list(response.json()) == ALL_URIS
    api.work()
    assert api.get(f"instances/{response.json()['id']}").json()["output"] == "again"
    same = api.post(f"instances/{instance_id}/restart?restartWithNewInstanceId=false")
    assert same.json()["id"] == "first"
    api.start("Approval", instance_id="open")
    assert is_problem(api.post("instances/open/restart?restartWithNewInstanceId=false"), 409)


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_wait_that_is_too_short_starts_nothing(api: Api) -> None:
    response = api.post("orchestrators/Echo/w?timeout=1&pollingInterval=2")
    assert is_problem(response, 400, "Total timeout 1 should be bigger than retry timeout 2")
    assert api.get("instances/w").status_code == 404


def test_one_figure_alone_does_not_wait(api: Api) -> None:
    assert api.post("orchestrators/Approval?timeout=30").status_code == 202
    assert api.post("orchestrators/Approval?pollingInterval=30").status_code == 202


def test_a_wait_ends_with_the_addresses(api: Api) -> None:
    response = api.post(
        "orchestrators/Approval?timeout=0.2&pollingInterval=0.1&returnInternalServerErrorOnFailure=true"
    )
    assert response.status_code == 202
    assert list(response.json()) == ALL_URIS
    assert response["Location"].endswith("&returnInternalServerErrorOnFailure=true")


# --- lists and purges -------------------------------------------------------------------------------------------------


def ids(response: Any) -> list[str]:
    """The ids of a list."""
    assert response.status_code == 200, response.content
    return [status["instanceId"] for status in response.json()]


def test_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        api.post(f"orchestrators/Echo/i{number}")
    seen: list[str] = []
    headers: dict[str, str] = {}
    for _ in range(3):
        response = api.get("instances/?top=2", **headers)
        seen += ids(response)
        headers = {"x-ms-continuation-token": response.get("x-ms-continuation-token", "")}
    assert seen == ["i4", "i3", "i2", "i1", "i0"]
    assert not headers["x-ms-continuation-token"]
    assert ids(api.get("instances?order=oldest")) == sorted(seen)
    assert is_problem(api.get("instances", **{"x-ms-continuation-token": "bogus"}), 400, "continuation token")


def test_a_list_can_be_filtered(api: Api) -> None:
    api.start("Echo", '"secret"', "e1")
    api.start("Approval", instance_id="a1")
    api.post("orchestrators/Approval/a2?tag=team:blue")
    api.post("orchestrators/DoWork/d1")
    api.work()

    def found(query: str) -> list[str]:
        return sorted(ids(api.get(f"instances?{query}")))

    assert found("runtimeStatus=Completed") == ["e1"]
    assert found("runtimestatus=Completed,Running") == ["a1", "a2", "d1", "e1"]
    assert found("runtimeStatus=Completed&runtimeStatus=Pending") == ["e1"]
    assert found("instanceIdPrefix=a") == ["a1", "a2"]
    assert found("name=Approval&tag=team:blue") == ["a2"]
    assert found("customStatus=quoted") == ["d1"]
    assert found('customStatus=a "quoted" word') == ["d1"]
    assert found("customStatus=QUOTED") == []
    assert found("customStatus=%25") == []
    assert found("createdTimeFrom=2999-01-01") == []
    assert found("createdTimeTo=2999-01-01T00:00:00Z&createdTimeFrom=2020-01-01T00:00:00%2B01:00") != []
    assert found("runtimeStatus=&createdTimeFrom=&top=") == ["a1", "a2", "d1", "e1"]
    shown = {status["instanceId"]: status for status in api.get("instances?showInput=false").json()}
    assert shown["e1"]["input"] is None
    assert {status["instanceId"]: status for status in api.get("instances").json()}["e1"]["input"] == "secret"


def test_purging(api: Api) -> None:
    for instance_id in ("one", "two", "three"):
        api.start("Echo", instance_id=instance_id)
    api.start("Approval", instance_id="open")
    assert api.delete("instances/one").json() == {"instancesDeleted": 1}
    assert is_problem(api.delete("instances/"), 400, "Please provide value for 'createdTimeFrom' parameter.")
    assert is_problem(api.delete("instances?createdTimeFrom=2020-01-01&runtimeStatus=Failed"), 404)
    response = api.delete("instances/?createdTimeFrom=2020-01-01&runtimeStatus=Completed")
    assert (response.status_code, response.json()) == (200, {"instancesDeleted": 2})
    assert ids(api.get("instances")) == ["open"]
    assert is_problem(api.delete("instances?createdTimeFrom=2020-01-01"), 404)
