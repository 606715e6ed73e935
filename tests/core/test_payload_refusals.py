"""What cannot be stored on every database is refused, with an error that names the argument."""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from durable_host import OrchestrationContext, PayloadError
from durable_host.core.payload import MAX_DEPTH, PayloadCodec

from .story import given

CODEC = PayloadCodec(max_bytes=100_000)


def nested(depth: int) -> Any:
    """Return so many lists within each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def cyclic() -> list[Any]:
    """Return a list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


REFUSED = [
    ("NaN", float("nan"), "NaN or infinity"),
    ("infinity", [float("inf")], "NaN or infinity"),
    ("minus infinity", {"a": -float("inf")}, "NaN or infinity"),
    ("NUL", "a\x00b", "NUL"),
    ("NUL in a key", {"a\x00": 1}, "NUL"),
    ("NUL after a backslash", "\\\x00", "NUL"),
    ("NUL after a literal escape", "\\u0000\x00", "NUL"),
    ("high surrogate", "\ud800", "surrogate"),
    ("low surrogate", ["\udc00"], "surrogate"),
    ("surrogate in a key", {"\ud800": 1}, "surrogate"),
    ("pair of lone surrogates", "\ud83d\ude00", "surrogate"),
    ("5,000 digits", 10**5000, "4,300 digits"),
    ("4,301 digits", 10**4300, "4,300 digits"),
    ("minus 5,000 digits", {"a": [-(10**5000)]}, "4,300 digits"),
    ("101 levels", nested(101), "100 levels"),
    ("1,000 levels", nested(1000), "100 levels"),
    ("levels of dictionaries", {"a": nested(100)}, "100 levels"),
    ("contains itself", cyclic(), "contains itself"),
    ("an object", object(), "object"),
    ("an object deep down", {"a": [object()]}, "object"),
    ("a function", print, "function"),
    ("bytes that are no text", b"\xff", "utf-8"),
    ("too large", "x" * 100_000, "is too large: 100,002 bytes of JSON, the limit is 100,000"),
    ("too large in bytes", "é" * 50_000, "is too large: 100,002 bytes"),
]


