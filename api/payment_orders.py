"""What a payment's owner is asked to begin, for every route that begins a payment."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Request
from pydantic import Field

from api.inputs import Input
from api.payment_risk import assess_payment
from api.saved_methods import resolve_source
from api.services import Services
from domain.payments.risk_features import Asked
from domain.payments.routing import check_amount, route
from messages.payments.errors import MethodNotOffered
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import Capture, Purpose, StartPayment

CODE = Annotated[str, Field(max_length=255)]


class Means(Input):
    """How the money comes."""

    method: Method
    source: CODE = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]*$",
        description="What the provider's script gave for a card, `pm_…`, or the id of a saved one.",
    )
    return_url: Annotated[str, Field(max_length=2_000)] = Field(
        "", description="Where the payer comes back to from the provider's page."
    )
    billing_country: str = Field(
        "", pattern=r"^([A-Z]{2})?$", description="Where the bill goes, as DE, if it is known."
    )


class Price(NamedTuple):
    """What is paid, and when it is taken."""

    amount_minor: int
    currency: str
    capture: Capture = Capture.AUTOMATIC


async def order_payment(
    services: Services, request: Request, payment_id: str, payer_id: str, price: Price, means: Means
) -> StartPayment:
    """A payment into the payer's balance, by whom it is taken and what antifraud says of it.

    Raises BadPaymentAmount, MethodNotOffered, CaptureNotOffered, PaymentAmountTooFine,
    SavedMethodNotFound, SavedMethodPending.
    """
    gateways = _gateways(services, price, means.method)
    card, source = await resolve_source(services, payer_id, means.source)
    asked = Asked(
        payment_id,
        payer_id,
        price.amount_minor,
        price.currency,
        means.method.value,
        card,
        means.billing_country,
    )
    return StartPayment(
        payer_id=payer_id,
        purpose=Purpose.TOP_UP,
        amount_minor=price.amount_minor,
        currency=price.currency,
        method=means.method,
        gateways=gateways,
        assessment=await assess_payment(services, request, asked),
        capture=price.capture,
        source=source,
        return_url=means.return_url,
    )


def _gateways(services: Services, price: Price, method: Method) -> tuple[GatewayName, ...]:
    """Whom to ask, in this order."""
    unhealthy = services.payments.unhealthy()
    plan = route(method, price.currency, price.amount_minor, unhealthy, capture=price.capture)
    check_amount(price.amount_minor, price.currency)
    gateways = tuple(name for name in plan if name in services.payments.gateways)
    if not gateways:
        raise MethodNotOffered(method=method.value, currency=price.currency)
    return gateways
