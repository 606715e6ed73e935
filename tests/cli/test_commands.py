"""The subcommands on rows that no worker has taken."""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from durable_host.client import DurableClient
from durable_host.core.status import RuntimeStatus
from durable_host.models import Instance
from tests.cli.conftest import durable, finish, start

pytestmark = [pytest.mark.store, pytest.mark.django_db]


def ids(*filters: str) -> list[str]:
    return [item["instanceId"] for item in durable("list", "--json", *filters).json()["items"]]


# --- starting ---------------------------------------------------------------------------------------------------------


def test_the_id_alone_is_the_result() -> None:
    answer = durable("start-new", "cli_shout", "--input", '"hi"')

    assert answer.code == 0
    (instance_id,) = answer.out.split()
    assert f"get-status {instance_id} --wait" in answer.err
    status = DurableClient().get_status(instance_id)
    assert status is not None
    assert (status.name, status.input, status.runtime_status) == ("cli_shout", "hi", RuntimeStatus.PENDING)


def test_all_options_of_a_start() -> None:
    when = "2127-03-01T18:30:00Z"
    start("s1", "--tag", "team=rail", "--tag", "a=b=c", "--version", "7", "--start-at", when)

    data = durable("get-status", "s1", "--json").json()
    assert data["tags"] == {"team": "rail", "a": "b=c"}
    assert (data["version"], data["scheduledTime"], data["runtimeStatus"]) == ("7", when, "Pending")


def test_a_start_after_a_while() -> None:
    start("s1", "--in", "2h")
    status = DurableClient().get_status("s1")
    assert status is not None
    assert status.scheduled_at is not None
    assert 7190 < (status.scheduled_at - datetime.now(UTC)).total_seconds() <= 7200


def test_input_from_a_file_and_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.json").write_text('"file"')
    start("s1", "--input", f"@{tmp_path}/in.json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'"stdin"')))
    start("s2", "--input", "-")

    assert [durable("get-status", one, "--json").json()["input"] for one in ("s1", "s2")] == ["file", "stdin"]


def test_start_unless_it_runs() -> None:
    start("s1")
    refused = durable("start-new", "cli_shout", "--instance-id", "s1")
    accepted = durable("start-new", "cli_shout", "--instance-id", "s1", "--if-not-running", "--json")

    assert refused.code == 5
    assert "already exists and is Pending" in refused.err
    assert accepted.code == 0
    assert accepted.json() == {"instanceId": "s1", "started": False}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["cli_shuot"], 4, "Did you mean 'cli_shout'"),
        (["cli_shout", "--input", "5"], 2, "'text'"),
        (["cli_shout", "--input", "{"], 2, "not"),
        (["cli_shout", "--input", "@/nowhere"], 2, "No such file"),
        (["cli_shout", "--instance-id", "a/b"], 2, "'a/b'"),
        (["cli_shout", "--instance-id", "a\udcff"], 2, "not UTF-8"),
        (["cli_shout", "--if-not-running"], 2, "--instance-id"),
        (["cli_shout", "--tag", "a=1", "--tag", "a=2"], 2, "twice"),
        (["cli_shout", "--in", "1h", "--start-at", "2127-01-01"], 2, "not allowed with"),
        (["cli_shout", "--inp", "5"], 2, "unrecognized"),
    ],
)
def test_a_start_that_is_refused_stores_nothing(arguments: list[str], code: int, says: str) -> None:
    answer = durable("start-new", *arguments)

    assert answer.code == code
    assert says in answer.err
    assert not Instance.objects.exists()


# --- looking ----------------------------------------------------------------------------------------------------------


def test_the_keys_of_a_status() -> None:
    start("s1")
    data = durable("get-status", "s1", "--json").json()
    assert list(data) == [
        "instanceId",
        "name",
        "version",
        "runtimeStatus",
        "createdTime",
        "lastUpdatedTime",
        "completedTime",
        "scheduledTime",
        "input",
        "output",
        "customStatus",
        "failure",
        "tags",
        "parentInstanceId",
        "execution",
        "stallReason",
    ]
    assert data["createdTime"].endswith("Z")
    assert "input" not in durable("get-status", "s1", "--json", "--no-input").json()