@pytest.mark.parametrize(("value", "reason"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
@pytest.mark.case(20)
def test_it_refuses(value: Any, reason: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        CODEC.dumps(value, "The input of 'pay'")
    assert str(refusal.value).startswith("The input of 'pay' ")
    assert reason in str(refusal.value)
    assert len(str(refusal.value)) < 500


ACCEPTED: list[Any] = [
    "\\u0000",
    "\\\\u0000",
    "\\ud800",
    "NaN",
    {"Infinity": "-Infinity"},
    "😀",
    "1" * 5000,
    10**4299,
    -(10**4299),
    nested(100),
    ["]" * 200, "[" * 200, '"' * 200, "\\" * 200, '\\"[' * 200],
    [[] for _ in range(500)],
    [{"a": {"b": [n]}} for n in range(500)],
    "x" * 99_998,
    "\x01\x1f\x7f\u2028\uffff",
    None,
]


@pytest.mark.parametrize("value", ACCEPTED, ids=lambda one: ascii(one)[:30])
def test_it_accepts(value: Any) -> None:
    assert CODEC.loads(CODEC.dumps(value, "it"), Any, "it") == value


@for_all(st.integers(1, 120), st.text('[]{}"\\a', max_size=5))
def test_depth_is_counted_outside_of_strings(depth: int, text: str) -> None:
    value: Any = text
    for level in range(depth):
        value = [text, value] if level % 2 else {text: value}
    if depth <= MAX_DEPTH:
        assert CODEC.loads(CODEC.dumps(value, "it"), Any, "it") == value
    else:
        with pytest.raises(PayloadError, match="100 levels"):
            CODEC.dumps(value, "it")


@for_all(st.text(st.characters() | st.sampled_from("\\u0\x00\ud800\udfff"), max_size=12))
def test_text_is_refused_exactly_for_nul_and_surrogates(text: str) -> None:
    refused = "\x00" in text or any("\ud800" <= one <= "\udfff" for one in text)
    escaped = json.dumps(text)
    # json.dumps escapes two halves next to each other just as it escapes the character that they make
    halves = json.loads(escaped) != text
    assert is_refused(lambda: CODEC.dumps(text, "it")) == refused
    assert is_refused(lambda: CODEC.check_json(escaped, "it")) == refused or halves


def is_refused(act: Callable[[], str]) -> bool:
    """Tell whether a call is refused."""
    try:
        act()
    except PayloadError:
        return True
    return False


# --- JSON that comes from outside -------------------------------------------------------------------------------------

OUTSIDE_REFUSED = [
    (r'"\ud800"', "surrogate"),
    (r'"\udc00"', "surrogate"),
    (r'"\ud800abcdef"', "surrogate"),
    (r'"\ud83d\ud83d\ude00"', "surrogate"),
    (r'"\ude00\ud83d"', "surrogate"),
    (r'"\\ud83d\ude00"', "surrogate"),
    (r'{"\uDEAD": 1}', "surrogate"),
    ('"\ud800"', "surrogate"),
    (r'"\u0000"', "NUL"),
    (r'{"a\u0000": 1}', "NUL"),
    (r'"\\\u0000"', "NUL"),
    ("NaN", "expected value"),
    ("[Infinity]", "expected value"),
    ("1e999", "NaN or infinity"),
    ("1" * 5000, "4,300 digits"),
    ("-" + "1" * 5000, "4,300 digits"),
    ("[" * 101 + "]" * 101, "100 levels"),
    ("[" * 1000 + "]" * 1000, "100 levels"),
    ("[" * 40_000, "100 levels"),
    ("", "EOF"),
    ("{'a': 1}", "not JSON"),
    ('{"a": 1,}', "trailing comma"),
    ("1 2", "trailing characters"),
    (b"\xff", "not JSON"),
    (b'"\xff"', "surrogate"),
    ('"' + "x" * 100_000 + '"', "too large: 100,002 bytes"),
    (" " * 100_001, "too large: 100,001 bytes"),
]


@pytest.mark.parametrize(("text", "reason"), OUTSIDE_REFUSED, ids=[ascii(one)[:25] for one, _ in OUTSIDE_REFUSED])
@pytest.mark.case(20)
def test_it_refuses_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        CODEC.check_json(text, "Field 'input'")
    assert str(refusal.value).startswith("Field 'input' ")
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (r'"\ud83d\ude00"', '"😀"'),
        (r'"\uD83D\uDE00"', '"😀"'),
        (r'"\\\ud83d\ude00"', r'"\\😀"'),
        (r'"\\ud800"', r'"\\ud800"'),
        (r'"\\u0000"', r'"\\u0000"'),
        (r'"A"', '"A"'),
        (b'"\xc3\xa9"', '"é"'),
        (' { "a" : [ 1 , 2.50 ] } ', '{"a":[1,2.5]}'),
        ("1" * 4300, "1" * 4300),
        ("null", "null"),
    ],
)
def test_it_accepts_json_and_stores_it_compact(text: str | bytes, stored: str) -> None:
    assert CODEC.check_json(text, "it") == stored


def test_many_long_numbers_take_no_long_time() -> None:
    numbers = f"[{','.join(['1' * 4000] * 250)}]"
    assert PayloadCodec().check_json(numbers, "it") == numbers


def test_deep_recursion_of_the_caller_changes_nothing() -> None:
    def at_depth(depth: int) -> str:
        return CODEC.dumps(nested(50), "it") if depth == 0 else at_depth(depth - 1)

    assert at_depth(sys.getrecursionlimit() - 200).count("[") == 50


# --- where it is met --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda ctx: ctx.call_activity("pay", float("nan")), "The input of activity 'pay'"),
        (lambda ctx: ctx.call_sub_orchestrator("kid", "\x00"), "The input of orchestrator 'kid'"),
        (lambda ctx: ctx.send_event("order-2", "go", "\ud800"), "The data of event 'go'"),
        (lambda ctx: ctx.continue_as_new(nested(101)), "The input of continue_as_new"),
        (lambda ctx: ctx.set_custom_status(object()), "The custom status"),
    ],
)
def test_the_error_names_the_argument(call: Any, named: str) -> None:
    async def mistaken(ctx: OrchestrationContext) -> str:
        try:
            call(ctx)
        except PayloadError as error:
            return str(error)
        return "not reached"

    story = given(mistaken)
    assert story.completion.result is not None
    assert f"{named} cannot be stored: " in story.completion.result
    assert list(story.result.scheduled) == []


def test_a_refused_result_fails_the_instance() -> None:
    async def mistaken(ctx: OrchestrationContext) -> float:
        return float("nan")

    given(mistaken).then_failed(PayloadError, "The result of orchestrator 'mistaken' cannot be stored: it holds NaN")


def test_a_forgotten_await_fails_the_instance() -> None:
    async def forgetful(ctx: OrchestrationContext) -> Any:
        return ctx.call_activity("pay")

    given(forgetful).then_failed(PayloadError, "The result of orchestrator 'forgetful' cannot be stored", "Task")


def test_a_name_that_no_database_stores_is_refused() -> None:
    async def mistaken(ctx: OrchestrationContext, kind: str) -> None:
        await getattr(ctx, kind)("a\x00")

    given(mistaken, "call_activity").then_failed(PayloadError, "The name of an activity must be", r"'a\x00'")
    given(mistaken, "call_sub_orchestrator").then_failed(PayloadError, "The name of an orchestrator must be")


def test_a_decimal_that_is_no_number_is_text() -> None:
    assert CODEC.dumps(Decimal("NaN"), "it") == '"NaN"'
