"""What can be paid with now: the methods whose providers are there, their limits and costs."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from domain.payments.policy import POLICY, Offer, PaymentPolicy
from domain.payments.routing import cost_minor
from messages.money import minor_per_unit
from messages.payments.gateways import GatewayName, Method


class Limits(msgspec.Struct, frozen=True):
    """What may be paid at once in a currency, in its minor units; multiples of `step_minor`."""

    currency: str
    least_minor: int
    most_minor: int
    step_minor: int


class Offered(msgspec.Struct, frozen=True):
    """A provider that takes payments by a method. `cost_minor`: what it would keep, if known."""

    method: Method
    gateway: GatewayName
    healthy: bool
    manual: bool
    limits: tuple[Limits, ...]
    cost_minor: int | None


def offered(
    configured: Collection[GatewayName],
    unhealthy: Collection[GatewayName] = (),
    currency: str | None = None,
    amount_minor: int | None = None,
    policy: PaymentPolicy = POLICY,
) -> list[Offered]:
    """The offers of the configured providers, in the order in which they would be asked.

    Only those that take `currency`, and so much of it, where these are given.
    """
    found = [
        Offered(
            one.method,
            one.gateway,
            one.gateway not in unhealthy,
            one.manual,
            tuple(_limits(policy, one, code) for code in one.currencies),
            _cost(policy, one, currency, amount_minor),
        )
        for one in policy.offers
        if one.gateway in configured and _takes(policy, one, currency, amount_minor)
    ]
    return sorted(found, key=lambda one: (one.method, not one.healthy, one.cost_minor or 0))


def _limits(policy: PaymentPolicy, offer: Offer, currency: str) -> Limits:
    step = offer.step_minor
    most = policy.max_units * minor_per_unit(currency)
    return Limits(currency, step, most - most % step, step)


def _takes(
    policy: PaymentPolicy, offer: Offer, currency: str | None, amount_minor: int | None
) -> bool:
    if currency is None:
        return True
    if currency not in offer.currencies:
        return False
    limits = _limits(policy, offer, currency)
    return amount_minor is None or (
        limits.least_minor <= amount_minor <= limits.most_minor
        and amount_minor % limits.step_minor == 0
    )


def _cost(
    policy: PaymentPolicy, offer: Offer, currency: str | None, amount_minor: int | None
) -> int | None:
    if currency is None or amount_minor is None:
        return None
    return cost_minor(offer.gateway, amount_minor, currency, policy)
