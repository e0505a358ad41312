"""A payment: what its owner is asked, what happened to it, what callers see of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.payments.gateways import (
    Call,
    GatewayName,
    Method,
    NextAction,
    Snapshot,
)


class PaymentStatus(StrEnum):
    """DOMAIN's states."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ON_HOLD = "on_hold"
    DISPUTED = "disputed"


class Purpose(StrEnum):
    """What a payment is for. All reach the payer's balance first; what follows is a saga's."""

    TOP_UP = "wallet-topup"
    SHARE_PURCHASE = "share-purchase"
    NFT_PURCHASE = "nft-purchase"
    VENTURE_INVESTMENT = "venture-investment"
    SPONSORSHIP = "campaign-sponsorship"


class Verdict(StrEnum):
    """What the antifraud rules say."""

    ALLOW = "allow"
    REVIEW = "review"
    DENY = "deny"


class Capture(StrEnum):
    """When an authorised amount is taken."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Source(StrEnum):
    """How we came to know what a provider says."""

    CALL = "call"
    WEBHOOK = "webhook"
    RECONCILIATION = "reconciliation"


class Assessment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the antifraud rules found. `score` 0 to 100; `reasons` are codes of rules."""

    verdict: Verdict
    score: int = 0
    reasons: tuple[str, ...] = ()
    policy_version: int = 1


# --- commands ------------------------------------------------------------------------------------


