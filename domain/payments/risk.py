"""Antifraud: rules as data over what is known of a payer and a payment, with reasons.

Each rule that holds adds its weight; the sum decides. Pure, so that a decision can be replayed.
"""

from __future__ import annotations

import msgspec

from messages.money import minor_per_unit
from messages.payments.payments import Assessment, Verdict


class RiskPolicy(msgspec.Struct, frozen=True):
    """Weights and bounds. Raise `version` with any change.

    review_at, deny_at: sums.  large_units: above it a person looks, whatever else is known.
    """

    version: int = 1
    review_at: int = 50
    deny_at: int = 100
    large_units: int = 10_000
    large: int = 50


RISK = RiskPolicy()


class Features(msgspec.Struct, frozen=True):
    """What is known when a payment begins."""

    amount_minor: int
    currency: str


def assess(features: Features, policy: RiskPolicy = RISK) -> Assessment:
    """What the rules say of a payment."""
    found: list[tuple[str, int]] = []
    if features.amount_minor > policy.large_units * minor_per_unit(features.currency):
        found.append(("amount-large", policy.large))
    score = min(100, sum(weight for _, weight in found))
    verdict = Verdict.ALLOW
    if score >= policy.review_at:
        verdict = Verdict.REVIEW
    if score >= policy.deny_at:
        verdict = Verdict.DENY
    return Assessment(verdict, score, tuple(code for code, _ in found), policy.version)
