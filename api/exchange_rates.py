"""Exchange rates in force, and what a payment was worth by them when it began."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import PaymentReviewer, public
from api.openapi import problems
from api.services import ServicesDep
from domain.exchange import POLICY, is_in_force
from messages.payments.errors import PaymentNotFound
from messages.payments.exchange import ExchangeRateUnavailable, Rate
from storage import exchange_rates as storage

router = APIRouter(prefix="/api/v1", tags=["exchange"])


class ExchangeRate(BaseModel):
    """What one of the base is worth: `value / 10^scale` of the currency, exactly."""

    currency: str
    rate: str = Field(description="The same as a decimal.")
    value: int
    scale: int


class ExchangeRates(BaseModel):
    """Reference rates as they were published on a day."""

    provider: str
    base: str
    published_on: date
    fetched_at_ms: int
    in_force: bool = Field(description="Whether they are recent enough to convert money by.")
    convertible: list[str] = Field(description="The currencies that can be converted.")
    rates: list[ExchangeRate]


class PaymentWorth(BaseModel):
    """What a payment was worth when it began. Nulls: no rate was in force, so it is unknown."""

    payment_id: UUID
    currency: str
    amount_minor: int | None
    numerator: str | None = Field(description="Of the exact rate, in major units.")
    denominator: str | None
    provider: str | None = Field(description="Null also where no rate was needed.")
    published_on: date | None
    fetched_at_ms: int | None


@router.get("/exchange-rates")
@public
async def get_exchange_rates(services: ServicesDep) -> ExchangeRates:
    """The newest reference rates. 503 while there are none at all."""
    now_ms = services.clock()
    found = await storage.latest(services.pool, now_ms)
    if found is None:
        raise ExchangeRateUnavailable
    published = found.published
    return ExchangeRates(
        provider=published.provider,
        base=published.base,
        published_on=published.published_on,
        fetched_at_ms=found.fetched_at_ms,
        in_force=is_in_force(found.published_at_ms, found.fetched_at_ms, now_ms),
        convertible=list(POLICY.currencies),
        rates=[
            ExchangeRate(currency=code, rate=_decimal(rate), value=rate.value, scale=rate.scale)
            for code, rate in published.rates.items()
        ],
    )


@router.get("/payments/{payment_id}/worth", responses=problems(404))
async def get_payment_worth(
    payment_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> PaymentWorth:
    """A payment's worth in the reporting currency, with the rate and where it is from.

    Recorded some seconds after the payment began, from the rates in force when it did.
    """
    row = await storage.worth_of(services.pool, str(payment_id))
    if row is None:
        raise PaymentNotFound
    amount = row["reporting_minor"]
    return PaymentWorth(
        payment_id=payment_id,
        currency=row["reporting_currency"],
        amount_minor=None if amount is None else int(amount),
        numerator=row["numerator"],
        denominator=row["denominator"],
        provider=row["provider"],
        published_on=row["published_on"],
        fetched_at_ms=row["fetched_at_ms"],
    )


def _decimal(rate: Rate) -> str:
    whole, part = divmod(rate.value, 10**rate.scale)
    return f"{whole}.{part:0{rate.scale}d}" if rate.scale else str(whole)
