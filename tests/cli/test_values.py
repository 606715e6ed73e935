"""What the command line's words mean."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from durable_host.core.errors import PayloadError
from durable_host.core.status import RuntimeStatus
from durable_host.management.cli import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400), ("250ms", 0.25), ("1W", 604_800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert values.duration(text) == timedelta(seconds=seconds)


def test_a_timeout_may_be_plain_seconds() -> None:
    assert values.seconds("1.5") == 1.5
    assert values.seconds("2m") == 120


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T18:30", datetime(2026, 3, 1, 18, 30, tzinfo=UTC)),
        ("2026-03-01T18:30:00+02:00", datetime(2026, 3, 1, 16, 30, tzinfo=UTC)),
        ("2026-03-01T18:30:00Z", datetime(2026, 3, 1, 18, 30, tzinfo=UTC)),
    ],
)
def test_moments(text: str, when: datetime) -> None:
    assert values.moment(text) == when
    assert values.past_moment(text) == when


def test_a_time_without_offset_is_in_the_time_zone_of_django() -> None:
    with timezone.override("Europe/Berlin"):
        assert values.moment("2026-03-01T18:30") == datetime(2026, 3, 1, 17, 30, tzinfo=UTC)


def test_how_long_ago() -> None:
    assert abs(values.past_moment("2h") - (timezone.now() - timedelta(hours=2))) < timedelta(seconds=5)
    assert abs(values.future_moment("2h") - (timezone.now() + timedelta(hours=2))) < timedelta(seconds=5)


def test_statuses_in_any_case() -> None:
    assert values.statuses("running, PENDING") == [RuntimeStatus.RUNNING, RuntimeStatus.PENDING]


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (values.duration, "5", "units"),
        (values.duration, "", "units"),
        (values.duration, "-5s", "units"),
        (values.duration, "5 parsecs", "units"),
        (values.duration, "9" * 30 + "w", "too long"),
        (values.duration, "9" * 400 + "w", "too long"),
        (values.future_moment, "9999999d", "too far"),
        (values.past_moment, "9999999d", "too far"),
        (values.past_moment, "yesterday", "7d"),
        (values.past_moment, "2026-13-01", "month"),
        (values.moment, "2026-02-30T10:00", "day"),
        (values.moment, "0001-01-01T00:00+14:00", "too far"),
        (values.moment, "soon", "ISO"),
        (values.tag, "team", "name=value"),
        (values.tag, "=rail", "name=value"),
        (values.statuses, "Runing", "Running, Suspended"),
        (values.statuses, ",", "not a status"),
        (values.positive, "0", "1 to 1,000,000"),
        (values.positive, "٣", "1 to 1,000,000"),
        (values.generation, "-1", "first is 0"),
    ],
)
def test_what_is_refused(read: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises(ArgumentTypeError, match=says):
        read(text)


def test_tags() -> None:
    assert values.tags([values.tag("a=1"), values.tag("b=x=y")]) == {"a": "1", "b": "x=y"}
    with pytest.raises(PayloadError, match="--tag a is given twice"):
        values.tags([("a", "1"), ("a", "2")])


def test_json_as_text_and_from_files(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa4"]}\n')

    assert values.read_json(f"@{file}", "The input", "--input") == {"a": [1, 2.5, None, "ä"]}
    assert values.read_json("-5", "The input", "--input") == -5
    assert values.read_json('"\\ud83d\\ude00"', "The input", "--input") == "😀"
    assert values.read_json(None, "The input", "--input") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": NaN}', "line 1 column 7"),
        ('{"a": 1,\n "b": }', "line 2 column 7"),
        ("hello", """--input '"hello"'"""),
        ("", "is empty"),
        ('{"x": {"a": 1, "a": 2}}', "the name 'a' twice"),
        ("1e999", "infinity"),
        ("[" * 1000 + "]" * 1000, "100 levels"),
        ("1" * 5000, "digits"),
        ('"\\u0000"', "NUL"),
        ('"\\ud800"', "surrogate"),
        ('"\udcff"', "surrogate|JSON"),
        ('"' + "x" * 1024 * 1024 + '"', "too large"),
    ],
)
def test_json_that_is_refused(text: str, says: str) -> None:
    with pytest.raises(PayloadError, match=says) as caught:
        values.read_json(text, "The input", "--input")
    assert str(caught.value).startswith("The input ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_bytes(b'"ab\xff"')

    with pytest.raises(PayloadError, match=r"missing\.json: No such file"):
        values.read_json(f"@{tmp_path}/missing.json", "The input", "--input")
    with pytest.raises(PayloadError, match="Is a directory"):
        values.read_json(f"@{tmp_path}", "The input", "--input")
    with pytest.raises(PayloadError, match="byte 3 is 0xff"):
        values.read_json(f"@{broken}", "The input", "--input")
