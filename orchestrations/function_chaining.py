"""Function chaining: one activity after the other, and what to undo when one of them fails."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from durable_host import OrchestrationContext, RetryPolicy, TaskFailedError, activity, orchestrator

# What a shop has on its shelves on its first day.
OPENING_STOCK = {"tea": 10_000, "coffee": 10_000, "mug": 500}
COUNTRIES_SERVED = {"AT", "CH", "DE", "DK", "FR", "NL", "PL", "SE"}

# For troubles that pass, such as a locked database. Refusals end the retries at once: see RefusedError.
PATIENT = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=5, backoff_coefficient=2)


# Pydantic checks the input before the instance starts; extra="forbid" refuses a misspelt field as well.
class Card(BaseModel, frozen=True, extra="forbid"):
    """A payment card. History keeps all inputs, so never put a card number into one: use your provider's token."""

    token: str = Field(min_length=1)
    limit: Decimal = Field(ge=0, description="What the card can pay; stands in for the bank's answer.")


class Order(BaseModel, frozen=True, extra="forbid"):
    """An order of our shop."""

    order_id: str = Field(min_length=1)
    items: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(min_length=1, description="Article → quantity.")
    amount: Decimal = Field(gt=0, max_digits=12, decimal_places=2, description="What the customer pays.")
    card: Card
    country: str = Field(default="DE", description="Where it is sent to: two letters.")


@dataclass(frozen=True)
class Purchase:
    """One attempt to fulfil an order. The id names its entries in the books."""

    id: str
    order: Order


@dataclass(frozen=True)
class Receipt:
    """What the customer gets."""

    order_id: str
    charged: Decimal
    tracking_number: str


class RefusedError(Exception):
    """The answer is no, and will be no the next time, too."""

    is_non_retriable = True


class OutOfStockError(RefusedError):
    """There is not enough of an article."""


class CardDeclinedError(RefusedError):
    """The card does not pay this amount."""


class UndeliverableError(RefusedError):
    """We do not send parcels there."""


class PurchaseCancelledError(RefusedError):
    """This purchase was undone already."""


class OrderFailedError(Exception):
    """The order was not fulfilled, and nothing of it is left behind. The cause tells why."""


@orchestrator
async def function_chaining(ctx: OrchestrationContext, order: Order) -> Receipt:
    r"""Fulfil an order: reserve the stock, charge the card, ship the parcel.

    When one of them fails, what was done before it is undone, and the instance fails with the reason as its cause. A
    card whose limit is below the amount is declined. Use the order's id as instance id, and no order runs twice:

        manage.py durable start-new function_chaining --instance-id order-1001 --wait --input \
        '{"order_id": "1001", "items": {"tea": 2}, "amount": "19.90", "card": {"token": "tok_1", "limit": "100"}}'
    """
    # An activity is retried under a new idempotency key. This id stays the same, so that a second charge is noticed.
    purchase = Purchase(ctx.new_uuid(), order)
    undo: list[Callable[[Purchase], None]] = []
    try:
        # A failed activity may still have done its work, just before its worker died. So note how to undo it first.
        undo.append(release_stock)
        await ctx.call_activity(reserve_stock, purchase)
        undo.append(void_charge)
        await ctx.call_activity(charge_card, purchase)
        tracking_number = await ctx.call_activity(ship_order, purchase)
    except TaskFailedError as error:
        for compensate in reversed(undo):
            await ctx.call_activity(compensate, purchase)
        raise OrderFailedError(f"Order {order.order_id} was cancelled. {error.error_message}") from error
    return Receipt(order.order_id, order.amount, tracking_number)


@activity(retry=PATIENT)
def reserve_stock(purchase: Purchase) -> None:
    """Take the articles from the stock: all of them, or none."""
    with open_books() as books:
        if not sign(books, purchase, "reserve"):
            return
        for article, quantity in purchase.order.items.items():
            taken = books.execute(
                "UPDATE stock SET available = available - ? WHERE article = ? AND available >= ?",
                (quantity, article, quantity),
            )
            if not taken.rowcount:
                raise OutOfStockError(f"There are not {quantity} of {article!r} in stock.")


