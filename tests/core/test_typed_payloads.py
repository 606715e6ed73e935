"""Values of any type that pydantic knows: JSON in history, objects in code."""

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from durable_host import ActivityContext, OrchestrationContext, PayloadError, Task
from durable_host.core.payload import PayloadCodec, describe_type
from durable_host.core.registry import Registry

from .story import World, activity, completed, given, registry_of

CODEC = PayloadCodec()


class Colour(Enum):
    """An enum."""

    RED = "red"
    BLUE = 2


class Size(StrEnum):
    """A string enum."""

    BIG = "big"


@dataclass(frozen=True)
class Item:
    """A dataclass."""

    name: str
    price: Decimal
    colour: Colour = Colour.RED
    tags: frozenset[str] = frozenset()


@dataclass
class Order:
    """A nested one."""

    id: UUID
    day: date
    items: list[Item] = field(default_factory=list)
    note: str | None = None
    by_size: dict[Size, int] = field(default_factory=dict)


class Line(BaseModel):
    """A model with an alias, as a partner's JSON has it."""

    unit_price: Decimal = Field(alias="unitPrice")
    count: int = Field(default=1, validation_alias=AliasChoices("count", "qty"))


class Camel(BaseModel):
    """A model all of whose names are camel case outside."""

    model_config = ConfigDict(alias_generator=to_camel)
    first_name: str
    born_on: date


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int


class Address(TypedDict):
    """A typed dictionary."""

    city: str


ORDER = Order(
    id=UUID("12345678-1234-5678-1234-567812345678"),
    day=date(2024, 2, 29),
    items=[Item("tea", Decimal("3.10"), Colour.BLUE, frozenset({"a"}))],
    by_size={Size.BIG: 3},
)

VALUES: list[tuple[Any, Any]] = [
    (Order, ORDER),
    (Item, Item("tea", Decimal("0.1"))),
    (list[Item], [Item("tea", Decimal(1)), Item("cake", Decimal("2.50"))]),
    (Line, Line(unitPrice=Decimal("9.99"), qty=4)),
    (Camel, Camel(firstName="Ann", bornOn=date(2000, 1, 1))),
    (Colour, Colour.BLUE),
    (Size, Size.BIG),
    (date, date(2024, 2, 29)),
    (datetime, datetime(2024, 2, 29, 1, 2, 3, 4)),
    (timedelta, timedelta(days=3, microseconds=5)),
    (Decimal, Decimal("1.10")),
    (UUID, ORDER.id),
    (Point, Point(1, 2)),
    (Address, {"city": "Rome"}),
    (tuple[int, str], (1, "a")),
    (set[int], {1, 2}),
    (dict[date, list[Decimal]], {date(2024, 1, 1): [Decimal("1.0")]}),
    (int | None, None),
    (Order | None, None),
    (Order | None, ORDER),
    (Literal["a", 1], 1),
    (bytes, b"text"),
    (bool, False),
    (float, 0.1),
]


@pytest.mark.parametrize(("type_", "value"), VALUES, ids=lambda one: str(one)[:30])
def test_a_value_comes_back_as_it_was(type_: Any, value: Any) -> None:
    back = CODEC.loads(CODEC.dumps(value, "it"), type_, "it")
    assert back == value
    assert type(back) is type(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_characters="\x00", codec="utf-8")), inner)
    ),
    max_leaves=20,
)


@for_all(json_values)
def test_any_json_value_comes_back_as_it_was(value: Any) -> None:
    text = CODEC.dumps(value, "it")
    assert CODEC.loads(text, Any, "it") == value
    assert CODEC.check_json(text, "it") == text


def test_aliases_are_what_the_outside_sees() -> None:
    assert CODEC.dumps(Camel(firstName="Ann", bornOn=date(2000, 1, 1)), "it") == (
        '{"firstName":"Ann","bornOn":"2000-01-01"}'
    )


def price(item: Item) -> Decimal:
    """An activity with a typed input and result."""
    assert isinstance(item, Item)
    return item.price * 2


async def price_async(item: Item) -> Decimal:
    """The same, on the event loop."""
    return price(item)


