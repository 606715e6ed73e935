"""An orchestrator whose input has something of everything, for the tests of the start pages."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field, JsonValue, SecretStr

from durable_host import OrchestrationContext
from durable_host.core.registry import Registry


class Seat(StrEnum):
    WINDOW = "window"
    AISLE = "aisle"


class Train(BaseModel):
    """By rail."""

    kind: Literal["train"] = "train"
    number: str = Field(pattern="^[A-Z]{2,3} [0-9]+$", examples=["ICE 75"])


class Ferry(BaseModel):
    """By sea."""

    kind: Literal["ferry"] = "ferry"
    cabins: int = Field(default=1, ge=0, le=4)


class Leg(BaseModel):
    """From one place to the next."""

    to: str = Field(min_length=1, description="Where it ends.")
    on: date
    by: Train | Ferry
    seat: Seat | None = None


class Payer(BaseModel):
    """Who pays."""

    name: str = Field(min_length=1)
    email: str = Field(json_schema_extra={"format": "email"})
    limit: Decimal = Field(default=Decimal(500), gt=0, description="What it may cost at most.")


class Journey(BaseModel):
    """A journey of several legs."""

    traveller: str = Field(min_length=1, max_length=40, description="The name as in the passport.")
    leaves_at: datetime
    patience: timedelta = Field(default=timedelta(minutes=30), description="How long to wait for a late train.")
    travel_class: Literal["first", "second"] = "second"
    legs: list[Leg] = Field(min_length=1, description="In the order of travel.")
    payer: Payer
    guardian: Payer | None = Field(default=None, description="Only for children.")
    is_flexible: bool = Field(default=False, description="Whether it may be a day later.")
    budget: dict[str, Decimal] = Field(default={}, description="Purpose → amount.")
    pin: SecretStr | None = None
    notes: JsonValue = None


async def page_journey(ctx: OrchestrationContext, journey: Journey) -> str:
    """Book a journey, leg by leg.

    It has something of everything, so that its form has, too.
    """
    return journey.traveller


def register(registry: Registry) -> None:
    """Make it known."""
    registry.add_orchestrator(page_journey)
