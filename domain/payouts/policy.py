"""Numbers of payouts: limits, cooling-off, patience, who bears fees. Raise `version` with any
change.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.money import minor_per_unit
from messages.payments.payments import Verdict
from messages.payments.payout_orders import PayoutProvider

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
BPS = 10_000


class Change(StrEnum):
    """What makes a payout suspicious for a while."""

    NEW_DESTINATION = "new-destination"
    CREDENTIALS = "credentials-changed"
    CARD_DEPOSIT = "card-deposit"


class CoolingOff(msgspec.Struct, frozen=True):
    """For so long after a change: denied with the moment when it is over, or looked at."""

    after: Change
    ms: int
    verdict: Verdict


class Bearer(StrEnum):
    """Who bears what a provider keeps."""

    PLATFORM = "platform"
    USER = "user"


class PayoutOffer(msgspec.Struct, frozen=True):
    """A provider that pays out in some currencies.

    bearer: whether users are charged, and then a share of the amount, at most so many hundredths
    of a unit.
    """

    provider: PayoutProvider
    currencies: tuple[str, ...]
    bearer: Bearer = Bearer.PLATFORM
    share_bps: int = 0
    most_cents: int = 0


class PayoutPolicy(msgspec.Struct, frozen=True):
    """How payouts are made.

    grace_ms: how long a payout may be taken back.  answer_ms, retry_…: as for payments.
    patience_ms: how long a provider that certainly was not reached is tried before it fails.
    key_ms: how long a provider surely knows a key; after it a payout is looked for before it is
    sent again (Stripe forgets keys after a day).  look_ms: how often a payout under way is asked
    for.  watch_ms, watch_until_ms: how often, and until when, one that was paid is: it may come
    back without a word.  step_up_units: above it a recent proof of who asks is wanted.
    """

    version: int = 1
    minimum_cents: int = 1_000
    day_units: int = 10_000
    review_units: int = 1_000
    step_up_units: int = 100
    grace_ms: int = MINUTE_MS
    answer_ms: int = 20 * SECOND_MS
    retry_first_ms: int = 5 * SECOND_MS
    retry_most_ms: int = HOUR_MS
    patience_ms: int = DAY_MS
    key_ms: int = 20 * HOUR_MS
    look_ms: int = HOUR_MS
    watch_ms: int = 7 * DAY_MS
    watch_until_ms: int = 60 * DAY_MS
    max_methods: int = 5
    cooling: tuple[CoolingOff, ...] = (
        CoolingOff(Change.NEW_DESTINATION, DAY_MS, Verdict.DENY),
        CoolingOff(Change.CREDENTIALS, DAY_MS, Verdict.DENY),
        CoolingOff(Change.CARD_DEPOSIT, 3 * DAY_MS, Verdict.REVIEW),
    )
    offers: tuple[PayoutOffer, ...] = (
        PayoutOffer(PayoutProvider.STRIPE, ("USD", "EUR", "GBP")),
        PayoutOffer(PayoutProvider.PAYPAL, ("USD", "EUR", "GBP"), Bearer.USER, 200, 100),
    )


POLICY = PayoutPolicy()


def minimum_minor(policy: PayoutPolicy, currency: str) -> int:
    """The smallest payout."""
    return policy.minimum_cents * minor_per_unit(currency) // 100


def is_large(amount_minor: int, currency: str, policy: PayoutPolicy = POLICY) -> bool:
    """Whether a recent proof of who asks is wanted."""
    return amount_minor > policy.step_up_units * minor_per_unit(currency)


def charged_minor(offer: PayoutOffer, amount_minor: int, currency: str) -> int:
    """The part of a payout that is a fee of its user's, rounded up."""
    if offer.bearer is Bearer.PLATFORM:
        return 0
    most = offer.most_cents * minor_per_unit(currency) // 100
    return min(most, -(-(amount_minor * offer.share_bps) // BPS))


def retry_after_ms(policy: PayoutPolicy, tries: int) -> int:
    """The wait before a call that was asked `tries` times is asked again."""
    return min(policy.retry_most_ms, policy.retry_first_ms << min(tries, 20))
