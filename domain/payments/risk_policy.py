"""The antifraud policy that a new platform begins with, and what makes any policy usable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from domain.payments.risk import (
    EXTERNAL,
    EXTERNAL_FAILED,
    MOST,
    Comparison,
    RiskPolicy,
    Rule,
    Window,
)
from domain.payments.risk_features import KNOWN, WINDOWED
from messages.payments.payments import Verdict
from messages.payments.risk import RiskPolicyInvalid

MAX_RULES = 100
MAX_THRESHOLD = 2**53 - 1
# How many payments of a subject are counted: storage looks no further, so a rule may not either.
MOST_COUNTED = 1_000
CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+){0,7}")
MAX_CODE_CHARS = 64

_MANY, _HOUR, _DAY = Window.TEN_MINUTES, Window.HOUR, Window.DAY
_ABOVE, _LEAST, _BELOW, _IS = (
    Comparison.ABOVE,
    Comparison.AT_LEAST,
    Comparison.BELOW,
    Comparison.IS,
)
RULES = (
    # Above 10,000 units, at once or in parts within a day, a person looks, whatever else is known.
    Rule("amount-large", "amount_cents", _ABOVE, 1_000_000, 30, verdict=Verdict.REVIEW),
    Rule("user-spent-24h", "user_spent", _ABOVE, 2_500_000, 20, _DAY, Verdict.REVIEW),
    Rule("card-spent-24h", "card_spent", _ABOVE, 2_500_000, 20, _DAY, Verdict.REVIEW),
    Rule("user-many-10m", "user_payments", _LEAST, 12, 30, _MANY),
    Rule("user-many-1h", "user_payments", _LEAST, 25, 25, _HOUR),
    Rule("user-many-24h", "user_payments", _LEAST, 60, 25, _DAY),
    Rule("user-flood-10m", "user_payments", _LEAST, 40, 50, _MANY, Verdict.DENY),
    Rule("card-many-10m", "card_payments", _LEAST, 8, 30, _MANY),
    Rule("card-many-24h", "card_payments", _LEAST, 30, 25, _DAY),
    Rule("device-many-10m", "device_payments", _LEAST, 20, 30, _MANY),
    Rule("network-many-10m", "network_payments", _LEAST, 60, 20, _MANY),
    # Testing of stolen cards: many are declined before one is not.
    Rule("user-declined-10m", "user_declined", _LEAST, 4, 50, _MANY),
    Rule("user-declined-1h", "user_declined", _LEAST, 8, 50, _HOUR, Verdict.DENY),
    Rule("card-declined-1h", "card_declined", _LEAST, 4, 40, _HOUR),
    Rule("card-declined-24h", "card_declined", _LEAST, 8, 50, _DAY, Verdict.DENY),
    Rule("device-declined-1h", "device_declined", _LEAST, 8, 50, _HOUR, Verdict.DENY),
    Rule("network-declined-10m", "network_declined", _LEAST, 15, 35, _MANY),
    Rule("network-declined-1h", "network_declined", _LEAST, 40, 40, _HOUR, Verdict.REVIEW),
    Rule("amount-unusual", "amount_to_median_pct", _LEAST, 2_000, 20),
    Rule("amount-largest", "amount_to_most_pct", _LEAST, 500, 20),
    Rule("account-an-hour-old", "account_age_minutes", _BELOW, 60, 15),
    Rule("account-a-day-old", "account_age_minutes", _BELOW, 24 * 60, 10),
    Rule("email-unverified", "email_unverified", _IS, 1, 10),
    Rule("country-mismatch", "country_mismatch", _IS, 1, 15),
    Rule("card-of-another-country", "card_country_mismatch", _IS, 1, 15),
    Rule("card-shared", "card_users", _LEAST, 3, 35),
    Rule("card-of-many", "card_users", _LEAST, 6, 50, verdict=Verdict.DENY),
    Rule("device-shared", "device_users", _LEAST, 5, 30),
    Rule("linked-to-many", "linked_users", _LEAST, 15, 20),
    Rule("linked-to-denied", "linked_denied", _LEAST, 1, 40),
    Rule("linked-to-disputed", "linked_disputed", _LEAST, 1, 40),
    Rule("disputed-before", "user_disputes", _LEAST, 1, 30),
    Rule("disputed-often", "user_disputes", _LEAST, 3, 40, verdict=Verdict.REVIEW),
    Rule("card-disputed", "card_disputes", _LEAST, 1, 50),
)
FIRST = RiskPolicy(RULES)


def check(policy: RiskPolicy) -> RiskPolicy:
    """The policy, if it can be used. Raises RiskPolicyInvalid with the first thing wrong."""
    for reason in _problems(policy):
        raise RiskPolicyInvalid(reason, reason=reason)
    return policy


def write(policy: RiskPolicy) -> str:
    """A policy as it is stored."""
    return msgspec.json.encode(policy).decode()


@lru_cache(maxsize=16)
def read(text: str) -> RiskPolicy:
    """A policy that was stored."""
    return msgspec.json.decode(text, type=RiskPolicy)


def _problems(policy: RiskPolicy) -> Iterator[str]:
    if not 0 < len(policy.rules) <= MAX_RULES:
        yield f"1 to {MAX_RULES} rules"
    if not 0 < policy.review_at <= policy.deny_at <= MOST:
        yield f"0 < review_at <= deny_at <= {MOST}"
    if not 0 <= policy.scorer.share_pct <= MOST:
        yield f"scorer.share_pct: 0 to {MOST}"
    if not 0 <= (policy.scorer.review_above_cents or 0) <= MAX_THRESHOLD:
        yield f"scorer.review_above_cents: 0 to {MAX_THRESHOLD}"
    codes = [rule.code for rule in policy.rules]
    if len(set(codes)) < len(codes):
        yield "each rule has a code of its own"
    for rule in policy.rules:
        yield from (f"{rule.code[:MAX_CODE_CHARS]}: {what}" for what in _problems_of(rule))


def _problems_of(rule: Rule) -> Iterator[str]:
    if not CODE.fullmatch(rule.code) or len(rule.code) > MAX_CODE_CHARS:
        yield "a code is words of a-z 0-9 with - between"
    if rule.code in {EXTERNAL, EXTERNAL_FAILED}:
        yield "this code is the external scorer's"
    if rule.feature not in KNOWN:
        yield f"no such feature: {rule.feature[:MAX_CODE_CHARS]}"
    if (rule.feature in WINDOWED) != (rule.window is not None):
        yield "a window is for what is counted over time, and demanded there"
    most = MAX_THRESHOLD if "spent" in rule.feature or not rule.window else MOST_COUNTED
    if not 0 <= rule.threshold <= most:
        yield f"threshold: 0 to {most}"
    if not 0 <= rule.weight <= MOST or not (rule.weight or rule.verdict):
        yield f"weight: 0 to {MOST}; without one a verdict"
    if rule.verdict is Verdict.ALLOW:
        yield "a rule cannot allow"
