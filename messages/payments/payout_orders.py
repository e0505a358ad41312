"""What is said between us and the providers that pay out for us."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class PayoutProvider(StrEnum):
    """A provider that pays out for us."""

    STRIPE = "stripe"
    PAYPAL = "paypal"


class PayoutProgress(StrEnum):
    """How far a payout is at its provider, from the beginning to the end.

    returned: it had been paid, and came back (an unclaimed PayPal payout, a reversed transfer).
    """

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"


class PayoutOrder(msgspec.Struct, frozen=True):
    """Money to be sent. destination: a Stripe account (`acct_…`) or a PayPal address."""

    payout_id: str
    amount_minor: int
    currency: str
    destination: str
    description: str = ""


class PayoutSnapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider says of a payout at one moment.

    ref: the provider's id.  at_ms: when it came to be in this status, by the provider's clock.
    fee_minor: what the provider keeps on top.  failure: the provider's word for why not.
    """

    ref: str
    progress: PayoutProgress
    at_ms: int
    fee_minor: int = 0
    failure: str = ""
