"""Antifraud for payouts: rules as data over what is known of a user, with reasons. Pure.

What is denied is told with the moment from which it is not; the rest is allowed, or looked at by a
person.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from domain.payouts.policy import DAY_MS, Change, PayoutOffer, PayoutPolicy, minimum_minor
from messages.money import minor_per_unit
from messages.payments.payments import Assessment, Verdict
from messages.payments.payout_errors import (
    PayoutCoolingOff,
    PayoutLimitReached,
    PayoutMethodNotFound,
    PayoutMethodNotReady,
    PayoutNotOffered,
    PayoutTooSmall,
)
from messages.payments.payout_methods import PayoutMethodState
from messages.payments.payout_orders import PayoutProvider
from messages.payments.payouts import RequestPayout

AMOUNT = "amount-large"


class Known(msgspec.Struct, frozen=True):
    """What is known when a payout is requested. provider None: there is no such method.

    recent: moments and amounts of payouts in the currency asked for, at least those of a day.
    changes: when each of them happened last.
    """

    provider: PayoutProvider | None = None
    state: PayoutMethodState = PayoutMethodState.PENDING
    recent: tuple[tuple[int, int], ...] = ()
    changes: Mapping[Change, int] = {}


def check(asked: RequestPayout, known: Known, policy: PayoutPolicy, now_ms: int) -> PayoutOffer:
    """Raise what stands in the way of a payout; the offer by which it goes."""
    if known.provider is None:
        raise PayoutMethodNotFound
    offer = next((o for o in policy.offers if o.provider is known.provider), None)
    if offer is None or asked.currency not in offer.currencies:
        raise PayoutNotOffered(currency=asked.currency)
    if known.state is not PayoutMethodState.READY:
        raise PayoutMethodNotReady
    if asked.amount_minor < minimum_minor(policy, asked.currency):
        raise PayoutTooSmall(least=minimum_minor(policy, asked.currency))
    most, began_ms = day_minor(policy, asked.currency), day_began_ms(now_ms)
    today = sum(amount for at_ms, amount in known.recent if at_ms > began_ms)
    if asked.amount_minor + today > most:
        raise PayoutLimitReached(most=most, left=max(0, most - today))
    _check_cooling(known, policy, now_ms)
    return offer


def day_minor(policy: PayoutPolicy, currency: str) -> int:
    """How much may be paid out within a day."""
    return policy.day_units * minor_per_unit(currency)


def assess(asked: RequestPayout, known: Known, policy: PayoutPolicy, now_ms: int) -> Assessment:
    """Whether a person has to look at a payout that nothing stands in the way of, and why."""
    reasons = [
        rule.after.value
        for rule in policy.cooling
        if rule.verdict is Verdict.REVIEW and _until_ms(rule.after, rule.ms, known) > now_ms
    ]
    if asked.amount_minor > policy.review_units * minor_per_unit(asked.currency):
        reasons.append(AMOUNT)
    verdict = Verdict.REVIEW if reasons else Verdict.ALLOW
    return Assessment(verdict, 50 if reasons else 0, tuple(reasons), policy.version)


def _check_cooling(known: Known, policy: PayoutPolicy, now_ms: int) -> None:
    for rule in policy.cooling:
        until_ms = _until_ms(rule.after, rule.ms, known)
        if rule.verdict is Verdict.DENY and until_ms > now_ms:
            raise PayoutCoolingOff(reason=rule.after.value, until_ms=until_ms)


def _until_ms(change: Change, ms: int, known: Known) -> int:
    at_ms = known.changes.get(change)
    return 0 if at_ms is None else at_ms + ms


def day_began_ms(now_ms: int) -> int:
    """Since when payouts count towards the day's limit."""
    return now_ms - DAY_MS