class StartPayment(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin a payment. `gateways`: whom to ask, in this order, each only if the one before took
    nothing for certain.

    source: what the provider's script gave the page for the card (`pm_…`), if anything.
    subject: what the payment is for, such as `issue:<id>`.
    """

    payer_id: str
    purpose: Purpose
    amount_minor: int
    currency: str
    method: Method
    gateways: tuple[GatewayName, ...]
    assessment: Assessment
    capture: Capture = Capture.AUTOMATIC
    payee_id: str = ""
    source: str = ""
    subject: str = ""
    return_url: str = ""


class RecordAnswer(msgspec.Struct, frozen=True, tag=True):
    """A provider answered a call."""

    call_id: str
    snapshot: Snapshot


class RecordFailure(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A call came to nothing. `declined`: for good.  `certain`: the provider did nothing."""

    call_id: str
    declined: bool
    certain: bool
    code: str = ""


class RecordSnapshot(msgspec.Struct, frozen=True, tag=True):
    """A provider told of a charge, unasked or when our records were compared."""

    gateway: GatewayName
    snapshot: Snapshot
    source: Source


class ConfirmPayment(msgspec.Struct, frozen=True, tag=True):
    """The payer says that they have done their part: look."""


class CapturePayment(msgspec.Struct, frozen=True, tag=True):
    """Take what was authorised, or a part of it; the rest is let go."""

    amount_minor: int


class CancelPayment(msgspec.Struct, frozen=True, tag=True):
    """Give the payment up, unless something was taken."""

    reason: str


class RefundPayment(msgspec.Struct, frozen=True, tag=True):
    """Give money back the way it came."""

    refund_id: str
    amount_minor: int
    reason: str
    by: str


class DecideReview(msgspec.Struct, frozen=True, tag=True):
    """A person decided about a payment on hold."""

    allow: bool
    by: str
    reason: str


class CheckCall(msgspec.Struct, frozen=True, tag=True):
    """Timer: a call should have been answered by now."""

    call_id: str


class ExpirePayment(msgspec.Struct, frozen=True, tag=True):
    """Timer: the payer had all the time there is."""


class CollectDebt(msgspec.Struct, frozen=True, tag=True):
    """Timer: take what the payer owes from their balance, as far as it is there."""

    available_minor: int = 0


class GetPayment(msgspec.Struct, frozen=True, tag=True):
    """Query: the payment as it is."""


PaymentCommand: TypeAlias = (
    StartPayment
    | RecordAnswer
    | RecordFailure
    | RecordSnapshot
    | ConfirmPayment
    | CapturePayment
    | CancelPayment
    | RefundPayment
    | DecideReview
    | CheckCall
    | ExpirePayment
    | CollectDebt
    | GetPayment
)


# --- events --------------------------------------------------------------------------------------


class PaymentStarted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Journal only: all that was asked for."""

    payment_id: str
    asked: StartPayment
    at_ms: int


class ReviewDecided(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a person decided about a payment on hold."""

    allow: bool
    by: str
    reason: str
    at_ms: int


class CallMade(msgspec.Struct, frozen=True, tag=True):
    """Journal only: something has to be asked of a provider, and an answer by `due_at_ms`."""

    call: Call
    due_at_ms: int
    at_ms: int


class CallPostponed(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a call came to nothing that is certain; it will be asked again."""

    call_id: str
    tries: int
    due_at_ms: int
    code: str
    at_ms: int


class CallEnded(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a call was answered, refused (`code`), or is not needed any more."""

    call_id: str
    code: str
    at_ms: int


class CallOverdue(msgspec.Struct, frozen=True, tag=True):
    """A call has no answer yet: whoever follows the bus for it asks again."""

    payment_id: str
    call: Call
    at_ms: int


class SnapshotSeen(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a provider said something new of an attempt."""

    number: int
    gateway: GatewayName
    snapshot: Snapshot
    source: Source
    at_ms: int


class AttemptGivenUp(msgspec.Struct, frozen=True, tag=True):
    """Journal only: nothing more is expected of an attempt; what it still takes goes back."""

    number: int
    code: str
    at_ms: int


class CancelAsked(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the payment is to end without anything taken."""

    reason: str
    at_ms: int


class CaptureAsked(msgspec.Struct, frozen=True, tag=True):
    """Journal only: so much of what was authorised is to be taken."""

    amount_minor: int
    at_ms: int


class RefundAsked(msgspec.Struct, frozen=True, tag=True):
    """Journal only: money is to go back. `number`: of the attempt that took it."""

    refund_id: str
    number: int
    amount_minor: int
    reason: str
    by: str
    at_ms: int


class RefundRefused(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the provider does not give the money back; it is the payer's balance again."""

    refund_id: str
    code: str
    at_ms: int


class DebtCollected(msgspec.Struct, frozen=True, tag=True):
    """Journal only: so much of what the payer owed came from their balance, or went back to it."""

    amount_minor: int
    at_ms: int


class PaymentChanged(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Public: where a payment stands now, to its payer and to processes that follow it.

    received_minor: all that was taken.  returned_minor: all that went back, disputes included.
    """

    payment_id: str
    payer_id: str
    purpose: Purpose
    before: PaymentStatus
    status: PaymentStatus
    amount_minor: int
    currency: str
    received_minor: int
    returned_minor: int
    at_ms: int
    subject: str = ""
    failure: str = ""


PaymentEvent: TypeAlias = (
    PaymentStarted
    | ReviewDecided
    | CallMade
    | CallPostponed
    | CallEnded
    | CallOverdue
    | SnapshotSeen
    | AttemptGivenUp
    | CancelAsked
    | CaptureAsked
    | RefundAsked
    | RefundRefused
    | DebtCollected
    | PaymentChanged
)

PUBLIC_PAYMENT_EVENTS = frozenset({CallOverdue, PaymentChanged})


# --- views ---------------------------------------------------------------------------------------


class RefundView(msgspec.Struct, frozen=True):
    """A refund that we asked for."""

    refund_id: str
    amount_minor: int
    status: str
    reason: str
    at_ms: int


class PaymentView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payment as it is. `calls`: what has to be asked of a provider now. The higher `version` is
    the later.
    """

    payment_id: str
    payer_id: str
    purpose: Purpose
    status: PaymentStatus
    amount_minor: int
    currency: str
    method: Method
    gateway: GatewayName
    received_minor: int
    returned_minor: int
    owed_minor: int
    created_at_ms: int
    changed_at_ms: int
    assessment: Assessment
    subject: str = ""
    failure: str = ""
    action: NextAction | None = None
    refunds: tuple[RefundView, ...] = ()
    calls: tuple[Call, ...] = ()
    source: str = ""
    return_url: str = ""
    capture: Capture = Capture.AUTOMATIC
    version: int = 0
