"""Numbers of purchases: patience, deadlines, what sponsors pay. Raise `version` with any change."""

from __future__ import annotations

import msgspec

from messages.payments.payments import Purpose

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class TokenPrice(msgspec.Struct, frozen=True):
    """What one whole reward token costs a sponsor, in minor units of a currency."""

    currency: str
    price_minor: int


class PurchasePolicy(msgspec.Struct, frozen=True):
    """How purchases are made.

    answer_ms: a step without an answer after so long is asked for again.
    retry_first_ms, retry_most_ms: the wait before the next time, doubling between the two.
    pay_ms: how long a buyer has to pay.  reserved_pay_ms: where goods are kept for them meanwhile,
    `grace_ms` longer than that.  look_ms: how long nothing may be heard of a payment that is open.
    refund_ms: how long a buyer may take a purchase back; staff may always.
    """

    version: int = 1
    answer_ms: int = 20 * SECOND_MS
    retry_first_ms: int = 5 * SECOND_MS
    retry_most_ms: int = HOUR_MS
    pay_ms: int = DAY_MS
    reserved_pay_ms: int = 30 * MINUTE_MS
    grace_ms: int = 10 * MINUTE_MS
    look_ms: int = MINUTE_MS
    refund_ms: int = 14 * DAY_MS
    token_prices: tuple[TokenPrice, ...] = (
        TokenPrice("USD", 1),
        TokenPrice("EUR", 1),
        TokenPrice("GBP", 1),
        TokenPrice("USDC", 10_000),
    )


POLICY = PurchasePolicy()


def retry_after_ms(policy: PurchasePolicy, tries: int) -> int:
    """The wait before a step that was asked for `tries` times is asked for again."""
    return min(policy.retry_most_ms, policy.retry_first_ms << min(tries, 20))


def pay_within_ms(policy: PurchasePolicy, purpose: Purpose) -> int:
    """How long a buyer has to pay."""
    return policy.reserved_pay_ms if purpose is Purpose.NFT_PURCHASE else policy.pay_ms


def token_price_minor(policy: PurchasePolicy, currency: str) -> int | None:
    """What one whole reward token costs in a currency; None where it cannot be bought."""
    return next((p.price_minor for p in policy.token_prices if p.currency == currency), None)