def describe(context: ActivityContext) -> Order:
    """An activity without input that wants its context."""
    raise NotImplementedError


async def total(ctx: OrchestrationContext, order: Order) -> Decimal:
    """An orchestrator with a typed input and result."""
    assert isinstance(order, Order)
    prices = await ctx.when_all([ctx.call_activity(price, item) for item in order.items])
    assert all(isinstance(one, Decimal) for one in prices)
    more = await ctx.call_activity(price_async, order.items[0])
    return sum(prices, more)


def test_values_are_converted_on_both_sides() -> None:
    world = World(registry_of(total, activities=[price, price_async])).start("total", ORDER).run()
    assert world.output_of() == "12.40"


def test_the_stored_input_is_plain_json() -> None:
    async def one(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity(price, ORDER.items[0])

    story = given(one, activities=[price])
    story.then(activity("price", {"name": "tea", "price": "3.10", "colour": 2, "tags": ["a"]}))


def test_a_named_activity_is_known_by_its_name_too() -> None:
    async def one(ctx: OrchestrationContext) -> str:
        return repr(await ctx.call_activity("price", ORDER.items[0]))

    given(one, activities=[price]).when(completed(0, "6.20")).then_completed("Decimal('6.20')")


def test_the_call_may_choose_the_type() -> None:
    async def one(ctx: OrchestrationContext) -> str:
        return repr(await ctx.call_activity("price", 1, str))

    given(one, activities=[price]).when(completed(0, "6.20")).then_completed("'6.20'")


def test_an_unknown_activity_gives_plain_json() -> None:
    async def one(ctx: OrchestrationContext) -> Any:
        return await ctx.call_activity("elsewhere")

    given(one).when(completed(0, {"a": [1]})).then_completed({"a": [1]})


def test_a_result_that_does_not_fit_can_be_caught() -> None:
    async def careful(ctx: OrchestrationContext) -> str:
        try:
            await ctx.call_activity(price, ORDER.items[0])
        except PayloadError as error:
            return str(error)
        return "not reached"

    story = given(careful, activities=[price]).when(completed(0, ["cheap"]))
    assert story.completion.result is not None
    assert "The result of 'price' does not fit Decimal: the value: " in story.completion.result


def test_an_input_that_does_not_fit_fails_the_instance_and_names_the_field() -> None:
    story = given(total, {"id": "no", "day": "2024-01-01", "items": [{"name": 5}]})
    story.then_failed(PayloadError, "The input of 'total' does not fit Order: id: ", "items.0.price: Field required")


def test_a_missing_input_fails_the_instance() -> None:
    given(total).then_failed(PayloadError, "The input of 'total' does not fit Order")


def test_the_input_may_be_read_as_another_type() -> None:
    def reading(context: OrchestrationContext) -> Generator[Task[Any], Any, list[str]]:
        yield from ()
        return [repr(context.get_input()), repr(context.get_input(expected_type=date))]

    given(reading, "2024-01-01").then_completed(["'2024-01-01'", "datetime.date(2024, 1, 1)"])


def test_a_generator_declares_its_result_in_its_third_place() -> None:
    def yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, date]:
        yield from ()
        return date(2024, 1, 1)

    spec = registry_of(yielding).orchestrator("yielding")
    assert spec.result_type is date


def test_types_are_described_as_their_authors_wrote_them() -> None:
    assert describe_type(Order) == "Order"
    assert describe_type(list[Item]) == "list[tests.core.test_typed_payloads.Item]"
    assert describe_type(int | None) == "int | None"


def test_an_activity_without_input_gets_none() -> None:
    registry = Registry()
    registry.add_activity(describe)
    spec = registry.activities["describe"]
    assert (spec.takes_input, spec.context_parameter, spec.result_type) == (False, "context", Order)


class Picky(BaseModel):
    """A type whose own code is broken."""

    def model_post_init(self, context: Any) -> None:
        """Raise what pydantic lets through."""
        raise KeyError("bug in the model")


def test_a_broken_type_is_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="it cannot be read as Picky: 'bug in the model'"):
        CODEC.loads("{}", Picky, "it")
