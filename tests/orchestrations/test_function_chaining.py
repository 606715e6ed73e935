"""function_chaining: an order is fulfilled, or leaves nothing behind."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durable_host import PayloadError
from orchestrations.function_chaining import (
    OPENING_STOCK,
    CardDeclinedError,
    Order,
    OutOfStockError,
    Purchase,
    PurchaseCancelledError,
    UndeliverableError,
    charge_card,
    release_stock,
    reserve_stock,
    ship_order,
    void_charge,
)
from tests.orchestrations.world import CODEC, START, World

ORDER: dict[str, Any] = {
    "order_id": "1001",
    "items": {"tea": 2, "mug": 1},
    "amount": "19.90",
    "card": {"token": "tok_1", "limit": "100"},
}


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DURABLE_VAR", str(tmp_path))
    return tmp_path / "shop.sqlite3"


def rows(shop: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(shop)) as books:
        return books.execute(query).fetchall()


def stock(shop: Path) -> dict[str, int]:
    return dict(rows(shop, "SELECT article, available FROM stock"))


def payments(shop: Path) -> list[str]:
    return [amount for (amount,) in rows(shop, "SELECT amount FROM payment ORDER BY rowid")]


def purchase(**changes: Any) -> Purchase:
    return Purchase("0123456789", Order.model_validate({**ORDER, **changes}))


def test_an_order_is_reserved_charged_and_shipped(shop: Path) -> None:
    world = World("function_chaining", ORDER).run()

    assert world.calls == ["reserve_stock", "charge_card", "ship_order"]
    assert world.output["order_id"] == "1001"
    assert world.output["charged"] == "19.90"
    assert stock(shop)["tea"] == OPENING_STOCK["tea"] - 2
    assert payments(shop) == ["19.90"]
    assert rows(shop, "SELECT * FROM parcel") == [(world.output["tracking_number"], "1001")]


def test_a_declined_card_releases_the_stock_and_fails_the_order(shop: Path) -> None:
    world = World("function_chaining", {**ORDER, "amount": "100.01"}).run()

    assert world.failure.error_type == "OrderFailedError"
    assert [cause.error_type for cause in world.failure.chain()] == [
        "OrderFailedError",
        "TaskFailedError",
        "CardDeclinedError",
    ]
    assert "100.01 is more than its limit of 100" in world.failure.error_message
    assert world.calls == ["reserve_stock", "charge_card", "void_charge", "release_stock"]
    assert stock(shop) == OPENING_STOCK
    assert payments(shop) == []


def test_a_parcel_that_cannot_be_sent_is_paid_back(shop: Path) -> None:
    world = World("function_chaining", {**ORDER, "country": "AQ"}).run()

    assert [cause.error_type for cause in world.failure.chain()][-1] == "UndeliverableError"
    assert payments(shop) == ["19.90", "-19.90"]
    assert stock(shop) == OPENING_STOCK


def test_an_order_of_too_much_takes_nothing(shop: Path) -> None:
    world = World("function_chaining", {**ORDER, "items": {"tea": 1, "mug": 501}}).run()

    assert "There are not 501 of 'mug' in stock." in world.failure.error_message
    assert world.calls == ["reserve_stock", "release_stock"]
    assert stock(shop) == OPENING_STOCK


def test_trouble_that_passes_is_waited_out(shop: Path) -> None:
    troubles = [sqlite3.OperationalError("database is locked"), sqlite3.OperationalError("again")]

    def ship(_: Purchase) -> str:
        if troubles:
            raise troubles.pop()
        return "DE-1"

    world = World("function_chaining", ORDER, {"ship_order": ship}).run()

    assert world.output["tracking_number"] == "DE-1"
    assert timedelta(seconds=3) < world.now - START < timedelta(seconds=4)
    assert payments(shop) == ["19.90"]


def test_trouble_that_stays_is_compensated(shop: Path) -> None:
    def ship(_: Purchase) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    world = World("function_chaining", ORDER, {"ship_order": ship}).run()

    assert world.calls.count("ship_order") == 5
    assert "disk I/O error" in world.failure.error_message
    assert payments(shop) == ["19.90", "-19.90"]
    assert stock(shop) == OPENING_STOCK


def test_the_same_purchase_started_twice_is_two_purchases(shop: Path) -> None:
    first = Purchase("a", purchase().order)
    second = Purchase("b", purchase().order)
    reserve_stock(first)
    reserve_stock(second)

    assert stock(shop)["tea"] == OPENING_STOCK["tea"] - 4


def test_what_runs_twice_is_done_once(shop: Path) -> None:
    for _ in range(2):
        reserve_stock(purchase())
        charge_card(purchase())
    assert ship_order(purchase()) == ship_order(purchase())
    assert stock(shop)["tea"] == OPENING_STOCK["tea"] - 2
    assert payments(shop) == ["19.90"]
    assert len(rows(shop, "SELECT * FROM parcel")) == 1

    for _ in range(2):
        void_charge(purchase())
        release_stock(purchase())
    assert stock(shop) == OPENING_STOCK
    assert payments(shop) == ["19.90", "-19.90"]


def test_what_comes_after_its_undoing_comes_too_late(shop: Path) -> None:
    release_stock(purchase())
    void_charge(purchase())
    for late in (reserve_stock, charge_card, ship_order):
        with pytest.raises(PurchaseCancelledError, match="order 1001 was cancelled"):
            late(purchase())

    assert stock(shop) == OPENING_STOCK
    assert payments(shop) == []


def test_many_at_once_take_each_article_once(shop: Path) -> None:
    purchases = [Purchase(str(number), purchase(items={"mug": 100}).order) for number in range(8)]

    def outcome(one: Purchase) -> str:
        try:
            reserve_stock(one)
        except OutOfStockError:
            return "out of stock"
        return "reserved"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, purchases))

    assert outcomes.count("reserved") == 5
    assert stock(shop)["mug"] == 0


@pytest.mark.parametrize("error", [CardDeclinedError, OutOfStockError, UndeliverableError])
def test_refusals_are_not_retried(error: type[Exception]) -> None:
    assert error.is_non_retriable  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"items": {}}, "items"),
        ({"items": {"tea": 0}}, "items.tea"),
        ({"items": {"tea": 10**19}}, "items.tea"),
        ({"amount": "19.905"}, "amount"),
        ({"cuontry": "DE"}, "cuontry"),
        ({"card": {"token": "", "limit": 1}}, "card.token"),
    ],
)
def test_bad_orders_are_refused_with_the_field_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(PayloadError, match=f"does not fit Order: {field}: "):
        CODEC.loads(CODEC.dumps({**ORDER, **change}, "input"), Order, "The input")