def test_a_status_for_people_leaves_out_what_there_is_not() -> None:
    start("s1", "--input", '"hi"', "--tag", "team=rail")
    out = durable("get-status", "s1").out
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "Instance",
        "Orchestrator",
        "Status",
        "Created",
        "Updated",
        "Tags",
        "Input",
    ]
    assert "Input" not in durable("get-status", "s1", "--no-input").out


def test_filters_of_the_list() -> None:
    start("a-1", "--tag", "team=rail", "--tag", "x=1")
    start("a-2", "--tag", "team=rail")
    start("b-1")
    finish("b-1", RuntimeStatus.FAILED)

    assert ids() == ["b-1", "a-2", "a-1"]
    assert ids("--status", "failed,completed") == ["b-1"]
    assert ids("--status", "Failed", "--status", "Pending") == ["b-1", "a-2", "a-1"]
    assert ids("--id-prefix", "a-") == ["a-2", "a-1"]
    assert ids("--tag", "team=rail", "--tag", "x=1") == ["a-1"]
    assert ids("--name", "other") == []
    assert ids("--since", "1h") == ["b-1", "a-2", "a-1"]
    assert ids("--until", "1h") == []


def test_a_list_goes_on_where_it_ended() -> None:
    for number in range(5):
        start(f"s{number}")
    first = durable("list", "--json", "--limit", "3").json()
    second = durable("list", "--json", "--limit", "3", "--continuation", first["continuation"]).json()

    assert [item["instanceId"] for item in first["items"] + second["items"]] == ["s4", "s3", "s2", "s1", "s0"]
    assert second["continuation"] is None
    assert durable("list", "--continuation", "nonsense").code == 2
    assert first["continuation"] in durable("list", "--limit", "3").err


def test_a_list_in_a_pipe_has_a_line_for_each_instance_and_cuts_nothing() -> None:
    long_id = "x" * 256
    start(long_id)
    start("s1")
    finish("s1", RuntimeStatus.FAILED, stall_reason="first line\nsecond\x1b[31m")
    lines = durable("list").out.splitlines()

    assert len(lines) == 3
    assert lines[0].split()[:3] == ["INSTANCE", "ORCHESTRATOR", "STATUS"]
    assert lines[1].split()[:3] == ["s1", "cli_shout", "Failed"]
    assert "first line\\nsecond\\x1b[31m" in lines[1]
    assert lines[2].split()[:3] == [long_id, "cli_shout", "Pending"]


def test_an_empty_list() -> None:
    assert durable("list", "--json").json() == {"items": [], "continuation": None}
    answer = durable("list")
    assert (answer.code, answer.out, answer.err) == (0, "", "No instance matches.\n")


def test_a_history_before_the_first_turn() -> None:
    start("s1")
    assert durable("get-history", "s1", "--json").json() == {
        "instanceId": "s1",
        "execution": 0,
        "entries": [],
        "hiddenMarkers": 0,
    }
    assert "no worker has taken it" in durable("get-history", "s1").err
    missing = durable("get-history", "s1", "--execution", "3")
    assert missing.code == 4
    assert "the latest is 0" in missing.err


# --- steering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["get-status", "nobody"],
        ["get-status", "nobody", "--wait"],
        ["get-history", "nobody"],
        ["raise-event", "nobody", "Go"],
        ["terminate", "nobody"],
        ["suspend", "nobody"],
        ["resume", "nobody"],
        ["rewind", "nobody"],
        ["restart", "nobody"],
        ["purge", "nobody"],
    ],
)
def test_an_unknown_instance(arguments: list[str]) -> None:
    answer = durable(*arguments)
    assert answer.code == 4
    assert "No instance 'nobody' exists" in answer.err


@pytest.mark.parametrize("operation", [["raise-event", "s1", "Go"], ["terminate", "s1"], ["suspend", "s1"]])
def test_what_a_finished_instance_does_not_take(operation: list[str]) -> None:
    start("s1")
    accepted = durable(*operation, "--json")
    assert accepted.code == 0
    assert accepted.json()["operation"] == operation[0]
    finish("s1")

    refused = durable(*operation)
    assert refused.code == 5
    assert "it is Completed" in refused.err


