"""A payment's state: what was asked, what each provider said, what is still to be asked."""

from __future__ import annotations

import msgspec

from domain.payments.snapshots import returned_minor, withheld_minor
from messages.payments.gateways import Call, GatewayName, ProviderStatus, ReturnStatus, Snapshot
from messages.payments.payments import PaymentStatus, StartPayment


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider that was asked to take the payment. `seen` None: it has not answered yet.

    given_up: nothing more is expected of it; if it takes something after all, that goes back.
    """

    number: int
    gateway: GatewayName
    seen: Snapshot | None = None
    given_up: bool = False
    failure: str = ""

    @property
    def ref(self) -> str:
        """The provider's id of the charge; empty if it is not known."""
        return self.seen.ref if self.seen else ""

    @property
    def captured_minor(self) -> int:
        """All that it took."""
        return self.seen.captured_minor if self.seen else 0

    @property
    def returned_minor(self) -> int:
        """All that it gave back."""
        return returned_minor(self.seen) if self.seen else 0

    @property
    def withheld_minor(self) -> int:
        """All that it keeps from us because of disputes."""
        return withheld_minor(self.seen) if self.seen else 0

    @property
    def status(self) -> ProviderStatus | None:
        """How far it is."""
        return self.seen.status if self.seen else None


class Refund(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refund that we asked for. `refused`: the provider will not."""

    refund_id: str
    number: int
    amount_minor: int
    reason: str
    by: str
    at_ms: int
    refused: bool = False


class Waiting(msgspec.Struct, frozen=True):
    """A call without an answer."""

    call: Call
    due_at_ms: int


class Payment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payment. `asked` None: it was not started.

    taker: the attempt that the payment was taken by, from the moment it took something.
    moves: how often money moved, which numbers its ledger transactions.
    """

    payment_id: str
    asked: StartPayment | None = None
    created_at_ms: int = 0
    changed_at_ms: int = 0
    status: PaymentStatus = PaymentStatus.PENDING
    on_hold: bool = False
    cancelled: bool = False
    attempts: tuple[Attempt, ...] = ()
    taker: int | None = None
    capture_minor: int = 0
    calls: dict[str, Waiting] = {}
    refunds: dict[str, Refund] = {}
    collected_minor: int = 0
    moves: int = 0
    failure: str = ""

    @property
    def current(self) -> Attempt | None:
        """The attempt that the payment now depends on."""
        if self.taker is not None:
            return self.attempts[self.taker]
        return self.attempts[-1] if self.attempts else None


def refund_status(payment: Payment, refund: Refund) -> ReturnStatus:
    """How far a refund of ours is."""
    if refund.refused:
        return ReturnStatus.FAILED
    seen = payment.attempts[refund.number].seen
    for one in seen.refunds if seen else ():
        if one.refund_id == refund.refund_id:
            return one.status
    return ReturnStatus.PENDING


def own_refunds(payment: Payment, number: int) -> list[tuple[Refund, ReturnStatus]]:
    """The refunds of an attempt that we asked for, and how far each is."""
    return [
        (refund, refund_status(payment, refund))
        for refund in payment.refunds.values()
        if refund.number == number
    ]


def foreign_returned_minor(payment: Payment, attempt: Attempt) -> int:
    """What an attempt's provider gave back without being asked by us."""
    if attempt.seen is None:
        return 0
    return sum(
        one.amount_minor
        for one in attempt.seen.refunds
        if one.status is ReturnStatus.SUCCEEDED and one.refund_id not in payment.refunds
    )


def owed_minor(payment: Payment) -> int:
    """What the payer owes us: given back to them by the provider, and not collected yet."""
    if payment.taker is None:
        return 0
    attempt = payment.attempts[payment.taker]
    owed = foreign_returned_minor(payment, attempt) + attempt.withheld_minor
    return max(0, owed - payment.collected_minor)


def refundable_minor(payment: Payment, attempt: Attempt) -> int:
    """What of an attempt can still be given back."""
    asked = sum(
        refund.amount_minor
        for refund, status in own_refunds(payment, attempt.number)
        if status is not ReturnStatus.FAILED
    )
    gone = foreign_returned_minor(payment, attempt) + attempt.withheld_minor
    return max(0, attempt.captured_minor - asked - gone)
