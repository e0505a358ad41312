"""A payout: what its owner is asked, what happened to it, what callers see of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.payments.payments import (
    Assessment,
    CallEnded,
    CheckCall,
    DecideReview,
    RecordFailure,
    ReviewDecided,
    Source,
)
from messages.payments.payout_orders import PayoutProvider, PayoutSnapshot


class PayoutStatus(StrEnum):
    """How far a payout is. requested: it may still be taken back.  returned: it was paid, or on
    its way, and came back.
    """

    REQUESTED = "requested"
    ON_HOLD = "on_hold"
    SENDING = "sending"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"
    CANCELLED = "cancelled"


class PayoutCallKind(StrEnum):
    """What a provider is asked to do."""

    PAY = "pay"
    FIND = "find"


class PayoutCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to ask of the provider. A payout is sent under one key, so it is sent once.

    tries: how often it was asked before.  until_ms: after it the provider may not know the key any
    more, and the call is not to be performed: the owner will ask for something else.
    """

    call_id: str
    kind: PayoutCallKind
    key: str
    until_ms: int
    ref: str = ""
    tries: int = 0


# --- commands ------------------------------------------------------------------------------------


class RequestPayout(msgspec.Struct, frozen=True, tag=True):
    """Pay out from a user's balance by one of their payout methods."""

    user_id: str
    method_id: str
    amount_minor: int
    currency: str


class CancelPayout(msgspec.Struct, frozen=True, tag=True):
    """Take the payout back, if nothing was asked of the provider yet."""

    by: str


class SendPayout(msgspec.Struct, frozen=True, tag=True):
    """Timer: there was time to think again."""


class LookAtPayout(msgspec.Struct, frozen=True, tag=True):
    """Timer: ask the provider what became of it."""


class RecordPayoutAnswer(msgspec.Struct, frozen=True, tag=True):
    """The provider answered a call."""

    call_id: str
    snapshot: PayoutSnapshot


class RecordPayoutSnapshot(msgspec.Struct, frozen=True, tag=True):
    """The provider told of the payout, unasked or when our records were compared."""

    provider: PayoutProvider
    snapshot: PayoutSnapshot
    source: Source


class GetPayout(msgspec.Struct, frozen=True, tag=True):
    """Query: the payout as it is."""


PayoutCommand: TypeAlias = (
    RequestPayout
    | DecideReview
    | CancelPayout
    | SendPayout
    | LookAtPayout
    | CheckCall
    | RecordPayoutAnswer
    | RecordFailure
    | RecordPayoutSnapshot
    | GetPayout
)


# --- events --------------------------------------------------------------------------------------


class PayoutRequested(msgspec.Struct, frozen=True, tag=True):
    """Journal only: all that was asked for. charged_minor: the part that is a fee of the user's."""

    payout_id: str
    asked: RequestPayout
    provider: PayoutProvider
    charged_minor: int
    assessment: Assessment
    at_ms: int


class PayoutCancelled(msgspec.Struct, frozen=True, tag=True):
    """Journal only: it was taken back before it was sent."""

    by: str
    at_ms: int


class PayoutCallMade(msgspec.Struct, frozen=True, tag=True):
    """Journal only: something has to be asked of the provider, and an answer by `due_at_ms`."""

    call: PayoutCall
    due_at_ms: int
    at_ms: int


class PayoutCallDue(msgspec.Struct, frozen=True, tag=True):
    """A call waits: whoever follows the bus for it asks the provider."""

    payout_id: str
    call: PayoutCall
    at_ms: int


class PayoutCallPostponed(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a call came to nothing that is certain; it will be asked again."""

    call_id: str
    tries: int
    due_at_ms: int
    code: str
    at_ms: int


class PayoutDeclined(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the provider will not, but may have before: it has to be looked for."""

    code: str
    at_ms: int


class PayoutSnapshotSeen(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the provider said something new."""

    snapshot: PayoutSnapshot
    source: Source
    at_ms: int


class PayoutGivenUp(msgspec.Struct, frozen=True, tag=True):
    """Journal only: nothing was sent, for certain, and nothing will be."""

    code: str
    at_ms: int


class PayoutChanged(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Public: where a payout stands now, to its user and to processes that follow it.

    fee_minor: what the provider kept.  owed_minor: what was paid although it had been given up.
    """

    payout_id: str
    user_id: str
    before: PayoutStatus
    status: PayoutStatus
    amount_minor: int
    currency: str
    at_ms: int
    fee_minor: int = 0
    owed_minor: int = 0
    ref: str = ""
    failure: str = ""


PayoutEvent: TypeAlias = (
    PayoutRequested
    | ReviewDecided
    | PayoutCancelled
    | PayoutCallMade
    | PayoutCallDue
    | PayoutCallPostponed
    | CallEnded
    | PayoutDeclined
    | PayoutSnapshotSeen
    | PayoutGivenUp
    | PayoutChanged
)

PUBLIC_PAYOUT_EVENTS = frozenset({PayoutCallDue, PayoutChanged})


# --- views ---------------------------------------------------------------------------------------


class PayoutView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payout as it is. sent_minor: what its receiver gets.  call: what the provider is asked."""

    payout_id: str
    user_id: str
    method_id: str
    provider: PayoutProvider
    status: PayoutStatus
    amount_minor: int
    charged_minor: int
    fee_minor: int
    owed_minor: int
    currency: str
    assessment: Assessment
    created_at_ms: int
    changed_at_ms: int
    ref: str = ""
    failure: str = ""
    call: PayoutCall | None = None

    @property
    def sent_minor(self) -> int:
        """What its receiver gets."""
        return self.amount_minor - self.charged_minor
