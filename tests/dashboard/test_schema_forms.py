"""Typed forms: what goes in comes out, whatever the type, the value or the sender."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from datetime import timezone as timezone_of
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NaiveDatetime,
    SecretStr,
    TypeAdapter,
    create_model,
)
from typing_extensions import TypedDict

from dashboard.forms.schema import ABSENT, MASK, BoundForm, TypedForm
from dashboard.forms.shapes import Choice, Flag, Group, JsonShape, Scalar
from durable_host.core.mailbox import schema_of
from durable_host.core.registry import default_registry
from tests.dashboard.forms_html import html_of, sent

# --- every value that a type has comes back from its form -----------------------------------------------------


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []


class Spot(NamedTuple):
    x: int
    label: str = "here"


class Loose(TypedDict, total=False):
    a: int
    b: str


@dataclass
class Box:
    size: float
    tags: list[str] = field(default_factory=lambda: ["new"])


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


#: text that JSON can hold; a carriage return is typed as JSON, since no field keeps it
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
WHOLE = st.integers(-(10**20), 10**20)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OFFSETS: Any = st.sampled_from([UTC, timezone_of(timedelta(hours=5.5)), timezone_of(timedelta(hours=-3))])
CATS = st.builds(Cat, kind=st.just("cat"), lives=WHOLE)
DOGS = st.builds(Dog, kind=st.just("dog"), name=TEXT)
TREES = st.recursive(
    st.builds(Tree, name=TEXT),
    lambda kids: st.builds(Tree, name=TEXT, kids=st.lists(kids, max_size=2)),
    max_leaves=5,
)
MORE = st.dictionaries(st.sampled_from(["one", "two"]), JSON, max_size=2)
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (Annotated[str, Field(min_length=1)], TEXT.filter(len)),
    (int, WHOLE),
    (float, FLOAT),
    (bool, st.booleans()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (date, st.dates()),
    (time, st.times()),
    (datetime, st.datetimes()),
    (AwareDatetime, st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2200, 1, 1), timezones=OFFSETS)),
    (NaiveDatetime, st.datetimes()),
    (timedelta, st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000))),
    (UUID, st.uuids()),
    (bytes, TEXT.map(str.encode)),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1, None, True], st.sampled_from(["a", 1, None, True])),
    (JsonValue, JSON),
    (Any, JSON),
    (Cat, CATS),
    (Annotated[Cat | Dog, Field(discriminator="kind")], CATS | DOGS),
    (Tree, TREES),
    (Spot, st.builds(Spot, x=WHOLE, label=TEXT)),
    (Loose, st.fixed_dictionaries({}, optional={"a": WHOLE, "b": TEXT})),
    (Box, st.builds(Box, size=FLOAT, tags=st.lists(TEXT, max_size=3))),
    (Open, st.builds(lambda known, more: Open(known=known, **more), WHOLE, MORE)),
]  # fmt: skip
Typed = tuple[Any, st.SearchStrategy[Any]]


def maybe(type_: Any) -> Any:
    """Return a type or None: not all that pydantic knows can stand beside a bar."""
    return Optional.__getitem__(type_)


def _wrapped(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def pair(one: Typed, other: Typed) -> Typed:
        return tuple.__class_getitem__((one[0], other[0])), st.tuples(one[1], other[1])

    return st.one_of(
        inner.map(lambda one: (maybe(one[0]), st.none() | one[1])),
        inner.map(lambda one: (list.__class_getitem__(one[0]), st.lists(one[1], max_size=3))),
        inner.map(lambda one: (dict.__class_getitem__((str, one[0])), st.dictionaries(TEXT, one[1], max_size=3))),
        st.builds(pair, inner, inner),
        st.lists(inner, min_size=1, max_size=4).map(_model),
    )


def _model(parts: list[Typed]) -> Typed:
    """Return a model with a field of each type: the first required, others with a default that only Python knows."""
    fields: dict[str, Any] = {}
    for place, (type_, _) in enumerate(parts):
        is_required = place % 2 == 0
        fields[f"part_{place}"] = (type_, ...) if is_required else (maybe(type_), Field(default_factory=lambda: None))
    model = create_model("Made", **fields)
    return model, st.builds(model, **{f"part_{place}": values for place, (_, values) in enumerate(parts)})


TYPES: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(LEAVES), _wrapped, max_leaves=5)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), zone=st.sampled_from(["UTC", "Europe/Berlin"]))
def test_what_a_form_shows_is_what_it_sends(data: st.DataObject, zone: str) -> None:
    type_, values = data.draw(TYPES)
    value = TypeAdapter(type_).dump_python(data.draw(values), mode="json")
    with timezone.override(ZoneInfo(zone)):
        bound = TypedForm.of_type(type_, prefix="input").filled(value)
        back = TypedForm.of_type(type_, prefix="input").posted(sent(html_of(bound)))
    assert back.is_valid(), (back.summary, type_, value)
    validated = TypeAdapter(type_).validate_python
    assert same(back.value, value) or validated(back.value) == validated(value)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_form_made_of_the_schema_alone_sends_the_same(data: st.DataObject) -> None:
    """As for the answer to a question: its Python type is not at hand."""
    type_, values = data.draw(TYPES)
    value = TypeAdapter(type_).dump_python(data.draw(values), mode="json")
    form = TypedForm.of_schema(schema_of(type_), prefix="data")
    back = form.posted(sent(html_of(form.filled(value))))
    assert back.is_valid(), (back.summary, type_, value)
    validated = TypeAdapter(type_).validate_python
    assert same(back.value, value) or validated(back.value) == validated(value)


@pytest.mark.parametrize(
    "value",
    [
        {"size": 1.5, "tags": ["a\r\nb", ""]},
        {"size": "not a number", "tags": []},
        {"size": 1, "unknown": {"deep": [1, 2]}},
        {"size": 1, "tags": [str(number) for number in range(3_000)]},
        [1, 2],
        "text",
        None,
    ],
)
def test_a_value_that_does_not_fit_its_fields_stands_there_as_json(value: Any) -> None:
    form = TypedForm.of_type(Box, prefix="input")
    assert form.posted(sent(html_of(form.filled(value)))).value == value


# --- what people type ------------------------------------------------------------------------------------------------


class Trip(BaseModel):
    """A trip."""

    who: str = Field(max_length=5)
    days: int = Field(ge=1, le=30)
    cost: Decimal = Field(default=Decimal("1.50"), gt=0)
    at: datetime
    pause: timedelta = timedelta(hours=1)
    is_paid: bool = False
    mode: Literal["train", "boat"]
    pets: list[Cat | Dog] = []
    notes: dict[str, int] = {}
    code: SecretStr | None = None


def trip(*more: tuple[str, str]) -> BoundForm:
    form = TypedForm.of_type(Trip, prefix="input")
    typed = {"input.who": "ann", "input.days": "3", "input.at": "2026-07-01T09:30", "input.mode": '"train"'}
    return form.posted(sent(html_of(form.empty()), *typed.items(), *more))


def test_what_is_typed_becomes_the_json_of_the_type() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        bound = trip(("input.pause", "1h 30m"), ("input.is_paid", "true"))
        assert bound.is_valid(), bound.summary
    assert bound.value == {
        "who": "ann", "days": 3, "cost": "1.50", "at": "2026-07-01T09:30+02:00", "pause": "PT1H30M", "is_paid": True,
        "mode": "train", "pets": [], "notes": {}, "code": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("input.who", "", "Fill this in."),
        ("input.who", "margaret", "It should have at most 5 characters."),
        ("input.days", "three", "Type a whole number, such as 12."),
        ("input.days", "31", "It should be less than or equal to 30."),
        ("input.cost", "much", "Type a number, such as 19.90."),
        ("input.at", "tomorrow", "Give a date and a time, such as 2026-03-01T18:30."),
        ("input.pause", "a while", "Type a duration, such as 90s, 1h 30m or 2d."),
        ("input.mode", '"plane"', "Choose one."),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_lost(name: str, text: str, said: str) -> None:
    bound = trip((name, text))
    assert not bound.is_valid()
    assert [(error.anchor, error.message) for error in bound.summary] == [(name, said)]
    again = sent(html_of(bound))
    assert again.get(name, "") == (text if name != "input.mode" else "")
    assert again["input.who" if name != "input.who" else "input.days"] in ("ann", "3")


def test_rows_come_and_go_without_losing_what_is_typed() -> None:
    form = TypedForm.of_type(Trip, prefix="input")
    bound = trip(("!op", "add:input.pets"))
    assert bound.is_edit
    bound = form.posted(sent(html_of(bound), ("!op", "add:input.pets")))
    bound = form.posted(
        sent(html_of(bound), ("input.pets.1!is", "1"), ("input.pets.1!1.name", "Rex"), ("!op", "add:input.notes"))
    )
    bound = form.posted(
        sent(html_of(bound), ("input.notes.0!name", "a"), ("input.notes.0!value", "7"), ("!op", "remove:input.pets.0"))
    )
    done = form.posted(sent(html_of(bound)))
    assert done.is_valid(), done.summary
    assert done.value["pets"] == [{"kind": "dog", "name": "Rex"}]
    assert done.value["notes"] == {"a": 7}


def test_errors_of_the_variant_that_was_not_chosen_are_not_shown() -> None:
    form = TypedForm.of_type(Trip, prefix="input")
    bound = form.posted(
        sent(html_of(trip(("!op", "add:input.pets"))), ("input.pets.0!is", "0"), ("input.pets.0!0.lives", "x"))
    )
    assert not bound.is_valid()
    assert [error.anchor for error in bound.summary] == ["input.pets.0!0.lives"]


def test_an_empty_text_must_be_meant() -> None:
    bound = trip(("input.who", ""))
    assert not bound.is_valid()
    meant = TypedForm.of_type(Trip, prefix="input").posted(sent(html_of(bound), ("input.who!blank", "empty")))
    assert meant.is_valid()
    assert meant.value["who"] == ""


def test_a_form_turns_into_json_and_back_with_what_is_typed() -> None:
    form = TypedForm.of_type(Trip, prefix="input")
    as_json = form.posted(sent(html_of(trip()), ("!op", "json:input")))
    assert as_json.is_json
    assert as_json.is_edit
    typed = sent(html_of(as_json))
    assert form.posted(typed).value == trip().value
    assert not (back := form.posted(sent(html_of(as_json), ("!op", "form:input")))).is_json
    assert form.posted(sent(html_of(back))).value == trip().value


def test_json_that_is_none_stays_as_it_was_typed() -> None:
    form = TypedForm.of_type(Trip, prefix="input")
    html = html_of(form.empty(as_json=True))
    bound = form.posted(sent(html, ("input", '{"who": '), ("!op", "form:input")))
    assert bound.is_json
    assert sent(html_of(bound))["input"] == '{"who": '
    wrong = form.posted(sent(html, ("input", '{"who": "ann"}')))
    assert {error.message for error in wrong.summary} == set()
    assert not wrong.is_valid()
    assert {error.message for error in wrong.summary} == {f"{name}: Fill this in." for name in ("days", "at", "mode")}


def test_a_secret_is_masked_where_it_is_shown_and_sent_as_it_is() -> None:
    bound = trip(("input.code", "hunter2"))
    assert bound.draft["code"] == MASK
    assert bound.value["code"] == "hunter2"
    assert 'type="password"' in html_of(bound)


def test_a_union_and_an_optional_group_are_chosen() -> None:
    class Order(BaseModel):
        pet: Cat | None = None
        size: int | str

    form = TypedForm.of_type(Order, prefix="input")
    bound = form.posted(sent(html_of(form.empty())))
    assert not bound.is_valid()
    assert [(error.anchor, error.message) for error in bound.summary] == [("input.size", "Choose one.")]
    bound = form.posted(
        sent(html_of(form.empty()), ("input.size!is", "1"), ("input.size!1", "7"), ("input.pet!is", "0"))
    )
    assert bound.value == {"pet": {"kind": "cat", "lives": 9}, "size": "7"}


@pytest.mark.parametrize(
    ("type_", "shape"),
    [
        (bool, Flag),
        (Literal["yes", "no"], Choice),
        (Trip, Group),
        (int, Scalar),
        (Any, JsonShape),
        (Callable, JsonShape),
    ],
)
def test_the_shape_tells_which_buttons_a_question_needs(type_: Any, shape: type) -> None:
    assert isinstance(TypedForm.of_type(type_, prefix="data").shape, shape)


# --- an event's data, by the schema alone ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "name", "text", "said"),
    [
        (Annotated[int, Field(ge=3, multiple_of=2)], "data", "1", "It should be at least 3."),
        (Annotated[str, Field(pattern="^a+$")], "data", "b", "It should be written as ^a+$."),
        (Annotated[str, Field(min_length=3)], "data", "ab", "It should have at least 3 characters."),
        (date, "data", "2026-13-01", "It should be a date."),
        (UUID, "data", "x", "It should be a UUID."),
        (Decimal, "data", "x", "Type a number, such as 19.90."),
        (Dog, "data.name", "", "Fill this in."),
    ],
)
def test_a_schema_alone_checks_too(type_: Any, name: str, text: str, said: str) -> None:
    form = TypedForm.of_schema(schema_of(type_), prefix="data")
    bound = form.posted(sent(html_of(form.empty()), (name, text)))
    assert not bound.is_valid()
    assert said in [error.message for error in bound.summary]


# --- hostile schemas and senders -------------------------------------------------------------------------------------

LOOP = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
LEVELS = {
    f"L{n}": {"type": "object", "properties": {f"p{m}": {"$ref": f"#/$defs/L{n + 1}"} for m in range(9)}}
    for n in range(9)
}
WIDE = {"$defs": LEVELS, "$ref": "#/$defs/L0"}
EVIL = "<script>alert(1)</script>\"'"
HOSTILE: list[Any] = [
    None, True, False, 7, "no json", "{", [], {"type": 7}, {"type": "object", "properties": 7}, {"$ref": 7},
    {"$ref": "#/nowhere"}, {"$ref": "https://example.org/x"}, LOOP, WIDE, {"enum": []}, {"enum": 7}, {"anyOf": []},
    {"anyOf": [7, None]}, {"type": ["string", "null", 7]}, {"type": "array", "items": False, "prefixItems": [7]},
    {"type": "string", "pattern": "(", "minLength": "x", "format": ["date"]}, {"not": {}}, {"allOf": [{}, {}]},
    {"type": "integer", "minimum": "x", "examples": 7, "default": EVIL},
    {"title": EVIL, "description": EVIL, "type": "object", "properties": {EVIL: {"title": EVIL, "examples": [EVIL]}}},
    {"type": "object", "properties": {EVIL: {"type": "string", "title": EVIL, "examples": [EVIL]}}},
    {"type": "object", "properties": {"": {"type": "string"}, "a.b!c": {"enum": [EVIL, {"a": EVIL}]}}, "required": 7},
    {"anyOf": [{"type": "string"}] * 400}, {"type": "object", "additionalProperties": True, "propertyNames": 7},
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE, ids=range(len(HOSTILE)))
def test_every_schema_has_a_form_that_shows_harmlessly(schema: Any) -> None:
    form = TypedForm.of_schema(schema, prefix="data")
    for bound in (form.empty(), form.filled({"a.b!c": {"a": EVIL}, EVIL: EVIL}), form.filled(EVIL)):
        html = html_of(bound)
        assert "<script" not in html
        assert len(html) < 3_000_000
        form.posted(sent(html)).is_valid()
        form.posted(sent(html, ("!op", "json:data"))).is_valid()


@pytest.mark.parametrize(
    "body",
    [
        "input=1",
        "input!json=1&input=[1",
        "input.pets!row=x&input.pets!row=-1&input.pets!row=²",
        "&".join(f"input.pets!row={n}" for n in range(900)),
        "input.pets!row=0&input.pets.0!is=99",
        "input.pets!row=0&input.pets.0!is=²",
        "!op=add:input.pets&input.pets!row=" + "9" * 5_000,
        "input.who=%00&input.days=" + "9" * 4_000,
        "input.who!blank=absent&input.at=2026-01-01T00:00&input.at!zone=nowhere",
        "!op=add:input.nothing",
        "!op=remove:",
        "!op=json:",
        "input.notes!row=0&input.notes!row=1&input.notes.0!name=a&input.notes.1!name=a&input.notes.0!value=1&input.notes.1!value=2",
    ],
)
def test_whatever_is_sent_gets_a_page_and_no_error_of_ours(body: str) -> None:
    bound = TypedForm.of_type(Trip, prefix="input").posted(QueryDict(body))
    assert bound.is_edit or not bound.is_valid()
    html_of(bound)


# --- the orchestrators of this project -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["async_http_api", "fan_out_fan_in", "function_chaining", "human_interaction", "monitor"]
)
def test_the_patterns_have_forms_with_fields_for_all_of_their_input(name: str) -> None:
    form = TypedForm.of_type(default_registry.orchestrators[name].input_type, prefix="input")
    assert isinstance(form.shape, Group)
    assert "!json" not in html_of(form.empty())


def test_nothing_at_all_is_no_value() -> None:
    form = TypedForm.of_type(Any, prefix="input", is_required=False)
    assert form.posted(sent(html_of(form.empty()))).value is ABSENT
