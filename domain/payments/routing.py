"""Whom to ask: by method, then cost, then health."""

from __future__ import annotations

from collections.abc import Collection

from domain.payments.policy import POLICY, PaymentPolicy
from messages.money import minor_per_unit
from messages.payments.errors import (
    BadPaymentAmount,
    CaptureNotOffered,
    MethodNotOffered,
    PaymentAmountTooFine,
)
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import Capture

BPS = 10_000


def cost_minor(
    gateway: GatewayName, amount_minor: int, currency: str, policy: PaymentPolicy = POLICY
) -> int:
    """What a provider keeps of a payment, rounded up."""
    cost = next(one for one in policy.costs if one.gateway is gateway)
    fixed = cost.fixed_cents * minor_per_unit(currency)
    return -(-(amount_minor * cost.share_bps) // BPS) + -(-fixed // 100)


def check_amount(amount_minor: int, currency: str, policy: PaymentPolicy = POLICY) -> None:
    """Raise BadPaymentAmount unless so much can be paid at once."""
    if not 0 < amount_minor <= policy.max_units * minor_per_unit(currency):
        raise BadPaymentAmount(most=policy.max_units)


def route(
    method: Method,
    currency: str,
    amount_minor: int,
    unhealthy: Collection[GatewayName] = (),
    policy: PaymentPolicy = POLICY,
    *,
    capture: Capture = Capture.AUTOMATIC,
) -> tuple[GatewayName, ...]:
    """The providers to ask, the best first: the healthy before the others, then the cheap.

    Raises MethodNotOffered, CaptureNotOffered, PaymentAmountTooFine.
    """
    offers = [one for one in policy.offers if one.method is method and currency in one.currencies]
    if not offers:
        raise MethodNotOffered(method=method.value, currency=currency)
    offers = [one for one in offers if one.manual or capture is Capture.AUTOMATIC]
    if not offers:
        raise CaptureNotOffered(method=method.value)
    offered = [one.gateway for one in offers if amount_minor % one.step_minor == 0]
    if not offered:
        raise PaymentAmountTooFine(step=min(one.step_minor for one in offers))

    def place(name: GatewayName) -> tuple[bool, int, str]:
        return name in unhealthy, cost_minor(name, amount_minor, currency, policy), name.value

    return tuple(sorted(offered, key=place))
