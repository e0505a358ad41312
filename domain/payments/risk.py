"""Antifraud: rules as data over what is known of a payer and a payment, with reasons.

Each rule that holds adds its weight, the sum decides, and a rule may demand a verdict by itself.
Pure, so that a decision can be replayed from its features. A feature that is not known makes no
rule hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import TypeAlias

import msgspec

from messages.payments.payments import Assessment, Verdict

MOST = 100
EXTERNAL = "external-score"
EXTERNAL_FAILED = "external-scorer-failed"
AMOUNT = "amount_cents"
SEVERITY = {Verdict.ALLOW: 0, Verdict.REVIEW: 1, Verdict.DENY: 2}

Features: TypeAlias = Mapping[str, int]


class Window(StrEnum):
    """How far back is looked, this payment included."""

    TEN_MINUTES = "10m"
    HOUR = "1h"
    DAY = "24h"


class Comparison(StrEnum):
    """Of a feature's value with the threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    IS = "="


COMPARE: Mapping[Comparison, Callable[[int, int], bool]] = {
    Comparison.ABOVE: gt,
    Comparison.AT_LEAST: ge,
    Comparison.BELOW: lt,
    Comparison.AT_MOST: le,
    Comparison.IS: eq,
}


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Holds when the feature, over the window if it has one, compares so with the threshold.

    weight: what it adds to the score.  verdict: the least that follows, whatever the score.
    """

    code: str
    feature: str
    comparison: Comparison
    threshold: int
    weight: int = 0
    window: Window | None = None
    verdict: Verdict | None = None

    @property
    def named(self) -> str:
        """The key of its feature's value."""
        return f"{self.feature}_{self.window.value}" if self.window else self.feature


class ScorerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an external scorer's word is worth, and what is done without it.

    share_pct: how much of its score is added to ours.
    review_above_cents: if it fails, larger payments wait for a person; None: none does.
    """

    share_pct: int = 50
    review_above_cents: int | None = 100_000


class RiskPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """review_at, deny_at: sums of weights, from which on these verdicts follow."""

    rules: tuple[Rule, ...]
    review_at: int = 50
    deny_at: int = 90
    scorer: ScorerPolicy = ScorerPolicy()
    version: int = 1


class External(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of asking an external scorer. `score` 0 to 100; None: it failed.

    request_digest: SHA-256 of what was asked.  answer: as it came, cut.
    """

    score: int | None
    failure: str = ""
    request_digest: str = ""
    latency_us: int = 0
    answer: str = ""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule with the value that it looked at, None where that is not known."""

    code: str
    feature: str
    value: int | None
    comparison: Comparison
    threshold: int
    held: bool
    weight: int = 0
    verdict: Verdict | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """What follows from features. `outcomes`: every rule of the policy, in its order."""

    verdict: Verdict
    score: int
    outcomes: tuple[Outcome, ...]
    policy_version: int

    @property
    def reasons(self) -> tuple[Outcome, ...]:
        """The rules that hold."""
        return tuple(one for one in self.outcomes if one.held)

    def assessment(self) -> Assessment:
        """As the payment's owner keeps it."""
        codes = tuple(one.code for one in self.reasons)
        return Assessment(self.verdict, self.score, codes, self.policy_version)


def evaluate(
    features: Features, policy: RiskPolicy, external: External | None = None
) -> Evaluation:
    """What the policy says of a payment. `external` None: no scorer was asked."""
    outcomes = [_look(rule, features.get(rule.named)) for rule in policy.rules]
    if external is not None:
        outcomes.append(_hear(external, features.get(AMOUNT), policy.scorer))
    held = [one for one in outcomes if one.held]
    score = min(MOST, sum(one.weight for one in held))
    verdicts = [_of_score(score, policy), *(one.verdict for one in held if one.verdict)]
    worst = max(verdicts, key=SEVERITY.__getitem__)
    return Evaluation(worst, score, tuple(outcomes), policy.version)


def _look(rule: Rule, value: int | None) -> Outcome:
    held = value is not None and COMPARE[rule.comparison](value, rule.threshold)
    return Outcome(
        rule.code,
        rule.named,
        value,
        rule.comparison,
        rule.threshold,
        held,
        rule.weight,
        rule.verdict,
    )


def _hear(external: External, amount_cents: int | None, policy: ScorerPolicy) -> Outcome:
    """A scorer's word as a rule among the others, or what its silence is taken for."""
    if external.score is not None:
        points = external.score * policy.share_pct // MOST
        held = points > 0
        return Outcome(EXTERNAL, "external_score", external.score, Comparison.AT_LEAST, 1, held,
                       points)  # fmt: skip
    most = policy.review_above_cents
    held = most is not None and amount_cents is not None and amount_cents > most
    return Outcome(EXTERNAL_FAILED, AMOUNT, amount_cents, Comparison.ABOVE, most or 0, held, 0,
                   Verdict.REVIEW)  # fmt: skip


def _of_score(score: int, policy: RiskPolicy) -> Verdict:
    if score >= policy.deny_at:
        return Verdict.DENY
    return Verdict.REVIEW if score >= policy.review_at else Verdict.ALLOW
