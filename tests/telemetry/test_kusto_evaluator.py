"""The evaluator of the Kusto Query Language that judges the saved queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.telemetry.kusto import KustoError, Row, run

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

# Both from "Diagnostics in Durable Functions", as published.
SINGLE_INSTANCE = """
let targetInstanceId = "ddd1aaa685034059b545eb004b15d4eb";
let start = datetime(2018-03-25T09:20:00);
traces
| where timestamp > start and timestamp < start + 30m
| where customDimensions.Category == "Host.Triggers.DurableTask"
| extend functionName = customDimensions["prop__functionName"]
| extend instanceId = customDimensions["prop__instanceId"]
| extend state = customDimensions["prop__state"]
| extend isReplay = tobool(tolower(customDimensions["prop__isReplay"]))
| extend sequenceNumber = tolong(customDimensions["prop__sequenceNumber"])
| where isReplay != true
| where instanceId == targetInstanceId
| sort by timestamp asc, sequenceNumber asc
| project timestamp, functionName, state, instanceId, sequenceNumber, appName = cloud_RoleName
"""
INSTANCE_SUMMARY = """
let start = datetime(2017-09-30T04:30:00);
traces
| where timestamp > start and timestamp < start + 1h
| where customDimensions.Category == "Host.Triggers.DurableTask"
| extend functionName = tostring(customDimensions["prop__functionName"])
| extend instanceId = tostring(customDimensions["prop__instanceId"])
| extend state = tostring(customDimensions["prop__state"])
| extend isReplay = tobool(tolower(customDimensions["prop__isReplay"]))
| extend output = tostring(customDimensions["prop__output"])
| where isReplay != true
| summarize arg_max(timestamp, *) by instanceId
| project timestamp, instanceId, functionName, state, output, appName = cloud_RoleName
| order by timestamp asc
"""


def event(at: datetime, instance: str, function: str, state: str, number: int, **more: str) -> dict[str, Any]:
    """Return a tracking event as Durable Functions sends it."""
    fields = {"instanceId": instance, "functionName": function, "state": state, "sequenceNumber": str(number)}
    dimensions = {f"prop__{name}": value for name, value in ({"isReplay": "False"} | fields | more).items()}
    return {
        "timestamp": at,
        "cloud_RoleName": "shop",
        "customDimensions": {"Category": "Host.Triggers.DurableTask", **dimensions},
    }


def numbers(*values: Any) -> dict[str, list[Row]]:
    """Return one table with a value a row, and its place in ``id``."""
    return {"customMetrics": [{"value": value, "itemId": f"r{place}"} for place, value in enumerate(values)]}


def evaluate(expression: str, **dimensions: Any) -> Any:
    """Return what an expression gives on one row of traces."""
    row = {"timestamp": NOW, "message": "Order-7 was paid", "severityLevel": 1, "customDimensions": dimensions}
    (result,) = run(f"traces | project answer = {expression}", {"traces": [row]}, now=NOW)
    return result["answer"]


def test_the_published_query_of_one_instance_tells_its_story_without_replays() -> None:
    began, target = datetime(2018, 3, 25, 9, 21, tzinfo=UTC), "ddd1aaa685034059b545eb004b15d4eb"
    rows = [
        event(began + timedelta(seconds=1), target, "E1_SayHello", "Started", 3),
        event(began, target, "E1_HelloSequence", "Awaited", 2),
        event(began, target, "E1_HelloSequence", "Started", 1),
        event(began, target, "E1_HelloSequence", "Started", 9, isReplay="True"),
        event(began, "another", "E1_HelloSequence", "Started", 4),
        event(began + timedelta(hours=1), target, "E1_HelloSequence", "Completed", 5),
        {"timestamp": began, "message": "a log line of user code"},
    ]
    found = run(SINGLE_INSTANCE, {"traces": rows}, now=NOW)
    assert [(row["functionName"], row["state"], row["sequenceNumber"]) for row in found] == [
        ("E1_HelloSequence", "Started", 1),
        ("E1_HelloSequence", "Awaited", 2),
        ("E1_SayHello", "Started", 3),
    ]
    assert {row["appName"] for row in found} == {"shop"}


def test_the_published_summary_of_instances_shows_the_last_state_of_each() -> None:
    began = datetime(2017, 9, 30, 4, 31, tzinfo=UTC)
    rows = [
        event(began, "one", "Chain", "Started", 1),
        event(began + timedelta(minutes=2), "one", "Chain", "Completed", 4, output='["Tokyo"]'),
        event(began + timedelta(minutes=1), "two", "Chain", "Awaited", 3),
        event(began + timedelta(minutes=3), "two", "Chain", "Completed", 5, isReplay="True", output="(replayed)"),
    ]
    found = run(INSTANCE_SUMMARY, {"traces": rows}, now=NOW)
    assert [(row["instanceId"], row["state"], row["output"]) for row in found] == [
        ("two", "Awaited", ""),
        ("one", "Completed", '["Tokyo"]'),
    ]
    assert list(found[0]) == ["timestamp", "instanceId", "functionName", "state", "output", "appName"]


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / 2.0", 3.5),
        ("7 % 4", 3),
        ("1 / 0", None),
        ("-severityLevel", -1),
        ("timestamp - 1d < now()", True),
        ("ago(90m)", NOW - timedelta(minutes=90)),
        ("now(-2h)", NOW - timedelta(hours=2)),
        ("(now() - datetime(2026-11-22)) / 1h", 12.0),
        ("datetime(2026-11-22T14:00:00+02:00)", NOW),
        ("bin(now() + 7m, 5m)", NOW + timedelta(minutes=5)),
        ("bin(17.5, 5)", 15.0),
        ('message has "order"', True),
        ('message has "rder"', False),
        ('message contains "RDER-7"', True),
        ('message !contains "refund"', True),
        ('message startswith "order"', True),
        ('message startswith_cs "order"', False),
        ('message endswith "PAID"', True),
        ('message =~ "order-7 WAS paid"', True),
        ('message !~ "order-7 was paid"', False),
        (r'message matches regex @"^Order-\d+ "', True),
        ('message in ("a", "Order-7 was paid")', True),
        ('message !in ("a", "b")', True),
        ('message in~ ("ORDER-7 WAS PAID")', True),
        ("severityLevel between (1 .. 3)", True),
        ("severityLevel == 1 and not(severityLevel > 1) or false", True),
        ('iff(severityLevel > 0, "loud", "quiet")', "loud"),
        ('case(severityLevel == 0, "a", severityLevel == 1, "b", "c")', "b"),
        ('coalesce(tolong("x"), tolong("4"), 5)', 4),
        ('coalesce("", "b")', "b"),
        ('strcat("a", 1, true)', "a1true"),
        ("strlen(message)", 16),
        ("substring(message, 6, 1)", "7"),
        ('extract(@"-(\\d+)", 1, message)', "7"),
        ('extract("x(y)", 1, message)', ""),
        ('toupper("a\\"b")', 'A"B'),
        ('tobool("TRUE")', True),
        ('tobool("maybe")', None),
        ('tolong("12")', 12),
        ('todouble("1.5") + toint("2")', 3.5),
        ("tolong(customDimensions.count) + 1", 4),
        ('tostring(customDimensions["nothing"])', ""),
        ("isempty(customDimensions.nothing)", True),
        ("isnotempty(customDimensions.count)", True),
        ('todatetime("2026-11-22T12:00:00.1234567Z")', NOW + timedelta(microseconds=123456)),
        ('tostring(parse_json(tostring(customDimensions.order)).lines[1]["sku"])', "b"),
        ("tostring(parse_json('[1,{\"a\":2}]'))", '[1,{"a":2}]'),
        ("tostring(now())", "2026-11-22T12:00:00.0000000Z"),
        ("tostring(1d + 2h + 3s)", "1.02:00:03"),
        ("tostring(-90m)", "-01:30:00"),
        ('datetime_diff("minute", now(), now() - 90s)', 2),
        ("round(2.0 / 3, 2)", 0.67),
    ],
)
def test_expressions(expression: str, answer: Any) -> None:
    assert evaluate(expression, count="3", order='{"lines":[{"sku":"a"},{"sku":"b"}]}') == answer


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("tobool(customDimensions.nothing) == true", False),
        ("tobool(customDimensions.nothing) != true", True),
        ("tolong(customDimensions.nothing) == tolong(customDimensions.nothing)", None),
        ("tolong(customDimensions.nothing) > 1", None),
        ("tolong(customDimensions.nothing) > 1 and false", False),
        ("tolong(customDimensions.nothing) > 1 or true", True),
        ("tolong(customDimensions.nothing) + 1", None),
        ('customDimensions.nothing == ""', False),
        ('operation_Id == ""', True),
        ("isnull(tolong(customDimensions.nothing))", True),
    ],
)
def test_nulls_follow_the_rules_of_kusto(expression: str, answer: Any) -> None:
    assert evaluate(expression) is answer


def test_rows_are_sorted_by_several_keys_and_nulls_come_first_when_ascending() -> None:
    tables = numbers(2, None, 1, 2)
    assert [row["itemId"] for row in run("customMetrics | sort by value asc, itemId desc", tables, now=NOW)] == [
        *("r1", "r2", "r3", "r0"),
    ]
    descending = run("customMetrics | order by value | project itemId, value", tables, now=NOW)
    assert [row["value"] for row in descending] == [2, 2, 1, None]
    nulls_last = run("customMetrics | sort by value asc nulls last", tables, now=NOW)
    assert [row["value"] for row in nulls_last] == [1, 2, 2, None]


def test_rows_are_taken_counted_and_made_distinct() -> None:
    tables = numbers(3, 1, 3, 2)
    assert [row["value"] for row in run("customMetrics | top 2 by value", tables, now=NOW)] == [3, 3]
    assert [row["value"] for row in run("customMetrics | take 1", tables, now=NOW)] == [3]
    assert run("customMetrics | where value > 1 | count", tables, now=NOW) == [{"Count": 3}]
    assert run("customMetrics | distinct value", tables, now=NOW) == [{"value": 3}, {"value": 1}, {"value": 2}]


def test_columns_are_added_chosen_and_taken_away() -> None:
    query = "customMetrics | project value, itemId | extend twice = value * 2 | project-away itemId"
    assert run(query, numbers(4), now=NOW) == [{"value": 4, "twice": 8}]
    query = "customMetrics | sort by value asc | extend place = row_number() | project place, value"
    assert run(query, numbers(5, 4), now=NOW) == [{"place": 1, "value": 4}, {"place": 2, "value": 5}]


def test_groups_are_summarized() -> None:
    tables = {
        "requests": [
            {
                "name": name,
                "duration": float(duration),
                "success": success,
                "timestamp": NOW + timedelta(minutes=minute),
            }
            for name, duration, success, minute in [
                *(("a", 10, "True", 0), ("a", 30, "False", 1), ("a", 20, "True", 7), ("b", 5, "True", 2)),
            ]
        ]
    }
    query = """
    requests
    | summarize count(), slow = countif(duration > 15), avg(duration), p50 = percentile(duration, 50), sum(duration),
        fastest = min(duration), slowest = max(duration), dcount(success), make_list(duration),
        share = 100.0 * countif(success == "True") / count()
        by name
    | sort by name asc
    """
    first, second = run(query, tables, now=NOW)
    assert first == {
        "name": "a",
        "count_": 3,
        "slow": 2,
        "avg_duration": 20.0,
        "p50": 20.0,
        "sum_duration": 60.0,
        "fastest": 10.0,
        "slowest": 30.0,
        "dcount_success": 2,
        "list_duration": [10.0, 30.0, 20.0],
        "share": pytest.approx(66.67, abs=0.01),
    }
    assert (second["name"], second["count_"], second["share"]) == ("b", 1, 100.0)
    bins = run("requests | summarize n = count() by bin(timestamp, 5m) | sort by timestamp asc", tables, now=NOW)
    assert bins == [{"timestamp": NOW, "n": 3}, {"timestamp": NOW + timedelta(minutes=5), "n": 1}]


def test_the_best_row_of_a_group_is_kept_whole_or_in_part() -> None:
    tables = {"requests": [{"name": "a", "id": "x", "duration": 1.0}, {"name": "a", "id": "y", "duration": 2.0}]}
    assert run("requests | summarize arg_max(duration, id) by name", tables, now=NOW) == [
        {"name": "a", "duration": 2.0, "id": "y"}
    ]
    (whole,) = run("requests | summarize arg_min(duration, *) by name", tables, now=NOW)
    assert (whole["id"], whole["duration"], whole["itemType"]) == ("x", 1.0, "request")


def test_a_summary_of_nothing_has_one_row_without_groups_and_none_with_them() -> None:
    assert run("traces | summarize n = count(), last = max(timestamp)", {}, now=NOW) == [{"n": 0, "last": None}]
    assert run("traces | summarize n = count() by message", {}, now=NOW) == []


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("inner", [("a", "A"), ("a", "AA")]),
        ("leftouter", [("a", "A"), ("a", "AA"), ("b", None)]),
        ("leftanti", [("b", "-")]),
        ("leftsemi", [("a", "-")]),
    ],
)
def test_tables_are_joined(kind: str, pairs: list[tuple[str, str | None]]) -> None:
    tables = {
        "requests": [{"id": "a"}, {"id": "b"}],
        "dependencies": [{"operation_ParentId": "a", "name": "A"}, {"operation_ParentId": "a", "name": "AA"}],
    }
    query = f"""
    let calls = dependencies | project operation_ParentId, call = name;
    requests | project id
    | join kind={kind} (calls | where call startswith "a") on $left.id == $right.operation_ParentId
    """
    assert [(row["id"], row.get("call", "-")) for row in run(query, tables, now=NOW)] == pairs


def test_a_column_of_both_tables_is_numbered_in_a_join() -> None:
    tables = {"requests": [{"id": "a", "name": "left"}], "dependencies": [{"id": "a", "name": "right"}]}
    query = "requests | project id, name | join kind=inner (dependencies | project id, name) on id"
    assert run(query, tables, now=NOW) == [{"id": "a", "name": "left", "id1": "a", "name1": "right"}]


def test_tables_are_put_together() -> None:
    tables: dict[str, list[Row]] = {"requests": [{"name": "r", "duration": 1.0}], "traces": [{"message": "t"}]}
    found = run("union requests, (traces | where message == 't') | project itemType, name, message", tables, now=NOW)
    assert found == [
        {"itemType": "request", "name": "r", "message": None},
        {"itemType": "trace", "name": None, "message": "t"},
    ]
    found = run("requests | union kind=outer traces | where message != '' | project message", tables, now=NOW)
    assert found == [{"message": "t"}]


def test_a_named_table_can_stand_for_a_list() -> None:
    tables: dict[str, list[Row]] = {
        "requests": [{"id": "a", "operation_Id": "t"}],
        "traces": [{"message": "m", "operation_Id": "t"}, {}],
    }
    query = "let ids = requests | distinct operation_Id; traces | where operation_Id in (ids) | project message"
    assert run(query, tables, now=NOW) == [{"message": "m"}]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("traces | where", "Line 1"),
        ("traces | mv-expand message", "mv"),
        ("traces | where mesage == 'a'", "Unknown name 'mesage'"),
        ("traces | extend a = strangle(message)", r"Unknown function strangle\(\)"),
        ("traces | where count() > 1", "belongs into summarize"),
        ("traces | summarize message", "needs an aggregate"),
        ("tracks | take 1", "No table 'tracks'"),
        ("traces | extend n = row_number()", "sort them first"),
        ("traces | where message == 1", "Cannot compare string"),
        ("traces | extend a = message + 'b'", r"strcat\(\)"),
        ("traces | extend a = customDimensions.x + 1", "Cast it"),
        ("traces | summarize count() by customDimensions.x", "'dynamic' type"),
        ("traces | sort by customDimensions.x asc", "'dynamic' type"),
        ("traces | distinct customDimensions", "'dynamic' type"),
        ("traces | join (traces) on message", "write kind="),
        ("traces | join kind=inner (requests) on message", "No columns to join on"),
        ("traces | project message, message", "named twice"),
        ("traces | project-away nothing", "No columns to take away"),
        ("traces | extend a = message.part", "Only a dynamic value"),
        ("traces | extend a = tolong()", r"tolong\(\) does not take"),
        ("traces | where timestamp > datetime(yesterday)", "No date and time"),
        ("traces | summarize sum(message)", "not texts"),
    ],
)
def test_what_cannot_run_is_refused_with_a_reason(query: str, complaint: str) -> None:
    rows = [{"message": "a", "customDimensions": {"x": "1"}}]
    with pytest.raises(KustoError, match=complaint):
        run(query, {"traces": rows}, now=NOW)


def test_rows_that_application_insights_has_no_place_for_are_refused() -> None:
    with pytest.raises(KustoError, match="has no column mesage"):
        run("traces", {"traces": [{"mesage": "a"}]}, now=NOW)
    with pytest.raises(KustoError, match="has no table 'tracks'"):
        run("traces", {"tracks": []}, now=NOW)