@activity(retry=PATIENT)
def release_stock(purchase: Purchase) -> None:
    """Put the articles back, if they were taken."""
    with open_books() as books:
        if sign_undo(books, purchase, "reserve"):
            books.executemany(
                "UPDATE stock SET available = available + ? WHERE article = ?",
                [(quantity, article) for article, quantity in purchase.order.items.items()],
            )


@activity(retry=PATIENT)
def charge_card(purchase: Purchase) -> None:
    """Take the money, once."""
    order = purchase.order
    if order.amount > order.card.limit:
        raise CardDeclinedError(f"The card was declined: {order.amount} is more than its limit of {order.card.limit}.")
    with open_books() as books:
        if sign(books, purchase, "charge"):
            books.execute("INSERT INTO payment VALUES (?, ?, ?)", (order.order_id, order.card.token, str(order.amount)))


@activity(retry=PATIENT)
def void_charge(purchase: Purchase) -> None:
    """Give the money back, if it was taken."""
    order = purchase.order
    with open_books() as books:
        if sign_undo(books, purchase, "charge"):
            books.execute(
                "INSERT INTO payment VALUES (?, ?, ?)", (order.order_id, order.card.token, str(-order.amount))
            )


@activity(retry=PATIENT)
def ship_order(purchase: Purchase) -> str:
    """Hand the parcel to the carrier and return its tracking number."""
    order = purchase.order
    if order.country not in COUNTRIES_SERVED:
        raise UndeliverableError(f"We do not ship to {order.country!r}, only to {', '.join(sorted(COUNTRIES_SERVED))}.")
    tracking_number = f"{order.country}-{purchase.id[:8].upper()}"
    with open_books() as books:
        if sign(books, purchase, "ship"):
            books.execute("INSERT INTO parcel VALUES (?, ?)", (tracking_number, order.order_id))
    return tracking_number


# --- the shop's books: a small database of our own --------------------------------------------------------------------


@contextmanager
def open_books() -> Iterator[sqlite3.Connection]:
    """Open the books for one transaction: an error undoes all that was written."""
    folder = Path(os.environ.get("DURABLE_VAR", "var"))
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "shop.sqlite3", timeout=30, isolation_level=None)) as books, books:
        books.execute("BEGIN IMMEDIATE")
        books.execute("CREATE TABLE IF NOT EXISTS stock (article TEXT PRIMARY KEY, available INTEGER NOT NULL)")
        books.execute("CREATE TABLE IF NOT EXISTS payment (order_id TEXT, card TEXT, amount TEXT)")
        books.execute("CREATE TABLE IF NOT EXISTS parcel (tracking_number TEXT, order_id TEXT)")
        books.execute("CREATE TABLE IF NOT EXISTS signed (purchase TEXT, deed TEXT, PRIMARY KEY (purchase, deed))")
        books.executemany("INSERT OR IGNORE INTO stock VALUES (?, ?)", OPENING_STOCK.items())
        yield books


def sign(books: sqlite3.Connection, purchase: Purchase, deed: str) -> bool:
    """Sign for a deed. False when it is signed already: activities run at least once, their deeds are done once.

    Raises:
        PurchaseCancelledError: the purchase was undone. Its activity comes too late, or somebody rewound the instance.
    """
    undone = "SELECT 1 FROM signed WHERE purchase = ? AND deed LIKE 'undo %'"
    if books.execute(undone, (purchase.id,)).fetchone():
        raise PurchaseCancelledError(
            f"This attempt at order {purchase.order.order_id} was cancelled: start the order anew."
        )
    return books.execute("INSERT OR IGNORE INTO signed VALUES (?, ?)", (purchase.id, deed)).rowcount == 1


def sign_undo(books: sqlite3.Connection, purchase: Purchase, deed: str) -> bool:
    """Sign for the undoing of a deed. False when there is nothing to undo: it was not done, or is undone already."""
    was_done = books.execute("SELECT 1 FROM signed WHERE purchase = ? AND deed = ?", (purchase.id, deed)).fetchone()
    undo = books.execute("INSERT OR IGNORE INTO signed VALUES (?, ?)", (purchase.id, f"undo {deed}"))
    return undo.rowcount == 1 and was_done is not None
