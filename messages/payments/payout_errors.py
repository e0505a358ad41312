"""Payouts: what may be refused."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound


class PayoutNotFound(NotFound):
    """There is no such payout of yours."""

    code = "payout-not-found"


class PayoutExists(Conflict):
    """This payout was requested before."""

    code = "payout-exists"


class PayoutTooSmall(Invalid):
    """Less than the smallest payout."""

    code = "payout-too-small"


class PayoutNotOffered(Invalid):
    """This currency cannot be paid out by this method."""

    code = "payout-not-offered"


class PayoutLimitReached(Limited):
    """More than what may be paid out within a day."""

    code = "payout-limit-reached"


class PayoutCoolingOff(Conflict):
    """Something that protects the account has just changed: payouts wait until a moment."""

    code = "payout-cooling-off"


class PayoutStateForbids(Conflict):
    """The payout is not in a state in which this can be done."""

    code = "payout-state-forbids"


class PayoutReviewOwn(Forbidden):
    """Nobody decides about a payout of their own."""

    code = "payout-review-own"


class PayoutMethodNotFound(NotFound):
    """You have no such payout method."""

    code = "payout-method-not-found"


class PayoutMethodNotReady(Conflict):
    """The provider does not pay out to this account yet: its onboarding is not over."""

    code = "payout-method-not-ready"


class PayoutMethodExists(Conflict):
    """You have this payout method already."""

    code = "payout-method-exists"


class PayoutMethodInUse(Conflict):
    """A payout by this method is under way."""

    code = "payout-method-in-use"


class TooManyPayoutMethods(Conflict):
    """You have as many payout methods as an account may have."""

    code = "payout-methods-limit"


class PayoutProviderNotConfigured(NotFound):
    """Nobody pays out by this provider here."""

    code = "payout-provider-unknown"
