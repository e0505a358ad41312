"""A purchase's state: what was asked, what came of each step, where the payment stands."""

from __future__ import annotations

import msgspec

from messages.keys import derive_id
from messages.payments.payments import PaymentStatus, Purpose
from messages.purchases.purchases import (
    MoneyBack,
    Outcome,
    PaymentNews,
    PurchaseStatus,
    StartPurchase,
    Step,
)

OPEN = frozenset(
    {
        PaymentStatus.PENDING,
        PaymentStatus.ON_HOLD,
        PaymentStatus.REQUIRES_ACTION,
        PaymentStatus.PROCESSING,
    }
)
REVERSED = frozenset({PaymentStatus.REFUNDED, PaymentStatus.DISPUTED})
UNPAID = frozenset({PaymentStatus.FAILED, PaymentStatus.CANCELLED})
REFUND_OVER = frozenset({"succeeded", "failed"})


class StepState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a step."""

    outcome: Outcome
    round: int = 0
    tries: int = 0
    amount_minor: int = 0
    code: str = ""


class Purchase(msgspec.Struct, frozen=True, omit_defaults=True):
    """A purchase. `asked` None: it was not started.

    ending: why it will not be delivered; once it is set it stays.  refund_id: of the last wish for
    the money back, which goes where `money_back` says.  is_back: the goods went back.
    round: numbers the wishes.
    """

    purchase_id: str
    asked: StartPurchase | None = None
    created_at_ms: int = 0
    changed_at_ms: int = 0
    pay_by_ms: int = 0
    status: PurchaseStatus = PurchaseStatus.NEW
    steps: dict[Step, StepState] = {}
    payment: PaymentNews | None = None
    ending: str = ""
    refund_id: str = ""
    money_back: MoneyBack = MoneyBack.REFUND
    is_back: bool = False
    returned_minor: int = 0
    round: int = 0
    failure: str = ""

    @property
    def order(self) -> StartPurchase:
        """What was asked of it."""
        assert self.asked is not None, "it was started"
        return self.asked

    @property
    def waiting(self) -> Step | None:
        """The step that has no answer yet; there is never more than one."""
        found = (s for s, state in self.steps.items() if state.outcome is Outcome.WANTED)
        return next(found, None)

    @property
    def has_goods(self) -> bool:
        """Whether somebody delivers something for the money."""
        return self.order.purpose is not Purpose.TOP_UP

    @property
    def is_delivered(self) -> bool:
        """Whether the buyer has, or had, what they paid for."""
        if self.has_goods:
            return self.is_done(Step.TAKE)
        return not self.ending and self.received_minor > 0

    @property
    def received_minor(self) -> int:
        """All that the payment brought."""
        return self.payment.received_minor if self.payment else 0

    @property
    def is_payment_open(self) -> bool:
        """Whether the payment was begun and may still bring money."""
        if not self.is_done(Step.PAY):
            return False
        return self.payment is None or self.payment.status in OPEN

    @property
    def is_reversed(self) -> bool:
        """Whether the money went back without our having asked for it."""
        taken = self.payment is not None and self.payment.status in REVERSED
        return taken and not self.is_done(Step.REFUND) and self.waiting is not Step.REFUND

    @property
    def refund_status(self) -> str:
        """How far the refund of the payment is; empty if there is none."""
        if not self.is_done(Step.REFUND):
            return ""
        assert self.payment is not None, "who is refunded has paid"
        return self.payment.refunds.get(payment_refund_id(self), "pending")

    def is_done(self, step: Step) -> bool:
        """Whether a step was done."""
        found = self.steps.get(step)
        return found is not None and found.outcome is Outcome.DONE

    def is_refused(self, step: Step) -> bool:
        """Whether a step was refused."""
        found = self.steps.get(step)
        return found is not None and found.outcome is Outcome.REFUSED


def payment_refund_id(purchase: Purchase) -> str:
    """The id of the refund that gives this purchase's money back."""
    return refund_id_of(purchase.purchase_id, purchase.round)


def refund_id_of(purchase_id: str, number: int) -> str:
    """The id of a purchase's refund of the round of that number."""
    return derive_id("purchase-refund", purchase_id, number)