@pytest.mark.parametrize(
    "operation", [["resume", "s1"], ["rewind", "s1"], ["restart", "s1", "--same-id"], ["purge", "s1"]]
)
def test_what_an_unfinished_instance_does_not_take(operation: list[str]) -> None:
    start("s1")
    refused = durable(*operation)
    assert refused.code == 5
    assert "it is Pending" in refused.err


def test_events_carry_json() -> None:
    start("s1")
    assert durable("raise-event", "s1", "Go", "--data", '{"a": 1}').out == "Sent event Go to s1.\n"
    refused = durable("raise-event", "s1", "Go", "--data", "yes")
    assert refused.code == 2
    assert "The data of event 'Go'" in refused.err


def test_restart_gives_a_new_id_or_keeps_the_old_one() -> None:
    start("s1", "--input", '"hi"')
    finish("s1")

    fresh = durable("restart", "s1").out.strip()
    assert fresh != "s1"
    assert durable("get-status", fresh, "--json").json()["input"] == "hi"
    assert durable("restart", "s1", "--same-id", "--json").json() == {"instanceId": "s1", "started": True}
    assert ids("--status", "Pending") == ["s1", fresh]


def test_purge_one_and_by_filter() -> None:
    for number in range(4):
        start(f"s{number}")
        finish(f"s{number}")
    start("running")

    assert durable("purge", "s0").out == "Removed 1 instance.\n"
    assert durable("purge", "--status", "Completed", "--before", "0s").code == 2, "asked nobody"
    assert durable("purge", "--id-prefix", "s", "--yes", "--json").json() == {"operation": "purge", "removed": 3}
    assert durable("purge", "--before", "0s", "--yes").out == "Removed 0 instances.\n"
    assert ids() == ["running"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Say what to purge"),
        (["--yes"], "Say what to purge"),
        (["s1", "--before", "1d"], "not both"),
        (["--status", "Running", "--yes"], "terminate others first"),
    ],
)
def test_a_purge_that_is_refused(arguments: list[str], says: str) -> None:
    answer = durable("purge", *arguments)
    assert answer.code == 2
    assert says in answer.err


@pytest.mark.parametrize(("reply", "code", "left"), [("y\n", 0, 0), ("n\n", 130, 2), ("", 130, 2)])
def test_purge_asks_a_person(monkeypatch: pytest.MonkeyPatch, reply: str, code: int, left: int) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for number in range(2):
        start(f"s{number}")
        finish(f"s{number}")
    monkeypatch.setattr(sys, "stdin", Terminal(reply))

    assert durable("purge", "--name", "cli_shout").code == code
    assert Instance.objects.count() == left


# --- catalogue, errors ------------------------------------------------------------------------------------------------


def test_the_catalogue() -> None:
    data = durable("functions", "--json").json()
    shout = next(one for one in data["orchestrators"] if one["name"] == "cli_shout")
    upper = next(one for one in data["activities"] if one["name"] == "cli_upper")

    assert shout == {
        "name": "cli_shout",
        "kind": "orchestrator",
        "inputName": "text",
        "inputType": "str",
        "inputRequired": False,
        "resultType": "str",
        "doc": "Shout a text.\n\nMore about it.",
    }
    assert (upper["queue"], upper["timeoutSeconds"], upper["inputRequired"]) == ("default", None, True)
    line = next(line for line in durable("functions").out.splitlines() if " cli_shout " in line)
    assert line.split() == ["orchestrator", "cli_shout", "(text?:", "str)", "->", "str", "-", "Shout", "a", "text."]


def test_one_function_with_its_schema() -> None:
    (data,) = durable("functions", "human_interaction", "--json").json()
    assert "approver" in data["inputSchema"]["properties"]
    assert "More about it." in durable("functions", "cli_shout").out
    missing = durable("functions", "cli_shuot")
    assert missing.code == 4
    assert "Did you mean 'cli_shout'" in missing.err


def test_python_gets_the_error_as_an_exception() -> None:
    with pytest.raises(CommandError, match="No instance") as caught:
        call_command("durable", "get-status", "nobody")
    assert caught.value.returncode == 4
