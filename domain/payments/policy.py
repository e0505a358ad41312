"""Numbers of payments: limits, patience, what providers cost. Raise `version` with any change."""

from __future__ import annotations

import msgspec

from messages.payments.gateways import GatewayName, Method

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class GatewayCost(msgspec.Struct, frozen=True):
    """What a provider keeps of a payment: a share of it, and so many hundredths of a unit."""

    gateway: GatewayName
    share_bps: int
    fixed_cents: int


class Offer(msgspec.Struct, frozen=True):
    """A provider that takes payments by a method in some currencies.

    manual: whether it can authorise now and take later.  step_minor: amounts are multiples of it.
    """

    method: Method
    gateway: GatewayName
    currencies: tuple[str, ...]
    manual: bool = True
    step_minor: int = 1


class PaymentPolicy(msgspec.Struct, frozen=True):
    """How payments are taken.

    answer_ms: a call without an answer after so long is asked again.
    retry_first_ms, retry_most_ms: the wait before it is asked again, doubling between the two.
    patience_ms: how long a provider that cannot be reached is tried before a payment fails.
    expire_ms: how long a payer has.  debt_ms: how often what a payer owes is looked for.
    """

    version: int = 1
    max_units: int = 1_000_000
    answer_ms: int = 20 * SECOND_MS
    retry_first_ms: int = 5 * SECOND_MS
    retry_most_ms: int = HOUR_MS
    patience_ms: int = MINUTE_MS
    expire_ms: int = DAY_MS
    debt_ms: int = DAY_MS
    costs: tuple[GatewayCost, ...] = (
        GatewayCost(GatewayName.STRIPE, 290, 30),
        GatewayCost(GatewayName.PAYPAL, 349, 49),
        GatewayCost(GatewayName.COINBASE, 100, 0),
    )
    offers: tuple[Offer, ...] = (
        Offer(Method.CARD, GatewayName.STRIPE, ("USD", "EUR", "GBP")),
        Offer(Method.PAYPAL, GatewayName.PAYPAL, ("USD", "EUR", "GBP")),
        # Whoever pays in USDC has paid; Coinbase takes hundredths of it.
        Offer(Method.CRYPTO, GatewayName.COINBASE, ("USDC",), manual=False, step_minor=10_000),
    )


POLICY = PaymentPolicy()


def step_minor(policy: PaymentPolicy, gateway: GatewayName) -> int:
    """What amounts at a provider are multiples of, in minor units."""
    return max((one.step_minor for one in policy.offers if one.gateway is gateway), default=1)


def retry_after_ms(policy: PaymentPolicy, tries: int) -> int:
    """The wait before a call that was asked `tries` times is asked again."""
    return min(policy.retry_most_ms, policy.retry_first_ms << min(tries, 20))
