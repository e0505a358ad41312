"""Antifraud of payments: what may be refused."""

from __future__ import annotations

from messages.errors import Conflict, Invalid, NotFound


class RiskPolicyInvalid(Invalid):
    """The policy cannot be used: something in it contradicts itself or names nothing."""

    code = "risk-policy-invalid"


class RiskPolicyNotFound(NotFound):
    """There is no such version of the policy."""

    code = "risk-policy-not-found"


class AssessmentNotFound(NotFound):
    """Nothing was assessed for this payment."""

    code = "payment-assessment-not-found"


class ReviewNotFound(NotFound):
    """There is no such payment on hold."""

    code = "payment-review-not-found"


class ReviewClaimed(Conflict):
    """Another reviewer works on this payment."""

    code = "payment-review-claimed"
