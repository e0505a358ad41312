"""What can be paid with now."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Payer
from api.inputs import MAX_INTEGER
from api.services import ServicesDep
from domain.payments import offering
from messages.money import MINOR_DIGITS
from messages.payments.gateways import GatewayName, Method

router = APIRouter(prefix="/api/v1", tags=["payments"])

CurrencyQuery = Annotated[str | None, Query(max_length=16, description="As USD: only its methods.")]
AmountQuery = Annotated[
    int | None,
    Query(ge=1, le=MAX_INTEGER, description="With `currency`: what it would cost to pay so much."),
]


class PaymentLimits(BaseModel):
    """What may be paid at once in a currency."""

    currency: str
    digits: int = Field(description="Of its minor units: 2 for USD.")
    least_minor: int
    most_minor: int
    step_minor: int = Field(description="Amounts are multiples of it.")


class PaymentProvider(BaseModel):
    """A provider that takes payments by the method."""

    gateway: GatewayName
    healthy: bool = Field(description="Whether it answered lately; if not, others are asked first.")
    authorises: bool = Field(description="Whether it can authorise now and take later.")
    limits: list[PaymentLimits]
    cost_minor: int | None = Field(
        description="What it keeps of the amount that was asked about. The platform bears it: the "
        "payer's balance gets the whole amount."
    )


class PaymentMethod(BaseModel):
    """A method, and its providers in the order in which they would be asked."""

    method: Method
    available: bool = Field(description="Whether any of its providers answers at the moment.")
    currencies: list[str]
    providers: list[PaymentProvider]


class PaymentMethods(BaseModel):
    """All that can be paid with."""

    items: list[PaymentMethod]


@router.get("/payment-methods")
async def list_payment_methods(
    subject: Payer,
    services: ServicesDep,
    currency: CurrencyQuery = None,
    amount_minor: AmountQuery = None,
) -> PaymentMethods:
    """The methods that providers of ours take, with limits, costs and how well they are."""
    courier = services.payments
    found = offering.offered(courier.gateways, courier.unhealthy(), currency, amount_minor)
    grouped = groupby(found, key=lambda one: one.method)
    return PaymentMethods(items=[_method(method, list(offers)) for method, offers in grouped])


def _method(method: Method, offers: list[offering.Offered]) -> PaymentMethod:
    currencies = {limits.currency for one in offers for limits in one.limits}
    return PaymentMethod(
        method=method,
        available=any(one.healthy for one in offers),
        currencies=sorted(currencies),
        providers=[_provider(one) for one in offers],
    )


def _provider(one: offering.Offered) -> PaymentProvider:
    return PaymentProvider(
        gateway=one.gateway,
        healthy=one.healthy,
        authorises=one.manual,
        limits=[
            PaymentLimits(
                currency=each.currency,
                digits=MINOR_DIGITS[each.currency],
                least_minor=each.least_minor,
                most_minor=each.most_minor,
                step_minor=each.step_minor,
            )
            for each in one.limits
        ],
        cost_minor=one.cost_minor,
    )
