"""What a provider's own books say, to compare with ours."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EntryKind(StrEnum):
    """A movement of money in a provider's books."""

    CAPTURE = "capture"
    REFUND = "refund"
    REFUND_FAILED = "refund-failed"
    DISPUTE = "dispute"
    DISPUTE_WON = "dispute-won"
    PAYOUT = "payout"
    PAYOUT_FAILED = "payout-failed"


class ProviderEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A movement of money as its provider booked it.

    ref: of the movement, once in the provider's books.  charge_ref: of the charge (or the payout)
    that it belongs to.  amount_minor: above zero what came to us, below zero what left us, without
    the provider's fee.  fee_minor: what the provider kept for it.  at_ms: by the provider's clock.
    our_id: the payment or the payout that the provider says it is of, if it says so.
    """

    ref: str
    kind: EntryKind
    charge_ref: str
    amount_minor: int
    currency: str
    at_ms: int
    fee_minor: int = 0
    our_id: str = ""
