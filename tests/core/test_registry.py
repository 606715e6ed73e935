"""What a process knows: functions by name, with what their signatures say."""

import functools
from datetime import date, timedelta
from typing import Any

import pytest

from durable_host import ActivityContext, OrchestrationContext, RetryPolicy, activity, orchestrator
from durable_host.core import registry as registry_module
from durable_host.core.names import check_instance_id, check_name
from durable_host.core.registry import Registry

from .story import registry_of


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that the decorators fill, in place of the process's own."""
    fresh = Registry()
    monkeypatch.setattr(registry_module, "default_registry", fresh)
    return fresh


def test_the_decorators_return_the_function_itself(registry: Registry) -> None:
    @activity
    def plain(day: date) -> list[int]:
        """Say something."""
        return [day.day]

    @activity(name="Other", queue="slow", timeout=timedelta(minutes=2), retry=RetryPolicy(max_number_of_attempts=9))
    async def other() -> None: ...

    @orchestrator
    async def order(ctx: OrchestrationContext, day: date) -> float:
        return 0.5

    @orchestrator(name="Order2")
    async def order_two(ctx: OrchestrationContext) -> None: ...

    assert plain(date(2024, 1, 5)) == [5]
    assert set(registry.activities) == {"plain", "Other"}
    assert set(registry.orchestrators) == {"order", "Order2"}
    spec = registry.activities["plain"]
    assert (spec.doc, spec.input_type, spec.result_type, spec.input_name) == ("Say something.", date, list[int], "day")
    assert (spec.queue, spec.timeout, spec.retry, spec.is_async, spec.takes_input) == (
        "default",
        None,
        None,
        False,
        True,
    )
    slow = registry.activities["Other"]
    assert (slow.queue, slow.timeout, slow.is_async, slow.takes_input) == ("slow", timedelta(minutes=2), True, False)
    assert slow.retry is not None
    assert slow.result_type is type(None)
    ordering = registry.orchestrator("order")
    assert (ordering.input_type, ordering.result_type, ordering.input_is_optional) == (date, float, False)
    assert not registry.orchestrator("Order2").takes_input


def test_an_activity_may_take_its_context_in_any_place() -> None:
    def first(context: ActivityContext, n: int) -> None: ...

    def second(n: int, context: ActivityContext) -> None: ...

    def alone(context: ActivityContext) -> None: ...

    known = registry_of(activities=[first, second, alone]).activities
    assert [known[name].context_parameter for name in ("first", "second", "alone")] == ["context"] * 3
    assert [known[name].input_name for name in ("first", "second")] == ["n", "n"]
    assert not known["alone"].takes_input


def test_a_default_makes_the_input_optional() -> None:
    async def defaulting(ctx: OrchestrationContext, day: date = date(2024, 1, 1)) -> None: ...

    async def bare(ctx: OrchestrationContext) -> None: ...

    known = registry_of(defaulting, bare)
    assert known.orchestrator("defaulting").input_is_optional
    assert known.orchestrator("bare").input_is_optional
    assert known.orchestrator("bare").input_type is Any


@pytest.mark.parametrize("registering", ["add_orchestrator", "add_activity"])
def test_it_refuses_more_than_one_input(registering: str) -> None:
    def crowded(ctx: Any, a: int, b: int) -> None: ...

    with pytest.raises(TypeError, match=r"crowded at .*test_registry\.py:\d+ must have the signature.*one dataclass"):
        getattr(Registry(), registering)(crowded)


def test_it_refuses_an_orchestrator_without_context() -> None:
    def forgetful() -> None: ...

    with pytest.raises(TypeError, match="must have the signature"):
        registry_of(forgetful)


def test_it_refuses_two_functions_of_one_name() -> None:
    def one(n: int) -> None: ...

    def two(n: int) -> None: ...

    known = registry_of(activities=[one])
    with pytest.raises(ValueError, match=r"Two functions are registered as activity 'one': .*:\d+ and .*:\d+"):
        known.add_activity(two, "one")
    known.add_activity(one)
    known.add_orchestrator(two, "one")


def test_it_sees_through_decorators() -> None:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @decorate
    def wrapped(day: date) -> int:
        return day.day

    spec = registry_of(activities=[wrapped]).activities["wrapped"]
    assert (spec.input_type, spec.result_type) == (date, int)


def test_an_unknown_activity_goes_to_the_default_queue() -> None:
    def slow(n: int) -> None: ...

    known = Registry()
    known.add_activity(slow, queue="slow")
    assert (known.queue_of("slow"), known.queue_of("unknown")) == ("slow", "default")


@pytest.mark.parametrize("name", ["a", "Größe", "with space", "x" * 256, "😀", "a/b"])
def test_it_accepts_names_that_every_database_stores(name: str) -> None:
    assert check_name(name, "A name") == name


@pytest.mark.parametrize("instance_id", ["order-1", "order-1:0:0001", "a b", "x" * 256, "ü"])
def test_it_accepts_instance_ids(instance_id: str) -> None:
    assert check_instance_id(instance_id) == instance_id
